"""Is this ONNX file one that the target reads, and reads right? Findings, without the device.

A clean result does not promise an engine: memory and kernels remain the device's. It promises that
no known rule of the target's parser is broken.
"""

from edge.preflight.check import preflight
from edge.preflight.findings import Finding, has_errors

__all__ = ["Finding", "has_errors", "preflight"]
