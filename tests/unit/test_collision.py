"""Boxes overlap, obstacles are found, vehicles are stopped and pushed out."""

import math

import numpy as np
import pytest

from sim.pocket.collision import (
    Body,
    StaticObstacles,
    box_of,
    resolve_collisions,
)
from sim.pocket.dynamics import VehicleDynamics
from sim.pocket.geometry import OrientedBox, Rotation, Transform, Vector3
from sim.pocket.ground import GroundSample
from sim.pocket.vehicles import vehicle_model

pytestmark = pytest.mark.unit
MODEL_3 = vehicle_model("vehicle.tesla.model3")
FRONT_M = MODEL_3.half_extent.x
NOTHING = StaticObstacles([])


class FlatGround:
    """Level ground at height 0."""

    def sample(self, x_m, y_m, z_hint_m):
        return GroundSample(0.0, 0.0, 0.0)


def box(x=0.0, y=0.0, z=1.0, half=(1.0, 1.0, 1.0), yaw_deg=0.0, tag=3):
    return OrientedBox(
        location=Vector3(x, y, z), half_extent=Vector3(*half), yaw_deg=yaw_deg, tag=tag
    )


def world(*poses):
    dynamics = VehicleDynamics(FlatGround())
    for actor_id, (x, y, yaw_deg) in enumerate(poses, start=1):
        dynamics.add(actor_id, MODEL_3, Transform(Vector3(x, y, 0.0), Rotation(yaw=yaw_deg)))
    dynamics.step(0.05, 10)
    return dynamics


def tick(dynamics, bodies=(), obstacles=NOTHING, ghosts=()):
    dynamics.step(0.05, 10)
    return resolve_collisions(
        dynamics, bodies, obstacles, vehicle_tags={1: 14, 2: 14}, ghosts=ghosts
    )


def drive(dynamics, ticks, **options):
    contacts = []
    for _ in range(ticks):
        contacts += tick(dynamics, **options)
    return contacts


def location(dynamics, actor_id=1):
    return dynamics.state(actor_id).transform.location


# ------------------------------------------------------------------ looking


def depth_m(*others, **place):
    return NOTHING.deepest_overlap(box(**place), others)


def test_boxes_apart_do_not_touch():
    assert depth_m(box(x=2.5)) < 0.0
    assert depth_m() < 0.0


def test_overlapping_boxes_say_how_deep():
    assert depth_m(box(x=1.5)) == pytest.approx(0.5)
    assert depth_m(box(x=1.5), box(x=-1.2), box(x=9.0)) == pytest.approx(0.8)


def test_a_turned_box_reaches_further():
    assert depth_m(box(x=2.2, yaw_deg=45.0)) > 0.0
    assert depth_m(box(x=2.2)) < 0.0


def test_boxes_at_different_heights_pass():
    assert depth_m(box(z=3.5), z=1.0) < 0.0


def test_the_grid_finds_exactly_what_a_full_search_finds():
    rng = np.random.default_rng(7)
    boxes = [
        box(
            *rng.uniform(-60, 60, 2),
            half=tuple(rng.uniform(0.1, 6.0, 3)),
            yaw_deg=rng.uniform(-180, 180),
        )
        for _ in range(400)
    ]
    obstacles = StaticObstacles(boxes)
    for _ in range(100):
        probe = box(*rng.uniform(-70, 70, 2), half=(2.4, 1.0, 0.8), yaw_deg=rng.uniform(0, 360))
        slow, fast = NOTHING.deepest_overlap(probe, boxes), obstacles.deepest_overlap(probe)
        assert max(fast, 0.0) == max(slow, 0.0)


def test_the_box_of_an_actor_stands_on_its_origin():
    pose = Transform(Vector3(5.0, 6.0, 1.0), Rotation(yaw=90.0))
    found = box_of(pose, MODEL_3.centre, MODEL_3.half_extent, 14)
    assert found.location == pytest.approx((5.0, 6.0, 1.0 + MODEL_3.half_extent.z))
    assert (found.yaw_deg, found.tag) == (90.0, 14)


