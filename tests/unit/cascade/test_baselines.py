"""Single networks at a cost, mixtures of them, and the reference."""

from __future__ import annotations

import numpy as np
import pytest

from models.cascade.baselines import (
    Mixture,
    best_single,
    choose_reference,
    mixture_at_cost,
    single_front,
)
from models.cascade.pool import ValidationPool, unit_temperatures, validation_pool

pytestmark = pytest.mark.unit

NAMES = ("tiny", "small", "middle", "large", "huge")


def test_the_reference_is_the_cheapest_within_the_tolerance_of_the_best(
    validation: ValidationPool,
) -> None:
    sweep = ("middle", "large", "huge")
    assert choose_reference(validation, sweep, (0, 1), 0.01) == "large"
    assert choose_reference(validation, sweep, (0, 1), 0.2) == "middle"
    best = max(
        sweep, key=lambda name: validation.network(name).correct(validation.labels, (0, 1)).mean()
    )
    assert choose_reference(validation, sweep, (0, 1), 0.0) == best


def test_the_best_single_network_stays_under_the_cost(validation: ValidationPool) -> None:
    def best(limit: float) -> str | None:
        return best_single(validation, NAMES, (0, 1), cost="macs", limit=limit)

    assert best(99.0) is None
    assert best(100.0) == "tiny"
    assert best(1999.0) == "middle"


def test_a_dearer_network_that_is_no_better_is_not_on_the_front(make_pool) -> None:
    pool = make_pool([("cheap", 1, 2.5), ("waste", 2, 1.0), ("dear", 3, 3.5)])
    validation = validation_pool(pool, unit_temperatures(pool))
    assert single_front(validation, validation.architectures, (0,), "macs") == ("cheap", "dear")


def test_a_mixture_costs_what_was_asked_for_and_lies_on_the_line(
    validation: ValidationPool,
) -> None:
    mixture = mixture_at_cost(validation, ("tiny", "huge"), (0,), cost="macs", limit=1325.0)
    assert mixture == Mixture(cheaper="tiny", dearer="huge", share=0.25)


def test_a_network_below_the_line_of_its_neighbours_is_skipped(make_pool) -> None:
    pool = make_pool([("low", 10, 1.0), ("poor", 50, 1.1), ("high", 90, 4.0)])
    validation = validation_pool(pool, unit_temperatures(pool))
    names = validation.architectures
    mixture = mixture_at_cost(validation, names, (0,), cost="macs", limit=50.0)
    assert mixture == Mixture(cheaper="low", dearer="high", share=0.5)


def test_beyond_the_dearest_network_a_mixture_is_that_network(
    validation: ValidationPool,
) -> None:
    mixture = mixture_at_cost(validation, ("tiny", "huge"), (0,), cost="macs", limit=1e9)
    assert mixture == Mixture(cheaper="huge", dearer="huge", share=0.0)
    assert mixture_at_cost(validation, ("huge",), (0,), cost="macs", limit=1.0) is None


def test_a_mixture_is_at_least_as_good_as_the_single_network_of_its_cost(
    validation: ValidationPool,
) -> None:
    def accuracy(name: str) -> float:
        return float(validation.network(name).correct(validation.labels, (0, 1)).mean())

    for limit in np.linspace(100, 5000, 30):
        single = best_single(validation, NAMES, (0, 1), cost="macs", limit=float(limit))
        mixture = mixture_at_cost(validation, NAMES, (0, 1), cost="macs", limit=float(limit))
        assert single is not None
        assert mixture is not None
        mixed = (1 - mixture.share) * accuracy(mixture.cheaper) + mixture.share * accuracy(
            mixture.dearer
        )
        assert mixed >= accuracy(single) - 1e-12
