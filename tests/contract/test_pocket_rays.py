"""Lidars and the radar, through the real client: where their points lie, and how many there are."""

import math

import carla
import numpy as np
import pytest

from tests.contract.test_pocket_measurements import ROOF, Measured, blueprint_of
from tests.contract.test_pocket_sensors import pixels

LIDAR, SEMANTIC = "sensor.lidar.ray_cast", "sensor.lidar.ray_cast_semantic"
RADAR = "sensor.other.radar"
FULL_TURN = {"channels": 16, "points_per_second": 64000, "rotation_frequency": 20, "range": 80}
UNDISTURBED = {"dropoff_general_rate": 0, "dropoff_intensity_limit": 0, "dropoff_zero_intensity": 0}
SEMANTIC_POINT = np.dtype([("place", "<f4", 3), ("cosine", "<f4"), ("id", "<u4"), ("tag", "<u4")])


def points_of(message):
    return np.frombuffer(message.raw_data, np.float32).reshape(-1, 4).astype(np.float64)


def semantic_points_of(message):
    return np.frombuffer(message.raw_data, SEMANTIC_POINT)


def detections_of(message):
    return np.frombuffer(message.raw_data, np.float32).reshape(-1, 4).astype(np.float64)


def stand(world, number=0):
    """A vehicle that stands still on the road."""
    start = world.get_map().get_spawn_points()[number]
    vehicle = world.spawn_actor(blueprint_of(world, "vehicle.tesla.model3"), start)
    for _ in range(20):
        world.tick()
    vehicle.set_simulate_physics(False)
    return vehicle


def stand_ahead(world, vehicle, distance_m, turned_deg=0.0):
    pose = vehicle.get_transform()
    place = pose.transform(carla.Location(x=distance_m, z=0.3))
    turned = carla.Rotation(yaw=pose.rotation.yaw + turned_deg)
    other = world.spawn_actor(
        blueprint_of(world, "vehicle.audi.tt"), carla.Transform(place, turned)
    )
    for _ in range(20):
        world.tick()
    other.set_simulate_physics(False)
    world.tick()
    return other


def in_box(vehicle, pose, places, margin_m):
    """Which places, in the frame of a pose, lie in the box of a vehicle."""
    world_places = (carla.Location(*map(float, place)) for place in places)
    world_places = [pose.transform(place) for place in world_places]
    box = vehicle.bounding_box
    box.extent += carla.Vector3D(margin_m, margin_m, margin_m)
    return np.array([box.contains(place, vehicle.get_transform()) for place in world_places])


def test_lidar_ranges_agree_with_the_depth_camera(town):
    vehicle = stand(town)
    stand_ahead(town, vehicle, 12.0, 20.0)
    size = 512
    depth = Measured(
        town, "sensor.camera.depth", vehicle, image_size_x=size, image_size_y=size, fov=90
    )
    lidar = Measured(
        town, LIDAR, vehicle, **{**FULL_TURN, "points_per_second": 640000}, **UNDISTURBED
    )
    frame = town.tick()
    raw = pixels(depth.take(frame)).astype(np.float64)
    depth_m = (raw[..., 2] + 256 * raw[..., 1] + 65536 * raw[..., 0]) / (2**24 - 1) * 1000.0
    points = points_of(lidar.take(frame))[:, :3]
    ahead = points[points[:, 0] > 1.0]
    places = size / 2 * (1.0 + np.stack([ahead[:, 1], -ahead[:, 2]], axis=1) / ahead[:, :1])
    inside = ((places > 0) & (places < size)).all(axis=1)
    column, row = places[inside].astype(int).T
    apart_m = np.abs(depth_m[row, column] - ahead[inside, 0])
    assert len(apart_m) > 1000
    assert np.median(apart_m) < 0.05
    assert (apart_m < 0.3).mean() > 0.9


