"""The paper's search for a threshold, as it is described and as it is computed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.probabilities import SCORES
from models.cascade.operating_points import PairAnswers, answer
from models.cascade.paper_search import paper_cascade, paper_choice, paper_pair, search_threshold
from models.cascade.pool import ValidationPool, unit_temperatures, validation_pool
from models.classifiers.logits import PoolLogits

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def raw(pool: PoolLogits) -> ValidationPool:
    return validation_pool(pool, unit_temperatures(pool))


def _pair(raw: ValidationPool, score: str, combination: str) -> PairAnswers:
    a, b = (raw.network(name).of_seed(0) for name in ("tiny", "small"))
    return PairAnswers(a=a, b=b, labels=raw.labels, score=score, combination=combination)


@pytest.mark.parametrize("score", ["margin", "max_probability"])
def test_it_finds_the_first_maximum_on_the_grid(raw: ValidationPool, score: str) -> None:
    pair = _pair(raw, score, "post_check")
    sa, sb = SCORES[score](pair.a), SCORES[score](pair.b)
    best, found = -1.0, 0.0
    for threshold in np.linspace(0, 1, 2000):
        use_b = (sa < threshold) & (sb > sa)
        labels = np.where(use_b, pair.b.argmax(axis=1), pair.a.argmax(axis=1))
        accuracy = (labels == raw.labels).mean()
        if accuracy > best:
            best, found = accuracy, threshold
    assert search_threshold(pair) == found


def test_turned_around_entropy_gives_the_threshold_of_the_reversed_list(
    raw: ValidationPool,
) -> None:
    """The paper asks B where entropy / ln C > lambda and takes the highest of equal lambdas."""
    pair = _pair(raw, "entropy_normalised", "replace")
    entropy = -(pair.a.astype(np.float64) * np.log(pair.a)).sum(axis=1) / math.log(4)
    grid = np.linspace(0, 1, 2000)[::-1]
    accuracies = [
        (
            np.where(entropy > value, pair.b.argmax(axis=1), pair.a.argmax(axis=1)) == raw.labels
        ).mean()
        for value in grid
    ]
    assert search_threshold(pair) == pytest.approx(1.0 - grid[int(np.argmax(accuracies))])


def test_a_second_network_that_never_helps_is_never_asked(raw: ValidationPool) -> None:
    pair = _pair(raw, "margin", "replace")
    wrong = np.roll(np.eye(4, dtype=np.float32), 1, axis=1)[raw.labels]
    useless = PairAnswers(
        a=pair.a, b=wrong, labels=raw.labels, score="margin", combination="replace"
    )
    assert search_threshold(useless) == 0.0


def test_the_pair_of_highest_complementarity_stands_cheaper_first(raw: ValidationPool) -> None:
    assert paper_pair(raw, ("middle", "tiny")) == ("tiny", "middle")
    pair = paper_pair(raw, raw.architectures)
    assert raw.network(pair[0]).macs < raw.network(pair[1]).macs


def test_the_cascade_has_a_threshold_for_every_seed_and_does_not_average(
    raw: ValidationPool,
) -> None:
    cascade = paper_cascade(raw, ("tiny", "middle"))
    assert list(cascade.policies) == [0, 1]
    assert {policy.combine for policy in cascade.policies.values()} <= {"post_check", "replace"}
    alone = raw.network("middle").correct(raw.labels, (0, 1)).mean(axis=1)
    assert (answer(raw, cascade).correct.mean(axis=1) >= alone).all()


def test_the_papers_search_over_all_pairs_finds_the_most_accurate(raw: ValidationPool) -> None:
    names = ("tiny", "small", "middle")
    best = answer(raw, paper_choice(raw, names)).correct.mean()
    for a in names:
        for b in names:
            if a != b:
                pair = paper_choice(raw, (a, b))
                assert answer(raw, pair).correct.mean() <= best + 1e-12
