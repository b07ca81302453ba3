"""A path network's answers, calibrated as its sidecar says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from bicameral.types import RoadOption
from edge.agent_sidecar import PathAgentSpec
from edge.dual_head import DualHeadModel
from edge.path_model import PathModel, spread_shares
from edge.shipped import shipped_model
from edge.sidecar import read_sidecar
from tests.path_network import (
    DISTANCES_M,
    offset_classes,
    path_sidecar,
    peaked_logits,
    replayed_path_model,
    write_path_network,
)

IMAGE = np.full((64, 160, 3), 120, np.uint8)


def test_a_written_network_answers_one_picture_as_it_answers_many(tmp_path: Path) -> None:
    offsets = (0.1, 0.2, 0.5, 1.1, 3.0)
    model = PathModel.load(write_path_network(tmp_path, "bend", offsets=offsets))
    one = model.predict(IMAGE, 5.0, RoadOption.LEFT)
    many = model.predict_batch(np.stack([IMAGE] * 3), np.full(3, 5.0), np.full(3, 1, np.int8))
    assert one.offsets_m == pytest.approx(offsets, abs=1e-6)
    assert one.probabilities.shape == (3, 13)
    assert np.array_equal(many.row(2).spread_m, one.spread_m)
    assert many.offsets_m.shape == (3, 5)
    assert (model.name, len(model.fingerprint)) == ("bend", 64)
    model.close()


def test_scales_and_classes_are_calibrated_by_the_sidecar() -> None:
    classes = [offset_classes(d) | {"temperature": 2.0} for d in (6.0, 10.0, 15.0)]
    model, session = replayed_path_model(
        classes=classes, scale_factors=[2.0] * 5, spread_factors=[1.0, 1.0, 3.0, 1.0, 1.0]
    )
    session.scales = np.full(5, 0.5)
    session.logits = 2.0 * peaked_logits(7, 0.9)
    answer = model.predict(IMAGE, 5.0, RoadOption.LEFT)
    assert answer.probabilities[1, 7] == pytest.approx(0.9, abs=1e-6)
    assert answer.offsets_std_m == pytest.approx([np.sqrt(2.0)] * 5)
    means = np.array(classes[1]["bin_means_m"])
    chances = answer.probabilities[1]
    mean = chances @ means
    std = np.sqrt(chances @ means**2 - mean**2)
    assert answer.class_mean_m[1] == pytest.approx(mean)
    assert answer.class_std_m[1] == pytest.approx(std)
    assert answer.spread_m[2] == pytest.approx(3.0 * std)


def test_beyond_the_classes_the_spread_is_in_proportion_and_between_them_interpolated() -> None:
    described = path_sidecar().agent
    assert isinstance(described, PathAgentSpec)
    shares = spread_shares((4.0, 6.0, 8.0, 10.0, 15.0, 25.0), described.classes)
    stds_m = np.array([0.3, 0.5, 0.9])
    assert shares @ stds_m == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.9, 1.5])


def test_the_intent_is_told_or_all_zeros() -> None:
    model, session = replayed_path_model()
    model.predict(IMAGE, 5.0, RoadOption.RIGHT)
    model.predict(IMAGE, 5.0, RoadOption.RIGHT, np.array([1.25, 0.0, 2.0, 0.5, 1.0]))
    assert session.calls[0]["intent"].tolist() == [[0.0] * 5]
    assert session.calls[1]["intent"].tolist() == [[1.25, 0.0, 2.0, 0.5, 1.0]]
    assert session.calls[1]["command"].tolist() == [[0.0, 0.0, 1.0, 0.0]]
    plain, session = replayed_path_model(intent=None)
    plain.predict(IMAGE, 5.0, RoadOption.RIGHT, np.ones(5))
    assert "intent" not in session.calls[0]


def test_kinds_of_agents_are_not_confused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="an agent that steers itself, expected an agent that sees"):
        PathModel.load(shipped_model("caril_a"))
    with pytest.raises(
        DataError, match="an agent that sees the path, expected an agent that steers"
    ):
        DualHeadModel.load(write_path_network(tmp_path, "path"))
    assert read_sidecar(tmp_path / "path.onnx").agent.distances_m == DISTANCES_M
