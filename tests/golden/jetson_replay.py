"""Runs a bundle's runtime on recorded answers instead of TensorRT, with numpy alone.

    python -I -S jetson_replay.py SITE RECORDING BUNDLE COMMAND...

SITE is a folder that holds nothing but numpy. RECORDING is an .npz with, for each graph by its
SHA-256, the digests of its feeds and its outputs. Feeds that were not recorded are an error, so the
tensors that the runtime makes must be the recorded ones bit for bit.
"""

import hashlib
import importlib.util
import sys

SITE, RECORDING, BUNDLE = sys.argv[1:4]
sys.path[:0] = [SITE, BUNDLE]

import numpy as np  # noqa: E402

for package in ("bicameral", "edge", "cv2", "onnx", "onnxruntime", "pydantic", "PIL", "tensorrt"):
    assert importlib.util.find_spec(package) is None, f"{package} can be imported"

import bicameral_jetson  # noqa: E402


def feeds_digest(feeds):
    """Return a digest of names, types, shapes and values of tensors."""
    state = hashlib.sha256()
    for name in sorted(feeds):
        array = feeds[name]
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


class ReplayEngine:
    """Answers with what was recorded for the same feeds."""

    def __init__(self, sidecar):
        graph = sidecar.file["sha256"]
        with np.load(RECORDING) as archive:
            prefix = f"{graph}."
            arrays = {
                name[len(prefix) :]: archive[name] for name in archive if name.startswith(prefix)
            }
        self._row_by_digest = {digest: row for row, digest in enumerate(arrays.pop("feeds"))}
        self._outputs = arrays

    def run(self, feeds):
        """Look the feeds up."""
        row = self._row_by_digest[feeds_digest(feeds)]
        return {name: values[row : row + 1] for name, values in self._outputs.items()}


if __name__ == "__main__":
    sys.exit(bicameral_jetson.main(["--bundle", BUNDLE, *sys.argv[4:]], ReplayEngine))
