"""A folder with small models and pictures, and plans to measure them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.loading import load_classifier, member_sha256
from edge.sidecar import read_sidecar
from models.measurement.record import MeasurePlan

#: Pictures in each of five classes; one in six is a test picture.
PER_CLASS = 24

MEMORY = {
    "key": "exact",
    "tolerance_mae_u8": 0.0,
    "max_entries": 1000,
    "max_age_s": None,
    "store_min_confidence": 0.0,
}


@pytest.fixture(scope="session")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    write_classifier: Callable[..., Path],
    write_cascade: Callable[..., Path],
) -> Path:
    """Give ``large``, ``a``, ``b``, the cascade ``pair`` and the pictures ``data``."""
    folder = tmp_path_factory.mktemp("measure")
    for name, seed, macs in (("a", 3, 100), ("b", 5, 300), ("large", 7, 2000)):
        write_classifier(folder, name, seed=seed, cost={"macs": macs, "parameters": macs // 10})
    members = [(name, member_sha256(read_sidecar(folder / f"{name}.onnx"))) for name in "ab"]
    pair = write_cascade(folder, "pair", *members, cascade={"threshold": 0.7, "memory": MEMORY})
    rng = np.random.default_rng(1)
    for label in load_classifier(pair).info.labels:
        (folder / "data" / label).mkdir(parents=True)
        for index in range(PER_CLASS):
            picture = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            cv2.imwrite(str(folder / "data" / label / f"{index}.png"), picture)
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