# ------------------------------------------------------------------ response


@pytest.mark.parametrize("speed_mps", [10.0, 20.0, 40.0])
@pytest.mark.parametrize("half_thickness_m", [0.1, 3.0])
def test_a_wall_stops_a_car_and_nothing_passes_through(speed_mps, half_thickness_m):
    wall = StaticObstacles([box(x=20.0, half=(half_thickness_m, 15.0, 2.0))])
    dynamics = world((0.0, 0.0, 0.0))
    dynamics.set_target_velocity(1, Vector3(speed_mps, 0.0, 0.0))
    contacts = drive(dynamics, 100, obstacles=wall)
    assert location(dynamics).x <= 20.0 - half_thickness_m - FRONT_M + 0.01
    first = contacts[0]
    assert (first.other_id, first.other_tag) == (None, 3)
    assert first.normal == pytest.approx((-1.0, 0.0, 0.0))
    assert 0.6 * speed_mps < -first.impulse.x / 1845.0 <= speed_mps
    assert dynamics.state(1).velocity.x == pytest.approx(0.0, abs=0.05)


def test_a_pole_is_not_jumped_over_at_40_mps():
    pole = StaticObstacles([box(x=20.0, y=0.3, half=(0.1, 0.1, 3.0), tag=6)])
    dynamics = world((0.0, 0.0, 0.0))
    dynamics.set_target_velocity(1, Vector3(40.0, 0.0, 0.0))
    contacts = drive(dynamics, 20, obstacles=pole)
    assert contacts[0].other_tag == 6
    assert contacts[0].normal.x == pytest.approx(-1.0)
    assert location(dynamics).x < 20.0


def test_a_sliding_bicycle_does_not_jump_over_a_thin_pole():
    dynamics = VehicleDynamics(FlatGround())
    dynamics.add(1, vehicle_model("vehicle.diamondback.century"), Transform())
    dynamics.step(0.05, 10)
    dynamics.set_target_velocity(1, Vector3(0.0, 40.0, 0.0))
    pole = StaticObstacles([box(y=3.0, half=(0.1, 0.1, 2.0))])
    assert drive(dynamics, 3, obstacles=pole)
    assert location(dynamics).y < 3.0


def test_a_glancing_wall_turns_the_motion_along_itself():
    wall = StaticObstacles([box(y=3.0, half=(100.0, 0.5, 2.0))])
    dynamics = world((0.0, 0.0, 10.0))
    heading = math.radians(10.0)
    speed = 15.0
    dynamics.set_target_velocity(1, Vector3(speed * math.cos(heading), speed * math.sin(heading)))
    contacts = drive(dynamics, 40, obstacles=wall)
    assert contacts
    assert all(contact.normal.y < -0.9 for contact in contacts)
    assert location(dynamics).x > 10.0
    assert dynamics.state(1).velocity.x > 5.0
    assert location(dynamics).y < 2.0


def test_there_is_one_contact_per_step_and_pair():
    wall = StaticObstacles([box(x=5.0, half=(1.0, 10.0, 2.0))])
    dynamics = world((0.0, 0.0, 0.0))
    dynamics.set_target_velocity(1, Vector3(40.0, 0.0, 0.0))
    assert len(tick(dynamics, obstacles=wall)) == 1


def test_touching_without_pressing_is_no_contact():
    wall = StaticObstacles([box(x=5.0, half=(1.0, 10.0, 2.0))])
    dynamics = world((0.0, 0.0, 0.0))
    dynamics.set_target_velocity(1, Vector3(10.0, 0.0, 0.0))
    drive(dynamics, 20, obstacles=wall)
    assert drive(dynamics, 20, obstacles=wall) == []


