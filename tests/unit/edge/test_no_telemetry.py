"""Inference tells nobody outside about itself."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
from edge.session import OnnxSession
from edge.shipped import weights_folder
OnnxSession((weights_folder() / "caril_day.onnx").read_bytes(), name="caril_day")
"""


def test_onnx_runtime_keeps_no_identifier_and_starts_no_upload(tmp_path: Path) -> None:
    # Nothing of this process' environment: under CI or pytest it would be off anyway.
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    script = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert list(tmp_path.rglob("*")) == []
