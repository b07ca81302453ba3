"""Sensors that measure: each of the library delivers or is refused, and the values are right."""

import math
import queue
from pathlib import Path

import carla
import numpy as np
import pytest

from sim.pocket.blueprints.library import BLUEPRINTS
from sim.pocket.sensors.instrument import Instrument
from sim.pocket.sensors.offer import OFFER, Delivered, Refused

SENSORS = [blueprint.id for blueprint in BLUEPRINTS if blueprint.id.startswith("sensor.")]
REFUSED = [name for name, offer in OFFER.items() if isinstance(offer, Refused)]
MEASURED = [
    name
    for name, offer in OFFER.items()
    if isinstance(offer, Delivered)
    and issubclass(offer.kind, Instrument)
    and name != "sensor.other.obstacle"
]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "pocket-simulator.md"
ROOF = carla.Transform(carla.Location(z=2.4))
COMMAND = carla.command


def blueprint_of(world, kind, **attributes):
    blueprint = world.get_blueprint_library().find(kind)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    return blueprint


class Measured:
    """A sensor that is listened to, and its message of a tick."""

    def __init__(self, world, kind, parent, pose=ROOF, **attributes):
        self.sensor = world.spawn_actor(blueprint_of(world, kind, **attributes), pose, parent)
        self.kind = kind
        self._messages = queue.SimpleQueue()
        self.sensor.listen(self._messages.put)

    def take(self, frame):
        message = self._messages.get(timeout=180.0)
        assert message.frame == frame
        return message

    def silent(self):
        return self._messages.empty()


@pytest.fixture
def car(world):
    start = world.get_map().get_spawn_points()[0]
    vehicle = world.spawn_actor(blueprint_of(world, "vehicle.tesla.model3"), start)
    for _ in range(20):
        world.tick()  # it drops onto its wheels
    return vehicle


def test_every_sensor_of_the_library_is_offered_or_refused():
    assert sorted(OFFER) == sorted(SENSORS)


@pytest.mark.parametrize("name", SENSORS)
def test_the_document_says_what_becomes_of_every_sensor(name):
    cells = [
        line.split("|")
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("| `sensor")
    ]
    [state] = [cells[2] for cells in cells if f"`{name}`" in cells[1]]
    assert ("refused" in state) == (name in REFUSED)


@pytest.mark.parametrize("name", REFUSED)
def test_a_sensor_that_is_not_simulated_is_refused_with_a_sentence(world, client, car, name):
    blueprint = world.get_blueprint_library().find(name)
    with pytest.raises(RuntimeError, match=f"does not simulate {name}, so it cannot be spawned: "):
        world.spawn_actor(blueprint, ROOF, attach_to=car)
    assert world.try_spawn_actor(blueprint, ROOF) is None
    [answer] = client.apply_batch_sync([COMMAND.SpawnActor(blueprint, ROOF, car)], True)
    assert OFFER[name].instead in answer.error
    assert not [actor for actor in world.get_actors() if actor.type_id == name]


@pytest.mark.parametrize("name", MEASURED)
def test_a_measuring_sensor_delivers_on_every_tick_from_the_first_on(world, car, name):
    measured = Measured(world, name, car)
    car.apply_control(carla.VehicleControl(throttle=0.7, steer=0.2))
    for _ in range(5):
        frame = world.tick()
        message = measured.take(frame)
        snapshot = world.get_snapshot()
        pose = snapshot.find(measured.sensor.id).get_transform()
        assert message.timestamp == snapshot.timestamp.elapsed_seconds
        assert message.transform.location == pose.location
        assert message.transform.rotation == pose.rotation
    assert measured.silent()


@pytest.mark.parametrize("name", MEASURED)
def test_a_sensor_tick_thins_the_messages_out(world, car, name):
    measured = Measured(world, name, car, sensor_tick=0.2)
    frames = [world.tick() for _ in range(9)]
    for frame in frames[::4]:
        measured.take(frame)
    assert measured.silent()


