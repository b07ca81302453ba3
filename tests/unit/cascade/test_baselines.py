"""Single networks at a cost, mixtures of them, and the reference."""

from __future__ import annotations

import numpy as np
import pytest

from models.cascade.baselines import Singles
from models.cascade.operating_points import System
from models.cascade.pool import ValidationPool, unit_temperatures, validation_pool

pytestmark = pytest.mark.unit

NAMES = ("tiny", "small", "middle", "large", "huge")


def test_the_reference_is_the_cheapest_within_the_tolerance_of_the_best(
    validation: ValidationPool,
) -> None:
    sweep = Singles.of(validation, ("middle", "large", "huge"), (0, 1), "macs")
    assert sweep.cheapest_within(0.01) == "large"
    assert sweep.cheapest_within(0.2) == "middle"
    best = max(
        sweep.names,
        key=lambda name: validation.network(name).correct(validation.labels, (0, 1)).mean(),
    )
    assert sweep.cheapest_within(0.0) == best


def test_the_best_single_network_stays_under_the_cost(validation: ValidationPool) -> None:
    singles = Singles.of(validation, NAMES, (0, 1), "macs")
    assert singles.best_at(99.0) is None
    assert singles.best_at(100.0) == System(a="tiny")
    assert singles.best_at(1999.0) == System(a="middle")


def test_a_dearer_network_that_is_no_better_is_not_on_the_front(make_pool) -> None:
    pool = make_pool([("cheap", 1, 2.5), ("waste", 2, 1.0), ("dear", 3, 3.5)])
    validation = validation_pool(pool, unit_temperatures(pool))
    singles = Singles.of(validation, validation.architectures, (0,), "macs")
    assert singles.front() == ("cheap", "dear")


def test_a_mixture_costs_what_was_asked_for_and_lies_on_the_line(
    validation: ValidationPool,
) -> None:
    mixture = Singles.of(validation, ("tiny", "huge"), (0,), "macs").mixture_at(1325.0)
    assert mixture == System(a="tiny", b="huge", share=0.25)


def test_a_network_below_the_line_of_its_neighbours_is_skipped(make_pool) -> None:
    pool = make_pool([("low", 10, 1.0), ("poor", 50, 1.1), ("high", 90, 4.0)])
    validation = validation_pool(pool, unit_temperatures(pool))
    singles = Singles.of(validation, validation.architectures, (0,), "macs")
    assert singles.mixture_at(50.0) == System(a="low", b="high", share=0.5)


def test_beyond_the_dearest_network_a_mixture_is_that_network(
    validation: ValidationPool,
) -> None:
    two, one = (Singles.of(validation, n, (0,), "macs") for n in (("tiny", "huge"), ("huge",)))
    assert two.mixture_at(1e9) == System(a="huge", b="huge", share=0.0)
    assert one.mixture_at(1.0) is None


def test_a_mixture_is_at_least_as_good_as_the_single_network_of_its_cost(
    validation: ValidationPool,
) -> None:
    def accuracy(name: str | None) -> float:
        return float(validation.network(str(name)).correct(validation.labels, (0, 1)).mean())

    singles = Singles.of(validation, NAMES, (0, 1), "macs")
    for limit in np.linspace(100, 5000, 30).tolist():
        single, mixture = singles.best_at(limit), singles.mixture_at(limit)
        assert single is not None
        assert mixture is not None
        share = mixture.share or 0.0
        mixed = (1 - share) * accuracy(mixture.a) + share * accuracy(mixture.b)
        assert mixed >= accuracy(single.a) - 1e-12
