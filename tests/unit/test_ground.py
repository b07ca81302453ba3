"""The ground is where the lanes are, also beside them and on bridges."""

import math
from pathlib import Path

import carla
import numpy as np
import pytest

from sim.pocket.ground import SHOULDER_M, TERRAIN_M, Ground

pytestmark = pytest.mark.unit
TOWN04 = Path(__file__).parents[3] / "shared" / "towns" / "Town04.xodr"


@pytest.fixture(scope="module")
def town04():
    if not TOWN04.is_file():
        pytest.skip("the map Town04 is not on this machine")
    return carla.Map("Town04", TOWN04.read_text())


def inclination(ground, place, yaw_deg):
    """Return height, pitch and roll of a body that rests on the ground, metres and degrees."""
    sample, yaw = ground.sample(place.x, place.y, place.z), math.radians(yaw_deg)
    forward = sample.slope_x * math.cos(yaw) + sample.slope_y * math.sin(yaw)
    right = -sample.slope_x * math.sin(yaw) + sample.slope_y * math.cos(yaw)
    return sample.z_m, math.degrees(math.atan(forward)), -math.degrees(math.atan(right))


def some_waypoints(carla_map, count):
    waypoints = carla_map.generate_waypoints(3.0)
    return [waypoints[i] for i in np.random.default_rng(3).integers(0, len(waypoints), count)]


def test_on_a_lane_the_ground_has_the_height_and_slope_of_the_lane(town04):
    ground = Ground(town04)
    for waypoint in some_waypoints(town04, 300):
        place, rotation = waypoint.transform.location, waypoint.transform.rotation
        z, pitch, roll = inclination(ground, place, rotation.yaw)
        assert z == pytest.approx(place.z, abs=0.05)
        if not waypoint.is_junction:
            assert (pitch - rotation.pitch + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=0.1)
            assert roll == pytest.approx(0.0, abs=0.1)


def test_turning_round_turns_the_pitch_round(town04):
    ground = Ground(town04)
    steep = max(
        some_waypoints(town04, 500),
        key=lambda point: abs(math.sin(math.radians(point.transform.rotation.pitch))),
    )
    place, yaw = steep.transform.location, steep.transform.rotation.yaw
    _, up, _ = inclination(ground, place, yaw)
    _, down, _ = inclination(ground, place, yaw + 180.0)
    assert abs(up) > 2.0
    assert down == pytest.approx(-up)


def test_on_a_bridge_the_own_height_decides(town04):
    waypoints = town04.generate_waypoints(4.0)
    cells = {}
    pair = None
    for waypoint in waypoints:
        place = waypoint.transform.location
        other = cells.setdefault((round(place.x / 2), round(place.y / 2)), place)
        if abs(other.z - place.z) > 4.0:
            pair = (other, place)
            break
    assert pair is not None
    for place in pair:
        z = Ground(town04).sample(place.x, place.y, place.z).z_m
        assert z == pytest.approx(place.z, abs=0.5)


def test_beside_the_road_the_ground_goes_on_without_a_step(town04):
    ground = Ground(town04, terrain_z_m=-1.0)
    for waypoint in some_waypoints(town04, 20):
        place, right = waypoint.transform.location, waypoint.transform.get_right_vector()
        z_hint = place.z
        for distance in np.arange(0.0, 0.5 * waypoint.lane_width + SHOULDER_M - 0.1, 0.1):
            x, y = place.x + distance * right.x, place.y + distance * right.y
            z = ground.sample(x, y, z_hint).z_m
            assert abs(z - z_hint) < 0.25
            z_hint = z


def test_far_from_all_roads_lies_the_terrain(town04):
    assert Ground(town04, terrain_z_m=-3.0).sample(5000.0, 5000.0, 0.0) == (-3.0, 0.0, 0.0)
    assert TERRAIN_M > SHOULDER_M
