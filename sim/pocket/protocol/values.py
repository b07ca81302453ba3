"""Checks and conversions of decoded MessagePack values into the simulator's own types.

A client's numbers end up in every other client's snapshot, so none that is not finite or does not
fit comes in. All functions raise WireError with what was expected.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bicameral.errors import DataError
from sim.pocket.geometry import Rotation, Transform, Vector3

#: Largest magnitude of any number that a client may set; CARLA's largest maps span 2e4 m.
MAX_MAGNITUDE = 1e7
_MAX_UINT32 = 0xFFFFFFFF
_MAX_UINT64 = 0xFFFFFFFFFFFFFFFF
_MAX_INT32 = 0x7FFFFFFF


class WireError(DataError):
    """An argument of a call has the wrong form; the real server would say bad cast."""


class BoundingBox(NamedTuple):
    """A box in the actor's frame, or in the world's for scenery; fields in the wire's order."""

    location: Vector3 = Vector3()
    extent: Vector3 = Vector3()
    rotation: Rotation = Rotation()
    actor_id: int = 0


class AttributeValue(NamedTuple):
    """One attribute of an actor: name, type (see `blueprints`) and value as text."""

    name: str
    type: int
    value: str


class ActorDescription(NamedTuple):
    """What a client asks to spawn, and what describes an actor ever after."""

    uid: int
    type_id: str
    attributes: tuple[AttributeValue, ...] = ()


class EpisodeSettings(NamedTuple):
    """Settings of the simulation; fields in the wire's order, defaults of CARLA 0.9.16."""

    synchronous_mode: bool = False
    no_rendering_mode: bool = False
    fixed_delta_s: float | None = None
    substepping: bool = True
    max_substep_delta_s: float = 0.01
    max_substeps: int = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = True
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True


def number_from_wire(value: Any) -> float:
    """Read a finite number.

    Raises:
        WireError: If it is none or larger than `MAX_MAGNITUDE`.
    """
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise WireError(f"expected a number, got {_short(value)}")
    if not -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
        raise WireError(f"expected a number within +-{MAX_MAGNITUDE:g}, got {_short(value)}")
    return float(value)


def int_from_wire(value: Any) -> int:
    """Read a signed 32-bit integer."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_INT32:
        raise WireError(f"expected an integer, got {_short(value)}")
    return value


def uint_from_wire(value: Any, largest: int = _MAX_UINT32) -> int:
    """Read an unsigned integer, 32 bits unless told otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        raise WireError(f"expected an integer in 0..{largest}, got {_short(value)}")
    return value


def bool_from_wire(value: Any) -> bool:
    """Read a bool; MessagePack distinguishes it from an integer."""
    if not isinstance(value, bool):
        raise WireError(f"expected a bool, got {_short(value)}")
    return value


def str_from_wire(value: Any) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise WireError(f"expected a string, got {_short(value)}")
    return value


def fields_from_wire(value: Any, count: int) -> list[Any]:
    """Read a struct: an array of at least `count` fields; surplus ones are ignored."""
    if not isinstance(value, list) or len(value) < count:
        raise WireError(f"expected an array of {count} fields, got {_short(value)}")
    return value


def list_from_wire(value: Any) -> list[Any]:
    """Read an array of any length."""
    if not isinstance(value, list):
        raise WireError(f"expected an array, got {_short(value)}")
    return value


def actor_ids_from_wire(value: Any) -> list[int]:
    """Read an array of actor ids."""
    return [uint_from_wire(actor_id) for actor_id in list_from_wire(value)]


def numbers_from_wire(value: Any, count: int) -> tuple[float, ...]:
    """Read `count` numbers."""
    fields = fields_from_wire(value, count)
    return tuple(number_from_wire(field) for field in fields[:count])


def vector_from_wire(value: Any) -> Vector3:
    """Read a Vector3D or Location."""
    return Vector3(*numbers_from_wire(value, 3))


def transform_from_wire(value: Any) -> Transform:
    """Read a Transform: location in metres, rotation in degrees."""
    location, rotation = fields_from_wire(value, 2)[:2]
    return Transform(vector_from_wire(location), Rotation(*numbers_from_wire(rotation, 3)))


def optional_from_wire(value: Any) -> Any | None:
    """Read an ``optional<T>``: ``[False]`` or ``[True, value]``."""
    fields = fields_from_wire(value, 1)
    if not bool_from_wire(fields[0]):
        return None
    return fields_from_wire(value, 2)[1]


def description_from_wire(value: Any) -> ActorDescription:
    """Read an ActorDescription."""
    uid, type_id, attributes = fields_from_wire(value, 3)[:3]
    return ActorDescription(
        uint_from_wire(uid),
        str_from_wire(type_id),
        tuple(_attribute_from_wire(attribute) for attribute in list_from_wire(attributes)),
    )


def _attribute_from_wire(value: Any) -> AttributeValue:
    name, type_number, text = fields_from_wire(value, 3)[:3]
    return AttributeValue(
        str_from_wire(name), uint_from_wire(type_number, 255), str_from_wire(text)
    )


def settings_from_wire(value: Any) -> EpisodeSettings:
    """Read EpisodeSettings; a fixed time step of 0 or less counts as none, as in CARLA."""
    fields = fields_from_wire(value, len(EpisodeSettings._fields))
    delta = optional_from_wire(fields[2])
    delta_s = None if delta is None else number_from_wire(delta)
    return EpisodeSettings(
        bool_from_wire(fields[0]),
        bool_from_wire(fields[1]),
        delta_s if delta_s is not None and delta_s > 0.0 else None,
        bool_from_wire(fields[3]),
        number_from_wire(fields[4]),
        int_from_wire(fields[5]),
        number_from_wire(fields[6]),
        bool_from_wire(fields[7]),
        number_from_wire(fields[8]),
        number_from_wire(fields[9]),
        bool_from_wire(fields[10]),
    )


def wire_from_settings(settings: EpisodeSettings) -> list[Any]:
    """Write EpisodeSettings."""
    fields: list[Any] = list(settings)
    fields[2] = [False] if settings.fixed_delta_s is None else [True, settings.fixed_delta_s]
    return fields


def object_ids_from_wire(value: Any) -> list[int]:
    """Read an array of 64-bit ids of environment objects."""
    return [uint_from_wire(object_id, _MAX_UINT64) for object_id in list_from_wire(value)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
