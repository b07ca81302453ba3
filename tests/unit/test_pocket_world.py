"""Clocks, registries and message layouts of the pocket simulator."""

import struct
from typing import Any

import pytest

from bicameral.errors import UserError
from sim.pocket.geometry import Rotation, Transform, Vector3
from sim.pocket.methods import METHODS
from sim.pocket.methods.dispatch import Outcome, completes, returns
from sim.pocket.protocol import messages
from sim.pocket.protocol.values import (
    ActorDescription,
    AttributeValue,
    BoundingBox,
    VehicleControl,
    WireError,
)
from sim.pocket.world.actors import Actor, ActorRegistry, Identity, Sensor, Vehicle
from sim.pocket.world.episode import EpisodeClock
from sim.pocket.world.traffic_managers import TrafficManagerRegistry

NO_BOX = BoundingBox()
POSE = Transform(Vector3(1.0, 2.0, 3.0), Rotation(4.0, 5.0, 6.0))


def actor(number=1, box=NO_BOX):
    description = ActorDescription(0, "static.prop.box01")
    return Actor(Identity(actor_id=number, description=description, bounding_box=box), POSE)


def sensor(interval_s):
    attributes = (AttributeValue("sensor_tick", 3, str(interval_s)),)
    description = ActorDescription(0, "sensor.camera.rgb", attributes)
    return Sensor(Identity(actor_id=1, description=description), POSE, 0, 0)


@pytest.mark.parametrize("step_s", [0.05, 0.1, 1.0 / 30.0, 0.0333])
def test_time_is_an_exact_multiple_of_the_step(step_s):
    clock = EpisodeClock()
    for number in range(1, 5000):
        clock.advance(step_s)
        assert clock.now_s == number * step_s


def test_time_goes_on_when_the_step_changes():
    clock = EpisodeClock()
    for _ in range(3):
        clock.advance(0.1)
    clock.advance(0.05)
    assert clock.now_s == 3 * 0.1 + 0.05


@pytest.mark.parametrize(
    ("interval_s", "pattern"),
    [
        (0.0, [0, 1, 2, 3, 4, 5]),
        (0.01, [0, 1, 2, 3, 4, 5]),
        (0.05, [0, 1, 2, 3, 4, 5]),
        (0.1, [0, 2, 4, 6, 8, 10]),
        (0.2, [0, 4, 8, 12, 16, 20]),
        (0.12, [0, 3, 5, 8, 10, 12]),
        (1.0, [0, 20, 40, 60, 80, 100]),
    ],
)
def test_a_sensor_tick_does_not_drift(interval_s, pattern):
    device, clock, due = sensor(interval_s), EpisodeClock(), []
    for number in range(pattern[-1] + 1):
        clock.advance(0.05)
        if device.take_turn(clock.now_s):
            due.append(number)
    assert due == pattern


def test_a_sensor_spawned_late_begins_at_once():
    device = sensor(0.5)
    due = [number for number in range(100, 140) if device.take_turn(number * 0.05)]
    assert due == [100, 110, 120, 130]


def test_the_box_of_a_destroyed_actor_is_remembered():
    registry = ActorRegistry()
    box = BoundingBox(extent=Vector3(1.0, 2.0, 3.0))
    registry.add(actor(5, box))
    registry.remove(5)
    assert registry.find(5) is None
    assert registry.bounding_box(5) == box
    assert min(registry.bounding_box(99).extent) > 0.0


def test_an_actor_of_the_wrong_kind_is_an_error():
    registry = ActorRegistry()
    registry.add(actor(5))
    with pytest.raises(UserError, match="is no vehicle"):
        registry.get(5, Vehicle)
    with pytest.raises(UserError, match="unable to find actor 6"):
        registry.get(6, Actor)


def test_a_record_is_kept_until_the_actor_moves():
    thing = actor()
    first = thing.record()
    assert thing.record() is first
    thing.move(POSE._replace(location=Vector3()))
    assert thing.record() != first


def test_traffic_managers_are_forgotten_with_their_owner():
    registry = TrafficManagerRegistry()
    mine, yours = object(), object()
    assert registry.add("1.2.3.4", 8000, mine)
    assert not registry.add("1.2.3.4", 8000, yours)
    assert registry.add("1.2.3.4", 8001, yours)
    registry.forget(mine)
    assert registry.address(8000) is None
    assert registry.address(8001) == "1.2.3.4"


def test_the_messages_have_the_sizes_of_the_client():
    assert len(messages.pack_sensor_header(13, 77, 3.85)) == 48
    assert len(messages.pack_episode_header(1, 2.0, 0.05, 0)) == 36
    assert len(messages.pack_image_header(320, 160, 110.0)) == 12
    still = (Vector3(), Vector3(), Vector3())
    place = messages.pack_actor_place(1, POSE, still)
    assert len(messages.join_actor(place, b"x" * 10)) == 119
    assert len(messages.pack_vehicle_state(VehicleControl(), 50.0, (3, 0))) == 30
    light = messages.pack_traffic_light_state(
        messages.TrafficLightRecord("12", 1.0, 2.0, 3.0, 4.0, 0, False, 2)
    )
    assert len(light) == 54
    assert len(messages.pack_walker_state(Vector3(), 1.0, False)) == 17
    assert messages.pack_sign_state("x" * 40) == b"x" * 32


def test_a_header_holds_frame_time_and_pose():
    header = messages.pack_sensor_header(13, 77, 3.85, POSE)
    assert struct.unpack("<QQd6f", header) == (13, 77, 3.85, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def test_a_method_knows_how_many_arguments_it_takes():
    def handler(world, first: int, second: Any = None):
        return world, first, second

    method = returns(handler)
    assert (method.outcome, method.fewest, method.most) == (Outcome.VALUE, 1, 2)
    assert completes(handler).outcome is Outcome.VOID


def test_a_method_reads_its_arguments_as_what_its_annotations_say():
    def handler(world, owner, place: Vector3, *others: Any):
        return world, owner, place, others

    arguments = [[1.0, 2.0, 3.0], "more"]
    assert returns(handler).call("w", "o", arguments) == ("w", "o", Vector3(1, 2, 3), ("more",))
    with pytest.raises(WireError):
        returns(handler).call("w", "o", ["here"])


def test_every_method_that_is_more_than_an_expression_has_a_docstring():
    for name, method in METHODS.items():
        assert method.handler.__doc__ or method.handler.__name__ == "<lambda>", name
        assert method.fewest <= method.most
