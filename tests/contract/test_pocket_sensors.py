"""Cameras, collision and lane invasion sensors, through the real client."""

import contextlib
import queue
import time

import carla
import numpy as np
import pytest

WIDTH, HEIGHT = 96, 64
MOUNT = carla.Transform(carla.Location(x=1.5, z=2.4), carla.Rotation(pitch=-15.0))


class Listener:
    """Spawns a sensor and hands out its data; waits until the server knows of the subscription."""

    def __init__(self, world, kind, parent=None, pose=MOUNT, **attributes):
        blueprint = world.get_blueprint_library().find(kind)
        for name, value in attributes.items():
            blueprint.set_attribute(name, str(value))
        self.sensor = world.spawn_actor(blueprint, pose, attach_to=parent)
        self._data = queue.SimpleQueue()
        self.sensor.listen(self._data.put)

    def take(self, frame):
        while True:
            data = self._data.get(timeout=180.0)
            if data.frame == frame:
                return data
            assert data.frame < frame

    def everything(self):
        found = []
        while not self._data.empty():
            found.append(self._data.get())
        return found

    def wait_until_subscribed(self, world):
        deadline = time.monotonic() + 180.0
        while time.monotonic() < deadline:
            world.tick()
            try:
                return self._data.get(timeout=0.1)
            except queue.Empty:
                continue
        raise AssertionError("no data arrived")


def camera(world, kind, parent, **attributes):
    size = {"image_size_x": WIDTH, "image_size_y": HEIGHT, "fov": 110}
    return Listener(world, f"sensor.camera.{kind}", parent, **{**size, **attributes})


def pixels(image):
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)


def spawn_vehicle(world, number=0):
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    vehicle = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[number])
    world.tick()
    return vehicle


@pytest.mark.parametrize("kind", ["rgb", "depth", "semantic_segmentation"])
def test_every_image_belongs_to_its_tick(town, kind):
    vehicle = spawn_vehicle(town)
    listener = camera(town, kind, vehicle)
    listener.wait_until_subscribed(town)
    vehicle.apply_control(carla.VehicleControl(throttle=0.7, steer=0.2))
    for _ in range(20):
        frame = town.tick()
        image = listener.take(frame)
        snapshot = town.get_snapshot()
        assert image.timestamp == snapshot.timestamp.elapsed_seconds
        pose = snapshot.find(listener.sensor.id).get_transform()
        assert image.transform.location == pose.location
        assert image.transform.rotation == pose.rotation
        assert (image.width, image.height, image.fov) == (WIDTH, HEIGHT, 110.0)
        assert len(image.raw_data) == WIDTH * HEIGHT * 4
    assert not listener.everything()


