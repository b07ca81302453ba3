"""The obstacle detector and rays of the client, through the real client: what is in the way."""

import queue

import carla
import pytest

from tests.contract.test_pocket_measurements import Measured, blueprint_of
from tests.contract.test_pocket_rays import stand, stand_ahead

DETECTOR = "sensor.other.obstacle"
NOSE = carla.Transform(carla.Location(x=2.6, z=0.9))


class Detector(Measured):
    """An obstacle detector that tells something on some ticks only."""

    def __init__(self, world, parent, pose=NOSE, **attributes):
        super().__init__(world, DETECTOR, parent, pose, **attributes)

    def tells_nothing(self):
        with pytest.raises(queue.Empty):
            self._messages.get(timeout=0.3)
        return True


def rear_of(vehicle, other):
    """How far ahead of a vehicle's origin the rear end of another one is, m."""
    gap_m = vehicle.get_location().distance(other.get_location())
    return gap_m - other.bounding_box.extent.x + other.bounding_box.location.x


def test_an_obstacle_ahead_is_told_with_its_distance_on_every_tick(world):
    vehicle = stand(world)
    other = stand_ahead(world, vehicle, 12.0)
    detector = Detector(world, vehicle, distance=20, hit_radius=0.3)
    for _ in range(3):
        frame = world.tick()
        event = detector.take(frame)
        assert (event.actor.id, event.other_actor.id) == (vehicle.id, other.id)
        # the front of a ball of 0.3 m meets the rear of the car, which bulges a little
        assert event.distance == pytest.approx(rear_of(vehicle, other) - 2.6 - 0.3, abs=0.25)
    ahead = vehicle.get_transform().get_forward_vector()
    pose = other.get_transform()
    other.set_transform(carla.Transform(pose.location + ahead * 3.0, pose.rotation))
    assert detector.take(world.tick()).distance == pytest.approx(event.distance + 3.0, abs=0.02)
    assert detector.silent()


def test_what_is_out_of_reach_or_beside_the_ball_is_not_told(world):
    vehicle = stand(world)
    stand_ahead(world, vehicle, 12.0)
    far = Detector(world, vehicle, distance=5, hit_radius=0.3)
    upwards = carla.Transform(NOSE.location, carla.Rotation(pitch=30.0))
    above = Detector(world, vehicle, upwards, distance=20, hit_radius=0.3)
    wide = Detector(world, vehicle, upwards, distance=20, hit_radius=8.0)
    frame = world.tick()
    wide.take(frame)
    assert far.tells_nothing()
    assert above.tells_nothing()


def test_the_road_is_an_obstacle_unless_only_dynamics_are(world):
    vehicle = stand(world)
    down = carla.Transform(carla.Location(x=4.0, z=3.0), carla.Rotation(pitch=-90.0))
    every, dynamic = (
        Detector(world, vehicle, down, distance=10, hit_radius=0.5, only_dynamics=flag)
        for flag in ("False", "True")
    )
    frame = world.tick()
    event = every.take(frame)
    assert event.other_actor.type_id.startswith("static.road")
    assert event.distance == pytest.approx(2.5, abs=0.15)
    assert dynamic.tells_nothing()
    walker = world.spawn_actor(
        blueprint_of(world, "walker.pedestrian.0001"),
        carla.Transform(vehicle.get_transform().transform(carla.Location(x=4.0, z=1.0))),
    )
    frame = world.tick()
    assert dynamic.take(frame).other_actor.id == walker.id


def test_a_sensor_tick_thins_obstacles_out(world):
    vehicle = stand(world)
    stand_ahead(world, vehicle, 10.0)
    detector = Detector(world, vehicle, distance=20, sensor_tick=0.2)
    frames = [world.tick() for _ in range(9)]
    assert [detector.take(frame).frame for frame in frames[::4]] == frames[::4]
    assert detector.silent()


def test_a_ray_of_the_client_sees_vehicles_and_walkers(world):
    vehicle = stand(world)
    other = stand_ahead(world, vehicle, 12.0)
    pose = vehicle.get_transform()
    start, end = (pose.transform(carla.Location(x=x, z=0.7)) for x in (3.0, 30.0))
    met = world.cast_ray(start, end)
    assert met[0].label == carla.CityObjectLabel.Car
    gap_m = start.distance(met[0].location)
    assert gap_m == pytest.approx(rear_of(vehicle, other) - 3.0, abs=0.3)
    ahead = pose.get_forward_vector()
    assert world.project_point(start, ahead, 30.0).location.distance(met[0].location) < 0.01
    assert world.project_point(start, ahead, gap_m - 0.1) is None
    other.destroy()
    world.tick()
    assert not [point for point in world.cast_ray(start, end) if point.label == met[0].label]
