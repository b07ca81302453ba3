"""Groups of horizontal bars, as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import SubElement

from markupsafe import Markup

from models.cascade.report.label_placement import text_width
from models.cascade.report.svg import Ink, finished, group, number, path, picture, text, tooltip

_BAR, _GROUP_GAP, _FONT = 16.0, 26.0, 12.0
_VALUE_ROOM = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar.

    Attributes:
        name: Written before it.
        ink: Its colour.
        value: Its length, 0 or more.
        text: Written after it.
        published: Where a published value is marked across it, or None.
    """

    name: str
    ink: Ink
    value: float
    text: str
    published: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BarGroup:
    """Bars under one heading."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Groups of bars of one scale, which begins at 0.

    Attributes:
        name: Unique on the page; letters, digits and dashes.
        title: What it is, for screen readers.
        description: What it shows, for screen readers.
        groups: The bars; at least one.
        width: In pixels.
    """

    name: str
    title: str
    description: str
    groups: tuple[BarGroup, ...]
    width: float = 560.0


def draw_bars(chart: BarChart) -> Markup:
    """Draw a bar chart."""
    bars = [bar for shown in chart.groups for bar in shown.bars]
    left = max(text_width(bar.name, _FONT) for bar in bars) + 10.0
    longest = max(max(bar.value, bar.published or 0.0) for bar in bars) or 1.0
    scale = (chart.width - left - _VALUE_ROOM) / longest
    height = len(chart.groups) * _GROUP_GAP + len(bars) * _BAR + 4.0
    svg = picture(chart.name, (chart.width, height), chart.title, chart.description)
    y = 0.0
    for shown in chart.groups:
        y += _GROUP_GAP
        text(svg, (0.0, y - 6.0), shown.title, class_="strong")
        for bar in shown.bars:
            text(svg, (left - 6.0, y + 12.0), bar.name, text_anchor="end")
            holder = group(svg, bar.ink)
            rectangle = SubElement(
                holder,
                "rect",
                {
                    "class": "fill",
                    "x": number(left),
                    "y": number(y + 2.0),
                    "width": number(max(bar.value * scale, 1.0)),
                    "height": number(_BAR - 4.0),
                },
            )
            tooltip(rectangle, f"{shown.title}, {bar.name}: {bar.text}")
            end = max(bar.value, bar.published or 0.0) * scale
            text(svg, (left + end + 6.0, y + 12.0), bar.text)
            if bar.published is not None:
                x = left + bar.published * scale
                path(svg, [(x, y), (x, y + _BAR)], "published", close=False)
            y += _BAR
    return finished(svg)
