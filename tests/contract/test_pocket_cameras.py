"""Cameras that show no colours, event cameras and exposure, through the real client."""

import carla
import numpy as np
import pytest

from sim.pocket.sensors.lens import IGNORED_ATTRIBUTES
from tests.contract.test_pocket_measurements import DOCUMENT, Measured, blueprint_of
from tests.contract.test_pocket_rays import stand, stand_ahead
from tests.contract.test_pocket_sensors import pixels

WIDTH, HEIGHT, FOV = 160, 120, 90
FOCAL = WIDTH / 2.0
MOUNT = carla.Transform(carla.Location(x=1.5, z=2.4), carla.Rotation(pitch=-10.0))
CAR = int(carla.CityObjectLabel.Car)
SKY = int(carla.CityObjectLabel.Sky)
EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("up", "?")])


def camera(world, kind, parent, **attributes):
    size = {"image_size_x": WIDTH, "image_size_y": HEIGHT, "fov": FOV}
    return Measured(world, f"sensor.camera.{kind}", parent, MOUNT, **{**size, **attributes})


def depth_of(image):
    raw = pixels(image).astype(np.float64)
    return (raw[..., 2] + 256 * raw[..., 1] + 65536 * raw[..., 0]) / (2**24 - 1) * 1000.0


def ids_of(image):
    raw = pixels(image).astype(int)
    return raw[..., 1] + 256 * raw[..., 0]


def normals_of(image):
    return pixels(image)[..., 2::-1] / 127.5 - 1.0


def flow_px(image):
    """Motion of each pixel to the right and downwards since the last picture."""
    raw = np.frombuffer(image.raw_data, np.float32).reshape(image.height, image.width, 2)
    return raw * (image.width / 2, -image.height / 2)


def events_of(message):
    return np.frombuffer(message.raw_data, EVENT)


def world_points(depth_m, pose):
    """The (H, W, 3) places that a depth picture shows."""
    row, column = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    local = np.stack(
        [
            depth_m,
            depth_m * (column - WIDTH / 2) / FOCAL,
            depth_m * (HEIGHT / 2 - row) / FOCAL,
            np.ones_like(depth_m),
        ],
        axis=-1,
    )
    return (local @ np.array(pose.get_matrix()).T)[..., :3]


def pixel_places(points, pose):
    """Where a camera sees (..., 3) places: column and row."""
    one = np.ones((*points.shape[:-1], 1))
    local = np.concatenate([points, one], axis=-1) @ np.array(pose.get_inverse_matrix()).T
    return (
        WIDTH / 2 + FOCAL * local[..., 1] / local[..., 0],
        HEIGHT / 2 - FOCAL * local[..., 2] / local[..., 0],
    )


@pytest.mark.parametrize("kind", ["instance_segmentation", "normals", "optical_flow", "dvs"])
def test_every_picture_belongs_to_its_tick_from_the_first_on(world, kind):
    vehicle = stand(world)
    listener = camera(world, kind, vehicle)
    slow = camera(world, kind, vehicle, sensor_tick=0.2)
    for number in range(9):
        frame = world.tick()
        image = listener.take(frame)
        snapshot = world.get_snapshot()
        assert image.timestamp == snapshot.timestamp.elapsed_seconds
        pose = snapshot.find(listener.sensor.id).get_transform()
        assert image.transform.location == pose.location
        assert (image.width, image.height, image.fov) == (WIDTH, HEIGHT, FOV)
        if number % 4 == 0:
            slow.take(frame)
    assert listener.silent()
    assert slow.silent()


def test_instances_are_the_actors_that_the_pixels_show(world):
    vehicle = stand(world)
    other = stand_ahead(world, vehicle, 12.0, 30.0)
    instances = camera(world, "instance_segmentation", vehicle)
    semantic = camera(world, "semantic_segmentation", vehicle)
    frame = world.tick()
    image, tags = instances.take(frame), pixels(semantic.take(frame))[..., 2]
    ids = ids_of(image)
    assert (pixels(image)[..., 2] == tags).all()
    assert (ids[tags == SKY] == 0).all()
    on_it = ids == other.id & 0xFFFF
    assert on_it.sum() > 100
    assert set(tags[on_it].tolist()) == {CAR}
    corners = other.bounding_box.get_world_vertices(other.get_transform())
    column, row = pixel_places(np.array([(c.x, c.y, c.z) for c in corners]), image.transform)
    rows, columns = np.nonzero(on_it)
    assert columns.min() >= column.min() - 1.0
    assert columns.max() <= column.max() + 1.0
    assert rows.min() >= row.min() - 1.0
    assert rows.max() <= row.max() + 1.0
    # and no other pixel in the middle of that box is another car's
    known = {0, *(actor.id & 0xFFFF for actor in world.get_actors())}
    assert set(np.unique(ids).tolist()) <= known


