"""Procedural textures, drawn once per process from a seed."""

from __future__ import annotations

from bicameral.errors import unknown_name

TEXTURE_SIZE = 256

TEXTURE_NAMES: tuple[str, ...] = (
    "plain",
    "asphalt",
    "asphalt_worn",
    "grass",
    "sidewalk",
    "concrete",
    "kerb",
    "facade_plaster",
    "facade_brick",
    "facade_office",
    "facade_panel",
    "facade_house",
    "roof",
    "roof_tiles",
    "leaves",
    "bark",
    "soil",
    "paint",
)
_INDEX = {name: index for index, name in enumerate(TEXTURE_NAMES)}


def texture_index(name: str) -> int:
    """Return the layer of a texture; `UserError` if there is none of that name."""
    if name not in _INDEX:
        raise unknown_name("texture", name, TEXTURE_NAMES)
    return _INDEX[name]
