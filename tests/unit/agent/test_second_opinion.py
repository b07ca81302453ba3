"""The second opinion: when B is asked, who steers, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.correction import second_opinion as rule
from agent.correction.protocol import Correction, Opinions
from agent.correction.registry import make_correction
from bicameral.errors import ConfigError, UserError
from bicameral.types import RoadOption
from edge.dual_head import DualHeadModel

pytestmark = pytest.mark.unit

MakeModel = Callable[..., Any]


class _Driver:
    """One correction and the two models it asks."""

    def __init__(self, a: DualHeadModel, b: DualHeadModel) -> None:
        self._models = (a, b)
        self._rule = make_correction("second_opinion", a.agent, b.agent)
        self._rule.begin(0)

    def tick(self, picture: NDArray[np.uint8]) -> Correction:
        opinions = Opinions(self._models, picture, 5.0, RoadOption.LANE_FOLLOW)
        return self._rule.correct(opinions)


def test_b_costs_nothing_while_a_is_sure(make_model: MakeModel, picture: NDArray[np.uint8]) -> None:
    (a, _), (b, session_b) = make_model(0.1, probability=0.9), make_model(-0.3)
    decided = _Driver(a, b).tick(picture)
    assert decided.branch == rule.TRUST_A
    assert decided.steer == pytest.approx(0.1)
    assert session_b.calls == []
    assert decided.diagnostics["asked_b"] == 0.0
    assert "steer_b" not in decided.diagnostics


def test_an_unsure_a_that_b_confirms_is_blended_by_confidence(
    make_model: MakeModel, picture: NDArray[np.uint8]
) -> None:
    (a, _), (b, _) = make_model(0.10, probability=0.4), make_model(0.14, probability=0.8)
    decided = _Driver(a, b).tick(picture)
    assert decided.branch == rule.AGREED
    assert decided.steer == pytest.approx((0.4 * 0.10 + 0.8 * 0.14) / 1.2)
    assert decided.steer_raw == pytest.approx(0.10)
    assert decided.diagnostics["disagreement"] == pytest.approx(0.04)
    assert decided.diagnostics["asked_b"] == 1.0


def test_a_sure_b_takes_over_from_an_unsure_a(
    make_model: MakeModel, picture: NDArray[np.uint8]
) -> None:
    (a, _), (b, _) = make_model(0.3, probability=0.5), make_model(-0.1, probability=0.9)
    decided = _Driver(a, b).tick(picture)
    assert decided.branch == rule.TAKEN_B
    assert decided.steer == pytest.approx(-0.1)
    assert decided.confidence == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("sure_a", "sure_b", "branch", "steer"),
    [(0.5, 0.4, rule.KEPT_A, 0.3), (0.4, 0.5, rule.BOTH_UNSURE, -0.1)],
)
def test_of_two_unsure_networks_the_surer_one_steers(
    make_model: MakeModel,
    picture: NDArray[np.uint8],
    sure_a: float,
    sure_b: float,
    branch: str,
    steer: float,
) -> None:
    (a, _), (b, _) = make_model(0.3, probability=sure_a), make_model(-0.1, probability=sure_b)
    decided = _Driver(a, b).tick(picture)
    assert decided.branch == branch
    assert decided.steer == pytest.approx(steer)


@pytest.mark.parametrize("level", [20, 230])
def test_a_picture_out_of_range_goes_to_b_and_a_is_not_even_asked(
    make_model: MakeModel, picture: NDArray[np.uint8], level: int
) -> None:
    (a, session_a), (b, _) = make_model(0.3, probability=0.99), make_model(-0.1)
    decided = _Driver(a, b).tick(np.full_like(picture, level))
    assert decided.branch == rule.OUT_OF_RANGE
    assert decided.steer == decided.steer_raw == pytest.approx(-0.1)
    assert session_a.calls == []
    assert decided.diagnostics["asked_a"] == 0.0


def test_a_flat_picture_counts_as_out_of_range(
    make_model: MakeModel, picture: NDArray[np.uint8]
) -> None:
    span = {"brightness": [80.0, 160.0], "contrast": [20.0, 60.0]}
    (a, _), (b, _) = make_model(0.3, input_range=span), make_model(-0.1)
    assert _Driver(a, b).tick(picture).branch == rule.OUT_OF_RANGE


def test_the_range_has_a_margin(make_model: MakeModel, picture: NDArray[np.uint8]) -> None:
    (a, _), (b, _) = make_model(0.3), make_model(-0.1)
    assert _Driver(a, b).tick(np.full_like(picture, 73)).branch == rule.TRUST_A
    assert _Driver(a, b).tick(np.full_like(picture, 71)).branch == rule.OUT_OF_RANGE


def test_b_keeps_the_wheel_for_some_ticks_and_a_new_episode_forgets_it(
    make_model: MakeModel, picture: NDArray[np.uint8]
) -> None:
    (a, _), (b, _) = make_model(0.3), make_model(-0.1)
    driver = _Driver(a, b)
    dark = np.full_like(picture, 10)
    branches = [driver.tick(image).branch for image in (dark, *[picture] * 11)]
    assert branches == [rule.OUT_OF_RANGE, *[rule.HELD] * 10, rule.TRUST_A]
    driver.tick(dark)
    driver._rule.begin(0)
    assert driver.tick(picture).branch == rule.TRUST_A


def test_a_network_a_that_answers_no_number_is_never_kept(
    make_model: MakeModel, picture: NDArray[np.uint8]
) -> None:
    (a, _), (b, _) = make_model(float("nan"), probability=0.99), make_model(-0.1, probability=0.2)
    decided = _Driver(a, b).tick(picture)
    assert decided.branch == rule.BOTH_UNSURE
    assert decided.steer == pytest.approx(-0.1)


def test_thresholds_come_from_the_sidecars(
    make_model: MakeModel, picture: NDArray[np.uint8]
) -> None:
    (a, _), (b, _) = make_model(0.3, probability=0.65), make_model(-0.1)
    assert _Driver(a, b).tick(picture).branch == rule.TRUST_A
    confidence = {"threshold": 0.7, "asked_share": 0.15, "split": "validation", "n": 9}
    (strict, _) = make_model(0.3, probability=0.65, confidence=confidence)
    assert _Driver(strict, b).tick(picture).branch == rule.TAKEN_B


def test_wrong_names_are_refused(make_model: MakeModel) -> None:
    a, _ = make_model(0.0)
    with pytest.raises(ConfigError, match="second network"):
        make_correction("second_opinion", a.agent, None)
    with pytest.raises(UserError, match="Did you mean 'paper'"):
        make_correction("papr", a.agent, None)
