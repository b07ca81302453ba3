"""Where something was measured: the processor, and the versions that decide answers and times."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import cv2
import numpy as np

import bicameral


def host_name() -> str:
    """Name the processor, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return platform.machine()
    return platform.machine()


def inference_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that inference runs on, by name."""
    return {
        "bicameral": bicameral.__version__,
        "numpy": np.__version__,
        "onnxruntime": importlib.metadata.version("onnxruntime"),
        "opencv": cv2.__version__,
        "python": platform.python_version(),
    }
