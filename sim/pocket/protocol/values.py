"""The simulator's own types as decoded MessagePack, and back.

A struct (a dataclass or a named tuple) is an array of its fields in their order, so that its
annotations are its layout. An optional value is ``[False]`` or ``[True, value]``. Structs may carry
more fields than are known; those are ignored.

A client's numbers end up in every other client's snapshot, so none that is not finite or does not
fit comes in.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from bicameral.errors import DataError
from sim.pocket.geometry import Rotation, Vector3

#: Largest magnitude of any number that a client may set; CARLA's largest maps span 2e4 m.
MAX_MAGNITUDE = 1e7
_MAX_INT32 = 0x7FFFFFFF

Reader = Callable[[Any], Any]


class WireError(DataError):
    """An argument of a call has the wrong form; the real server would say bad cast."""


class OutOfRangeError(WireError):
    """A number of the right form that no world has; the client is told so in words."""


@dataclasses.dataclass(frozen=True)
class UpTo:
    """Marks an integer that is at least 0 and at most this."""

    largest: int


@dataclasses.dataclass(frozen=True)
class Exactly:
    """Marks a tuple of this many numbers."""

    count: int


Uint8 = Annotated[int, UpTo(0xFF)]
Uint32 = Annotated[int, UpTo(0xFFFFFFFF)]
Uint64 = Annotated[int, UpTo(0xFFFFFFFFFFFFFFFF)]


class BoundingBox(NamedTuple):
    """A box in the actor's frame, or in the world's for scenery."""

    location: Vector3 = Vector3()
    extent: Vector3 = Vector3()
    rotation: Rotation = Rotation()
    actor_id: Uint32 = 0


class AttributeValue(NamedTuple):
    """One attribute of an actor: name, type (see `blueprints`) and value as text."""

    name: str
    type: Uint8
    value: str


class ActorDescription(NamedTuple):
    """What a client asks to spawn, and what describes an actor ever after."""

    uid: Uint32
    type_id: str
    attributes: tuple[AttributeValue, ...] = ()


class EpisodeSettings(NamedTuple):
    """Settings of the simulation with the defaults of CARLA 0.9.16."""

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


class VehicleControl(NamedTuple):
    """What a client commands.

    Attributes:
        throttle: 0..1.
        steer: -1..1, positive right.
        brake: 0..1.
        hand_brake: Whether the hand brake is on.
        reverse: Drive backwards (when the gears shift themselves).
        manual_gear_shift: Whether `gear` decides instead of the automatic gearbox.
        gear: -1 reverse, 0 neutral, 1.. forward.
    """

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: int = 0


def from_wire(kind: Any, value: Any) -> Any:
    """Read a value of a type.

    Args:
        kind: ``float``, ``int`` (signed, 32 bits), ``bool``, ``str``, a struct, a tuple, a list, an
            optional of these, one of them marked with `UpTo` or `Exactly`, or ``Any``.
        value: What a client sent.

    Raises:
        WireError: It is something else; says what was expected.
    """
    return reader_of(kind)(value)


@functools.cache
def reader_of(kind: Any) -> Reader:
    """Return the function that reads values of a type; see `from_wire`."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _marked(*arguments)
    if origin in (Union, types.UnionType):
        return functools.partial(_optional, reader_of(arguments[0]))
    if origin is list:
        return functools.partial(_array, reader_of(arguments[0]), list)
    if origin is tuple and arguments[-1] is Ellipsis:
        return functools.partial(_array, reader_of(arguments[0]), tuple)
    if origin is tuple:
        return functools.partial(_struct, tuple(map(reader_of, arguments)), tuple)
    return _struct_reader(kind)


def to_wire(value: Any) -> Any:
    """Write a struct as the array of its fields, and whatever is in it alike."""
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return [
            _optional_to_wire(item) if _is_optional(kind) else to_wire(item)
            for name, kind in get_type_hints(type(value)).items()
            for item in (getattr(value, name),)
        ]
    return [to_wire(item) for item in value] if isinstance(value, tuple | list) else value


def fields_from_wire(value: Any, count: int) -> list[Any]:
    """Read an array of at least `count` fields and return so many; surplus ones are ignored."""
    if not isinstance(value, list) or len(value) < count:
        raise WireError(f"expected an array of {count} fields, got {_short(value)}")
    return value[:count]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise WireError(f"expected a number, got {_short(value)}")
    if not -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
        raise OutOfRangeError(f"expected a number within +-{MAX_MAGNITUDE:g}, got {_short(value)}")
    return float(value)


def _integer(low: int, high: int, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise WireError(f"expected an integer in {low}..{high}, got {_short(value)}")
    return value


def _of_kind(kind: type, what: str, value: Any) -> Any:
    if not isinstance(value, kind):
        raise WireError(f"expected {what}, got {_short(value)}")
    return value


# MessagePack distinguishes it from an integer.
_bool = functools.partial(_of_kind, bool, "a bool")


def _array(item: Reader, make: Callable[[Any], Any], value: Any) -> Any:
    if not isinstance(value, list):
        raise WireError(f"expected an array, got {_short(value)}")
    return make(map(item, value))


def _optional(item: Reader, value: Any) -> Any:
    (is_there,) = fields_from_wire(value, 1)
    return item(fields_from_wire(value, 2)[1]) if _bool(is_there) else None


def _struct(fields: tuple[Reader, ...], make: Callable[[Any], Any], value: Any) -> Any:
    values = fields_from_wire(value, len(fields))
    return make(read(item) for read, item in zip(fields, values, strict=True))


_PLAIN: dict[Any, Reader] = {
    float: _number,
    int: functools.partial(_integer, -_MAX_INT32, _MAX_INT32),
    bool: _bool,
    str: functools.partial(_of_kind, str, "a string"),
    Any: lambda value: value,
}


def _marked(kind: Any, mark: UpTo | Exactly) -> Reader:
    if isinstance(mark, UpTo):
        return functools.partial(_integer, 0, mark.largest)
    return functools.partial(_struct, (reader_of(get_args(kind)[0]),) * mark.count, tuple)


def _struct_reader(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    fields = tuple(map(reader_of, hints.values()))
    if issubclass(kind, tuple):
        return functools.partial(_struct, fields, lambda values: kind(*values))
    names = tuple(hints)
    return functools.partial(
        _struct, fields, lambda values: kind(**dict(zip(names, values, strict=True)))
    )


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _optional_to_wire(value: Any) -> list[Any]:
    return [False] if value is None else [True, to_wire(value)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
