"""Static props: their names are CARLA's, their sizes are estimates from the things they show."""

from __future__ import annotations

from bicameral.errors import unknown_name
from sim.pocket.geometry import Vector3

#: Length, width and height in metres by prop name.
_SIZES: dict[str, tuple[float, float, float]] = {
    "advertisement": (0.3, 1.3, 2.6),
    "atm": (0.7, 0.8, 1.8),
    "barbeque": (0.6, 0.9, 1.1),
    "barrel": (0.6, 0.6, 0.9),
    "bench01": (0.6, 1.6, 0.9),
    "bench02": (0.6, 1.6, 0.5),
    "bench03": (0.6, 1.8, 0.9),
    "bin": (0.6, 0.6, 1.1),
    "box01": (0.6, 0.6, 0.6),
    "box02": (0.5, 0.5, 0.5),
    "box03": (0.5, 0.5, 0.4),
    "briefcase": (0.15, 0.5, 0.4),
    "brokentile01": (0.3, 0.3, 0.02),
    "brokentile02": (0.3, 0.3, 0.02),
    "busstop": (1.6, 3.8, 2.8),
    "chainbarrier": (0.2, 1.5, 0.9),
    "chainbarrierend": (0.2, 0.2, 0.9),
    "clothcontainer": (1.1, 1.1, 1.7),
    "colacan": (0.07, 0.07, 0.12),
    "constructioncone": (0.4, 0.4, 0.7),
    "container": (1.1, 1.9, 1.4),
    "creasedbox01": (0.5, 0.5, 0.2),
    "creasedbox02": (0.5, 0.5, 0.2),
    "creasedbox03": (0.5, 0.5, 0.2),
    "dirtdebris01": (1.6, 1.6, 0.2),
    "dirtdebris02": (1.6, 1.6, 0.2),
    "dirtdebris03": (1.2, 1.2, 0.2),
    "fountain": (3.0, 3.0, 2.0),
    "garbage01": (0.3, 0.3, 0.1),
    "garbage02": (0.3, 0.3, 0.1),
    "garbage03": (0.4, 0.4, 0.2),
    "gardenlamp": (0.3, 0.3, 0.9),
    "glasscontainer": (1.5, 1.5, 1.7),
    "gnome": (0.4, 0.4, 0.8),
    "guitarcase": (0.3, 0.5, 1.2),
    "haybale": (1.2, 1.2, 1.2),
    "ironplank": (1.0, 2.0, 0.05),
    "kiosk_01": (2.4, 3.0, 3.0),
    "mailbox": (0.4, 0.5, 1.2),
    "map_table": (1.2, 0.8, 0.9),
    "mobile": (0.01, 0.08, 0.15),
    "motorhelmet": (0.3, 0.3, 0.3),
    "omri": (0.3, 0.3, 0.6),
    "plantpot01": (0.9, 0.9, 0.9),
    "plantpot02": (0.7, 0.7, 0.8),
    "plasticbag": (0.4, 0.4, 0.4),
    "plasticchair": (0.6, 0.6, 0.9),
    "plastictable": (1.0, 1.0, 0.8),
    "platformgarbage01": (1.6, 1.6, 0.3),
    "purse": (0.2, 0.3, 0.3),
    "shoppingbag": (0.2, 0.3, 0.4),
    "shoppingcart": (1.0, 0.6, 1.0),
    "shoppingtrolley": (0.4, 0.5, 1.0),
    "slide": (3.0, 1.0, 2.2),
    "streetbarrier": (0.4, 1.2, 1.1),
    "streetfountain": (0.6, 0.6, 1.2),
    "streetsign": (0.1, 0.6, 2.3),
    "streetsign01": (0.1, 0.6, 2.3),
    "streetsign04": (0.1, 0.6, 2.3),
    "swing": (2.0, 3.0, 2.2),
    "table": (0.9, 0.9, 0.8),
    "trafficcone01": (0.4, 0.4, 0.8),
    "trafficcone02": (0.4, 0.4, 0.6),
    "trafficwarning": (1.5, 2.3, 3.4),
    "trampoline": (3.0, 3.0, 1.0),
    "trashbag": (0.7, 0.7, 0.6),
    "trashcan01": (0.6, 0.6, 1.1),
    "trashcan02": (0.5, 0.5, 1.0),
    "trashcan03": (0.7, 0.7, 1.0),
    "travelcase": (0.3, 0.5, 0.8),
    "vendingmachine": (0.9, 1.1, 2.1),
    "warningaccident": (0.5, 0.8, 0.8),
    "warningconstruction": (0.5, 0.8, 1.0),
    "wateringcan": (0.2, 0.4, 0.3),
}
_UNIT_BOX = Vector3(0.5, 0.5, 0.5)
_SIZE_CLASSES = ((0.3, "tiny"), (0.8, "small"), (1.6, "medium"), (2.6, "big"))

PROP_IDS: tuple[str, ...] = tuple(f"static.prop.{name}" for name in _SIZES)


def prop_half_extent(prop_id: str) -> Vector3:
    """Return half of a prop's bounding box in metres; the box stands on the prop's origin.

    Args:
        prop_id: Id of the blueprint, e.g. ``"static.prop.box01"``.

    Raises:
        UserError: There is no such prop.
    """
    if prop_id == "static.prop.mesh":
        return _UNIT_BOX  # its size is that of a file which only the real simulator has
    size = _SIZES.get(prop_id.removeprefix("static.prop."))
    if size is None:
        raise unknown_name("prop", prop_id, PROP_IDS)
    return Vector3(*(0.5 * side for side in size))


def prop_size_class(prop_id: str) -> str:
    """Return CARLA's word for how large a prop is: ``tiny`` to ``huge``."""
    longest = 2.0 * max(prop_half_extent(prop_id))
    return next((name for limit, name in _SIZE_CLASSES if longest <= limit), "huge")
