"""Which lanes a sign stands for."""

from __future__ import annotations

from types import SimpleNamespace

import carla
import pytest

from sim.landmarks import lanes_of

FACES = carla.LandmarkOrientation
RIGHT, LEFT = list(range(-8, 0)), list(range(1, 9))


@pytest.mark.parametrize(
    ("validities", "orientation", "lanes"),
    [
        ([(-1, -3)], FACES.Positive, [-3, -2, -1]),
        ([(-1, 1), (4, 4)], FACES.Negative, [-1, 1, 4]),
        ([], FACES.Positive, RIGHT),
        ([], FACES.Negative, LEFT),
        ([], FACES.Both, RIGHT + LEFT),
        ([(0, 0)], FACES.Both, RIGHT + LEFT),
    ],
)
def test_a_sign_stands_for_the_lanes_it_names_or_for_those_it_faces(validities, orientation, lanes):
    sign = SimpleNamespace(get_lane_validities=lambda: validities, orientation=orientation)
    assert lanes_of(sign) == lanes