def test_normals_are_those_of_the_surfaces_that_the_depth_camera_sees(world):
    vehicle = stand(world)
    stand_ahead(world, vehicle, 9.0, 40.0)
    normals, depth, semantic, instances = (
        camera(world, kind, vehicle)
        for kind in ("normals", "depth", "semantic_segmentation", "instance_segmentation")
    )
    frame = world.tick()
    image, depth_image = normals.take(frame), depth.take(frame)
    told, depth_m = normals_of(image), depth_of(depth_image)
    tags, ids = pixels(semantic.take(frame))[..., 2], ids_of(instances.take(frame))
    points = world_points(depth_m, depth_image.transform)
    across, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
    seen = np.cross(across, down)
    seen /= np.linalg.norm(seen, axis=-1, keepdims=True)
    road = (tags == int(carla.CityObjectLabel.Roads)) & (depth_m < 30.0)
    car = (ids > 0) & (tags == CAR) & (depth_m < 30.0)
    assert road.sum() > 1000
    assert car.sum() > 100
    assert np.linalg.norm(told[tags != SKY], axis=-1) == pytest.approx(1.0, abs=0.02)
    assert np.abs(told[tags == SKY]).max() < 0.01
    assert np.median(told[road][:, 2]) > 0.99
    for mask, least in ((road, 0.999), (car, 0.95)):
        cosines = np.abs((told * seen).sum(axis=-1))[mask]
        assert np.median(cosines) > least
    # outwards: surfaces of a closed body that are seen face the camera
    eye = np.array(
        (image.transform.location.x, image.transform.location.y, image.transform.location.z)
    )
    towards = ((eye - points) * told).sum(axis=-1)
    assert (towards[car] > 0.0).mean() > 0.95


def test_optical_flow_is_the_motion_since_the_last_picture(world):
    vehicle = stand(world)
    other = stand_ahead(world, vehicle, 12.0, 20.0)
    flow, depth, instances = (
        camera(world, kind, vehicle) for kind in ("optical_flow", "depth", "instance_segmentation")
    )
    frame = world.tick()
    assert np.abs(flow_px(flow.take(frame))).max() < 1e-9  # there was no picture before
    before = depth.take(frame).transform
    instances.take(frame)
    pose, other_pose = vehicle.get_transform(), other.get_transform()
    pose.location += pose.get_forward_vector() * 0.4
    pose.rotation.yaw += 1.0
    moved = other_pose.get_right_vector() * 0.5
    other.set_transform(carla.Transform(other_pose.location + moved, other_pose.rotation))
    vehicle.set_transform(pose)
    frame = world.tick()
    told, depth_image = flow_px(flow.take(frame)), depth.take(frame)
    depth_m, ids = depth_of(depth_image), ids_of(instances.take(frame))
    points = world_points(depth_m, depth_image.transform)
    on_it = ids == other.id & 0xFFFF
    points[on_it] -= (moved.x, moved.y, moved.z)
    column, row = pixel_places(points, before)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    expected = np.stack([columns - column, rows - row], axis=-1)
    # what stands still, what moves by itself, and the sky, which only turns
    still = (ids == 0) & (depth_m < 500.0)
    assert still.sum() > 1000
    assert on_it.sum() > 100
    for mask in (still, on_it):
        assert told[mask] == pytest.approx(expected[mask], abs=0.05)
    sky = depth_m > 999.0
    turned_px = FOCAL * np.tan(np.radians(1.0))
    assert np.median(told[sky][:, 0]) == pytest.approx(-turned_px, rel=0.3)
    # nothing has moved since
    frame = world.tick()
    depth.take(frame)
    instances.take(frame)
    assert np.abs(flow_px(flow.take(frame))).max() < 1e-3


def log_brightness(image, eps=0.001):
    grey = pixels(image)[..., :3].astype(np.float64) @ (0.114, 0.587, 0.2989)
    return np.log(eps + grey / 255.0)


def step_aside(world, vehicle, listeners, by_m=0.05):
    """Move a vehicle a little; return the messages of that tick."""
    pose = vehicle.get_transform()
    pose.location += pose.get_right_vector() * by_m
    vehicle.set_transform(pose)
    frame = world.tick()
    return [listener.take(frame) for listener in listeners]


def test_events_tell_what_changes_between_two_pictures(world):
    vehicle = stand(world)
    stand_ahead(world, vehicle, 9.0, 40.0)
    thresholds = {"positive_threshold": 0.2, "negative_threshold": 0.4}
    events, colours = camera(world, "dvs", vehicle, **thresholds), camera(world, "rgb", vehicle)
    frame = world.tick()
    assert len(events_of(events.take(frame))) == 0
    before = colours.take(frame)
    message, after = step_aside(world, vehicle, (events, colours))
    told = events_of(message)
    change = log_brightness(after) - log_brightness(before)
    assert (np.diff(told["t"]) >= 0).all()
    assert told["t"].min() >= before.timestamp * 1e9 - 1
    assert told["t"].max() <= after.timestamp * 1e9 + 1
    for up, threshold in ((True, 0.2), (False, 0.4)):
        counted = np.zeros((HEIGHT, WIDTH), int)
        mine = told[told["up"] == up]
        np.add.at(counted, (mine["y"], mine["x"]), 1)
        expected = np.floor(np.maximum(change if up else -change, 0.0) / threshold)
        assert counted.sum() > 50
        assert np.abs(counted - expected).max() <= 1
        assert (counted != expected).mean() < 1e-3  # where rounding decides
    # nothing moves: a message without events
    frame = world.tick()
    assert len(events_of(events.take(frame))) == 0


