"""What is in a recording, as text in the words of CARLA's own recorder.

People read it, and programs do: scenario_runner's metrics take it apart line by line. So the order
of the lines, their indents and their units (centimetres for places and boxes) are CARLA's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import UserError
from sim.pocket.protocol.messages import (
    unpack_traffic_light_state,
    unpack_vehicle_control,
    unpack_walker_state,
)
from sim.pocket.protocol.values import from_wire
from sim.pocket.recording.file import Frame, Recording, SpawnedActor
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.vehicles import PhysicsControl

#: Longer texts are refused: the client would have to hold them whole.
_LONGEST_TEXT = 256 << 20
_CM_PER_M = 100.0
_LAMPS = (
    ("Position", 1), ("LowBeam", 2), ("HighBeam", 4), ("Brake", 8), ("RightBlinker", 16),
    ("LeftBlinker", 32), ("Reverse", 64), ("Interior", 256), ("Fog", 128), ("Special1", 512),
    ("Special2", 1024),
)  # fmt: skip
_VEHICLE, _WALKER, _LIGHT, _SENSOR, _VIEWER, _OTHER = 1, 2, 3, 4, -1, 0
#: Kinds of actor: start of the blueprint, the letter of the queries, the number of the texts.
_KINDS = (
    ("vehicle.", "v", _VEHICLE),
    ("walker.", "w", _WALKER),
    ("traffic.traffic_light", "t", _LIGHT),
    ("sensor.", "o", _SENSOR),
    ("spectator", "o", _VIEWER),
    ("", "o", _OTHER),
)
_HERO, _ANY = "h", "a"
_FILTERS = ("h", "v", "w", "t", "o", "a")
_PHYSICS_NUMBERS = (
    "max_rpm", "moi", "damping_rate_full_throttle", "damping_rate_zero_throttle_clutch_engaged",
    "damping_rate_zero_throttle_clutch_disengaged", "use_gear_autobox", "gear_switch_time",
    "clutch_strength", "final_ratio", "mass", "drag_coefficient",
)  # fmt: skip
_WHEEL_NUMBERS = (
    "tire_friction", "damping_rate", "max_steer_angle", "radius", "max_brake_torque",
    "max_handbrake_torque",
)  # fmt: skip


def describe(recording: Recording, *, show_all: bool) -> str:
    """Return what happened; all places and states of every frame if asked to.

    Raises:
        UserError: The text would be too long.
    """
    lines = _heading(recording)
    length = 0
    actors: dict[int, SpawnedActor] = {}
    for number, frame in enumerate(recording.frames(), start=1):
        actors |= {item.actor_id: item for item in frame.spawned}
        events = list(_events(frame, actors))
        if show_all:
            events += _states(frame, actors)
        if events or show_all:
            events.insert(0, f"Frame {number} at {_number(frame.time_s)} seconds")
        length += sum(map(len, events))
        if length > _LONGEST_TEXT:
            raise UserError(
                f"the text is longer than {_LONGEST_TEXT >> 20} MiB at frame {number} of "
                f"{len(recording)}; ask without show_all, or read the file itself"
            )
        lines += events
    return "\n".join([*lines, *_ending(recording)])


def describe_collisions(recording: Recording, first: str, second: str) -> str:
    """Return when things of two kinds began to touch.

    Args:
        recording: Where.
        first: Kind of the one: ``h`` hero, ``v`` vehicle, ``w`` walker, ``t`` traffic light, ``o``
            other, ``a`` any.
        second: Kind of the other.

    Raises:
        UserError: There is no such kind.
    """
    for letter in (first, second):
        if letter not in _FILTERS:
            raise UserError(f"{letter!r} is no kind of actor; expected one of {list(_FILTERS)}")
    title = f"{'Time':>8} {'Types':>6} {'Id':>6} {'Actor 1':<35} {'Id':>6} {'Actor 2':<35}"
    lines = [*_heading(recording), title]
    actors: dict[int, SpawnedActor] = {}
    before: set[tuple[int, int]] = set()
    for frame in recording.frames():
        actors |= {item.actor_id: item for item in frame.spawned}
        now = set()
        for item in frame.collisions:
            one, other = actors.get(item.actor_id), actors.get(item.other_id)
            if not (_matches(first, one) and _matches(second, other)):
                continue
            pair = (item.actor_id, item.other_id)
            now.add(pair)
            if pair not in before:
                lines.append(
                    f"{frame.time_s:8.0f}   {_letter(one)} {_letter(other)}  {pair[0]:6d} "
                    f"{_name(one, item.other_tag):<35} {pair[1]:6d} "
                    f"{_name(other, item.other_tag):<35}"
                )
        before = now
    return "\n".join([*lines, *_ending(recording)])


@dataclass(slots=True)
class _Stand:
    """How long an actor has been near a place."""

    place_m: NDArray[np.float32]
    since_s: float
    lasted_s: float = 0.0


def describe_blocked(recording: Recording, shortest_s: float, reach_m: float) -> str:
    """Return who stood for long, the longest first.

    Args:
        recording: Where.
        shortest_s: Shorter stands are left out.
        reach_m: Who moves less than this stands.
    """
    names: dict[int, str] = {}
    stands: dict[int, _Stand] = {}
    found: list[tuple[int, _Stand]] = []
    for frame in recording.frames():
        names |= {item.actor_id: item.description.type_id for item in frame.spawned}
        for record in frame.actors:
            actor_id, place_m = int(record["id"]), record["location"]
            if not names.get(actor_id, "").startswith(("vehicle.", "walker.")):
                continue
            stand = stands.get(actor_id)
            if stand is not None and np.linalg.norm(place_m - stand.place_m) < reach_m:
                stand.lasted_s = frame.time_s - stand.since_s
                continue
            if stand is not None:
                found.append((actor_id, stand))
            stands[actor_id] = _Stand(place_m.copy(), frame.time_s)
    long = [one for one in (*found, *stands.items()) if one[1].lasted_s >= shortest_s]
    long.sort(key=lambda one: -one[1].lasted_s)
    lines = [*_heading(recording), f"{'Time':>8} {'Id':>6} {'Actor':<35} {'Duration':>10}"]
    lines += [
        f"{stand.since_s:8.0f} {actor_id:6d} {names[actor_id]:<35} {stand.lasted_s:10.0f}"
        for actor_id, stand in long
    ]
    return "\n".join([*lines, *_ending(recording)])


def _heading(recording: Recording) -> list[str]:
    lines = ["Version: 1", f"Map: {recording.about.town}", f"Date: {recording.about.date}"]
    if recording.unread_bytes:
        lines.append(
            f"Incomplete: the last {recording.unread_bytes} bytes are no whole tick and left out"
        )
    return [*lines, ""]


def _ending(recording: Recording) -> list[str]:
    frames, duration = len(recording), _number(recording.duration_s)
    return ["", f"Frames: {frames}", f"Duration: {duration} seconds", ""]


def _events(frame: Frame, actors: dict[int, SpawnedActor]) -> Iterator[str]:
    places = {int(one["id"]): one["location"] for one in frame.actors} if frame.spawned else {}
    for item in frame.spawned:
        place = _vector(places.get(item.actor_id, (0.0, 0.0, 0.0)), _CM_PER_M)
        kind = max(_OTHER, _kind(item)[1])
        yield f" Create {item.actor_id}: {item.description.type_id} ({kind}) at {place}"
        for attribute in item.description.attributes:
            yield f"  {attribute.name} = {attribute.value}"
    for actor_id in frame.destroyed:
        yield f" Destroy {actor_id}"
    for number, collision in enumerate(frame.collisions):
        one, other = collision.actor_id, collision.other_id
        if _is_hero(actors.get(other)):
            one, other = other, one  # readers of the text look for a number at its end
        hero = " (hero) " if _is_hero(actors.get(one)) else ""
        yield f" Collision id {number} between {one}{hero} with {other}"
    for item in frame.spawned:
        if item.parent_id:
            yield f" Parenting {item.actor_id} with {item.parent_id} (parent)"


def _states(frame: Frame, actors: dict[int, SpawnedActor]) -> list[str]:
    """Return what is in every frame: only what can move has a place, as in CARLA."""
    kinds = [_kind(actors.get(actor_id))[1] for actor_id in frame.actors["id"].tolist()]
    of_kind = np.array(kinds, dtype=np.int64)
    vehicles, walkers, lights, viewers = (
        frame.actors[of_kind == kind] for kind in (_VEHICLE, _WALKER, _LIGHT, _VIEWER)
    )
    moving = np.concatenate([vehicles, walkers])
    placed = np.concatenate([viewers, moving])
    boxes = [item for item in frame.spawned if _kind(item)[1] in (_VEHICLE, _WALKER)]
    volumes = [item for item in frame.spawned if _kind(item)[1] == _LIGHT]
    return [
        *_section(
            "Positions",
            _vectors(
                placed,
                Location=placed["location"] * _CM_PER_M,
                Rotation=placed["rotation"][:, [2, 0, 1]],  # roll, pitch, yaw
            ),
        ),
        *_section("State traffic lights", map(_traffic_light, lights)),
        *_section("Vehicle animations", map(_vehicle, vehicles)),
        *_section("Walker animations", map(_walker, walkers)),
        *_section("Vehicle light animations", (_lamps(*pair) for pair in frame.lamps)),
        *_section(
            "Dynamic actors",
            _vectors(
                moving,
                linear_velocity=moving["velocity"],
                angular_velocity=moving["angular_velocity"],
            ),
        ),
        *_section("Actor bounding boxes", map(_box, boxes)),
        *_section("Actor trigger volumes", map(_box, volumes)),
        f" Current platform time: {_number(frame.platform_s)}",
        *_section("Physics Control events", (_physics(*pair) for pair in frame.physics)),
        *_section("Traffic Light time events", map(_light_times, lights if volumes else ())),
    ]


def _section(title: str, entries: Iterable[str]) -> list[str]:
    lines = list(entries)
    return [f" {title}: {len(lines)}", *lines] if lines else []


def _vectors(records: NDArray[np.void], **columns: NDArray[Any]) -> Iterator[str]:
    form = "  Id: {} " + " ".join(f"{name}: ({{:.6g}}, {{:.6g}}, {{:.6g}})" for name in columns)
    numbers = np.column_stack(list(columns.values())).tolist()
    for actor_id, values in zip(records["id"].tolist(), numbers, strict=True):
        yield form.format(actor_id, *values)


def _traffic_light(record: Any) -> str:
    light = unpack_traffic_light_state(record["state"].tobytes())
    return (
        f"  Id: {record['id']} state: {light.state} frozen: {int(light.frozen)} "
        f"elapsedTime: {_number(light.elapsed_s)}"
    )


def _light_times(record: Any) -> str:
    light = unpack_traffic_light_state(record["state"].tobytes())
    return (
        f"  Id: {record['id']} green_time: {_number(light.green_time_s)} "
        f"yellow_time: {_number(light.yellow_time_s)} red_time: {_number(light.red_time_s)}"
    )


def _vehicle(record: Any) -> str:
    control = unpack_vehicle_control(record["state"].tobytes())
    gear = -abs(control.gear) if control.reverse else control.gear
    return (
        f"  Id: {record['id']} Steering: {_number(control.steer)} "
        f"Throttle: {_number(control.throttle)} Brake: {_number(control.brake)} "
        f"Handbrake: {int(control.hand_brake)} Gear: {gear}"
    )


def _walker(record: Any) -> str:
    _direction, speed_mps, _jump = unpack_walker_state(record["state"].tobytes())
    return f"  Id: {record['id']} speed: {_number(speed_mps)}"


def _lamps(actor_id: int, flags: int) -> str:
    names = [name for name, flag in _LAMPS if flags & flag]
    return f"  Id: {actor_id} {' '.join(names) or 'None'}"


def _box(item: SpawnedActor) -> str:
    origin, extent = _vector(item.box.location, _CM_PER_M), _vector(item.box.extent, _CM_PER_M)
    return f"  Id: {item.actor_id} origin: {origin} extension: {extent}"


def _physics(actor_id: int, fields: Any) -> str:
    physics: PhysicsControl = from_wire(PhysicsControl, fields)
    renamed = {"moi": "MOI", "use_gear_autobox": "use_gear_auto_box"}
    lines = [f"  Id: {actor_id}"]
    for name in _PHYSICS_NUMBERS:
        value = getattr(physics, name)
        shown = str(value).lower() if isinstance(value, bool) else _number(value)
        lines.append(f"   {renamed.get(name, name)} = {shown}")
    lines.append(f"   center_of_mass = {_vector(physics.center_of_mass)}")
    for name in ("torque_curve", "steering_curve"):
        points = " ".join(_vector(point) for point in getattr(physics, name))
        lines.append(f"   {name} = {points}")
    lines.append("   forward_gears:")
    lines += [
        f"    gear {number}: ratio {_number(gear.ratio)} down_ratio {_number(gear.down_ratio)} "
        f"up_ratio {_number(gear.up_ratio)}"
        for number, gear in enumerate(physics.forward_gears)
    ]
    lines.append("   wheels:")
    for number, wheel in enumerate(physics.wheels):
        values = " ".join(f"{name} {_number(getattr(wheel, name))}" for name in _WHEEL_NUMBERS)
        lines.append(f"    wheel {number}: {values} position {_vector(wheel.position)}")
    return "\n".join(lines)


def _kind(item: SpawnedActor | None) -> tuple[str, int]:
    type_id = "" if item is None else item.description.type_id
    return next((letter, kind) for start, letter, kind in _KINDS if type_id.startswith(start))


def _letter(item: SpawnedActor | None) -> str:
    return _kind(item)[0]


def _is_hero(item: SpawnedActor | None) -> bool:
    return item is not None and is_hero(item)


def is_hero(item: SpawnedActor) -> bool:
    """Say whether it is the vehicle under test, as its role name tells."""
    attributes = item.description.attributes
    return any(one.name == "role_name" and one.value == "hero" for one in attributes)


def _matches(letter: str, item: SpawnedActor | None) -> bool:
    return letter in (_ANY, _letter(item)) or (letter == _HERO and _is_hero(item))


def _name(item: SpawnedActor | None, tag: int) -> str:
    if item is not None:
        return item.description.type_id
    known = tag in tuple(CityObjectLabel)
    return f"static.{CityObjectLabel(tag).name.lower()}" if known else "static"


def _vector(values: Iterable[float], factor: float = 1.0) -> str:
    return f"({', '.join(_number(float(value) * factor) for value in values)})"


def _number(value: float) -> str:
    """Write a number as C++ streams do."""
    return f"{value:.6g}"
