"""A vehicle's place on its route: arc length, side and heading, on one leg at a time."""

import math

import numpy as np
import pytest

from bicameral.progress import RouteProgress
from bicameral.types import Route


def route_through(xy_m):
    xy = np.asarray(xy_m, float)
    steps = np.diff(xy, axis=0)
    s = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    yaw = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    n = len(xy)
    return Route(
        name="r",
        town="t",
        kind="mixed",
        xyz_m=np.column_stack([xy, np.zeros(n)]),
        yaw_rad=np.append(yaw, yaw[-1]),
        s_m=s,
        command=np.full(n, 4, np.int8),
        in_junction=np.zeros(n, bool),
        lane_width_m=np.full(n, 3.5),
        speed_limit_mps=np.full(n, 10.0),
        target_speed_mps=np.full(n, 10.0),
    )


STRAIGHT = route_through([(x, 0.0) for x in range(101)])


def test_a_vehicle_on_the_route_has_no_error():
    position = RouteProgress(STRAIGHT).update(12.25, 0.0, 0.0)
    assert position == pytest.approx((12.25, 0.0, 0.0))


def test_right_of_the_route_and_pointing_right_are_positive():
    position = RouteProgress(STRAIGHT).update(5.0, 1.5, 0.2)
    assert position.cross_track_m == pytest.approx(1.5)
    assert position.heading_error_rad == pytest.approx(0.2)


def test_the_heading_error_wraps():
    position = RouteProgress(STRAIGHT).update(5.0, 0.0, 2 * math.pi - 0.1)
    assert position.heading_error_rad == pytest.approx(-0.1)


def test_overrunning_the_goal_is_no_error_to_the_side():
    tracker = RouteProgress(STRAIGHT, start_s_m=99.0)
    position = tracker.update(104.0, 0.3, 0.0)
    assert position == pytest.approx((100.0, 0.3, 0.0))


def test_where_the_route_crosses_itself_the_tracker_stays_on_its_leg():
    loop = [(x, 0.0) for x in range(41)]
    loop += [(40.0, float(y)) for y in range(1, 41)]
    loop += [(40.0 - x, 40.0) for x in range(1, 21)]
    loop += [(20.0, 40.0 - y) for y in range(1, 61)]
    route = route_through(loop)
    first, second = RouteProgress(route), RouteProgress(route, start_s_m=130.0)
    assert first.update(20.0, 0.0, 0.0).s_m == pytest.approx(20.0)
    assert second.update(20.0, 0.0, -math.pi / 2).s_m == pytest.approx(140.0)


def test_progress_is_exact_along_the_whole_of_a_curve():
    angle = np.linspace(0.0, math.pi, 200)
    route = route_through(np.column_stack([50 * np.sin(angle), 50 * (1 - np.cos(angle))]))
    tracker = RouteProgress(route)
    for a in np.linspace(0.01, 3.1, 300):
        position = tracker.update(48 * math.sin(a), 50 - 48 * math.cos(a), a)
        assert position.s_m == pytest.approx(50 * a, abs=0.05)
        assert position.cross_track_m == pytest.approx(2.0, abs=0.01)
        assert position.heading_error_rad == pytest.approx(0.0, abs=0.02)
