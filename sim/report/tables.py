"""The report's tables, from the `bicameral` block of results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bicameral.statistics import Estimate
from bicameral.tables import Cell, Column, Table, columns, estimate_cell, percent_cell, row


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """A metric as a column: its name in results.json, heading, factor and digits."""

    metric: str
    column: Column
    factor: float = 1.0
    digits: int = 2


def _figure(metric: str, heading: str, *, factor: float = 1.0, digits: int = 2) -> _Figure:
    label, _, help_text = heading.partition("|")
    column = Column(label=label, help=help_text)
    return _Figure(metric=metric, column=column, factor=factor, digits=digits)


_FIGURES = (
    _figure(
        "driving_score",
        "driving score|completion % times the leaderboard's penalty for infractions",
        digits=1,
    ),
    _figure(
        "route_completion",
        "completion %|part of the route that was driven",
        factor=100.0,
        digits=1,
    ),
    _figure(
        "cross_track_mean",
        "cross-track m|mean distance to the lane centre of the driven part",
        digits=3,
    ),
    _figure("cross_track_max", "largest m|largest distance to the lane centre, mean over episodes"),
    _figure(
        "steering_change",
        "steer change|mean change of steering from tick to tick, -1..1 units",
        digits=4,
    ),
    _figure("speed_share_on_straights", "speed / limit|speed on straights by the speed limit"),
    _figure(
        "lane_invasions_outside_junctions",
        "lane crossings|markings crossed outside junctions, per episode",
    ),
    _figure("off_road_time", "off road s|seconds per episode over no driving lane"),
    _figure("confidence_mean", "confidence|mean calibrated confidence"),
    _figure(
        "share_asked_b",
        "B asked %|share of ticks in which network B was asked",
        factor=100.0,
        digits=1,
    ),
    _figure("inference_mean_s", "networks ms|CPU time of the networks per tick", factor=1000.0),
)

#: What fits on a terminal.
_SHORT = tuple(
    figure
    for figure in _FIGURES
    if figure.metric
    in ("driving_score", "route_completion", "cross_track_mean", "speed_share_on_straights")
)

_AGENT = Column(label="agent", help="agent and correction", words=True)
_CONDITION = Column(
    label="condition", help="weather, or what was wrong with the camera on a clear day", words=True
)


#: What is counted over all drives of a group.
_COUNTED = (
    Column(label="collisions / km", help="all collisions by all kilometres"),
    Column(label="reds passed", help="red lights passed, of those met"),
)


def group_table(groups: Sequence[Mapping[str, Any]]) -> Table:
    """Compare agents, corrections and conditions."""
    return Table(
        title="Results",
        note=(
            "Mean with its 95 % interval: Wilson's for the success rate, a bootstrap over routes "
            "for the others. A dash means that there was nothing to measure."
        ),
        columns=(
            *_group_columns(),
            *_COUNTED,
            *(figure.column for figure in _FIGURES),
        ),
        rows=tuple(
            row(
                *_group_cells(group),
                *_counted_cells(group),
                *(_cell(group["metrics"], figure) for figure in _FIGURES),
            )
            for group in groups
        ),
    )


def summary_table(groups: Sequence[Mapping[str, Any]]) -> Table:
    """Compare agents, corrections and conditions by few figures, for a terminal."""
    return Table(
        title="Results",
        columns=(*_group_columns(), *_COUNTED, *(figure.column for figure in _SHORT)),
        rows=tuple(
            row(
                *_group_cells(group),
                *_counted_cells(group),
                *(_cell(group["metrics"], figure) for figure in _SHORT),
            )
            for group in groups
        ),
    )


def pair_table(pairs: Sequence[Mapping[str, Any]]) -> Table:
    """Compare corrected with uncorrected agents, on equal routes, conditions and seeds."""
    return Table(
        title="Correction minus no correction",
        note=(
            "Differences within pairs that share route, condition, start, steering noise and seed. "
            "An interval that holds 0 shows no difference."
        ),
        columns=(
            _AGENT,
            Column(label="minus", help="agent without correction", words=True),
            _CONDITION,
            *columns(
                "pairs|episodes with equal route, condition and seed",
                "won|pairs in which only the corrected agent succeeded",
                "lost|pairs in which only the uncorrected agent succeeded",
                words=0,
            ),
            *(figure.column for figure in _FIGURES),
        ),
        rows=tuple(
            row(
                _name(pair),
                pair["baseline"],
                pair["weather"],
                pair["pairs"],
                pair["won"],
                pair["lost"],
                *(_cell(pair["differences"], figure, signed=True) for figure in _FIGURES),
            )
            for pair in pairs
        ),
    )


def branch_table(groups: Sequence[Mapping[str, Any]]) -> Table | None:
    """Say how often each branch of the corrections was taken; None if there was but one."""
    having = [group for group in groups if len(group["branches"]) > 1]
    if not having:
        return None
    return Table(
        title="Branches of the corrections",
        note="Share of all ticks in which each branch decided.",
        columns=(
            _AGENT,
            _CONDITION,
            Column(label="branch", help="see docs/metrics.md", words=True),
            Column(label="% of ticks", help="share of all ticks"),
        ),
        rows=tuple(
            row(_name(group), group["weather"], branch, _two_digits(100.0 * share))
            for group in having
            for branch, share in group["branches"].items()
        ),
    )


def estimate_from_entry(entry: Mapping[str, Any]) -> Estimate:
    """Read an estimate of results.json."""
    return Estimate(**{name: entry[name] for name in ("value", "low", "high", "n", "unit")})


def _group_columns() -> tuple[Column, ...]:
    return (
        _AGENT,
        _CONDITION,
        Column(label="n", help="episodes"),
        Column(label="success %", help="whole route, no collision, never more than 3 m off"),
    )


def _group_cells(group: Mapping[str, Any]) -> tuple[str | Cell, ...]:
    success = percent_cell(estimate_from_entry(group["success"]), 0)
    return _name(group), group["weather"], str(group["episodes"]), success


def _counted_cells(group: Mapping[str, Any]) -> tuple[str | None, str]:
    return (
        _two_digits(group["collisions_per_km"]),
        f"{group['red_lights_passed']} of {group['red_lights_met']}",
    )


def _name(entry: Mapping[str, Any]) -> str:
    return f"{entry['agent']} / {entry['correction']}"


def _two_digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _cell(metrics: Mapping[str, Any], figure: _Figure, *, signed: bool = False) -> Cell:
    entry = metrics.get(figure.metric)
    estimate = None if entry is None else estimate_from_entry(entry)
    return estimate_cell(estimate, figure.digits, factor=figure.factor, signed=signed)
