"""What a generated town is made from: a name, a seed and the ranges that the seed draws from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bicameral.errors import UserError, look_up

#: What parts the two directions; ``by width``: broken between single lanes, else double.
CentreLine = Literal["by width", "broken", "solid", "double", "none"]

_CENTRE_LINES: tuple[CentreLine, ...] = ("broken", "by width", "solid", "none", "double")
_SMALLEST_KERB_M = 0.25  # radius of a sidewalk's inner edge at the sharpest turn


@dataclass(frozen=True, slots=True, kw_only=True)
class TownRecipe:
    """Everything that decides a generated town; equal recipes give equal bytes.

    Pairs are (smallest, largest) of what the seed draws from.

    Raises:
        UserError: If a number is out of its range.
    """

    name: str
    seed: int
    blocks_x: int = 3  # town blocks along x, 2-6
    blocks_y: int = 3  # town blocks along y, 2-6
    block_length_m: tuple[float, float] = (95.0, 160.0)
    node_jitter_m: float = 7.0  # how far a crossing strays from its grid point, 0-12
    missing_street_share: float = 0.2  # of all block edges, 0-0.4
    bent_street_share: float = 0.6  # of all streets, 0-1
    wide_street_share: float = 0.6  # of all streets; the others have one lane per direction
    wide_street_lanes: int = 2  # per direction, 2-3
    lane_width_m: float = 3.5  # 3.0-4.0
    shoulder_m: float = 0.5  # of streets, 0.2-2.0
    sidewalk_m: float = 2.5  # of streets, 1.5-4.0, or 0: none
    edge_lines: bool = True  # along streets; highways always have them
    centre_line: CentreLine = "by width"  # of streets
    crosswalks: bool = True  # where there are lights and sidewalks
    turn_radius_m: tuple[float, float] = (8.0, 15.0)  # sharpest of a junction, lane centre
    smallest_junction_m: float = 10.15  # from the middle to where its roads begin, 5-15
    curve_radius_m: tuple[float, float] = (16.0, 200.0)  # of bends, centre line
    signal_share: float = 0.75  # of T junctions; crossings of four streets always have lights
    street_speeds_kmh: tuple[int, ...] = (30, 40, 50)
    highway: bool = True
    highway_lanes: int = 2  # per direction, 2-4
    highway_speed_kmh: int = 90  # 80-100
    highway_rise_m: float = 6.0  # 0-10

    def __post_init__(self) -> None:
        """Check the ranges."""
        limits: tuple[tuple[str, float, float, float], ...] = (
            ("blocks_x", self.blocks_x, 2, 6),
            ("blocks_y", self.blocks_y, 2, 6),
            ("block_length_m[0]", self.block_length_m[0], 90.0, self.block_length_m[1]),
            ("block_length_m[1]", self.block_length_m[1], 90.0, 300.0),
            ("node_jitter_m", self.node_jitter_m, 0.0, 12.0),
            ("missing_street_share", self.missing_street_share, 0.0, 0.4),
            ("bent_street_share", self.bent_street_share, 0.0, 1.0),
            ("wide_street_share", self.wide_street_share, 0.0, 1.0),
            ("wide_street_lanes", self.wide_street_lanes, 2, 3),
            ("lane_width_m", self.lane_width_m, 3.0, 4.0),
            ("shoulder_m", self.shoulder_m, 0.2, 2.0),
            ("sidewalk_m", self.sidewalk_m, 1.5 if self.sidewalk_m else 0.0, 4.0),
            ("turn_radius_m[0]", self.turn_radius_m[0], self._sharpest_m, self.turn_radius_m[1]),
            ("turn_radius_m[1]", self.turn_radius_m[1], self._sharpest_m, 16.0),
            ("smallest_junction_m", self.smallest_junction_m, 5.0, 15.0),
            ("curve_radius_m[0]", self.curve_radius_m[0], 16.0, self.curve_radius_m[1]),
            ("curve_radius_m[1]", self.curve_radius_m[1], 16.0, 400.0),
            ("signal_share", self.signal_share, 0.0, 1.0),
            ("highway_lanes", self.highway_lanes, 2, 4),
            ("highway_speed_kmh", self.highway_speed_kmh, 80, 100),
            ("highway_rise_m", self.highway_rise_m, 0.0, 10.0),
        )
        for field, value, low, high in limits:
            if not low <= value <= high:
                raise UserError(
                    f"town recipe {self.name!r}: {field} is {value}, expected {low} to {high}"
                )

    @property
    def _sharpest_m(self) -> float:
        """Radius of a lane's centre at which the sidewalk's inner edge would become a point."""
        return self.lane_width_m / 2.0 + self.shoulder_m + self.sidewalk_m + _SMALLEST_KERB_M


SHIPPED_RECIPES = (
    TownRecipe(name="Harbour", seed=11, blocks_x=4, blocks_y=3),
    TownRecipe(name="Ridgeway", seed=23, blocks_x=3, blocks_y=4, highway_lanes=3),
    # As CARLA's towns are: right angles, tight corners, no edge lines.
    TownRecipe(
        name="Millbrook",
        seed=41,
        node_jitter_m=1.5,
        bent_street_share=0.4,
        wide_street_share=0.3,
        lane_width_m=3.7,
        shoulder_m=0.4,
        sidewalk_m=2.2,
        edge_lines=False,
        centre_line="broken",
        turn_radius_m=(4.75, 6.0),
        smallest_junction_m=6.0,
        highway_lanes=4,
    ),
)
VALIDATION_RECIPES = (TownRecipe(name="Valley", seed=37, blocks_x=3, blocks_y=3),)


def _training_recipe(number: int) -> TownRecipe:
    """Vary what the seed alone does not: town size, lane width, highway."""
    return TownRecipe(
        name=f"Train{number:02d}",
        seed=100 + number,
        blocks_x=2 + number % 3,
        blocks_y=2 + (number // 3) % 3,
        lane_width_m=(3.3, 3.5, 3.6, 3.75)[number % 4],
        missing_street_share=(0.1, 0.2, 0.3)[number % 3],
        wide_street_share=(0.3, 0.5, 0.7, 0.9)[(number // 2) % 4],
        highway_lanes=2 + number % 2,
        highway_speed_kmh=(80, 90, 100)[number % 3],
        highway_rise_m=(0.0, 3.0, 6.0, 9.0)[(number // 3) % 4],
    )


def _varied_recipe(number: int) -> TownRecipe:
    """Vary what real towns differ in: radii, widths, lines, kerbs, lanes, right angles."""
    index = number - 1
    return TownRecipe(
        name=f"Varied{number:02d}",
        seed=700 + number,
        blocks_x=2 + index % 2,
        blocks_y=2 + index % 3,
        node_jitter_m=(0.0, 3.0, 7.0)[index % 3],
        missing_street_share=(0.1, 0.3, 0.2)[index % 3],
        bent_street_share=(0.2, 0.6)[index % 2],
        wide_street_share=(0.0, 0.5, 0.3, 1.0)[index % 4],
        wide_street_lanes=(2, 2, 3, 2)[index % 4],
        lane_width_m=(4.0, 3.5, 3.5, 3.0, 3.75, 3.25)[index % 6],
        shoulder_m=(0.5, 0.3, 0.5, 0.2, 0.6)[index % 5],
        sidewalk_m=(2.5, 2.0, 0.0, 1.5, 2.5, 0.0)[(index + index // 6) % 6],
        edge_lines=index % 2 == 1,
        centre_line=_CENTRE_LINES[(index + index // 5) % 5],
        crosswalks=index % 3 != 0,
        turn_radius_m=((5.75, 7.25), (5.0, 6.0), (4.75, 8.0), (8.0, 13.0))[index % 4],
        smallest_junction_m=6.0,
        highway=index % 3 != 0,
        highway_lanes=2 + index % 3,
        highway_speed_kmh=(80, 90, 100)[index % 3],
        highway_rise_m=(0.0, 4.0, 8.0)[index % 3],
    )


TRAINING_RECIPES = tuple(_training_recipe(number) for number in range(1, 13))
VARIED_RECIPES = tuple(_varied_recipe(number) for number in range(1, 13))
#: Of the same kind, but for judging: no network is trained on them.
HELD_OUT_RECIPES = (_varied_recipe(13),)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        *SHIPPED_RECIPES,
        *VALIDATION_RECIPES,
        *TRAINING_RECIPES,
        *VARIED_RECIPES,
        *HELD_OUT_RECIPES,
    )
}


def recipe_by_name(name: str) -> TownRecipe:
    """Return the recipe of a named town.

    Raises:
        UserError: If there is no such town.
    """
    return look_up("generated town", name, RECIPES)
