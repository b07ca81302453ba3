"""Every axis of the project is drawn here, by matplotlib, as SVG for pages and files.

matplotlib is imported when a chart is drawn. Colours are names of roles; on a page they follow its
light or dark style sheet, in a file they are the light ones. The same data give the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.statistics import Estimate
from bicameral.tables import Table, magnitude

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Ink = Literal["ink", "soft", "a", "b", "cascade", "reference", "little", "published"]

#: What the roles look like on white paper; `page.css` holds the same names for both themes.
INKS: dict[str, str] = {
    "ink": "#1c2430",
    "soft": "#5b6675",
    "line": "#d9dee5",
    "paper": "#ffffff",
    "a": "#2459a9",
    "b": "#c4700c",
    "cascade": "#23804f",
    "reference": "#8b3fa8",
    "little": "#a06cb8",
    "published": "#b3262b",
}

_INCH_PX = 96.0

#: Characters of the name of a bar, or of a row of a matrix.
_LONGEST_LABEL = 40
#: Characters of a row of the legend.
_LEGEND_ROW = 100

#: Distances between a point and its label that are tried.
_REACHES_PX = np.array([6.0, 12.0, 20.0, 30.0, 42.0, 56.0, 72.0, 90.0, 110.0, 140.0, 180.0, 230.0])
#: Farther than this, a line leads from the label to its point.
_FAR_PX = 14.0
#: A label is put so much farther away, rather than hide one more thing.
_HIDING_PX = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawn picture with what belongs to it.

    Attributes:
        title: Heading, and what a screen reader announces.
        svg: The picture, coloured by a page's style sheet.
        caption: How to read it.
        table: The same in numbers.
    """

    title: str
    svg: str
    caption: str = ""
    table: Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis; ends that are None follow the data."""

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points that belong together.

    Attributes:
        name: Stands in the legend if not empty.
        x: Places on the horizontal axis.
        y: Places on the vertical axis.
        ink: Role that colours it.
        marker: matplotlib's marker; empty for none.
        line: matplotlib's line style; empty for none.
        labels: A text beside each point, or none at all.
        sizes: Area of each marker in square points, or None.
        intervals: Vertical interval of each point, or None.
    """

    name: str
    x: Sequence[float] | NDArray[np.floating]
    y: Sequence[float] | NDArray[np.floating]
    ink: Ink = "ink"
    marker: str = "o"
    line: str = ""
    labels: Sequence[str] = ()
    sizes: Sequence[float] | None = None
    intervals: Sequence[Estimate] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Points and lines on two axes; later series lie over earlier ones."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    size_px: tuple[float, float] = (720.0, 420.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Horizontal bars from 0: one bar of every part for every label.

    Attributes:
        title: Of the figure.
        axis: What the length of a bar is.
        labels: Names of the groups, from top to bottom.
        parts: Values of each part by its name, one per label; NaN draws no bar.
        inks: Role of each part.
    """

    title: str
    axis: Axis
    labels: Sequence[str]
    parts: dict[str, Sequence[float]]
    inks: Sequence[Ink] = ("a", "b", "cascade", "reference", "little", "published")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """A matrix as tinted cells with their values.

    Attributes:
        title: Of the figure.
        rows: Names of the rows.
        columns: Names of the columns.
        values: (rows, columns) that decide the tint; NaN leaves a cell empty.
        texts: What is written in the cells.
        limits: Values without tint and with full tint; those of the data if None.
        framed: Cells (row, column) that stand out.
        labels: What rows and columns are.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: NDArray[np.floating]
    texts: Sequence[Sequence[str]]
    limits: tuple[float, float] | None = None
    framed: Sequence[tuple[int, int]] = ()
    labels: tuple[str, str] = ("", "")


def draw_chart(chart: Chart, *, caption: str = "", table: Table | None = None) -> Figure:
    """Draw points and lines."""
    with _canvas(chart.size_px) as (canvas, axes):
        _set_axes(axes, chart.x, chart.y)
        for series in chart.series:
            _draw_series(axes, series)
        _set_limits(axes, chart.x, chart.y)
        if any(series.name for series in chart.series):
            _draw_legend(axes, "upper left", (0.0, -0.13))
        canvas.draw_without_rendering()  # only then it is settled where points will lie
        _draw_labels(axes, chart.series)
        return Figure(
            title=chart.title, svg=_svg(canvas, chart.title), caption=caption, table=table
        )


def draw_bars(bars: Bars) -> Figure:
    """Draw groups of horizontal bars."""
    count = len(bars.parts)
    height = 70.0 + len(bars.labels) * (10.0 + 16.0 * count)
    with _canvas((720.0, height)) as (canvas, axes):
        places = np.arange(len(bars.labels), dtype=np.float64)
        width = 0.8 / count
        for number, (name, values) in enumerate(bars.parts.items()):
            at = places + (number - (count - 1) / 2.0) * width
            axes.barh(
                at,
                values,
                width * 0.9,
                label=name if count > 1 else None,
                color=INKS[bars.inks[number % len(bars.inks)]],
            )
        axes.set_yticks(places, [_shortened(label) for label in bars.labels])
        axes.invert_yaxis()
        axes.set_xlabel(bars.axis.label)
        axes.grid(visible=False, axis="y")
        _set_limits(axes, bars.axis, Axis(label=""))
        if count > 1:
            _draw_legend(axes, "lower left", (0.0, 1.0))
        return Figure(title=bars.title, svg=_svg(canvas, bars.title))


