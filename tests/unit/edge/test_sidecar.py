"""The sidecar: strict, versioned, and bound to its file by a hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bicameral.errors import DataError, VersionMismatchError
from edge.sidecar import read_model_bytes, read_sidecar, sidecar_path, write_sidecar

pytestmark = pytest.mark.unit

CLASSIFIER: dict[str, Any] = {
    "schema": 1,
    "kind": "classifier",
    "name": "res16",
    "version": "1",
    "files": [
        {
            "path": "res16.onnx",
            "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "bytes": 5,
            "target": "onnxruntime",
            "precision": "fp32",
            "opset": 13,
        }
    ],
    "input": {
        "name": "image",
        "layout": "NCHW",
        "dtype": "FP32",
        "shape": [-1, 1, 28, 28],
        "in_graph": False,
        "image": {
            "height": 28,
            "width": 28,
            "color": "GRAY",
            "crop": None,
            "resize": "area_int",
            "invert": False,
            "scale": 0.00392156862745098,
            "mean": [0.286],
            "std": [0.353],
        },
    },
    "extra_inputs": [],
    "outputs": [{"name": "logits", "meaning": "logits", "shape": [-1, 10]}],
    "labels": ["T-shirt/top"],
    "task": {"orientation_sensitive": False},
    "calibration": {
        "method": "temperature",
        "temperature": 1.0,
        "split": "validation",
        "n": 5000,
        "ece": 0.0,
    },
    "cost": {"macs": 0, "parameters": 0, "cpu_us": 0.0, "host": ".."},
    "cascade": None,
    "agent": None,
    "state": {"kind": "none", "path": None, "sha256": None, "online": False},
    "stages": [],
    "training": {
        "command": "",
        "data": {"name": "", "sha256": ""},
        "split": "",
        "seed": 0,
        "precision": None,
    },
    "claims": [
        {
            "metric": "accuracy",
            "value": 0.0,
            "ci95": [0, 0],
            "n": 10000,
            "seeds": 3,
            "split": "test",
            "command": "",
        }
    ],
    "license": "..",
    "limits": "..",
}


def _write(folder: Path, **changes: Any) -> Path:
    path = folder / "res16.bicameral.json"
    path.write_text(json.dumps(CLASSIFIER | changes))
    return path


def test_the_contract_is_read_and_written_back_unchanged(tmp_path: Path) -> None:
    sidecar = read_sidecar(_write(tmp_path))
    write_sidecar(tmp_path / "copy.bicameral.json", sidecar)
    assert json.loads((tmp_path / "copy.bicameral.json").read_text()) == CLASSIFIER
    assert read_sidecar(tmp_path / "copy.onnx") == sidecar


def test_the_sidecar_lies_beside_the_graph() -> None:
    assert sidecar_path(Path("a/b.v2.onnx")) == Path("a/b.v2.bicameral.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour"),
        ({"kind": "agent"}, "agent"),
        ({"kind": "robot"}, "kind"),
        ({"calibration": {**CLASSIFIER["calibration"], "temperature": 0}}, "temperature"),
        ({"cost": {**CLASSIFIER["cost"], "cpu_us": "fast"}}, "cpu_us"),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_sidecar(_write(tmp_path, **changes))


def test_another_schema_is_a_version_mismatch(tmp_path: Path) -> None:
    with pytest.raises(VersionMismatchError, match="schema 3"):
        read_sidecar(_write(tmp_path, schema=3))


def test_a_missing_or_broken_sidecar_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs NAME"):
        read_sidecar(tmp_path / "x.onnx")
    (tmp_path / "y.bicameral.json").write_text("{")
    with pytest.raises(DataError, match="no valid sidecar"):
        read_sidecar(tmp_path / "y.onnx")


def test_only_the_described_file_is_read(tmp_path: Path) -> None:
    sidecar = read_sidecar(_write(tmp_path))
    model = tmp_path / "res16.onnx"
    with pytest.raises(DataError, match="cannot read"):
        read_model_bytes(model, sidecar)
    model.write_bytes(b"hello")
    assert read_model_bytes(model, sidecar) == b"hello"
    model.write_bytes(b"hellO")
    with pytest.raises(DataError, match="not the file that its sidecar describes"):
        read_model_bytes(model, sidecar)
    with pytest.raises(DataError, match="jetson-nano"):
        read_model_bytes(model, sidecar, "jetson-nano")