def test_the_semantic_camera_sees_road_ahead_and_sky_above(town):
    vehicle = spawn_vehicle(town)
    listener = camera(town, "semantic_segmentation", vehicle)
    tags = pixels(listener.wait_until_subscribed(town))[..., 2]
    assert tags.max() <= 28
    below = tags[HEIGHT // 2 :, WIDTH // 3 : 2 * WIDTH // 3]
    road = np.isin(below, [int(carla.CityObjectLabel.Roads), int(carla.CityObjectLabel.RoadLines)])
    assert road.mean() > 0.5


def test_the_depth_camera_measures_metres_along_its_axis(world):
    vehicle = spawn_vehicle(world)
    vehicle.set_simulate_physics(False)
    height_m = 20.0
    down = carla.Transform(carla.Location(z=height_m), carla.Rotation(pitch=-90.0))
    listener = camera(world, "depth", vehicle, pose=down, fov=60)
    raw = pixels(listener.wait_until_subscribed(world)).astype(np.float64)
    depth_m = (raw[..., 2] + 256 * raw[..., 1] + 65536 * raw[..., 0]) / (2**24 - 1) * 1000.0
    middle = depth_m[HEIGHT // 2, WIDTH // 2]
    assert height_m - 2.5 < middle < height_m + 0.6
    assert pixels(listener.wait_until_subscribed(world))[..., 3].min() == 255


def test_cameras_at_one_place_agree(world):
    vehicle = spawn_vehicle(world)
    kinds = ("rgb", "depth", "semantic_segmentation")
    listeners = {kind: camera(world, kind, vehicle) for kind in kinds}
    for listener in listeners.values():
        listener.wait_until_subscribed(world)
    frame = world.tick()
    images = {kind: listener.take(frame) for kind, listener in listeners.items()}
    sky = pixels(images["semantic_segmentation"])[..., 2] == int(carla.CityObjectLabel.Sky)
    far = (pixels(images["depth"])[..., :3] == 255).all(axis=2)
    assert (sky == far).mean() > 0.99


def test_two_clients_on_one_sensor_get_the_same_bytes(server, world):
    vehicle = spawn_vehicle(world)
    listener = camera(world, "rgb", vehicle)
    listener.wait_until_subscribed(world)
    other_world = server.connect().get_world()
    seen = queue.SimpleQueue()
    same_sensor = other_world.get_actor(listener.sensor.id)
    same_sensor.listen(seen.put)
    deadline = time.monotonic() + 180.0
    while seen.empty() and time.monotonic() < deadline:
        mine = listener.take(world.tick())
    other = seen.get(timeout=180.0)
    while other.frame < mine.frame:
        other = seen.get(timeout=180.0)
    assert bytes(other.raw_data) == bytes(mine.raw_data)
    same_sensor.stop()


def test_a_sensor_tick_thins_the_images_out_evenly(world):
    vehicle = spawn_vehicle(world)
    listener = camera(world, "depth", vehicle, sensor_tick=0.2)
    listener.wait_until_subscribed(world)
    listener.everything()
    last = 0
    for _ in range(40):
        last = world.tick()
    deadline = time.monotonic() + 180.0
    frames = []
    while len(frames) < 10 and time.monotonic() < deadline:
        frames += [image.frame for image in listener.everything()]
    assert len(frames) == 10
    assert set(np.diff(frames)) == {4}
    assert last - frames[-1] < 4


def test_listening_again_works(world):
    vehicle = spawn_vehicle(world)
    listener = camera(world, "depth", vehicle)
    for _ in range(3):
        listener.wait_until_subscribed(world)
        listener.sensor.stop()
        listener.sensor.listen(listener._data.put)
    listener.wait_until_subscribed(world)


def test_without_rendering_cameras_are_silent(world):
    vehicle = spawn_vehicle(world)
    listener = camera(world, "rgb", vehicle)
    listener.wait_until_subscribed(world)
    settings = world.get_settings()
    settings.no_rendering_mode = True
    world.apply_settings(settings)
    listener.everything()
    for _ in range(5):
        world.tick()
    settings.no_rendering_mode = False
    world.apply_settings(settings)
    frame = world.tick()
    assert listener.take(frame).frame == frame
    assert not listener.everything()


def test_weather_changes_the_picture(world):
    vehicle = spawn_vehicle(world)
    vehicle.set_simulate_physics(False)
    listener = camera(world, "rgb", vehicle)
    listener.wait_until_subscribed(world)
    means = {}
    for name, altitude in (("noon", 70.0), ("night", -60.0)):
        weather = world.get_weather()
        weather.sun_altitude_angle = altitude
        world.set_weather(weather)
        world.tick()
        means[name] = pixels(listener.take(world.tick()))[..., :3].mean()
    assert means["night"] < 0.5 * means["noon"]


def test_a_vehicle_in_front_is_seen(world):
    vehicle = spawn_vehicle(world)
    vehicle.set_simulate_physics(False)
    listener = camera(world, "semantic_segmentation", vehicle)
    listener.wait_until_subscribed(world)
    car = int(carla.CityObjectLabel.Car)
    before = (pixels(listener.take(world.tick()))[..., 2] == car).sum()
    pose = vehicle.get_transform()
    ahead = pose.transform(carla.Location(x=9.0, z=0.3))
    blueprint = world.get_blueprint_library().find("vehicle.audi.tt")
    world.spawn_actor(blueprint, carla.Transform(ahead, pose.rotation))
    world.tick()
    after = (pixels(listener.take(world.tick()))[..., 2] == car).sum()
    assert after > before + 50


def push_until_told(world, vehicle, listener, speed_mps):
    """Drive forward against whatever is there until the collision sensor tells of it."""
    for _ in range(300):
        vehicle.set_target_velocity(vehicle.get_transform().get_forward_vector() * speed_mps)
        world.tick()
        with contextlib.suppress(queue.Empty):
            return listener._data.get(timeout=0.02)
    raise AssertionError("no collision was told")


def test_a_collision_is_told_with_both_actors_and_an_impulse(world):
    vehicle = spawn_vehicle(world)
    other_pose = vehicle.get_transform()
    other_pose.location = other_pose.transform(carla.Location(x=9.0, z=0.3))
    blueprint = world.get_blueprint_library().find("vehicle.audi.tt")
    other = world.spawn_actor(blueprint, other_pose)
    listener = Listener(world, "sensor.other.collision", vehicle, carla.Transform())
    world.tick()
    before = world.get_snapshot().frame
    event = push_until_told(world, vehicle, listener, 8.0)
    assert before < event.frame <= world.get_snapshot().frame
    assert event.actor.id == vehicle.id
    assert event.other_actor.id == other.id
    forward = vehicle.get_transform().get_forward_vector()
    assert event.normal_impulse.dot(forward) < -100.0


def test_a_collision_with_the_town_names_what_was_hit(town):
    boxes = town.get_level_bbs(carla.CityObjectLabel.Buildings)
    if not boxes:
        pytest.skip("this town has no buildings")
    box = max(boxes, key=lambda item: min(item.extent.x, item.extent.y))
    vehicle = spawn_vehicle(town)
    listener = Listener(town, "sensor.other.collision", vehicle, carla.Transform())
    yaw = box.rotation.yaw
    turned = carla.Transform(box.location, carla.Rotation(yaw=yaw))
    # Nose 3 m before the wall.
    start = turned.transform(carla.Location(x=-box.extent.x - 5.4))
    start.z = box.location.z - box.extent.z + 0.2
    vehicle.set_simulate_physics(True)
    vehicle.set_transform(carla.Transform(start, carla.Rotation(yaw=yaw)))
    town.tick()
    event = push_until_told(town, vehicle, listener, 10.0)
    assert event.actor.id == vehicle.id
    assert event.other_actor.type_id.startswith("static.")
    assert event.normal_impulse.length() > 100.0
    assert vehicle.get_location().distance(start) < 12.0


def test_lane_invasion_is_noticed_by_the_client(world):
    vehicle = spawn_vehicle(world)
    listener = Listener(world, "sensor.other.lane_invasion", vehicle, carla.Transform())
    world.tick()
    vehicle.set_target_velocity(vehicle.get_transform().get_forward_vector() * 8.0)
    vehicle.apply_control(carla.VehicleControl(throttle=0.5, steer=-0.25))
    for _ in range(40):
        world.tick()
    event = listener._data.get(timeout=180.0)
    assert event.crossed_lane_markings
