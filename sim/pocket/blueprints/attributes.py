"""What a blueprint and its attributes are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class AttributeType(IntEnum):
    """Type of an attribute's value, with the numbers of the wire."""

    BOOL = 1
    INT = 2
    FLOAT = 3
    STRING = 4
    COLOUR = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of a blueprint, the fields of the wire's ``ActorAttribute``.

    Attributes:
        id: Name, e.g. ``"image_size_x"``.
        type: A number of `AttributeType`.
        value: Default, as text.
        recommended: Values that scripts may choose from; empty for what cannot be changed.
        modifiable: Whether the client may set it.
        restricted: Whether only recommended values are allowed.
    """

    id: str
    type: int
    value: str
    recommended: tuple[str, ...] = ()
    modifiable: bool = True
    restricted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Something that can be spawned, the fields of the wire's ``ActorDefinition``.

    Attributes:
        uid: Number on the wire, from 1 in the order of the library.
        id: Type of the actor, e.g. ``"vehicle.tesla.model3"``.
        tags: The parts of the id, separated by commas.
        attributes: All attributes with their defaults.
    """

    uid: int
    id: str
    tags: str
    attributes: tuple[Attribute, ...]


def variation(
    attribute_id: str, kind: AttributeType, *values: str, restricted: bool = False
) -> Attribute:
    """Return an attribute that the client may set; the first value is the default."""
    return Attribute(
        id=attribute_id, type=kind, value=values[0], recommended=values, restricted=restricted
    )


def constant(attribute_id: str, kind: AttributeType, value: str) -> Attribute:
    """Return an attribute that only describes."""
    return Attribute(id=attribute_id, type=kind, value=value, modifiable=False)