def draw_heat_map(matrix: HeatMap, *, caption: str = "", table: Table | None = None) -> Figure:
    """Draw a matrix."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    size = (170.0 + 46.0 * len(matrix.columns), 110.0 + 34.0 * len(matrix.rows))
    with _canvas(size) as (canvas, axes):
        tints = LinearSegmentedColormap.from_list("tint", ["#fefefe", "#7fa8dd"])
        low, high = matrix.limits or (np.nanmin(matrix.values), np.nanmax(matrix.values))
        axes.pcolormesh(matrix.values, cmap=tints, vmin=low, vmax=high, edgecolors=INKS["line"])
        for r, texts in enumerate(matrix.texts):
            for c, text in enumerate(texts):
                # Always dark: the tint below it is light in both themes.
                axes.text(c + 0.5, r + 0.5, text, ha="center", va="center", size=8, color="#1c2431")
        for r, c in matrix.framed:
            axes.add_patch(Rectangle((c, r), 1, 1, fill=False, ec="#1c2431", lw=2))
        rows, columns = (map(_shortened, names) for names in (matrix.rows, matrix.columns))
        axes.set_xticks(np.arange(len(matrix.columns)) + 0.5, list(columns), rotation=90)
        axes.set_yticks(np.arange(len(matrix.rows)) + 0.5, list(rows))
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_ylabel(matrix.labels[0])
        axes.set_xlabel(matrix.labels[1])
        axes.invert_yaxis()
        axes.grid(visible=False)
        return Figure(
            title=matrix.title, svg=_svg(canvas, matrix.title), caption=caption, table=table
        )


def standalone_svg(figure: Figure) -> str:
    """Return a figure as a file of its own, in the colours of white paper."""
    text = re.sub(r"var\(--(\w+)\)", lambda match: INKS[match[1]], figure.svg)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _draw_legend(axes: Axes, corner: str, place: tuple[float, float]) -> None:
    """Name the series in as many columns as find room in a row."""
    handles, labels = axes.get_legend_handles_labels()
    names = [_shortened(label) for label in labels]
    columns = min(4, _LEGEND_ROW // (max(map(len, names)) + 4))
    axes.legend(handles, names, loc=corner, bbox_to_anchor=place, ncols=columns)


def _shortened(label: str) -> str:
    """Cut the beginning of a label that would leave no room for the chart, such as a path."""
    return label if len(label) <= _LONGEST_LABEL else "…" + label[1 - _LONGEST_LABEL :]


@contextmanager
def _canvas(size_px: tuple[float, float]) -> Iterator[tuple[Canvas, Axes]]:
    """Make axes in the project's look, without touching anybody's global settings."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    style: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "bicameral",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": INKS["ink"],
        "text.parse_math": False,  # names of classes and networks may hold any character
        "axes.edgecolor": INKS["line"],
        "axes.labelcolor": INKS["soft"],
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": INKS["line"],
        "xtick.color": INKS["soft"],
        "ytick.color": INKS["soft"],
        "legend.frameon": False,
    }
    with rc_context(style), warnings.catch_warnings():
        # The reader's fonts draw the texts; matplotlib's only measure them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas = Canvas(
            figsize=(size_px[0] / _INCH_PX, size_px[1] / _INCH_PX), layout="constrained"
        )
        yield canvas, canvas.add_subplot()


def _set_axes(axes: Axes, x: Axis, y: Axis) -> None:
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    if x.log:
        axes.set_xscale("log")
    if y.log:
        axes.set_yscale("log")
    for one, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        if one.log:
            axis.set_major_formatter(lambda value, _: magnitude(value))
            axis.set_minor_formatter(lambda value, _: _minor(value))


def _minor(value: float) -> str:
    """Label the 2 and the 5 between powers of ten, which an axis of few powers needs."""
    return magnitude(value) if f"{value:e}"[0] in "25" else ""


def _set_limits(axes: Axes, x: Axis, y: Axis) -> None:
    if x.low is not None or x.high is not None:
        axes.set_xlim(x.low, x.high)
    if y.low is not None or y.high is not None:
        axes.set_ylim(y.low, y.high)


def _draw_series(axes: Axes, series: Series) -> None:
    colour = INKS[series.ink]
    if series.sizes is not None:
        axes.scatter(
            series.x, series.y, s=series.sizes, c=colour, label=series.name or None, alpha=0.8
        )
        return
    axes.errorbar(
        series.x,
        series.y,
        yerr=None if series.intervals is None else _reaches(series.y, series.intervals),
        fmt=series.marker + series.line if series.marker or series.line else "none",
        color=colour,
        markersize=5,
        linewidth=1.5,
        elinewidth=1.0,
        label=series.name or None,
    )


