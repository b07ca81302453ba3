"""Matrices as tinted cells with their values, as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from models.cascade.report.label_placement import text_width
from models.cascade.report.quantities import shortened
from models.cascade.report.svg import Ink, finished, number, picture, text, tooltip

#: Texts stay readable on cells that are tinted no stronger than this.
_STRONGEST = 0.62

_LABEL_FONT = 12.0
_LONGEST_LABEL = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A cell of a matrix.

    Attributes:
        text: What is written in it.
        ink: Colour of its tint.
        strength: Of the tint, 0..1.
        tooltip: What the pointer shows.
        framed: Whether it stands out by a frame.
    """

    text: str
    ink: Ink
    strength: float
    tooltip: str
    framed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TintedMatrix:
    """A matrix to draw.

    Attributes:
        name: Unique on the page; letters, digits and dashes.
        title: What it is, for screen readers.
        description: What it shows, for screen readers.
        rows: Names of the rows.
        columns: Names of the columns.
        tiles: Rows of tiles.
        side: Width and height of a tile in pixels.
    """

    name: str
    title: str
    description: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    tiles: tuple[tuple[Tile, ...], ...]
    side: float = 38.0


def draw_matrix(matrix: TintedMatrix) -> Markup:
    """Draw a matrix; the names of the columns stand upright above it."""
    rows, columns = (
        [shortened(name, _LONGEST_LABEL) for name in names]
        for names in (matrix.rows, matrix.columns)
    )
    left, top = (
        max(text_width(name, _LABEL_FONT) for name in names) + 14.0 for names in (rows, columns)
    )
    size = (left + matrix.side * len(columns) + 2.0, top + matrix.side * len(rows) + 2.0)
    svg = picture(matrix.name, size, matrix.title, matrix.description)
    names = SubElement(svg, "g", {"class": "labels"})
    for index, (name, full) in enumerate(zip(rows, matrix.rows, strict=True)):
        y = top + (index + 0.5) * matrix.side + 4.0
        tooltip(text(names, (left - 6.0, y), name, text_anchor="end"), _if_cut(name, full))
    for index, (name, full) in enumerate(zip(columns, matrix.columns, strict=True)):
        x = left + (index + 0.5) * matrix.side + 4.0
        turned = f"rotate(-90 {number(x)} {number(top - 6.0)})"
        tooltip(text(names, (x, top - 6.0), name, transform=turned), _if_cut(name, full))
    cells = SubElement(svg, "g", {"class": "cells"})
    for row, tiles in enumerate(matrix.tiles):
        for column, tile in enumerate(tiles):
            at = (left + column * matrix.side, top + row * matrix.side)
            _draw_tile(cells, tile, at, matrix.side)
    return finished(svg)


def _draw_tile(parent: Element, tile: Tile, at: tuple[float, float], side: float) -> None:
    x, y = at
    cell = SubElement(parent, "g")
    SubElement(
        cell,
        "rect",
        {
            "class": f"ink-{tile.ink}{' framed' if tile.framed else ''}",
            "x": number(x),
            "y": number(y),
            "width": number(side - 1.0),
            "height": number(side - 1.0),
            "fill-opacity": f"{_STRONGEST * tile.strength:.2f}",
        },
    )
    if tile.text:
        text(cell, (x + (side - 1.0) / 2.0, y + side / 2.0 + 4.0), tile.text)
    tooltip(cell, tile.tooltip)


def _if_cut(shown: str, full: str) -> str:
    return "" if shown == full else full
