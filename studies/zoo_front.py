"""The picture of the zoo: accuracy over cost, and the front that nothing beats."""

from __future__ import annotations

from bicameral.charts import Axis, Chart, Figure, Ink, Series, draw_chart
from bicameral.statistics import Estimate
from models.zoo.catalogue import CATALOGUE
from models.zoo.results import EntryEvaluation, ZooEvaluation

#: Name in the legend, colour and marker of what an entry can be.
_GROUPS: tuple[tuple[str, Ink, str], ...] = (
    ("part of the cascade", "ink", "o"),
    ("another form of an entry", "little", "s"),
    ("zoo", "cascade", "D"),
    ("the cascade", "a", "*"),
)


def front_figure(evaluation: ZooEvaluation) -> Figure:
    """Draw accuracy over multiply-accumulates, and the front that nothing measured here beats."""
    shown = [one for one in evaluation.entries if one.macs]
    front = sorted(
        (float(one.macs or 0), _percent(one.accuracy).value or 0.0)
        for one in shown
        if "macs" in one.unbeaten_by
    )
    line = Series(
        name="not beaten",
        x=[x for x, _ in front],
        y=[y for _, y in front],
        ink="soft",
        marker="",
        line="-",
    )
    return draw_chart(
        Chart(
            title="Accuracy over multiply-accumulates",
            x=Axis(label="multiply-accumulates per image", log=True),
            y=Axis(label="test accuracy, %"),
            series=[line, *_groups(shown)],
        )
    )


def _groups(shown: list[EntryEvaluation]) -> list[Series]:
    """Return a series for each group of entries."""
    series = []
    for name, ink, marker in _GROUPS:
        chosen = [one for one in shown if _group(one) == name]
        estimates = [_percent(one.accuracy) for one in chosen]
        if chosen:
            series.append(
                Series(
                    name=name,
                    x=[float(one.macs or 0) for one in chosen],
                    y=[one.value or 0.0 for one in estimates],
                    ink=ink,
                    marker=marker,
                    labels=[one.name for one in chosen],
                    intervals=estimates,
                )
            )
    return series


def _group(one: EntryEvaluation) -> str:
    if one.name == "cascade":
        return "the cascade"
    listed = CATALOGUE.get(one.name)
    groups = {"compared": "part of the cascade", "variant": "another form of an entry"}
    return groups.get(listed.kind, "zoo") if listed else "zoo"


def _percent(estimate: Estimate) -> Estimate:
    return estimate.scaled(100.0, "%")
