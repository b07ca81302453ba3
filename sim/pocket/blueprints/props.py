"""Static props: names and sizes are those that CARLA 0.9.16 reports."""

from __future__ import annotations

from bicameral.errors import unknown_name
from sim.pocket.geometry import Vector3

#: Length (along x), width and height in metres by prop name; no side is thinner than a centimetre.
_SIZES: dict[str, tuple[float, float, float]] = {
    "advertisement": (1.55, 0.29, 2.44),
    "aporosatree": (12.96, 12.58, 15.63),
    "atm": (0.71, 0.87, 2.28),
    "barbeque": (0.95, 0.5, 1.26),
    "barrel": (0.46, 0.47, 0.81),
    "bench01": (1.54, 0.74, 0.97),
    "bench02": (1.56, 0.54, 0.51),
    "bench03": (1.58, 0.51, 0.51),
    "bike helmet": (0.19, 0.28, 0.17),
    "bin": (0.55, 0.64, 1.06),
    "box01": (0.65, 0.65, 0.69),
    "box02": (0.65, 0.65, 0.65),
    "box03": (0.66, 0.67, 0.65),
    "briefcase": (0.54, 0.18, 0.43),
    "brokentile01": (0.13, 0.18, 0.01),
    "brokentile02": (0.21, 0.15, 0.01),
    "brokentile03": (0.15, 0.14, 0.01),
    "brokentile04": (0.13, 0.13, 0.01),
    "busstop": (3.88, 1.89, 2.74),
    "busstoplb": (1.89, 3.88, 2.74),
    "calibrator": (1.55, 0.69, 0.2),
    "chainbarrier": (1.49, 0.24, 0.89),
    "chainbarrierend": (0.24, 0.24, 0.89),
    "clothcontainer": (1.24, 1.89, 1.81),
    "clothesline": (6.65, 1.12, 2.06),
    "coconutpalm": (8.6, 8.89, 20.31),
    "colacan": (0.07, 0.07, 0.11),
    "constructioncone": (0.34, 0.34, 0.59),
    "container": (1.93, 1.01, 1.71),
    "creasedbox01": (0.81, 0.71, 0.12),
    "creasedbox02": (1.63, 0.71, 0.21),
    "creasedbox03": (1.67, 0.71, 0.02),
    "cypresstree": (4.61, 4.63, 15.68),
    "dirtdebris01": (1.86, 1.51, 0.15),
    "dirtdebris02": (1.86, 1.51, 0.15),
    "dirtdebris03": (1.86, 1.51, 0.19),
    "doghouse": (1.08, 1.27, 1.09),
    "foodcart": (2.28, 4.64, 3.57),
    "fountain": (8.4, 8.4, 6.92),
    "garbage01": (0.05, 0.05, 0.09),
    "garbage02": (0.05, 0.05, 0.01),
    "garbage03": (0.06, 0.06, 0.08),
    "garbage04": (0.06, 0.06, 0.07),
    "garbage05": (0.23, 0.23, 0.06),
    "garbage06": (0.37, 0.21, 0.08),
    "gardenlamp": (0.3, 0.28, 0.65),
    "glasscontainer": (1.95, 2.01, 1.79),
    "gnome": (0.37, 0.38, 0.88),
    "guitarcase": (1.24, 0.13, 0.49),
    "haybale": (1.25, 1.19, 1.19),
    "haybalelb": (1.25, 1.19, 1.19),
    "ironplank": (1.45, 1.17, 0.02),
    "kiosk_01": (1.63, 1.65, 3.25),
    "mailbox": (0.53, 0.44, 1.16),
    "map_table": (1.57, 0.62, 1.18),
    "maptable": (1.57, 0.62, 1.18),
    "mobile": (0.08, 0.01, 0.17),
    "motorhelmet": (0.2, 0.26, 0.26),
    "omri": (0.3, 0.3, 0.6),
    "pergola": (5.03, 5.09, 3.54),
    "plantpot01": (1.09, 0.48, 0.56),
    "plantpot02": (1.05, 0.43, 0.49),
    "plantpot03": (1.05, 0.43, 0.49),
    "plantpot04": (4.97, 0.74, 0.12),
    "plantpot05": (0.4, 0.4, 0.28),
    "plantpot06": (1.59, 1.59, 0.85),
    "plantpot07": (0.49, 0.48, 0.56),
    "plantpot08": (0.53, 0.53, 0.49),
    "plasticbag": (0.31, 0.4, 0.55),
    "plasticchair": (0.73, 0.75, 1.27),
    "plastictable": (2.48, 2.48, 2.48),
    "platformgarbage01": (3.63, 1.71, 0.33),
    "purse": (0.16, 0.33, 0.59),
    "shoppingbag": (0.47, 0.24, 0.6),
    "shoppingcart": (0.67, 1.21, 1.08),
    "shoppingtrolley": (0.51, 0.33, 1.09),
    "slide": (0.94, 4.12, 1.98),
    "streetbarrier": (1.21, 0.37, 1.07),
    "streetfountain": (0.29, 0.67, 1.26),
    "streetsign": (1.06, 0.13, 2.15),
    "streetsign01": (2.47, 0.3, 3.88),
    "streetsign04": (1.17, 0.12, 2.77),
    "swing": (4.11, 1.58, 2.57),
    "swingcouch": (1.36, 2.36, 2.25),
    "table": (2.16, 2.15, 0.85),
    "trafficcone01": (0.88, 0.88, 1.13),
    "trafficcone02": (0.46, 0.39, 1.18),
    "trafficwarning": (2.37, 2.87, 3.57),
    "trampoline": (4.13, 4.13, 2.8),
    "trashbag": (0.38, 0.43, 0.7),
    "trashcan01": (0.64, 0.57, 0.85),
    "trashcan02": (0.52, 0.51, 1.05),
    "trashcan03": (0.63, 0.55, 0.93),
    "trashcan04": (0.79, 0.58, 1.02),
    "trashcan05": (0.79, 0.58, 1.02),
    "travelcase": (0.57, 0.33, 1.26),
    "vendingmachine": (0.87, 1.1, 2.11),
    "warningaccident": (1.31, 1.06, 1.86),
    "warningconstruction": (1.31, 1.06, 1.86),
    "wateringcan": (0.07, 0.19, 0.13),
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
