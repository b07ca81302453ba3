"""Properties of complementarity, sweeps, fronts and choices, for all logits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.cascade import CascadePolicy
from edge.combination import COMBINATIONS
from edge.probabilities import SCORES, softmax
from models.cascade.candidates import pareto_front
from models.cascade.complementarity import (
    oracle_accuracy,
    paper_complementarity,
    released_code_complementarity,
)
from models.cascade.operating_points import PairAnswers, run_stages, sweep_thresholds

pytestmark = pytest.mark.property

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def pairs(draw: st.DrawFn) -> PairAnswers:
    """Draw a pair; coarse logits, so that scores tie within and between the networks."""
    rng = np.random.default_rng(draw(SEEDS))
    n, classes = draw(st.integers(1, 60)), draw(st.integers(2, 5))
    step = draw(st.sampled_from([0.0, 0.5, 2.0]))

    def answers() -> NDArray[np.float32]:
        logits = rng.normal(size=(n, classes)) * draw(st.floats(0.1, 20.0))
        logits = np.round(logits / step) * step if step else logits
        return softmax(logits).astype(np.float32)

    return PairAnswers(
        a=answers(),
        b=answers(),
        labels=rng.integers(classes, size=n),
        score=draw(st.sampled_from(tuple(SCORES))),
        combination=draw(st.sampled_from(tuple(COMBINATIONS))),
    )


@st.composite
def correctness(draw: st.DrawFn) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    n = draw(st.integers(1, 50))
    rng = np.random.default_rng(draw(SEEDS))
    share = draw(st.floats(0, 1))
    return rng.random(n) < share, rng.random(n) < draw(st.floats(0, 1))


@st.composite
def points(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw costs and accuracies of few distinct values."""
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(SEEDS))
    cost, accuracy = rng.integers(1, 20, n).astype(np.float64), rng.integers(0, 10, n) / 10.0
    return cost, accuracy


@settings(deadline=None)
@given(pairs(), st.floats(0.0, 1.001))
def test_the_sweep_equals_running_the_cascade_at_any_threshold(
    pair: PairAnswers, threshold: float
) -> None:
    policy = CascadePolicy(score=pair.score, thresholds=(threshold,), combine=pair.combination)
    probabilities, used = run_stages((pair.a, pair.b), policy)
    accuracy = (probabilities.argmax(axis=1) == pair.labels).mean()
    sweep = sweep_thresholds(pair)
    # Thresholds that ask B for the same images are one step of the sweep.
    step = int(np.flatnonzero(sweep.usage == (used > 1).mean())[0])
    assert sweep.accuracy[step] == accuracy


@settings(deadline=None)
@given(pairs())
def test_every_step_of_the_sweep_is_a_threshold_that_does_what_it_says(pair: PairAnswers) -> None:
    sweep = sweep_thresholds(pair)
    assert (np.diff(sweep.thresholds) > 0).all()
    assert (np.diff(sweep.usage) > 0).all()
    for threshold, usage, accuracy in zip(
        sweep.thresholds, sweep.usage, sweep.accuracy, strict=True
    ):
        policy = CascadePolicy(
            score=pair.score, thresholds=(float(threshold),), combine=pair.combination
        )
        probabilities, used = run_stages((pair.a, pair.b), policy)
        assert (used > 1).mean() == usage
        assert (probabilities.argmax(axis=1) == pair.labels).mean() == accuracy


@given(correctness())
def test_complementarity_is_symmetric_bounded_and_the_published_formula(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    a, b = pair
    union, both = (a | b).sum(), (a & b).sum()
    published = (union - both - abs(int(a.sum()) - int(b.sum()))) / len(a)
    assert paper_complementarity(a, b) == pytest.approx(published)
    assert released_code_complementarity(a, b) == pytest.approx((union - both) / len(a))
    for formula in (paper_complementarity, released_code_complementarity, oracle_accuracy):
        assert formula(a, b) == formula(b, a)
        assert 0.0 <= formula(a, b) <= 1.0
    assert paper_complementarity(a, b) <= released_code_complementarity(a, b)
    assert oracle_accuracy(a, b) >= max(a.mean(), b.mean())


@given(points())
def test_the_front_is_complete_and_nothing_on_it_is_beaten(
    cloud: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    cost, accuracy = cloud
    front = pareto_front(cost, accuracy)
    on_front = set(zip(cost[front], accuracy[front], strict=True))
    assert len(on_front) == len(front)
    for c, a in zip(cost, accuracy, strict=True):
        beaten = ((cost <= c) & (accuracy >= a) & ((cost < c) | (accuracy > a))).any()
        assert ((c, a) in on_front) == (not beaten)
