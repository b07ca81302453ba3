"""The error of the map's path is learned from the path that is seen, and forgotten in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agent.path.map_error import MapErrorFilter
from agent.path.navigation import NavigationSettings, Navigator
from bicameral.types import Pose, Route
from tests.path_network import DISTANCES_M

pytestmark = pytest.mark.unit

AHEAD_M = np.array(DISTANCES_M)
STRAIGHT = np.zeros(5)
SURE, UNSURE = np.full(5, 0.01), np.full(5, 9.0)
#: A pose that is 2 m off and hardly drifts.
SETTINGS = NavigationSettings(sigma_m=0.0, heading_deg=0.0, bias_m=2.0, believed_sigma_m=1.0)
HERE = Pose(x_m=30.0, y_m=0.0)


def navigator_on(route: Route, seed: int = 1) -> Navigator:
    navigator = Navigator(SETTINGS)
    navigator.begin(route, seed)
    navigator.update(HERE)
    return navigator


def look(navigator: Navigator, ticks: int, variances_m2: np.ndarray) -> None:
    for _ in range(ticks):
        navigator.learn(AHEAD_M, STRAIGHT, variances_m2)
        navigator.update(HERE)


def test_a_path_that_is_surely_seen_corrects_the_map(straight_route: Callable[..., Route]) -> None:
    navigator = navigator_on(straight_route())
    before = navigator.path(AHEAD_M)
    assert abs(before.offsets_m).min() > 1.0
    look(navigator, 100, SURE)
    after = navigator.path(AHEAD_M)
    assert abs(after.offsets_m).max() < 0.3 * abs(before.offsets_m).min()
    assert after.std_m.max() < 0.5 * before.std_m.min()


def test_a_path_that_is_hardly_seen_corrects_little(straight_route: Callable[..., Route]) -> None:
    navigator = navigator_on(straight_route())
    before = navigator.path(AHEAD_M).offsets_m
    look(navigator, 20, UNSURE)
    assert navigator.path(AHEAD_M).offsets_m == pytest.approx(before, rel=0.1)


def test_what_was_learned_is_forgotten_within_the_correlation_time(
    straight_route: Callable[..., Route],
) -> None:
    navigator = navigator_on(straight_route())
    before = navigator.path(AHEAD_M)
    look(navigator, 100, SURE)
    for _ in range(1000):
        navigator.update(HERE)
    after = navigator.path(AHEAD_M)
    assert after.offsets_m == pytest.approx(before.offsets_m, abs=0.05)
    assert after.std_m == pytest.approx(before.std_m, abs=0.02)


def test_in_a_junction_nothing_is_learned(straight_route: Callable[..., Route]) -> None:
    route = straight_route()
    crossing = replace(route, in_junction=np.ones_like(route.in_junction))
    navigator = navigator_on(crossing)
    before = navigator.path(AHEAD_M).offsets_m
    look(navigator, 20, SURE)
    assert np.array_equal(navigator.path(AHEAD_M).offsets_m, before)


def test_a_new_episode_begins_without_what_was_learned(
    straight_route: Callable[..., Route],
) -> None:
    navigator = navigator_on(straight_route())
    before = navigator.path(AHEAD_M).offsets_m
    look(navigator, 20, SURE)
    navigator.begin(straight_route(), 1)
    navigator.update(HERE)
    assert np.array_equal(navigator.path(AHEAD_M).offsets_m, before)


def test_an_error_along_the_road_shows_where_the_road_turns() -> None:
    # Straight on for two distances, then to the right: y grows with x there.
    slopes = np.array([[0.0, -1.0, -4.0], [0.0, -1.0, -6.0], [0.9, -1.0, -10.0]])
    known = MapErrorFilter(np.array([1.0, 1.0, 0.02]), 10.0)
    true = np.array([0.8, -0.5, 0.0])
    for _ in range(300):
        known.learn(slopes, slopes @ (true - known.mean), np.full(3, 0.01))
        known.drift()
    assert known.mean[:2] == pytest.approx(true[:2], abs=0.15)