def test_a_pixel_rests_and_thresholds_scatter_as_asked(world):
    vehicle = stand(world)
    stand_ahead(world, vehicle, 9.0, 40.0)
    kinds = (
        {},
        {"refractory_period_ns": 50_000_000},
        {"sigma_positive_threshold": 0.1, "sigma_negative_threshold": 0.1},
        {"use_log": False, "positive_threshold": 20, "negative_threshold": 20},
        {"positive_threshold": 3, "negative_threshold": 3},
    )
    listeners = [camera(world, "dvs", vehicle, **attributes) for attributes in kinds]
    colours = camera(world, "rgb", vehicle)
    frame = world.tick()
    for listener in listeners:
        listener.take(frame)
    before = pixels(colours.take(frame))[..., :3].astype(np.float64)
    *messages, image = step_aside(world, vehicle, (*listeners, colours), 0.2)
    change = pixels(image)[..., :3].astype(np.float64) - before
    plain, rested, scattered, linear, dull = (events_of(message) for message in messages)

    def most_at_a_pixel(events):
        return np.unique(events["y"].astype(int) * WIDTH + events["x"], return_counts=True)[1].max()

    assert most_at_a_pixel(plain) > most_at_a_pixel(rested) == 1
    assert plain.tobytes() != scattered.tobytes()
    assert len(scattered) == pytest.approx(len(plain), rel=0.5)
    expected = np.floor(np.abs(change @ (0.114, 0.587, 0.2989)) / 20.0).sum()
    assert len(linear) == pytest.approx(expected, rel=0.02)
    assert len(dull) < 0.1 * len(plain)


@pytest.mark.parametrize(
    ("attributes", "stops"),
    [
        ({"exposure_compensation": 1}, 1.0),
        ({"exposure_compensation": -1.5}, -1.5),
        ({"exposure_mode": "manual", "shutter_speed": 400}, -1.0),
        ({"exposure_mode": "manual", "iso": 50, "fstop": 1.4}, -1.0),
        ({"exposure_mode": "manual", "fstop": 2.8}, -2.0),
        ({"exposure_mode": "histogram", "shutter_speed": 400}, 0.0),
        ({"exposure_compensation": 1, "enable_postprocess_effects": False}, 0.0),
    ],
)
def test_exposure_changes_the_light_of_a_picture_by_stops(world, attributes, stops):
    vehicle = stand(world)
    plain, exposed = (camera(world, "rgb", vehicle, **kind) for kind in ({}, attributes))
    frame = world.tick()
    one, other = (pixels(item.take(frame))[..., :3].astype(np.float64) for item in (plain, exposed))
    light = np.minimum((one / 255.0) ** 2.2 * 2.0**stops, 1.0)
    assert other == pytest.approx(light ** (1 / 2.2) * 255.0, abs=0.51)


def test_gamma_is_that_of_the_screen(world):
    vehicle = stand(world)
    plain, darker = (camera(world, "rgb", vehicle, gamma=gamma) for gamma in (2.2, 1.1))
    frame = world.tick()
    one, other = (pixels(item.take(frame))[..., :3] / 255.0 for item in (plain, darker))
    assert other == pytest.approx(one**2.0, abs=0.003)


def test_the_document_names_every_attribute_that_is_ignored():
    text = DOCUMENT.read_text()
    assert [name for name in IGNORED_ATTRIBUTES if f"`{name}`" not in text] == []


def test_attributes_that_are_documented_as_ignored_change_no_pixel(world):
    vehicle = stand(world)
    names = set(IGNORED_ATTRIBUTES)
    assert {"bloom_intensity", "motion_blur_intensity", "lens_flare_intensity"} < names
    known = {item.id for item in world.get_blueprint_library().find("sensor.camera.rgb")}
    assert names < known
    plain, strange = (
        camera(world, "rgb", vehicle, **dict.fromkeys(kind, 3)) for kind in ((), names)
    )
    frame = world.tick()
    assert bytes(plain.take(frame).raw_data) == bytes(strange.take(frame).raw_data)


@pytest.mark.parametrize(
    ("kind", "attribute", "value"),
    [("rgb", "gamma", 0), ("rgb", "iso", -1), ("dvs", "positive_threshold", 0)],
)
def test_exposures_and_thresholds_that_make_no_sense_are_refused(world, kind, attribute, value):
    blueprint = blueprint_of(world, f"sensor.camera.{kind}", **{attribute: value})
    with pytest.raises(RuntimeError, match=f"'{attribute}' of sensor.camera.{kind} is {value}"):
        world.spawn_actor(blueprint, MOUNT)
