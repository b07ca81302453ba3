"""The study of drives among others: what is driven first, and what is not driven again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bicameral.types import Route
from studies.among_others import BLIND, EXPERT, BalancedPlan

pytestmark = pytest.mark.studies


def test_every_town_comes_before_the_next_route_and_every_route_before_the_next_seed(
    straight_route: Callable[..., Route],
) -> None:
    names = {"A": ("A_0", "A_1"), "B": ("B_0", "B_1")}
    routes = tuple(
        straight_route(name=name, town=town) for town, mine in names.items() for name in mine
    )
    plan = BalancedPlan(routes=routes, agents=(EXPERT, BLIND), repetitions=2)
    driven = [(one.route.name, one.repetition, one.agent.name) for one in plan.episodes()]
    assert driven[:4] == [(name, 0, who) for name in ("A_0", "B_0") for who in ("expert", "blind")]
    assert [seed for _, seed, _ in driven] == [0] * 8 + [1] * 8
    still = replace(plan, known=frozenset(driven[:5]))
    assert still.episodes()[0].route.name == driven[5][0]
    assert len(still.episodes()) == 11
