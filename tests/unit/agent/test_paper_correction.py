"""The paper's rule: every branch, its limits, and its draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.correction.branch_gain import measure_branches
from agent.correction.paper import AGREE, CLASS, JITTER, LOST, PaperCorrection, PaperRule
from agent.correction.protocol import Opinions
from bicameral.types import RoadOption

pytestmark = pytest.mark.unit

EDGES = tuple(float(edge) for edge in np.linspace(-0.25, 0.25, 12))
RULE = PaperRule(bin_edges=EDGES, scale=4.0)


def _peaked(winner: int, probability: float) -> NDArray[np.float64]:
    probabilities = np.full(11, (1.0 - probability) / 10.0)
    probabilities[winner] = probability
    return probabilities


def _two_way(first: float) -> NDArray[np.float64]:
    probabilities = np.zeros(11)
    probabilities[4], probabilities[5], probabilities[6] = first, first, 1.0 - 2.0 * first
    return probabilities


@pytest.mark.parametrize(
    ("steer", "probabilities", "branch"),
    [
        (0.0, _peaked(5, 0.95), AGREE),
        (0.03, _peaked(5, 0.9), AGREE),  # bin 6 is next to class 5, and 0.9 is sure enough
        (0.08, _peaked(5, 0.95), CLASS),  # bin 7 is two away
        (-0.9, _peaked(0, 0.95), AGREE),  # beyond the range belongs to the outer class
        (-0.9, _peaked(2, 0.95), CLASS),
        (0.0, _peaked(5, 0.89), JITTER),
        (0.2, _peaked(5, 0.5), JITTER),  # 0.5 is not below 0.5
        (0.0, _peaked(5, 0.49), LOST),  # entropy 1.87
        (0.0, _two_way(0.45), JITTER),  # below 0.5, but entropy 0.95
        (0.0, np.full(11, 1 / 11), LOST),
    ],
)
def test_the_first_condition_that_holds_decides(
    steer: float, probabilities: NDArray[np.float64], branch: str
) -> None:
    assert RULE.branch(steer, probabilities) == branch


def test_bins_are_closed_on_the_left() -> None:
    edge_between_6_and_7 = EDGES[7]
    assert RULE.branch(edge_between_6_and_7, _peaked(5, 0.95)) == CLASS
    assert RULE.branch(np.nextafter(edge_between_6_and_7, -1.0), _peaked(5, 0.95)) == AGREE


def test_branches_1_and_3_keep_the_regression() -> None:
    rng = np.random.default_rng(0)
    assert RULE.correct(0.011, _peaked(5, 0.95), rng) == (0.011, AGREE)
    assert RULE.correct(0.2, np.full(11, 1 / 11), rng) == (0.2, LOST)
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_branch_2_draws_the_mean_of_ten_within_the_winning_bin() -> None:
    rng = np.random.default_rng(1)
    drawn = [RULE.correct(0.2, _peaked(2, 0.95), rng)[0] for _ in range(2000)]
    low, high = EDGES[2], EDGES[3]
    assert low < min(drawn) < max(drawn) < high
    assert np.mean(drawn) == pytest.approx((low + high) / 2, abs=2e-4)
    assert np.std(drawn) == pytest.approx((high - low) / np.sqrt(12 * 10), rel=0.06)


def test_branch_4_adds_noise_of_mean_zero_that_grows_with_certainty() -> None:
    rng = np.random.default_rng(2)
    spreads = {}
    for probability in (0.5, 0.85):
        drawn = [RULE.correct(0.1, _peaked(5, probability), rng)[0] for _ in range(4000)]
        assert np.mean(drawn) == pytest.approx(0.1, abs=2e-3)
        spreads[probability] = np.std(drawn)
        variance = _peaked(5, probability).var()
        assert spreads[probability] == pytest.approx(np.sqrt(variance / 10) / 4.0, rel=0.06)
    assert spreads[0.85] > spreads[0.5]


def test_an_episode_repeats_its_draws_and_another_seed_does_not(
    make_model: Callable[..., Any], picture: NDArray[np.uint8]
) -> None:
    model, _ = make_model(0.1, 5, 0.7)
    correction = PaperCorrection(RULE)

    def drive(seed: int) -> list[float]:
        correction.begin(seed)
        return [
            correction.correct(Opinions((model, None), picture, 5.0, RoadOption.LANE_FOLLOW)).steer
            for _ in range(3)
        ]

    first = drive(7)
    assert drive(7) == first
    assert drive(8) != first
    assert len(set(first)) == 3


def test_it_judges_by_uncalibrated_probabilities_but_reports_calibrated_confidence(
    make_model: Callable[..., Any], picture: NDArray[np.uint8]
) -> None:
    model, _ = make_model(0.0, 5, 0.95)
    model.sidecar = model.sidecar.model_copy(
        update={"calibration": model.sidecar.calibration.model_copy(update={"temperature": 2.0})}
    )
    decided = PaperCorrection(RULE).correct(
        Opinions((model, None), picture, 5.0, RoadOption.LANE_FOLLOW)
    )
    assert decided.branch == AGREE
    assert decided.confidence < 0.9


def test_an_answer_that_is_no_number_is_passed_on(
    make_model: Callable[..., Any], picture: NDArray[np.uint8]
) -> None:
    model, _ = make_model(float("nan"))
    decided = PaperCorrection(RULE).correct(
        Opinions((model, None), picture, 5.0, RoadOption.LANE_FOLLOW)
    )
    assert np.isnan(decided.steer)


def test_branches_are_counted_with_their_gain() -> None:
    steer = np.array([0.0, 0.2, 0.1, 0.0])
    probabilities = np.stack(
        [_peaked(5, 0.95), _peaked(2, 0.95), np.full(11, 1 / 11), _peaked(5, 0.95)]
    )
    label = np.array([0.01, -0.125, 0.1, 0.0])
    gains = measure_branches(RULE, steer, np.log(probabilities), label)
    assert list(gains) == [AGREE, CLASS, LOST, JITTER]
    assert [gain.frames for gain in gains.values()] == [2, 1, 1, 0]
    assert gains[AGREE].error_before == gains[AGREE].error_after == pytest.approx(0.005)
    assert gains[CLASS].error_before == pytest.approx(0.325)
    assert gains[CLASS].error_after == pytest.approx(0.0, abs=0.03)
    assert gains[JITTER].error_before is None