def test_the_beams_go_where_the_attributes_say(world):
    vehicle = stand(world)
    attributes = {"upper_fov": -5, "lower_fov": -35, "horizontal_fov": 90, **FULL_TURN}
    lidar = Measured(world, LIDAR, vehicle, **attributes, **UNDISTURBED)
    message = lidar.take(world.tick())
    points = points_of(message)
    assert message.channels == 16
    counts = [message.get_point_count(channel) for channel in range(16)]
    assert sum(counts) == len(points)
    channel = np.repeat(np.arange(16), counts)
    flat = np.hypot(points[:, 0], points[:, 1])
    elevation_deg = np.degrees(np.arctan2(points[:, 2], flat))
    assert elevation_deg == pytest.approx(-5.0 - 2.0 * channel, abs=0.01)
    azimuth_deg = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    steps = (azimuth_deg + 45.0) / (90.0 / 200)
    assert steps == pytest.approx(steps.round(), abs=0.01)
    assert steps.min() > -0.01
    assert steps.max() < 199.01
    assert np.linalg.norm(points[:, :3], axis=1).max() <= 80.0
    assert counts[-1] == 200  # 35 degrees below the horizon every beam meets the ground


def test_the_lidar_turns_on_from_message_to_message(world):
    vehicle = stand(world)
    attributes = {**FULL_TURN, "rotation_frequency": 5, "upper_fov": -30, "lower_fov": -30}
    lidar = Measured(world, LIDAR, vehicle, **attributes, **UNDISTURBED)
    middles = []
    for _ in range(4):
        message = lidar.take(world.tick())
        points = points_of(message)
        assert len(points) == 16 * 200
        azimuth = np.unwrap(np.arctan2(points[:200, 1], points[:200, 0]))
        middles.append(math.degrees(azimuth.mean()))
    # a quarter of a turn per tick, from behind over the left
    assert np.cos(np.radians(np.subtract(middles, [-135, -45, 45, 135]))) == pytest.approx(
        [1.0] * 4, abs=1e-3
    )
    assert math.cos(message.horizontal_angle) == pytest.approx(1.0, abs=1e-5)


def test_a_sensor_tick_gathers_the_points_of_all_its_time(world):
    vehicle = stand(world)
    attributes = {**FULL_TURN, "upper_fov": -30, "lower_fov": -30, "sensor_tick": 0.2}
    lidar = Measured(world, LIDAR, vehicle, **attributes, **UNDISTURBED)
    frames = [world.tick() for _ in range(5)]
    lidar.take(frames[0])
    assert len(lidar.take(frames[4])) == 64000 * 0.2


def test_points_on_a_vehicle_carry_its_id_and_lie_in_its_box(world):
    vehicle = stand(world)
    other = stand_ahead(world, vehicle, 12.0, 30.0)
    lidar = Measured(world, SEMANTIC, vehicle, **FULL_TURN)
    message = lidar.take(world.tick())
    points = semantic_points_of(message)
    on_it = points[points["id"] == other.id]
    assert len(on_it) > 20
    assert set(on_it["tag"].tolist()) == {int(carla.CityObjectLabel.Car)}
    assert in_box(other, message.transform, on_it["place"], 0.05).all()
    elsewhere = points[points["id"] != other.id]["place"]
    assert not in_box(other, message.transform, elsewhere, -0.1).any()
    scenery = points[points["id"] == 0]
    assert {int(carla.CityObjectLabel.Roads)} < set(scenery["tag"].tolist())
    road = scenery[scenery["tag"] == int(carla.CityObjectLabel.Roads)]
    sine = -road["place"][:, 2] / np.linalg.norm(road["place"], axis=1)
    # on a level road, the angle to its normal is the one below the horizon
    assert np.median(np.abs(road["cosine"] - sine)) < 0.02
    first = message[0]
    assert (first.object_idx, first.object_tag) == (points[0]["id"], points[0]["tag"])


