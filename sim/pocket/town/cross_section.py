"""What lies across a road: lanes, shoulders, sidewalks and the lines between them."""

from __future__ import annotations

from dataclasses import replace

from sim.pocket.town.document import Lane, Mark, Width

SHOULDER_M = 0.5
WIDE_SHOULDER_M = 2.0  # of roads without a sidewalk
SIDEWALK_M = 2.5
CROSSWALK_FREE_M = 4.5  # of lane lines, before the end of a road with a crosswalk
LANE_LINE = Mark(kind="broken", may_cross=True)  # between lanes of one direction
EDGE_LINE = Mark(kind="solid")
DOUBLE_LINE = Mark(kind="solid solid", colour="yellow")


def centre_mark(lanes: int) -> Mark:
    """Two directions of one lane are parted by a broken line, wider roads by a double one."""
    return Mark(kind="broken", colour="yellow") if lanes == 1 else DOUBLE_LINE


def marks_between(mark: Mark, painted: tuple[float, float | None]) -> tuple[Mark, ...]:
    """Return the mark from one arc length to another (None: to the end), and nothing outside."""
    begin_m, end_m = painted
    marks = [Mark(kind="none")] if begin_m > 0.0 else []
    marks.append(replace(mark, from_m=begin_m))
    if end_m is not None:
        marks.append(Mark(kind="none", from_m=end_m))
    return tuple(marks)


def half_road(
    lanes: int, lane_width_m: float, has_sidewalk: bool, painted: tuple[float, float | None]
) -> tuple[Lane, ...]:
    """Return the lanes of one direction: driving lanes, shoulder, sidewalk."""
    half = [
        Lane(
            kind="driving",
            widths=(Width(start_m=lane_width_m),),
            marks=(EDGE_LINE,) if number == lanes else marks_between(LANE_LINE, painted),
        )
        for number in range(1, lanes + 1)
    ]
    shoulder_m = SHOULDER_M if has_sidewalk else WIDE_SHOULDER_M
    half.append(Lane(kind="shoulder", widths=(Width(start_m=shoulder_m),)))
    if has_sidewalk:
        half.append(Lane(kind="sidewalk", widths=(Width(start_m=SIDEWALK_M),)))
    return tuple(half)
