"""The report's tables, from the `bicameral` block of results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DASH = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading, and what it means."""

    label: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value and, in smaller print, its 95 % interval."""

    text: str
    interval: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with a title and a sentence that says how to read it."""

    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """A metric as a column: its name in results.json, heading, factor and digits."""

    metric: str
    label: str
    help: str
    factor: float = 1.0
    digits: int = 2


_FIGURES = (
    _Figure(
        metric="route_completion",
        label="completion %",
        help="part of the route that was driven",
        factor=100.0,
        digits=1,
    ),
    _Figure(
        metric="cross_track_mean",
        label="cross-track m",
        help="mean distance to the lane centre of the driven part",
        digits=3,
    ),
    _Figure(
        metric="cross_track_max",
        label="largest m",
        help="largest distance to the lane centre, mean over episodes",
    ),
    _Figure(
        metric="steering_change",
        label="steer change",
        help="mean change of steering from tick to tick, -1..1 units",
        digits=4,
    ),
    _Figure(
        metric="speed_share_on_straights",
        label="speed / limit",
        help="speed on straights by the speed limit",
    ),
    _Figure(
        metric="lane_invasions_outside_junctions",
        label="lane crossings",
        help="markings crossed outside junctions, per episode",
    ),
    _Figure(
        metric="off_road_time", label="off road s", help="seconds per episode over no driving lane"
    ),
    _Figure(metric="confidence_mean", label="confidence", help="mean calibrated confidence"),
    _Figure(
        metric="share_asked_b",
        label="B asked %",
        help="share of ticks in which network B was asked",
        factor=100.0,
        digits=1,
    ),
    _Figure(
        metric="inference_mean_s",
        label="networks ms",
        help="CPU time of the networks per tick",
        factor=1000.0,
    ),
)


def group_table(groups: Sequence[Mapping[str, Any]]) -> Table:
    """Compare agents, corrections and weathers."""
    columns = [
        Column(label="agent", help="agent and correction"),
        Column(label="weather", help="weather preset"),
        Column(label="n", help="episodes"),
        Column(label="success %", help="whole route, no collision, never more than 3 m off"),
        Column(label="collisions / km", help="all collisions by all kilometres"),
        *(Column(label=figure.label, help=figure.help) for figure in _FIGURES),
    ]
    return Table(
        title="Results",
        note=(
            "Mean with its 95 % interval: Wilson's for the success rate, a bootstrap over routes "
            "for the others. A dash means that there was nothing to measure."
        ),
        columns=columns,
        rows=[_group_row(group) for group in groups],
    )


def pair_table(pairs: Sequence[Mapping[str, Any]]) -> Table:
    """Compare corrected with uncorrected agents, on equal routes, weathers and seeds."""
    columns = [
        Column(label="agent", help="agent and correction"),
        Column(label="minus", help="agent without correction"),
        Column(label="weather", help="weather preset"),
        Column(label="pairs", help="episodes with equal route, weather and seed"),
        Column(label="won", help="pairs in which only the corrected agent succeeded"),
        Column(label="lost", help="pairs in which only the uncorrected agent succeeded"),
        *(Column(label=figure.label, help=figure.help) for figure in _FIGURES),
    ]
    rows = [
        [
            Cell(text=_name(pair)),
            Cell(text=pair["baseline"]),
            Cell(text=pair["weather"]),
            Cell(text=str(pair["pairs"])),
            Cell(text=str(pair["won"])),
            Cell(text=str(pair["lost"])),
            *(_estimate(pair["differences"].get(f.metric), f, signed=True) for f in _FIGURES),
        ]
        for pair in pairs
    ]
    return Table(
        title="Correction minus no correction",
        note=(
            "Differences within pairs that share route, weather, start, steering noise and seed. "
            "An interval that holds 0 shows no difference."
        ),
        columns=columns,
        rows=rows,
    )


def branch_tables(groups: Sequence[Mapping[str, Any]]) -> list[Table]:
    """How often each branch of the corrections was taken."""
    having = [group for group in groups if len(group["branches"]) > 1]
    if not having:
        return []
    rows = [
        [
            Cell(text=_name(group)),
            Cell(text=group["weather"]),
            Cell(text=branch),
            Cell(text=f"{100.0 * share:.2f}"),
        ]
        for group in having
        for branch, share in group["branches"].items()
    ]
    return [
        Table(
            title="Branches of the corrections",
            note="Share of all ticks in which each branch decided.",
            columns=[
                Column(label="agent", help="agent and correction"),
                Column(label="weather", help="weather preset"),
                Column(label="branch", help="see docs/metrics.md"),
                Column(label="% of ticks", help="share of all ticks"),
            ],
            rows=rows,
        )
    ]


def _group_row(group: Mapping[str, Any]) -> list[Cell]:
    success = _Figure(metric="success", label="", help="", factor=100.0, digits=0)
    collisions = group["collisions_per_km"]
    return [
        Cell(text=_name(group)),
        Cell(text=group["weather"]),
        Cell(text=str(group["episodes"])),
        _estimate(group["success"], success),
        Cell(text=DASH if collisions is None else f"{collisions:.2f}"),
        *(_estimate(group["metrics"].get(figure.metric), figure) for figure in _FIGURES),
    ]


def _name(entry: Mapping[str, Any]) -> str:
    return f"{entry['agent']} / {entry['correction']}"


def _estimate(estimate: Mapping[str, Any] | None, figure: _Figure, *, signed: bool = False) -> Cell:
    if estimate is None or estimate["value"] is None:
        return Cell(text=DASH)
    sign = "+" if signed else ""

    def show(value: float) -> str:
        return f"{value * figure.factor:{sign}.{figure.digits}f}"

    low, high = estimate["low"], estimate["high"]
    interval = "" if low is None or high is None else f"[{show(low)}, {show(high)}]"
    return Cell(text=show(estimate["value"]), interval=interval)
