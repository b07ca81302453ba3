"""What a generated town is made from: a name, a seed and the ranges that the seed draws from."""

from __future__ import annotations

from dataclasses import dataclass

from bicameral.errors import UserError, unknown_name


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
    wide_street_share: float = 0.6  # streets with 2+2 lanes; the others have 1+1
    lane_width_m: float = 3.5  # 3.2-3.75
    turn_radius_m: tuple[float, float] = (8.0, 15.0)  # of right turns at junctions, lane centre
    curve_radius_m: tuple[float, float] = (16.0, 200.0)  # of bends, centre line
    signal_share: float = 0.75  # of T junctions; crossings of four streets always have lights
    street_speeds_kmh: tuple[int, ...] = (30, 40, 50)
    highway: bool = True
    highway_lanes: int = 2  # per direction, 2-3
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
            ("lane_width_m", self.lane_width_m, 3.2, 3.75),
            ("turn_radius_m[0]", self.turn_radius_m[0], 8.0, self.turn_radius_m[1]),
            ("turn_radius_m[1]", self.turn_radius_m[1], 8.0, 16.0),
            ("curve_radius_m[0]", self.curve_radius_m[0], 16.0, self.curve_radius_m[1]),
            ("curve_radius_m[1]", self.curve_radius_m[1], 16.0, 400.0),
            ("signal_share", self.signal_share, 0.0, 1.0),
            ("highway_lanes", self.highway_lanes, 2, 3),
            ("highway_speed_kmh", self.highway_speed_kmh, 80, 100),
            ("highway_rise_m", self.highway_rise_m, 0.0, 10.0),
        )
        for field, value, low, high in limits:
            if not low <= value <= high:
                raise UserError(
                    f"town recipe {self.name!r}: {field} is {value}, expected {low} to {high}"
                )


SHIPPED_RECIPES = (
    TownRecipe(name="Harbour", seed=11, blocks_x=4, blocks_y=3),
    TownRecipe(name="Ridgeway", seed=23, blocks_x=3, blocks_y=4, highway_lanes=3),
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


TRAINING_RECIPES = tuple(_training_recipe(number) for number in range(1, 13))
RECIPES = {r.name: r for r in (*SHIPPED_RECIPES, *VALIDATION_RECIPES, *TRAINING_RECIPES)}


def recipe_by_name(name: str) -> TownRecipe:
    """Return the recipe of a named town.

    Raises:
        UserError: If there is no such town.
    """
    if name not in RECIPES:
        raise unknown_name("generated town", name, RECIPES)
    return RECIPES[name]
