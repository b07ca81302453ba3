"""All systems of a pool, a stable choice among them, and what they are compared with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bicameral.statistics import Resampling
from models.cascade.candidates import (
    Candidates,
    SearchAxes,
    list_candidates,
    pareto_front,
    system_at,
)
from models.cascade.evaluation import evaluate_cascade
from models.cascade.operating_points import System, answer
from models.cascade.plan import EvaluationSettings, _mixture_at
from models.cascade.pool import ValidationPool, unit_temperatures, validation_pool
from models.cascade.search import (
    MaxCost,
    MinAccuracy,
    NearReference,
    choose,
    stability,
    target_accuracy,
    unmet,
)

pytestmark = pytest.mark.unit

NAMES = ("tiny", "small", "middle", "large", "huge")


@pytest.fixture(scope="module")
def found(validation: ValidationPool) -> Candidates:
    return list_candidates(validation, SearchAxes(networks=NAMES, seeds=(0, 1), splits=20))


def test_every_candidate_is_what_running_it_gives(
    validation: ValidationPool, found: Candidates
) -> None:
    rng = np.random.default_rng(1)
    sizes = set()
    singles = [found.single(name) for name in NAMES]
    for index in [*singles, *rng.choice(len(found.cost), 60, replace=False)]:
        system = system_at(validation, found, int(index))
        answers = answer(validation, system)
        macs = [validation.network(name).macs for name in system.networks]
        cost = macs[0] + answers.usage.mean(axis=0) @ np.array(macs[1:])
        assert answers.correct.mean() == pytest.approx(found.accuracy[index], abs=1e-6)
        assert cost == pytest.approx(found.cost[index])
        sizes.add(len(system.networks))
    assert sizes == {1, 2, 3}


def test_networks_are_asked_in_ascending_order_of_cost(found: Candidates) -> None:
    assert len(found.networks) == 5 + 10 + 10
    assert all(list(of) == sorted(of, key=NAMES.index) for of in found.networks)


def test_the_halves_are_halves_and_scatter_by_the_standard_error(
    validation: ValidationPool, found: Candidates
) -> None:
    assert (found.in_half.sum(axis=1) == 200).all()
    rows = np.array([found.single("tiny")])
    right = validation.network("tiny").correct(validation.labels, (0, 1)).mean(axis=0)
    assert found.halves[3, rows[0]] == pytest.approx(right[found.in_half[3]].mean(), abs=1e-6)
    expected = right.std() / np.sqrt(len(right))
    assert found.standard_errors(rows)[0] == pytest.approx(expected, rel=0.5)
    assert found.standard_errors(rows, int(rows[0]))[0] == 0.0


def test_no_more_images_go_on_than_allowed(validation: ValidationPool) -> None:
    axes = SearchAxes(networks=NAMES[:3], seeds=(0,), max_usage=0.2, splits=2)
    found = list_candidates(validation, axes)
    assert found.shares.max() == 0.2
    widest = system_at(validation, found, int(found.shares.sum(axis=1).argmax()))
    assert answer(validation, widest).usage.max() == pytest.approx(0.2, abs=0.01)


def test_cpu_time_can_be_the_cost(validation: ValidationPool) -> None:
    axes = SearchAxes(networks=("tiny", "middle"), seeds=(0,), cost="cpu_us", splits=2)
    found = list_candidates(validation, axes)
    assert found.cost.max() == pytest.approx(100 / 20 + 400 / 20)


def test_what_reaches_an_accuracy_costs_no_more_than_exceeding_it_by_a_standard_error(
    found: Candidates,
) -> None:
    index = choose(found, MinAccuracy(accuracy=0.87))
    assert index is not None
    assert found.accuracy[index] >= 0.87 - 1e-6
    rows = np.arange(len(found.cost))
    safe = found.accuracy >= 0.87 + found.standard_errors(rows)
    assert found.cost[index] <= found.cost[safe].min()


def test_networks_are_compared_by_their_operating_points_near_the_limit_together(
    found: Candidates,
) -> None:
    index = choose(found, MaxCost(cost=900.0))
    assert index is not None
    size = found.stages()[index]
    means = {}
    for member in set(found.member[(found.stages() == size) & (found.cost <= 900.0)]):
        rows = np.flatnonzero((found.member == member) & (found.cost <= 900.0))
        near = (found.cost[rows] >= 675.0) | (found.cost[rows] == found.cost[rows].max())
        means[member] = found.accuracy[rows[near]].mean()
    chosen = found.member[index]
    assert means[chosen] == pytest.approx(max(means.values()))
    rows = np.flatnonzero((found.member == chosen) & (found.cost <= 900.0))
    assert found.accuracy[index] == found.accuracy[rows].max()


def test_the_third_network_sees_a_quarter_of_the_share_of_the_second(found: Candidates) -> None:
    three = found.shares[found.stages() == 3]
    np.testing.assert_allclose(three[:, 1], three[:, 0] / 4.0)
    assert (found.shares[found.stages() == 1] == 0.0).all()


def test_one_lucky_operating_point_does_not_choose_a_pair(found: Candidates) -> None:
    """A single threshold of a poor pair is made the best of all; its neighbours stay poor."""
    limit = MaxCost(cost=900.0)
    index = choose(found, limit)
    assert index is not None
    other = np.flatnonzero(
        (found.stages() == found.stages()[index])
        & (found.member != found.member[index])
        & (found.cost <= 900.0)
        & (found.accuracy < found.accuracy[index] - 0.02)
    )[0]
    accuracy, halves = found.accuracy.copy(), found.halves.copy()
    accuracy[other] = halves[:, other] = found.accuracy.max() + 0.01
    again = choose(replace(found, accuracy=accuracy, halves=halves), limit)
    assert again is not None
    assert found.member[again] == found.member[index]


def test_one_network_is_enough_where_others_add_nothing(make_pool) -> None:
    pool = make_pool([("poor", 100, 0.3), ("good", 110, 4.0), ("wide_large", 5000, 0.5)])
    settings = EvaluationSettings(
        references=("wide_large",), splits=5, resampling=Resampling(replicates=50)
    )
    evaluation = evaluate_cascade(pool, settings)
    assert evaluation.shipped_system.networks == ("good",)
    assert evaluation.undertrained == "good"
    assert "The reference wide_large is undertrained" in evaluation.notes[0]
    assert "not shown to be better than good, which costs less" in evaluation.notes[0]


def test_a_reference_that_guesses_is_undertrained_though_others_guess_worse(make_pool) -> None:
    pool = make_pool([("poor", 100, 1.0), ("worse", 110, 1.0), ("wide_large", 5000, 1.0)])
    counts = np.bincount(pool.validation_labels)
    guesses = {"poor": counts.argmin(), "worse": counts.argmin(), "wide_large": counts.argmax()}
    guessing = []
    for one in pool.networks:
        logits = np.random.default_rng(0).normal(0.0, 0.1, one.validation.shape)
        logits[:, guesses[one.architecture]] += 1.0
        guessing.append(replace(one, validation=logits.astype(np.float32)))
    settings = EvaluationSettings(
        references=("wide_large",), splits=5, resampling=Resampling(replicates=50)
    )
    evaluation = evaluate_cascade(replace(pool, networks=tuple(guessing)), settings)
    assert evaluation.undertrained in ("poor", "worse")
    assert "or than guessing" in evaluation.notes[0]


def test_a_gap_is_measured_from_the_reference(
    validation: ValidationPool, found: Candidates
) -> None:
    large = validation.network("large").correct(validation.labels, (0, 1)).mean()
    near = NearReference(architecture="large", gap=0.1)
    assert target_accuracy(found, near) == pytest.approx(large - 0.1, abs=1e-6)
    index = choose(found, near)
    assert index is not None
    assert found.accuracy[index] >= large - 0.1 - 1e-6


def test_what_cannot_be_met_says_what_can(found: Candidates) -> None:
    high, low = MinAccuracy(accuracy=0.999), MaxCost(cost=90.0)
    assert choose(found, high) is None
    assert choose(found, low) is None
    assert "nothing reaches 99.90 %" in unmet(found, high)
    assert "the cheapest costs 100 MACs" in unmet(found, low)
    assert (stability(found, high).splits, stability(found, high).splits_tried) == (0, 20)


def test_a_choice_without_a_rival_is_the_same_on_all_halves(found: Candidates) -> None:
    seen = stability(found, MaxCost(cost=100.0))
    assert (seen.splits, seen.same_networks, seen.halves_agree) == (20, 1.0, 1.0)
    assert seen.regret == pytest.approx(0.0, abs=1e-6)
    assert seen.half_gap == pytest.approx(0.0, abs=1e-6)
    assert (seen.n_images, seen.n_seeds) == (400, 2)


def test_choosing_the_luckiest_of_many_flatters_it(found: Candidates) -> None:
    seen = stability(found, MaxCost(cost=1e9))
    assert seen.expected == pytest.approx(seen.half_gap / np.sqrt(2))
    assert seen.half_gap > -2 * seen.standard_error
    assert 0.0 <= seen.halves_agree <= seen.same_networks <= 1.0


def test_the_front_ascends_in_cost_and_accuracy(found: Candidates) -> None:
    index = pareto_front(found.cost, found.accuracy)
    assert (np.diff(found.cost[index]) > 0).all()
    assert (np.diff(found.accuracy[index]) > 0).all()
    assert found.accuracy[index[-1]] == found.accuracy.max()


def _singles(pool: ValidationPool, *names: str) -> Candidates:
    return list_candidates(pool, SearchAxes(networks=names, seeds=(0,), stages=1, splits=2))


def test_a_mixture_costs_what_was_asked_for_and_lies_on_the_line(
    validation: ValidationPool,
) -> None:
    singles = _singles(validation, "tiny", "huge")
    assert _mixture_at(singles, 1325.0) == System(networks=("tiny", "huge"), share=0.25)
    assert _mixture_at(singles, 1.0) is None
    assert _mixture_at(singles, 1e9) == System(networks=("huge", "huge"), share=0.0)


def test_a_network_below_the_line_of_its_neighbours_is_skipped(make_pool) -> None:
    pool = make_pool([("low", 10, 1.0), ("poor", 50, 1.1), ("high", 90, 4.0)])
    made = validation_pool(pool, unit_temperatures(pool))
    mixture = _mixture_at(_singles(made, *made.architectures), 50.0)
    assert mixture == System(networks=("low", "high"), share=0.5)


def test_a_network_that_helps_where_another_errs_is_preferred_to_a_better_one(
    validation: ValidationPool,
) -> None:
    """B is right exactly where A is unsure; C is better than B on its own but errs like A."""
    labels = validation.labels
    n = len(labels)
    sure = np.arange(n) % 4 != 0
    rows = np.arange(n)

    def answers(right: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        probabilities = np.empty((n, 4), np.float32)
        probabilities[:] = ((1.0 - confidence) / 3.0)[:, None]
        probabilities[rows, np.where(right, labels, (labels + 1) % 4)] = confidence
        return probabilities[None]

    shape = validation.network("tiny")
    doubt = np.where(sure, 0.9, 0.4)
    networks = (
        replace(shape, architecture="a", seeds=(0,), probabilities=answers(sure, doubt)),
        replace(
            shape, architecture="b", seeds=(0,), probabilities=answers(~sure, 1.1 - doubt), macs=150
        ),
        replace(shape, architecture="c", seeds=(0,), probabilities=answers(sure, doubt), macs=120),
    )
    made = replace(validation, networks=networks)
    found = list_candidates(made, SearchAxes(networks=("a", "b", "c"), seeds=(0,), splits=4))
    index = choose(found, MinAccuracy(accuracy=1.0))
    assert index is not None
    system = system_at(made, found, index)
    assert system.networks == ("a", "b")
    assert answer(made, system).usage[0] == pytest.approx([0.25])
