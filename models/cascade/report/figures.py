"""What the template needs of a figure."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from models.cascade.report.charts import Chart, draw_chart, draw_legend
from models.cascade.report.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture with what belongs to it.

    Attributes:
        title: Its heading.
        caption: How to read it.
        legend: Samples of the series, and their names.
        svg: The picture.
        table: The same in numbers, or None where the picture writes them itself.
    """

    title: str
    caption: str
    legend: tuple[tuple[Markup, str], ...]
    svg: Markup
    table: Table | None


def chart_figure(chart: Chart, *, caption: str, table: Table | None) -> Figure:
    """Draw a chart as a figure."""
    return Figure(
        title=chart.title,
        caption=caption,
        legend=draw_legend(chart.series),
        svg=draw_chart(chart),
        table=table,
    )