def test_a_rear_end_crash_shares_the_momentum():
    dynamics = world((0.0, 0.0, 0.0), (10.0, 0.0, 0.0))
    dynamics.set_target_velocity(1, Vector3(20.0, 0.0, 0.0))
    contacts = []
    while not contacts:
        before = dynamics.state(1).velocity.x + dynamics.state(2).velocity.x
        contacts = tick(dynamics)
    after = dynamics.state(1).velocity.x + dynamics.state(2).velocity.x
    assert {(c.actor_id, c.other_id) for c in contacts} == {(1, 2), (2, 1)}
    assert after == pytest.approx(before, rel=0.05)
    assert dynamics.state(2).velocity.x == pytest.approx(dynamics.state(1).velocity.x, abs=0.5)
    first, second = contacts
    assert first.impulse == pytest.approx(tuple(-value for value in second.impulse))


def test_a_hit_beside_the_centre_turns_the_car():
    pole = StaticObstacles([box(x=10.0, y=0.8, half=(0.2, 0.2, 2.0))])
    dynamics = world((0.0, 0.0, 0.0))
    dynamics.set_target_velocity(1, Vector3(10.0, 0.0, 0.0))
    while not tick(dynamics, obstacles=pole):
        pass
    assert dynamics.state(1).angular_velocity.z > 5.0


def test_a_frozen_vehicle_is_a_wall():
    dynamics = world((0.0, 0.0, 0.0), (10.0, 0.0, 0.0))
    dynamics.set_simulated(2, False)
    dynamics.set_target_velocity(1, Vector3(20.0, 0.0, 0.0))
    assert drive(dynamics, 40)
    assert location(dynamics, 2).x == pytest.approx(10.0)
    assert location(dynamics, 1).x <= 10.0 - 2.0 * FRONT_M + 0.01


def test_a_frozen_vehicle_with_the_lower_id_is_a_wall_as_well():
    dynamics = world((10.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    dynamics.set_simulated(1, False)
    dynamics.set_target_velocity(2, Vector3(20.0, 0.0, 0.0))
    assert drive(dynamics, 40)
    assert location(dynamics, 1).x == pytest.approx(10.0)
    assert location(dynamics, 2).x <= 10.0 - 2.0 * FRONT_M + 0.01


def test_ghosts_pass():
    wall = StaticObstacles([box(x=5.0, half=(1.0, 10.0, 2.0))])
    dynamics = world((0.0, 0.0, 0.0))
    dynamics.set_target_velocity(1, Vector3(20.0, 0.0, 0.0))
    assert drive(dynamics, 10, obstacles=wall, ghosts=(1,)) == []
    assert location(dynamics).x > 5.0


def test_a_prop_stops_a_car_and_a_walker_only_slows_it():
    place = box(x=8.0, half=(0.3, 0.3, 0.9), tag=12)
    for mass_kg, passes in ((math.inf, False), (75.0, True)):
        dynamics = world((0.0, 0.0, 0.0))
        dynamics.set_target_velocity(1, Vector3(20.0, 0.0, 0.0))
        body = Body(actor_id=9, box=place, mass_kg=mass_kg)
        contacts = drive(dynamics, 40, bodies=(body,))
        assert contacts[0].other_id == 9
        assert (location(dynamics).x > 8.0) == passes


def test_a_kerb_is_no_obstacle():
    kerb = StaticObstacles([box(x=5.0, z=0.05, half=(1.0, 10.0, 0.1))])
    dynamics = world((0.0, 0.0, 0.0))
    dynamics.set_target_velocity(1, Vector3(10.0, 0.0, 0.0))
    assert drive(dynamics, 20, obstacles=kerb) == []


def test_vehicles_that_touch_nothing_move_exactly_as_without_collisions():
    obstacles = StaticObstacles([box(x=3.0, y=4.0)])
    free, watched = world((0.0, 0.0, 0.0)), world((0.0, 0.0, 0.0))
    for dynamics in (free, watched):
        dynamics.set_target_velocity(1, Vector3(10.0, 0.0, 0.0))
    free.step(0.05, 10)
    assert tick(watched, obstacles=obstacles) == []
    assert free.state(1) == watched.state(1)
