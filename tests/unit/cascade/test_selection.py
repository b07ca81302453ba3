"""Choosing a policy from the grid of all policies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.cascade.operating_points import System, answer
from models.cascade.policy_grid import (
    PolicyAxes,
    PolicyGrid,
    expected_cost,
    same_pairs,
    sweep_policies,
    usage_grid,
)
from models.cascade.pool import ValidationPool
from models.cascade.selection import (
    MaxCost,
    MinAccuracy,
    NearReference,
    cascade_at,
    cheapest_reaching,
    find,
    flat_results,
    front_systems,
    pareto_front,
    target_accuracy,
    unmet,
)

pytestmark = pytest.mark.unit

SMALL = ("tiny", "small", "middle")


def validated(pool: ValidationPool, system: System | None) -> tuple[float, float]:
    """Return the accuracy and the cost of a cascade, run on the validation images."""
    assert system is not None
    answers = answer(pool, system)
    cost = expected_cost(pool, system.a, system.b, float(answers.usage.mean()), "macs")
    return float(answers.correct.mean()), cost


@pytest.fixture(scope="module")
def grid(validation: ValidationPool) -> PolicyGrid:
    return sweep_policies(validation, PolicyAxes(firsts=SMALL, seconds=SMALL, seeds=(0, 1)))


def test_every_policy_of_the_grid_is_what_running_it_gives(
    validation: ValidationPool, grid: PolicyGrid
) -> None:
    cost, accuracy = flat_results(grid)
    rng = np.random.default_rng(1)
    for index in rng.choice(np.flatnonzero(~np.isnan(accuracy)), 40, replace=False):
        cascade = cascade_at(validation, grid, int(index))
        assert validated(validation, cascade) == pytest.approx((accuracy[index], cost[index]))


def test_no_network_is_paired_with_itself(grid: PolicyGrid) -> None:
    assert np.isnan(grid.accuracy[:, same_pairs(grid.axes)]).all()
    assert not np.isnan(grid.accuracy[:, ~same_pairs(grid.axes)]).any()


def test_b_is_never_asked_more_than_allowed(validation: ValidationPool) -> None:
    axes = PolicyAxes(firsts=SMALL, seconds=SMALL, seeds=(0, 1), max_usage=0.3)
    assert usage_grid(axes).max() == 0.3
    assert sweep_policies(validation, axes).usage.max() <= 0.3


def test_cpu_time_can_be_the_cost(validation: ValidationPool) -> None:
    axes = PolicyAxes(firsts=("tiny",), seconds=("middle",), seeds=(0,), cost="cpu_us")
    full = sweep_policies(validation, axes).cost.ravel()[-1]
    assert full == pytest.approx(100 / 20 + 400 / 20)


def test_the_cheapest_policy_of_the_required_accuracy_is_found(
    validation: ValidationPool, grid: PolicyGrid
) -> None:
    right, spent = validated(validation, find(validation, grid, MinAccuracy(accuracy=0.87)))
    assert right >= 0.87
    cost, accuracy = flat_results(grid)
    assert spent == pytest.approx(cost[accuracy >= 0.87].min())


def test_an_allowance_raises_the_bar(validation: ValidationPool, grid: PolicyGrid) -> None:
    point = find(validation, grid, MinAccuracy(accuracy=0.86), allowance=0.02)
    assert point == find(validation, grid, MinAccuracy(accuracy=0.88))


def test_a_gap_is_measured_from_the_reference_on_the_same_images_and_seeds(
    validation: ValidationPool, grid: PolicyGrid
) -> None:
    near = NearReference(architecture="large", gap=0.1)
    large = validation.network("large").correct(validation.labels, (0, 1)).mean()
    assert target_accuracy(validation, near, (0, 1)) == pytest.approx(large - 0.1)
    assert find(validation, grid, near) == find(
        validation, grid, MinAccuracy(accuracy=float(large) - 0.1)
    )


def test_the_most_accurate_policy_under_a_cost_is_found(
    validation: ValidationPool, grid: PolicyGrid
) -> None:
    right, _ = validated(validation, find(validation, grid, MaxCost(cost=300.0)))
    cost, accuracy = flat_results(grid)
    assert right == pytest.approx(np.nanmax(accuracy[cost <= 300.0]))


def test_under_a_cost_the_cheapest_of_those_that_cannot_be_told_apart_is_taken(
    validation: ValidationPool, grid: PolicyGrid
) -> None:
    limit, allowance = MaxCost(cost=300.0), 0.02
    best, right = (
        validated(validation, find(validation, grid, limit, extra))[0] for extra in (0.0, allowance)
    )
    cost, accuracy = flat_results(grid)
    enough = best - allowance
    assert right >= enough - 1e-9
    index = cheapest_reaching(cost, accuracy, float(enough))
    assert index is not None
    assert right == pytest.approx(accuracy[index])
    assert cost[index] < 300.0


def test_what_cannot_be_met_says_what_can(validation: ValidationPool, grid: PolicyGrid) -> None:
    high, low = MinAccuracy(accuracy=0.999), MaxCost(cost=90.0)
    assert find(validation, grid, high) is None
    assert find(validation, grid, low) is None
    assert "no cascade reaches 99.90 %" in unmet(validation, grid, high)
    # the cheapest: tiny and 1 % of small
    assert "the cheapest costs 102 MACs" in unmet(validation, grid, low)


def test_the_front_ascends_in_cost_and_accuracy(
    validation: ValidationPool, grid: PolicyGrid
) -> None:
    cost, accuracy = flat_results(grid)
    index = pareto_front(cost, accuracy)
    assert (np.diff(cost[index]) > 0).all()
    assert (np.diff(accuracy[index]) > 0).all()
    assert accuracy[index[-1]] == np.nanmax(accuracy)
    assert len(front_systems(validation, grid)) == len(index)


def test_of_equal_points_one_stands_on_the_front() -> None:
    cost = np.array([2.0, 1.0, 1.0, 3.0])
    accuracy = np.array([0.5, 0.5, 0.5, np.nan])
    assert pareto_front(cost, accuracy).tolist() == [1]


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
        replace(shape, architecture="b", seeds=(0,), probabilities=answers(~sure, 1.1 - doubt)),
        replace(shape, architecture="c", seeds=(0,), probabilities=answers(sure, doubt), macs=50),
    )
    made = replace(validation, networks=networks)
    grid = sweep_policies(made, PolicyAxes(firsts=("a",), seconds=("b", "c"), seeds=(0,)))
    point = find(made, grid, MinAccuracy(accuracy=1.0))
    assert point is not None
    assert (point.a, point.b) == ("a", "b")
    assert answer(made, point).usage == 0.25
