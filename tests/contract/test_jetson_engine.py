"""A real engine on a real GPU: the runtime builds it and it answers as ONNX Runtime does.

Run it on a Jetson, or on a machine with an NVIDIA GPU and TensorRT::

    python -m pytest tests/contract/test_jetson_engine.py -m gpu
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.jetson import bicameral_jetson
from edge.jetson.bundle import BundleRequest, write_bundle
from edge.shipped import shipped_model

pytestmark = [pytest.mark.contract, pytest.mark.gpu]


def _missing() -> str | None:
    try:
        bicameral_jetson.device_identity()
    except bicameral_jetson.MachineError as error:
        return f"needs an NVIDIA GPU and TensorRT: {error}"
    return None


_MISSING = _missing()


@pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING))
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("model", ["fashion_mnist_cascade", "caril_a"])
def test_engines_are_built_and_answer_as_their_graphs(model: str, tmp_path: Path):
    folder = tmp_path / "bundle"
    request = BundleRequest(model=shipped_model(model), target="jetson-orin", precision="fp32")
    write_bundle(request, folder)
    # The build itself compares the engine with recorded answers and refuses another one.
    done = subprocess.run(
        [sys.executable, "bicameral_jetson.py", "build"],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list((folder / "engines").glob("*.engine"))