def test_gnss_is_where_the_map_says(town):
    start = town.get_map().get_spawn_points()[0]
    vehicle = town.spawn_actor(blueprint_of(town, "vehicle.tesla.model3"), start)
    exact = Measured(town, "sensor.other.gnss", vehicle)
    biased = Measured(
        town,
        "sensor.other.gnss",
        vehicle,
        noise_lat_bias=0.5,
        noise_lon_bias=-0.25,
        noise_alt_bias=3,
    )
    frame = town.tick()
    message, other = exact.take(frame), biased.take(frame)
    place = town.get_map().transform_to_geolocation(message.transform.location)
    assert message.latitude == pytest.approx(place.latitude, abs=1e-9)
    assert message.longitude == pytest.approx(place.longitude, abs=1e-9)
    assert message.altitude == pytest.approx(place.altitude, abs=1e-5)
    assert other.latitude - message.latitude == pytest.approx(0.5)
    assert other.longitude - message.longitude == pytest.approx(-0.25)
    assert other.altitude - message.altitude == pytest.approx(3.0)


def test_an_imu_at_rest_shows_gravity_and_the_compass_north(world, car):
    car.set_simulate_physics(False)
    pose = car.get_transform()
    level = Measured(world, "sensor.other.imu", car)
    on_its_side = Measured(
        world, "sensor.other.imu", car, carla.Transform(rotation=carla.Rotation(roll=90.0))
    )
    for yaw, compass in ((-90.0, 0.0), (0.0, 0.5), (90.0, 1.0), (180.0, 1.5)):
        car.set_transform(carla.Transform(pose.location, carla.Rotation(yaw=yaw)))
        frame = world.tick()
        message, other = level.take(frame), on_its_side.take(frame)
        assert math.cos(message.compass - compass * math.pi) == pytest.approx(1.0)
    assert message.accelerometer.z == pytest.approx(9.81, abs=0.01)
    assert math.hypot(message.accelerometer.x, message.accelerometer.y) < 0.01
    assert message.gyroscope.length() < 0.01
    assert abs(other.accelerometer.y) == pytest.approx(9.81, abs=0.01)


def test_an_imu_feels_what_the_vehicle_does(world, car):
    imu = Measured(world, "sensor.other.imu", car, carla.Transform())
    car.apply_control(carla.VehicleControl(throttle=0.6, steer=0.1))
    speeds, felt = [], []
    for _ in range(60):
        message = imu.take(world.tick())
        velocity, pose = car.get_velocity(), car.get_transform()
        speeds.append(velocity.dot(pose.get_forward_vector()))
        felt.append(message)
    gain_mps = speeds[-1] - speeds[19]
    turning = [message.gyroscope.z for message in felt]
    sideways = [message.accelerometer.y for message in felt]
    assert gain_mps > 1.0
    # the speed gained is the sum of the accelerations; turning takes a small share of it
    assert sum(m.accelerometer.x for m in felt[20:]) * 0.05 == pytest.approx(gain_mps, rel=0.15)
    assert turning[-1] == pytest.approx(math.radians(car.get_angular_velocity().z), abs=1e-4)
    assert turning[-1] > 0.05
    assert np.mean(sideways[-10:]) == pytest.approx(
        np.mean(np.multiply(speeds[-10:], turning[-10:])), rel=0.2
    )


def test_gyroscope_bias_is_added(world, car):
    car.set_simulate_physics(False)
    imu = Measured(world, "sensor.other.imu", car, noise_gyro_bias_x=0.25)
    message = imu.take(world.tick())
    assert message.gyroscope.x == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("name", "noise", "read"),
    [
        ("sensor.other.gnss", "noise_alt_stddev", lambda m: m.altitude),
        ("sensor.other.imu", "noise_accel_stddev_z", lambda m: m.accelerometer.z),
        ("sensor.other.imu", "noise_gyro_stddev_y", lambda m: m.gyroscope.y),
    ],
)
def test_noise_has_the_asked_deviation_and_repeats_for_a_seed(world, car, name, noise, read):
    car.set_simulate_physics(False)
    first, second, other, exact = (
        Measured(world, name, car, **{noise: 0.5 * on, "noise_seed": seed})
        for on, seed in ((1, 7), (1, 7), (1, 8), (0, 7))
    )
    values = []
    for _ in range(200):
        frame = world.tick()
        values.append([read(item.take(frame)) for item in (first, second, other, exact)])
    table = np.array(values)
    noise_of = table[5:, [0, 2]] - table[5:, [3]]
    assert (table[:, 0] == table[:, 1]).all()
    assert (table[:, 0] != table[:, 2]).mean() > 0.9
    assert np.std(noise_of, axis=0) == pytest.approx([0.5, 0.5], rel=0.2)
    assert np.mean(noise_of, axis=0) == pytest.approx([0.0, 0.0], abs=0.15)