def _reaches(
    values: Sequence[float] | NDArray[np.floating], intervals: Sequence[Estimate]
) -> NDArray[np.float64]:
    """Return how far intervals reach below and above the values, (2, N); 0 without an interval."""
    pairs = [
        (0.0, 0.0) if one.low is None or one.high is None else (value - one.low, one.high - value)
        for value, one in zip(values, intervals, strict=True)
    ]
    return np.maximum(np.array(pairs, np.float64).T, 0.0)


def _draw_labels(axes: Axes, all_series: Sequence[Series]) -> None:
    """Write the labels into the axes, those of the last series first, with a line to far ones."""
    from matplotlib.lines import Line2D

    entries = [
        (
            axes.annotate(
                text,
                (x, y),
                xytext=(0.0, 0.0),
                textcoords="offset points",
                size=8,
                color=INKS[series.ink],
            ),
            (x, y),
        )
        for series in reversed(all_series)
        for x, y, text in zip(series.x, series.y, series.labels, strict=False)
        if text
    ]
    if not entries:
        return
    extents = [label.get_window_extent() for label, _ in entries]
    found = place_labels(
        axes.transData.transform([point for _, point in entries]),
        np.array([(extent.width, extent.height) for extent in extents]) + 2.0,
        np.concatenate([_covered(axes, series) for series in all_series]),
        (axes.bbox.x0, axes.bbox.y0, axes.bbox.x1, axes.bbox.y1),
    )
    for (label, point), extent, corner in zip(entries, extents, found, strict=True):
        label.set_in_layout(False)
        if corner is None:
            label.remove()
            continue
        at = axes.transData.transform(point)
        label.set_position(tuple((corner - at) * 72.0 / axes.figure.dpi))
        nearest = np.clip(at, corner, corner + np.array([extent.width, extent.height]))
        if np.hypot(*(nearest - at)) > _FAR_PX:
            ends = np.stack([point, axes.transData.inverted().transform(nearest)]).T
            axes.add_line(Line2D(*ends, color=INKS["soft"], linewidth=0.5, zorder=0.5))


def _covered(axes: Axes, series: Series) -> NDArray[np.float64]:
    """Return pixels (N, 2) that a series draws on: its points, lines and intervals."""
    points = axes.transData.transform(np.column_stack([series.x, series.y]))
    segments = list(pairwise(points)) if series.line else []
    for x, one in zip(series.x, series.intervals or (), strict=False):
        if one.low is not None and one.high is not None:
            segments.append(tuple(axes.transData.transform([(x, one.low), (x, one.high)])))
    steps = np.linspace(0.0, 1.0, 20)[:, None]
    return np.concatenate([points, *(begin + steps * (end - begin) for begin, end in segments)])


def place_labels(
    points: NDArray[np.floating],
    sizes: NDArray[np.floating],
    covered: NDArray[np.floating],
    frame: tuple[float, float, float, float],
) -> list[NDArray[np.float64] | None]:
    """Find a place near each point for its label, inside a frame and clear of all others.

    Of the places around a point the nearest is taken that hides little of what is drawn; a label
    that would have to leave the frame or lie on another one has none.

    Args:
        points: (N, 2) in pixels, the most important first.
        sizes: (N, 2), widths and heights of the labels.
        covered: (M, 2), pixels that are drawn on.
        frame: Left, lower, right and upper end.

    Returns:
        The lower left corner of each label, or None.
    """
    angles = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    around = np.column_stack([np.cos(angles), np.sin(angles)])
    taken = np.empty((0, 4))
    corners: list[NDArray[np.float64] | None] = []
    for point, size in zip(points, sizes, strict=True):
        reach = np.repeat(_REACHES_PX, len(around))[:, None]
        low = point + np.tile(around, (len(_REACHES_PX), 1)) * (size / 2.0 + reach) - size / 2.0
        high = low + size
        inside = (low >= frame[:2]).all(axis=1) & (high <= frame[2:]).all(axis=1)
        apart = (low[:, None] >= taken[:, 2:]) | (high[:, None] <= taken[:, :2])
        free = np.flatnonzero(inside & apart.any(axis=2).all(axis=1))
        if not len(free):
            corners.append(None)
            continue
        within = (covered > low[free, None]) & (covered < high[free, None])
        hidden = np.minimum(within.all(axis=2).sum(axis=1), 40)
        best = free[(reach[free, 0] + _HIDING_PX * hidden).argmin()]
        corners.append(low[best])
        taken = np.vstack([taken, [*low[best], *high[best]]])
    return corners


def _svg(canvas: Canvas, title: str) -> str:
    """Return the picture as inline SVG whose colours are the page's."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, body = text.split(">", 1)
    width_px = canvas.get_figwidth() * _INCH_PX
    box = re.search(r'viewBox="[^"]*"', head)
    for name, colour in INKS.items():
        body = body.replace(colour, f"var(--{name})")
    size = f'{box[0] if box else ""} style="max-width: {1.25 * width_px:.0f}px"'
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {spaces} {size} role="img"><title>{escape(title)}</title>{body}'