def test_a_moving_vehicle_is_met_where_it_is_on_that_tick(world):
    vehicle = stand(world)
    other = stand_ahead(world, vehicle, 10.0)
    lidar = Measured(world, SEMANTIC, vehicle, **FULL_TURN)
    pose = other.get_transform()
    step = pose.get_forward_vector()
    for number in range(1, 5):
        other.set_transform(carla.Transform(pose.location + step * number, pose.rotation))
        message = lidar.take(world.tick())
        points = semantic_points_of(message)
        places = points[points["id"] == other.id]["place"]
        assert len(places) > 5
        assert in_box(other, message.transform, places, 0.05).all()


def test_the_lidar_sees_the_vehicle_that_carries_it_from_outside_only(world):
    vehicle = stand(world)
    steep = {**FULL_TURN, "lower_fov": -80}
    above = Measured(world, SEMANTIC, vehicle, ROOF, **steep)
    within = carla.Transform(vehicle.bounding_box.location)
    inside = Measured(world, SEMANTIC, vehicle, within, **steep)
    frame = world.tick()
    seen, unseen = (semantic_points_of(item.take(frame)) for item in (above, inside))
    assert (seen["id"] == vehicle.id).mean() > 0.1
    assert (unseen["id"] == vehicle.id).mean() < 0.03  # inner sides of wheels
    assert len(unseen) > 1000


def test_ignored_vehicles_are_looked_through(world):
    vehicle = stand(world)
    lidar = Measured(world, SEMANTIC, vehicle, **{**FULL_TURN, "lower_fov": -80})
    before = semantic_points_of(lidar.take(world.tick()))
    lidar.sensor.set_ignored_vehicles([vehicle.id])
    after = semantic_points_of(lidar.take(world.tick()))
    assert (before["id"] == vehicle.id).any()
    assert not (after["id"] == vehicle.id).any()
    assert len(after) >= len(before)


def test_walkers_and_props_are_met(world):
    vehicle = stand(world)
    pose = vehicle.get_transform()
    library = world.get_blueprint_library()
    spawned = []
    for name, side_m in (("walker.pedestrian.0001", -2.0), ("static.prop.trafficcone01", 2.0)):
        place = pose.transform(carla.Location(x=6.0, y=side_m, z=1.0))
        spawned.append(world.spawn_actor(library.find(name), carla.Transform(place)))
    lidar = Measured(world, SEMANTIC, vehicle, **{**FULL_TURN, "points_per_second": 320000})
    points = semantic_points_of(lidar.take(world.tick()))
    for actor in spawned:
        assert (points["id"] == actor.id).sum() > 3, actor.type_id


def test_intensity_falls_with_distance_and_drop_off_takes_its_share(world):
    vehicle = stand(world)
    down = {"upper_fov": -20, "lower_fov": -40, **FULL_TURN}
    strong = {"atmosphere_attenuation_rate": 0.1}
    every = Measured(world, LIDAR, vehicle, **down, **strong, **UNDISTURBED)
    thinned = Measured(
        world, LIDAR, vehicle, **down, **{**UNDISTURBED, "dropoff_general_rate": 0.45}
    )
    dimmed = Measured(
        world, LIDAR, vehicle, **down, **strong,
        **{**UNDISTURBED, "dropoff_intensity_limit": 1, "dropoff_zero_intensity": 0.8},
    )  # fmt: skip
    frame = world.tick()
    full = points_of(every.take(frame))
    assert full[:, 3] == pytest.approx(np.exp(-0.1 * np.linalg.norm(full[:, :3], axis=1)), rel=1e-4)
    assert len(thinned.take(frame)) / len(full) == pytest.approx(0.55, abs=0.05)
    expected = (0.2 + 0.8 * full[:, 3]).mean()
    assert len(dimmed.take(frame)) / len(full) == pytest.approx(expected, abs=0.05)


