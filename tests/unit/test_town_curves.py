"""Reference lines: continuous, of the wanted radius, and reversible."""

from __future__ import annotations

import math

import pytest

from bicameral.units import wrap_rad
from sim.pocket.town.curves import Path, Point, Pose, connect, round_polyline


def assert_close(pose: Pose, expected: Pose) -> None:
    assert math.dist(pose[:2], expected[:2]) < 1e-6
    assert abs(wrap_rad(pose.heading_rad - expected.heading_rad)) < 1e-6


@pytest.fixture
def winding() -> Path:
    points = [Point(0, 0), Point(100, 0), Point(140, 60), Point(60, 120), Point(-50, 110)]
    return round_polyline(points, [30.0, 12.0, 50.0])


def test_a_rounded_polyline_ends_at_its_last_point(winding):
    bearing = math.atan2(-10, -110)
    assert_close(winding.end(), Pose(-50, 110, bearing))


def test_a_rounded_corner_has_the_wanted_radius(winding):
    assert winding.smallest_radius_m == pytest.approx(12.0)


def test_a_radius_that_does_not_fit_is_made_smaller():
    path = round_polyline([Point(0, 0), Point(20, 0), Point(20, 20)], [200.0])
    assert path.smallest_radius_m < 20.0
    assert_close(path.end(), Pose(20, 20, math.pi / 2))


def test_the_reserve_at_the_ends_stays_straight():
    points = [Point(0, 0), Point(50, 0), Point(50, 50)]
    path = round_polyline(points, [200.0], start_reserve_m=30.0, end_reserve_m=10.0)
    assert path.pieces[0][:2] == (0.0, 0.0)
    assert path.pieces[0].length_m >= 30.0 - 1e-9


def test_the_parts_of_a_cut_path_join(winding):
    first, second = winding.cut(0.0, 77.0), winding.cut(77.0, winding.length_m)
    assert first.length_m + second.length_m == pytest.approx(winding.length_m)
    assert_close(first.end(), second.start)
    assert_close(second.end(), winding.end())


def test_a_reversed_path_leads_back(winding):
    back = winding.reversed()
    assert_close(back.end(), winding.start.turned())
    assert_close(back.pose_at(40.0), winding.pose_at(winding.length_m - 40.0).turned())


@pytest.mark.parametrize(
    "goal",
    [
        Pose(20, -20, -math.pi / 2),  # right
        Pose(20, 30, math.pi / 2),  # left, not symmetric
        Pose(40, 0, 0.0),  # straight on
        Pose(40, 3.5, 0.0),  # the next lane
        Pose(40, 3, 0.3),  # a slight bend
        Pose(10, 12, 2.6),  # a hairpin
    ],
)
def test_a_connection_begins_and_ends_at_its_poses(goal):
    start = Pose(0, 0, 0)
    path = connect(start, goal)
    assert path.start == start
    assert_close(path.end(), goal)


def test_a_connection_keeps_below_the_largest_radius():
    path = connect(Pose(0, 0, 0), Pose(100, 100, math.pi / 2), largest_radius_m=25.0)
    assert path.smallest_radius_m == pytest.approx(25.0)
