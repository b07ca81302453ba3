"""What the navigation system tells: the route, from a pose that is wrong as a receiver's is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agent.path.navigation import NavigationSettings, Navigator
from bicameral.errors import ConfigError
from bicameral.simulation import TICK_S
from bicameral.types import Pose, Route
from tests.path_network import DISTANCES_M

pytestmark = pytest.mark.unit

AHEAD_M = np.array(DISTANCES_M)
EXACT = {"sigma_m": 0.0, "heading_deg": 0.0}


def offsets_of(route: Route, poses: list[Pose], seed: int = 0, **settings: float) -> np.ndarray:
    navigator = Navigator(NavigationSettings(**settings))
    navigator.begin(route, seed)
    rows = []
    for pose in poses:
        navigator.update(pose)
        rows.append(navigator.path(AHEAD_M).offsets_m)
    return np.array(rows)


def test_without_noise_the_map_shows_the_path(straight_route: Callable[..., Route]) -> None:
    route = straight_route()
    seen = offsets_of(route, [Pose(x_m=10.0, y_m=0.5, yaw_rad=0.1)], **EXACT)
    along = np.hypot(AHEAD_M, 0.5)
    expected = along * np.sin(np.arctan2(-0.5, AHEAD_M) - 0.1)
    assert seen[0] == pytest.approx(expected)
    # Near its end the route goes straight on.
    assert offsets_of(route, [Pose(x_m=95.0, y_m=0.0)], **EXACT)[0] == pytest.approx([0.0] * 5)


def test_the_noise_drifts_with_the_deviation_and_the_correlation_that_were_set(
    straight_route: Callable[..., Route],
) -> None:
    route = straight_route()
    still = [Pose(x_m=30.0, y_m=0.0)] * 10_000
    # 500 s of a process that forgets in half a second: the deviation is known to about 3 %.
    noise = offsets_of(route, still, sigma_m=2.0, heading_deg=0.0, correlation_s=0.5)[:, 0]
    assert noise.std() == pytest.approx(2.0, rel=0.1)
    lag = round(0.5 / TICK_S)
    correlation = np.corrcoef(noise[:-lag], noise[lag:])[0, 1]
    assert correlation == pytest.approx(np.exp(-1.0), abs=0.1)
    turned = offsets_of(route, still, sigma_m=0.0, heading_deg=1.0, correlation_s=0.5)
    assert turned[:, 4].std() == pytest.approx(25.0 * np.radians(1.0), rel=0.1)


def test_the_noise_depends_on_seed_and_tick_alone(straight_route: Callable[..., Route]) -> None:
    route = straight_route()
    here = [Pose(x_m=10.0, y_m=0.0)] * 5
    elsewhere = [Pose(x_m=10.0 + tick, y_m=0.3) for tick in range(5)]
    first = offsets_of(route, here, seed=3, heading_deg=0.0)
    assert np.array_equal(first, offsets_of(route, here, seed=3, heading_deg=0.0))
    assert first - offsets_of(route, elsewhere, seed=3, heading_deg=0.0) == pytest.approx(
        np.full((5, 5), 0.3)
    )
    assert not np.allclose(first, offsets_of(route, here, seed=4, heading_deg=0.0))


def test_a_bias_stays_and_leaves_the_noise_as_it_is(straight_route: Callable[..., Route]) -> None:
    route = straight_route()
    here = [Pose(x_m=10.0, y_m=0.0)] * 5
    shifts = [
        offsets_of(route, here, seed, heading_deg=0.0, bias_m=2.0)
        - offsets_of(route, here, seed, heading_deg=0.0)
        for seed in range(20)
    ]
    assert all(np.ptp(shift) < 1e-9 for shift in shifts)
    sizes = np.abs([shift[0, 0] for shift in shifts])
    assert sizes.max() <= 2.0
    assert sizes.max() > 1.5
    assert np.ptp([shift[0, 0] for shift in shifts]) > 2.0


def test_a_map_may_have_the_lane_too_far_right(straight_route: Callable[..., Route]) -> None:
    yaw_rad = np.linspace(0.0, 1.0, 101)
    route = straight_route(yaw_rad=yaw_rad * 0.0)
    here = [Pose(x_m=10.0, y_m=0.0)]
    assert offsets_of(route, here, **EXACT, map_offset_m=0.75)[0] == pytest.approx([0.75] * 5)


def test_it_says_how_sure_it_is_by_what_it_believes(straight_route: Callable[..., Route]) -> None:
    for settings, sigma_m in (({}, 1.0), ({"sigma_m": 2.0, "believed_sigma_m": 0.5}, 0.5)):
        navigator = Navigator(NavigationSettings(**settings))
        navigator.begin(straight_route(), 0)
        navigator.update(Pose(x_m=10.0, y_m=0.0))
        told = navigator.path(AHEAD_M)
        expected = np.sqrt(sigma_m**2 + (AHEAD_M * np.radians(1.0)) ** 2)
        assert told.std_m == pytest.approx(expected)


@pytest.mark.parametrize(
    "settings",
    [{"sigma_m": -1.0}, {"heading_deg": float("nan")}, {"correlation_s": 0.0}, {"bias_m": -0.1}],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="navigation settings"):
        NavigationSettings(**settings)
