"""The sweep over thresholds and the runtime are the same rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from bicameral.protocols import ModelInfo
from bicameral.types import Prediction
from edge.cascade import CascadeClassifier, CascadePolicy
from edge.combination import COMBINATIONS
from edge.probabilities import SCORES
from edge.sidecar import ImageSpec
from models.cascade.operating_points import (
    ALWAYS,
    NEVER,
    PairAnswers,
    System,
    answer,
    order_by_score,
    policy_for_shares,
    run_stages,
    sweep_thresholds,
    threshold_for_usage,
)
from models.cascade.pool import ValidationPool

pytestmark = pytest.mark.unit


class RecordedClassifier:
    """A classifier session that looks its answers up: an image holds the number of its row."""

    def __init__(self, name: str, probabilities: NDArray[np.float32]) -> None:
        self.info = ModelInfo(
            name=name,
            version="1",
            labels=("a", "b", "c", "d"),
            image=ImageSpec(height=1, width=2, color="GRAY", scale=1.0, mean=(0.0,), std=(1.0,)),
            fingerprint=name,
            macs=None,
        )
        self._probabilities = probabilities

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        return np.stack(images)

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        rows = images[:, 0, 0, 0].astype(np.int64) * 256 + images[:, 0, 1, 0]
        probabilities = self._probabilities[rows]
        return Prediction(probabilities=probabilities, confidence=probabilities.max(axis=1))

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        return

    def close(self) -> None:
        return


def _numbered_images(n: int) -> NDArray[np.uint8]:
    numbers = np.arange(n)
    return np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8).reshape(n, 1, 2, 1)


def test_thresholds_lie_half_way_between_neighbouring_distinct_scores() -> None:
    order = order_by_score(np.array([0.5, 0.1, 0.5, 0.9]))
    assert order.thresholds.tolist() == pytest.approx([NEVER, 0.3, 0.7, ALWAYS])
    assert order.below.tolist() == [0, 1, 3, 4]


def test_neighbouring_floats_are_still_told_apart() -> None:
    low = 0.3
    high = np.nextafter(low, 1.0)
    order = order_by_score(np.array([high, low]))
    assert low < order.thresholds[1] <= high


def test_the_extreme_thresholds_ask_nobody_and_everybody() -> None:
    scores = np.array([0.0, 0.4, 1.0])
    assert not (scores < NEVER).any()
    assert (scores < ALWAYS).all()


def test_a_usage_is_met_as_far_as_ties_allow_but_never_with_nobody() -> None:
    order = order_by_score(np.array([0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]))
    index = threshold_for_usage(order, np.array([0.1, 0.3, 0.5, 1.0]))
    assert order.below[index].tolist() == [3, 3, 5, 10]


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("score", SCORES)
def test_a_sweep_says_what_the_runtime_then_does(
    validation: ValidationPool, score: str, combination: str
) -> None:
    a, b = (validation.network(name).of_seed(0) for name in ("tiny", "middle"))
    labels = validation.labels
    pair = PairAnswers(a=a, b=b, labels=labels, score=score, combination=combination)
    sweep = sweep_thresholds(pair)
    for step in range(0, len(sweep.thresholds), 90):
        policy = CascadePolicy(
            score=score, thresholds=(float(sweep.thresholds[step]),), combine=combination
        )
        members = [RecordedClassifier("a", a), RecordedClassifier("b", b)]
        runtime = CascadeClassifier(members, policy)
        found = runtime.predict(_numbered_images(len(labels)))
        offline, used = run_stages((a, b), policy)
        asked = used > 1
        assert (found.probabilities == offline).all()
        assert [trace.stage == "b" for trace in found.trace or ()] == asked.tolist()
        assert asked.mean() == sweep.usage[step]
        assert (offline.argmax(axis=1) == labels).mean() == sweep.accuracy[step]


def test_the_shares_of_a_policy_are_those_of_the_images_that_go_on(
    validation: ValidationPool,
) -> None:
    answers = [validation.network(name).of_seed(1) for name in ("tiny", "small", "middle")]
    policy = policy_for_shares(answers, "margin", "average", (0.5, 0.1))
    _, used = run_stages(answers, policy)
    assert (used > 1).mean() == pytest.approx(0.5)
    assert 0.0 < (used > 2).mean() <= 0.1
    assert (SCORES["margin"](answers[0]) < policy.thresholds[0]).mean() == pytest.approx(0.5)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_three_stages_offline_are_those_of_the_runtime(
    validation: ValidationPool, combination: str
) -> None:
    answers = [validation.network(name).of_seed(0) for name in ("tiny", "small", "middle")]
    policy = policy_for_shares(answers, "margin", combination, (0.4, 0.3))
    members = [RecordedClassifier(name, of) for name, of in zip("abc", answers, strict=True)]
    found = CascadeClassifier(members, policy).predict(_numbered_images(len(validation.labels)))
    offline, used = run_stages(answers, policy)
    assert (found.probabilities == offline).all()
    assert [" abc".index(trace.stage) for trace in found.trace or ()] == used.tolist()
    assert set(used) == {1, 2, 3}


def test_a_threshold_that_never_asks_leaves_the_first_network_alone(
    validation: ValidationPool,
) -> None:
    never, always = (
        CascadePolicy(score="margin", thresholds=(threshold,), combine="replace")
        for threshold in (NEVER, ALWAYS)
    )
    answers = answer(
        validation, System(networks=("tiny", "middle"), policies={0: never, 1: always})
    )
    assert answers.usage[:, 0].tolist() == [0.0, 1.0]
    assert (answers.of_seed(0) == validation.network("tiny").of_seed(0)).all()
    assert (answers.of_seed(1) == validation.network("middle").of_seed(1)).all()


def test_a_mixture_is_as_good_as_the_line_between_its_networks(validation: ValidationPool) -> None:
    mixed, a, b = (
        answer(validation, system)
        for system in (
            System(networks=("tiny", "huge"), share=0.25),
            System(networks=("tiny",)),
            System(networks=("huge",)),
        )
    )
    assert mixed.usage[:, 0].tolist() == [0.25, 0.25]
    assert mixed.correct == pytest.approx(0.75 * a.correct + 0.25 * b.correct)
