"""Split-half selection: how much a validation accuracy flatters what was chosen by it."""

from __future__ import annotations

import numpy as np
import pytest

from models.cascade.operating_points import answer
from models.cascade.optimism import SplitHalves, selection_optimism, split_halves
from models.cascade.policy_grid import PolicyAxes, PolicyGrid, sweep_policies
from models.cascade.pool import (
    ValidationPool,
    fit_temperatures,
    validation_pool,
)
from models.cascade.selection import (
    MaxCost,
    MinAccuracy,
    NearReference,
    cascade_at,
    flat_results,
)

pytestmark = pytest.mark.unit

AXES = PolicyAxes(
    firsts=("tiny", "small"), seconds=("small", "middle"), seeds=(0, 1), max_usage=0.2
)


@pytest.fixture(scope="module")
def grid(validation: ValidationPool) -> PolicyGrid:
    return sweep_policies(validation, AXES)


@pytest.fixture(scope="module")
def halves(validation: ValidationPool) -> SplitHalves:
    return split_halves(validation, AXES, splits=20, seed=3)


def test_the_halves_are_halves_and_add_up_to_the_whole(
    grid: PolicyGrid, halves: SplitHalves
) -> None:
    assert (halves.in_half.sum(axis=1) == 200).all()
    _, accuracy = flat_results(grid)
    both = (halves.first + halves.second) / 2
    assert np.allclose(both, accuracy, atol=1e-6, equal_nan=True)


def test_the_accuracy_on_a_half_is_what_running_the_policy_on_it_gives(
    validation: ValidationPool, grid: PolicyGrid, halves: SplitHalves
) -> None:
    rng = np.random.default_rng(0)
    policies = np.flatnonzero(~np.isnan(halves.first[0]))
    for index in rng.choice(policies, 20, replace=False):
        cascade = cascade_at(validation, grid, int(index))
        right = answer(validation, cascade).correct.mean(axis=0)
        assert right[halves.in_half[7]].mean() == pytest.approx(halves.first[7, index], abs=1e-6)
        assert right[~halves.in_half[7]].mean() == pytest.approx(halves.second[7, index], abs=1e-6)


def test_the_best_of_many_equal_policies_is_flattered(make_pool) -> None:
    equals = make_pool([(f"net{k}", 100 + k, 2.0) for k in range(8)], seeds=(0,))
    validation = validation_pool(equals, fit_temperatures(equals))
    names = validation.architectures
    axes = PolicyAxes(firsts=names, seconds=names, seeds=(0,), max_usage=0.3)
    grid = sweep_policies(validation, axes)
    halves = split_halves(validation, axes, splits=20, seed=0)
    optimism = selection_optimism(validation, grid, halves, MaxCost(cost=1000.0))
    assert optimism.half_gap > 3 * optimism.standard_error > 0
    assert optimism.expected == pytest.approx(optimism.half_gap / np.sqrt(2))
    assert optimism.same_pair < 1


def test_a_single_policy_leaves_nothing_to_be_flattered_by(validation: ValidationPool) -> None:
    axes = PolicyAxes(firsts=("tiny",), seconds=("middle",), seeds=(0, 1), max_usage=0.01)
    grid = sweep_policies(validation, axes)
    halves = split_halves(validation, axes, splits=200, seed=0)
    optimism = selection_optimism(validation, grid, halves, MaxCost(cost=1000.0))
    # nine policies of 1 % usage are all but the same
    assert abs(optimism.half_gap) < 4 * optimism.standard_error
    assert optimism.same_pair == 1


def test_splits_in_which_nothing_qualifies_are_not_counted(
    validation: ValidationPool, grid: PolicyGrid, halves: SplitHalves
) -> None:
    optimism = selection_optimism(validation, grid, halves, MinAccuracy(accuracy=0.999))
    assert (optimism.splits, optimism.splits_tried) == (0, 20)
    assert optimism.half_gap == optimism.expected == 0


def test_a_requirement_relative_to_a_network_is_judged_relative_to_it(
    validation: ValidationPool, grid: PolicyGrid, halves: SplitHalves
) -> None:
    """A policy of A alone is as far from A on every half, so the halves cancel out."""
    near = NearReference(architecture="tiny", gap=0.5)
    optimism = selection_optimism(validation, grid, halves, near)
    absolute = selection_optimism(validation, grid, halves, MinAccuracy(accuracy=0.3))
    # the cheapest policy of all: tiny, with 1 % of small
    assert optimism.standard_error < absolute.standard_error / 3
    assert (optimism.n_images, optimism.n_seeds) == (400, 2)