def test_noise_moves_points_along_their_beams(world):
    vehicle = stand(world)
    down = {"upper_fov": -20, "lower_fov": -40, **FULL_TURN, **UNDISTURBED}
    exact, noisy = (Measured(world, LIDAR, vehicle, **down, noise_stddev=s) for s in (0, 0.2))
    frame = world.tick()
    true, moved = points_of(exact.take(frame))[:, :3], points_of(noisy.take(frame))[:, :3]
    true_m, moved_m = np.linalg.norm(true, axis=1), np.linalg.norm(moved, axis=1)
    assert moved / moved_m[:, None] == pytest.approx(true / true_m[:, None], abs=1e-4)
    assert np.std(moved_m - true_m) == pytest.approx(0.2, rel=0.1)
    assert np.mean(moved_m - true_m) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("kind", [LIDAR, RADAR])
def test_the_same_seed_gives_the_same_points(world, kind):
    vehicle = stand(world)
    first, second, other = (
        Measured(world, kind, vehicle, noise_seed=seed, points_per_second=20000)
        for seed in (3, 3, 4)
    )
    for _ in range(3):
        frame = world.tick()
        data = [bytes(item.take(frame).raw_data) for item in (first, second, other)]
        assert data[0] == data[1] != data[2]


def test_the_radar_tells_place_and_speed_of_a_vehicle_ahead(world):
    vehicle = stand(world)
    other = stand_ahead(world, vehicle, 15.0)
    radar = Measured(
        world, RADAR, vehicle, carla.Transform(carla.Location(x=2.6, z=0.9)),
        points_per_second=20000, horizontal_fov=20, vertical_fov=6,
    )  # fmt: skip
    other.set_simulate_physics(True)
    for _ in range(5):
        other.set_target_velocity(other.get_transform().get_forward_vector() * 5.0)
        message = radar.take(world.tick())
    found = detections_of(message)
    azimuth, altitude, depth = found[:, 1], found[:, 2], found[:, 3:]
    assert np.abs(np.degrees(azimuth)).max() <= 10.001
    assert np.abs(np.degrees(altitude)).max() <= 3.001
    directions = np.stack(
        [
            np.cos(altitude) * np.cos(azimuth),
            np.cos(altitude) * np.sin(azimuth),
            np.sin(altitude),
        ],
        axis=1,
    )
    on_it = in_box(other, message.transform, directions * depth, 0.05)
    assert on_it.sum() > 50
    velocity = other.get_velocity()
    axes = np.array(message.transform.get_matrix())[:3, :3]
    expected = directions @ axes.T @ np.array((velocity.x, velocity.y, velocity.z))
    assert found[on_it, 0] == pytest.approx(expected[on_it], abs=0.01)
    assert velocity.length() > 3.0
    assert np.abs(found[~on_it, 0]).max(initial=0.0) < 0.01


def test_what_stands_still_comes_nearer_to_a_radar_that_moves(world):
    start = world.get_map().get_spawn_points()[0]
    vehicle = world.spawn_actor(blueprint_of(world, "vehicle.tesla.model3"), start)
    ahead = carla.Transform(carla.Location(x=2.6, z=0.9))
    radar = Measured(world, RADAR, vehicle, ahead, points_per_second=10000)
    for _ in range(30):
        vehicle.set_target_velocity(vehicle.get_transform().get_forward_vector() * 6.0)
        message = radar.take(world.tick())
    found = detections_of(message)
    speed = vehicle.get_velocity().length()
    assert len(found) > 50
    assert found[:, 0] == pytest.approx(
        -speed * np.cos(found[:, 1]) * np.cos(found[:, 2]), abs=0.15
    )


@pytest.mark.parametrize(
    ("kind", "attribute", "value"),
    [(LIDAR, "channels", 0), (SEMANTIC, "range", -1), (RADAR, "horizontal_fov", 180)],
)
def test_attributes_that_make_no_sense_are_refused(world, kind, attribute, value):
    blueprint = blueprint_of(world, kind, **{attribute: value})
    with pytest.raises(RuntimeError, match=f"'{attribute}' of {kind} is {value}, but must be"):
        world.spawn_actor(blueprint, ROOF)
