"""What lies across a road: lanes, shoulders, sidewalks and the lines between them."""

from __future__ import annotations

from dataclasses import replace

from sim.pocket.town.document import Lane, Mark, Width
from sim.pocket.town.recipe import TownRecipe

WIDE_SHOULDER_M = 2.0  # of highways
CROSSWALK_FREE_M = 4.5  # of lane lines, before the end of a road with a crosswalk
LANE_LINE = Mark(kind="broken", may_cross=True)  # between lanes of one direction
EDGE_LINE = Mark(kind="solid")
NO_LINE = Mark(kind="none")
DOUBLE_LINE = Mark(kind="solid solid", colour="yellow")


def centre_mark(recipe: TownRecipe, lanes: int, is_street: bool) -> Mark:
    """Return the line between the two directions of a road."""
    wanted = recipe.centre_line if is_street else "by width"
    if wanted == "none":
        return NO_LINE
    if wanted == "broken" or (wanted == "by width" and lanes == 1):
        return Mark(kind="broken", colour="yellow")
    return Mark(kind="solid", colour="yellow") if wanted == "solid" else DOUBLE_LINE


def marks_between(mark: Mark, painted: tuple[float, float | None]) -> tuple[Mark, ...]:
    """Return the mark from one arc length to another (None: to the end), and nothing outside."""
    begin_m, end_m = painted
    marks = [Mark(kind="none")] if begin_m > 0.0 else []
    marks.append(replace(mark, from_m=begin_m))
    if end_m is not None:
        marks.append(Mark(kind="none", from_m=end_m))
    return tuple(marks)


def half_road(
    recipe: TownRecipe, lanes: int, is_street: bool, painted: tuple[float, float | None]
) -> tuple[Lane, ...]:
    """Return the lanes of one direction: driving lanes, shoulder, sidewalk."""
    edge = EDGE_LINE if recipe.edge_lines or not is_street else NO_LINE
    half = [
        Lane(
            kind="driving",
            widths=(Width(start_m=recipe.lane_width_m),),
            marks=(edge,) if number == lanes else marks_between(LANE_LINE, painted),
        )
        for number in range(1, lanes + 1)
    ]
    shoulder_m = recipe.shoulder_m if is_street else WIDE_SHOULDER_M
    half.append(Lane(kind="shoulder", widths=(Width(start_m=shoulder_m),)))
    if is_street and recipe.sidewalk_m:
        half.append(Lane(kind="sidewalk", widths=(Width(start_m=recipe.sidewalk_m),)))
    return tuple(half)
