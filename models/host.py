"""Where something was measured: the processor, and the versions that decide answers and times."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

import bicameral


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a result came from.

    Attributes:
        command: The command that made it.
        created_at: When, ISO 8601.
        host: The processor that times were measured on.
        versions: Versions of the software, by name.
    """

    command: str
    created_at: str
    host: str
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls, command: str) -> Provenance:
        """Describe what this process makes now."""
        return cls(
            command=command,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            host=host_name(),
            versions=inference_versions(),
        )


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
