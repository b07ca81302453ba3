"""What each OpenDRIVE lane type is made of."""

from __future__ import annotations

from dataclasses import dataclass

from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Material

SIDEWALK_HEIGHT_M = 0.15
MEDIAN_HEIGHT_M = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A lane's material, height above the road, and metres per texture repeat."""

    material: Material
    height_m: float = 0.0
    repeat_m: float = 6.0


ASPHALT = Surface(material=Material("asphalt", CityObjectLabel.ROADS), repeat_m=5.0)
SHOULDER = Surface(material=Material("asphalt_worn", CityObjectLabel.ROADS, (1.06, 1.05, 1.03)))
SIDEWALK = Surface(
    material=Material("sidewalk", CityObjectLabel.SIDEWALKS),
    height_m=SIDEWALK_HEIGHT_M,
    repeat_m=4.0,
)
MEDIAN = Surface(
    material=Material("grass", CityObjectLabel.TERRAIN), height_m=MEDIAN_HEIGHT_M, repeat_m=10.0
)
CURB = Surface(
    material=Material("kerb", CityObjectLabel.SIDEWALKS), height_m=SIDEWALK_HEIGHT_M, repeat_m=4.0
)
PARKING = Surface(material=Material("asphalt_worn", CityObjectLabel.ROADS, (0.88, 0.88, 0.9)))
BIKING = Surface(material=Material("asphalt", CityObjectLabel.ROADS, (1.2, 0.66, 0.56)))
TRACK = Surface(material=Material("soil", CityObjectLabel.RAIL_TRACK))
VERGE = Surface(material=Material("grass", CityObjectLabel.TERRAIN), repeat_m=10.0)

_BY_LANE_KIND: dict[str, Surface] = {
    "driving": ASPHALT,
    "bidirectional": ASPHALT,
    "entry": ASPHALT,
    "exit": ASPHALT,
    "onRamp": ASPHALT,
    "offRamp": ASPHALT,
    "connectingRamp": ASPHALT,
    "special1": ASPHALT,
    "special2": ASPHALT,
    "special3": ASPHALT,
    "roadWorks": ASPHALT,
    "bus": ASPHALT,
    "taxi": ASPHALT,
    "HOV": ASPHALT,
    "stop": SHOULDER,
    "shoulder": SHOULDER,
    "parking": PARKING,
    "biking": BIKING,
    "sidewalk": SIDEWALK,
    "walking": SIDEWALK,
    "median": MEDIAN,
    "curb": CURB,
    "tram": TRACK,
    "rail": TRACK,
    "border": VERGE,
    "restricted": VERGE,
    "none": VERGE,
}


def surface_of_lane(kind: str, *, in_junction: bool = False) -> Surface:
    """Return the surface of an OpenDRIVE lane type; grass for a type nobody knows.

    Inside a junction a lane without a type continues the shoulders before and after it.
    """
    surface = _BY_LANE_KIND.get(kind, VERGE)
    return SHOULDER if in_junction and surface is VERGE else surface
