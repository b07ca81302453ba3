"""Charts of lines and points on two axes, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from models.cascade.report.axes import Axis
from models.cascade.report.label_placement import Box, place_labels
from models.cascade.report.svg import (
    Ink,
    MarkName,
    finished,
    group,
    mark,
    number,
    path,
    picture,
    text,
    tooltip,
)

_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 14.0, 10.0, 44.0

#: Font size of labels, as in the style sheet.
_FONT = 12.0

_PIXELS_PER_TICK = (90.0, 48.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of a chart.

    Attributes:
        x: In the units of the x axis.
        y: In the units of the y axis.
        tooltip: What the pointer shows; empty for nothing.
        label: What is written beside it where there is room; empty for nothing.
        radius: Of its mark in pixels.
        whisker: Ends of its interval in y.
    """

    x: float
    y: float
    tooltip: str = ""
    label: str = ""
    radius: float = 3.5
    whisker: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points that belong together.

    Attributes:
        name: For the legend; empty for a series without an entry.
        ink: Colour.
        points: In order.
        mark: Shape of every point, or None.
        line: How they are joined, or None.
    """

    name: str
    ink: Ink
    points: tuple[Point, ...]
    mark: MarkName | None = None
    line: Literal["solid", "dashed", "thin"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart shows; later series lie over earlier ones, and their labels come first.

    Attributes:
        name: Unique on the page; letters, digits and dashes.
        title: What it is, for screen readers.
        description: What it shows, for screen readers.
        x: Horizontal axis.
        y: Vertical axis.
        series: What is drawn.
        size: Width and height in pixels.
    """

    name: str
    title: str
    description: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    size: tuple[float, float] = (560.0, 340.0)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a value."""
        width, height = self.size
        return (
            _LEFT + self.x.share(x) * (width - _LEFT - _RIGHT),
            height - _BOTTOM - self.y.share(y) * (height - _TOP - _BOTTOM),
        )


def line(x: Sequence[float], y: Sequence[float]) -> tuple[Point, ...]:
    """Return the points of a curve."""
    return tuple(Point(x=at, y=value) for at, value in zip(x, y, strict=True))


def draw_chart(chart: Chart) -> Markup:
    """Draw a chart."""
    svg = picture(chart.name, chart.size, chart.title, chart.description)
    _draw_axes(svg, chart)
    for series in chart.series:
        _draw_series(group(svg, series.ink), chart, series)
    _draw_labels(svg, chart)
    return finished(svg)


def draw_legend(series: Sequence[Series]) -> tuple[tuple[Markup, str], ...]:
    """Return a sample of every named series, and its name."""
    entries = []
    for shown in series:
        if shown.name:
            svg = Element("svg", {"viewBox": "0 0 26 14", "class": "sample", "aria-hidden": "true"})
            holder = group(svg, shown.ink)
            if shown.line:
                path(holder, [(1.0, 7.0), (25.0, 7.0)], f"line {shown.line}", close=False)
            if shown.mark:
                mark(holder, shown.mark, (13.0, 7.0), 4.0)
            entries.append((finished(svg), shown.name))
    return tuple(entries)


def _draw_axes(svg: Element, chart: Chart) -> None:
    width, height = chart.size
    frame = SubElement(svg, "g", {"class": "axes"})
    right, bottom = width - _RIGHT, height - _BOTTOM
    for value, label in chart.x.ticks(round((right - _LEFT) / _PIXELS_PER_TICK[0])):
        x, _ = chart.place(value, chart.y.low)
        path(frame, [(x, _TOP), (x, bottom)], "grid", close=False)
        text(frame, (x, bottom + 16.0), label, text_anchor="middle")
    for value, label in chart.y.ticks(round((bottom - _TOP) / _PIXELS_PER_TICK[1])):
        _, y = chart.place(chart.x.low, value)
        path(frame, [(_LEFT, y), (right, y)], "grid", close=False)
        text(frame, (_LEFT - 6.0, y + 4.0), label, text_anchor="end")
    text(frame, ((_LEFT + right) / 2.0, height - 8.0), chart.x.label, text_anchor="middle")
    middle = (_TOP + bottom) / 2.0
    text(
        frame,
        (13.0, middle),
        chart.y.label,
        text_anchor="middle",
        transform=f"rotate(-90 13 {number(middle)})",
    )


def _draw_series(holder: Element, chart: Chart, series: Series) -> None:
    places = [chart.place(point.x, point.y) for point in series.points]
    if series.line and places:
        path(holder, places, f"line {series.line}", close=False)
    for point, (x, y) in zip(series.points, places, strict=True):
        if point.whisker is not None:
            ends = [chart.place(point.x, end) for end in point.whisker]
            path(holder, ends, "stroke", close=False)
        if series.mark:
            tooltip(mark(holder, series.mark, (x, y), point.radius), point.tooltip)


def _draw_labels(svg: Element, chart: Chart) -> None:
    """Write the labels, those of the last series first, which are the most important ones."""
    width, height = chart.size
    frame = Box(left=_LEFT, top=_TOP, right=width - 2.0, bottom=height - _BOTTOM)
    wanted = [
        (*chart.place(point.x, point.y), point.label)
        for series in reversed(chart.series)
        for point in series.points
        if point.label
    ]
    holder = SubElement(svg, "g", {"class": "labels"})
    placed = place_labels(
        wanted,
        marks=_places(chart, joined=False),
        lines=_places(chart, joined=True),
        frame=frame,
        size=_FONT,
    )
    for label in placed:
        if label.leader:
            path(holder, list(label.leader), "leader", close=False)
        text(holder, (label.x, label.y), label.text, text_anchor=label.anchor)


def _places(chart: Chart, *, joined: bool) -> list[tuple[float, float]]:
    """Return the pixels of all points that lines join, or of the others."""
    return [
        chart.place(point.x, point.y)
        for series in chart.series
        if (series.line is not None) == joined
        for point in series.points
    ]
