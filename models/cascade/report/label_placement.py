"""Where to write the names of points so that they hide neither points nor each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Anchor = Literal["start", "middle", "end"]

#: Mean width of a character by the font size, for the sans-serif fonts of browsers.
_CHARACTER_WIDTH = 0.6

#: Free space around a point, in pixels.
_GAP = 7.0

#: How far away a text may stand from its point, joined to it by a line; in pixels ...
_DISTANCES = (24.0, 36.0, 50.0, 66.0, 84.0, 104.0)

#: ... and in which directions, the unusual ones last.
_DIRECTIONS: tuple[tuple[Anchor, float, float], ...] = (
    ("end", -0.7, -0.7),
    ("start", 0.7, 0.7),
    ("start", 0.7, -0.7),
    ("end", -0.7, 0.7),
    ("middle", 0.0, -1.0),
    ("middle", 0.0, 1.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Return whether two rectangles share an area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def contains(self, other: Box) -> bool:
        """Return whether another rectangle lies within this one."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedLabel:
    """A text and where it stands.

    Attributes:
        text: The text.
        x: Of what `anchor` says of the text.
        y: Of its baseline.
        anchor: Which part of the text stands at `x`.
        box: What it covers.
        leader: Ends of a line from the point to a text that stands further away, or None.
    """

    text: str
    x: float
    y: float
    anchor: Anchor
    box: Box
    leader: tuple[tuple[float, float], tuple[float, float]] | None


def text_width(text: str, size: float) -> float:
    """Estimate the width of a text in pixels at a font size."""
    return _CHARACTER_WIDTH * size * len(text)


def place_labels(
    wanted: Sequence[tuple[float, float, str]],
    *,
    marks: Sequence[tuple[float, float]],
    lines: Sequence[tuple[float, float]],
    frame: Box,
    size: float,
) -> list[PlacedLabel]:
    """Give every text the first free place around its point.

    Args:
        wanted: Points (x, y) with their texts, the important ones first.
        marks: Points that no text may hide.
        lines: Points that a text hides only where there is no other place.
        frame: Where texts may stand.
        size: Font size in pixels.

    Returns:
        The texts that found a place; in a crowd some do not.
    """
    taken, drawn = [_around(at, 4.0) for at in marks], [_around(at, 2.0) for at in lines]
    placed: list[PlacedLabel] = []
    for x, y, text in wanted:
        candidates = [c for c in _candidates(x, y, text, size) if frame.contains(c.box)]
        label = _first_free(candidates, taken + drawn) or _first_free(candidates, taken)
        if label is not None:
            placed.append(label)
            taken.append(label.box)
    return placed


def _around(at: tuple[float, float], room: float) -> Box:
    x, y = at
    return Box(left=x - room, top=y - room, right=x + room, bottom=y + room)


def _first_free(candidates: Sequence[PlacedLabel], taken: Sequence[Box]) -> PlacedLabel | None:
    for candidate in candidates:
        if not any(candidate.box.overlaps(box) for box in taken):
            return candidate
    return None


def _candidates(x: float, y: float, text: str, size: float) -> Iterator[PlacedLabel]:
    """Yield places beside, diagonally, above and below, then further away."""
    middle = y + 0.35 * size
    for baseline in (middle, middle - 0.8 * size, middle + 0.8 * size):
        yield _label(text, (x + _GAP, baseline), "start", size)
        yield _label(text, (x - _GAP, baseline), "end", size)
    for rows in (0.0, 1.0):
        yield _label(text, (x, y - _GAP - 1.0 - rows * size), "middle", size)
        yield _label(text, (x, y + _GAP + (0.8 + rows) * size), "middle", size)
    for distance in _DISTANCES:
        for anchor, dx, dy in _DIRECTIONS:
            end = (x + dx * distance, y + dy * distance)
            text_at = (end[0] + 3.0 * dx, end[1] + (0.35 + 0.5 * dy) * size)
            label = _label(text, text_at, anchor, size)
            yield replace(label, leader=((x, y), end))


def _label(text: str, at: tuple[float, float], anchor: Anchor, size: float) -> PlacedLabel:
    x, y = at
    width = text_width(text, size)
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * width
    box = Box(left=left, top=y - 0.8 * size, right=left + width, bottom=y + 0.2 * size)
    return PlacedLabel(text=text, x=x, y=y, anchor=anchor, box=box, leader=None)
