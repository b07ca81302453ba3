"""Inference without torch: sidecars, pre-processing, sessions."""

import os

# From 1.29 on, ONNX Runtime's official builds report every process, session and model to their
# maker and keep an identifier of the machine in the user's cache, unless this is set before they
# are imported. Whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
