"""A folder with small models and pictures, and plans to measure them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.loading import member_sha256
from edge.sidecar import read_sidecar
from models.measurement.record import MeasurePlan

#: Pictures in each of five classes; one in six is a test picture.
PER_CLASS = 24


@pytest.fixture(scope="session")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    write_classifier: Callable[..., Path],
    write_cascade: Callable[..., Path],
    write_pictures: Callable[..., None],
) -> Path:
    """Give ``large``, ``a``, ``b``, the cascade ``pair`` and the pictures ``data``."""
    folder = tmp_path_factory.mktemp("measure")
    for name, seed, macs in (("a", 3, 100), ("b", 5, 300), ("large", 7, 2000)):
        write_classifier(folder, name, seed=seed, cost={"macs": macs, "parameters": macs // 10})
    members = [(name, member_sha256(read_sidecar(folder / f"{name}.onnx"))) for name in "ab"]
    write_cascade(folder, "pair", *members, cascade={"threshold": 0.7, "memory": {}})
    write_pictures(folder / "data", PER_CLASS)
    return folder


@pytest.fixture(scope="session")
def plan(folder: Path) -> MeasurePlan:
    """Give a plan of a moment: the paper's experiment in small."""
    return MeasurePlan(
        models=(
            str(folder / "large.onnx"),
            str(folder / "a.onnx"),
            str(folder / "pair.bicameral.json"),
            str(folder / "pair.bicameral.json") + "+memory",
        ),
        streams=(0.0, 1.0),
        data=str(folder / "data"),
        images=10,
        rounds=2,
        sessions=2,
        warm_up_s=0.0,
        idle_s=0.0,
    )
