"""The report's tables, from the `bicameral` block of results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bicameral.statistics import Estimate
from bicameral.tables import Cell, Table, estimate_cell, percent_cell, table_of


class _Figure(NamedTuple):
    """How a metric is shown: ``heading|what it means``, factor and digits."""

    heading: str
    factor: float = 1.0
    digits: int = 2


#: Metrics as columns, by their names in results.json.
_FIGURES = {
    "driving_score": _Figure(
        "driving score|completion % times the leaderboard's penalty for infractions", digits=1
    ),
    "route_completion": _Figure("completion %|part of the route that was driven", 100.0, 1),
    "cross_track_mean": _Figure(
        "cross-track m|mean distance to the lane centre of the driven part", digits=3
    ),
    "cross_track_max": _Figure("largest m|largest distance to the lane centre, mean over episodes"),
    "steering_change": _Figure(
        "steer change|mean change of steering from tick to tick, -1..1 units", digits=4
    ),
    "speed_share_on_straights": _Figure("speed / limit|speed on straights by the speed limit"),
    "lane_invasions_outside_junctions": _Figure(
        "lane crossings|markings crossed outside junctions, per episode"
    ),
    "off_road_time": _Figure("off road s|seconds per episode over no driving lane"),
    "confidence_mean": _Figure("confidence|mean calibrated confidence"),
    "share_asked_b": _Figure("B asked %|share of ticks in which network B was asked", 100.0, 1),
    "inference_mean_s": _Figure("networks ms|CPU time of the networks per tick", 1000.0),
}

#: What a report tells in its second table: the others say where the car was.
_MANNER = (
    "steering_change", "speed_share_on_straights", "lane_invasions_outside_junctions",
    "off_road_time", "confidence_mean", "share_asked_b", "inference_mean_s",
)  # fmt: skip
_PLACE = tuple(metric for metric in _FIGURES if metric not in _MANNER)

#: What fits on a terminal.
_SHORT = ("driving_score", "route_completion", "cross_track_mean", "speed_share_on_straights")

_AGENT = "agent|agent and correction"
_CONDITION = "condition|weather, or what was wrong with the camera on a clear day"


def group_tables(groups: Sequence[Mapping[str, Any]]) -> tuple[Table, Table]:
    """Compare agents, corrections and conditions: what was reached, and how it was driven."""
    note = (
        "Mean with its 95 % interval: Wilson's for the success rate, a bootstrap over routes "
        "for the others. A dash means that there was nothing to measure."
    )
    rows = (
        (_name(group), group["weather"], *(_cell(group["metrics"], metric) for metric in _MANNER))
        for group in groups
    )
    heads = (_AGENT, _CONDITION, *(_FIGURES[metric].heading for metric in _MANNER))
    return (
        replace(_groups(groups, _PLACE), note=note),
        table_of("How it was driven", heads, rows, words=2),
    )


def summary_table(groups: Sequence[Mapping[str, Any]]) -> Table:
    """Compare agents, corrections and conditions by few figures, for a terminal."""
    return _groups(groups, _SHORT)


def _groups(groups: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Table:
    heads = (
        _AGENT,
        _CONDITION,
        "n|episodes",
        "success %|whole route, no collision, never more than 3 m off",
        "collisions / km|all collisions by all kilometres",
        "reds passed|red lights passed, of those met",
        *(_FIGURES[metric].heading for metric in metrics),
    )
    rows = (
        (
            _name(group),
            group["weather"],
            group["episodes"],
            percent_cell(estimate_from_entry(group["success"]), 0),
            _two_digits(group["collisions_per_km"]),
            f"{group['red_lights_passed']} of {group['red_lights_met']}",
            *(_cell(group["metrics"], metric) for metric in metrics),
        )
        for group in groups
    )
    return table_of("Results", heads, rows, words=2)


def pair_tables(pairs: Sequence[Mapping[str, Any]]) -> tuple[Table, Table]:
    """Compare corrected with uncorrected agents, on equal routes, conditions and seeds."""
    won = {
        "pairs|episodes with equal route, condition and seed": "pairs",
        "won|pairs in which only the corrected agent succeeded": "won",
        "lost|pairs in which only the uncorrected agent succeeded": "lost",
    }
    note = (
        "Differences within pairs that share route, condition, start, steering noise and seed. "
        "An interval that holds 0 shows no difference."
    )
    place, manner = (
        table_of(
            title,
            (
                _AGENT,
                "minus|agent without correction",
                _CONDITION,
                *counts,
                *(_FIGURES[metric].heading for metric in metrics),
            ),
            (
                (
                    _name(pair),
                    *(pair[key] for key in ("baseline", "weather", *counts.values())),
                    *(_cell(pair["differences"], metric, signed=True) for metric in metrics),
                )
                for pair in pairs
            ),
            words=3,
            note=note,
        )
        for title, counts, metrics in (
            ("Correction minus no correction", won, _PLACE),
            ("How correction changes the driving", {}, _MANNER),
        )
    )
    return place, manner


def branch_table(groups: Sequence[Mapping[str, Any]]) -> Table | None:
    """Say how often each branch of the corrections was taken; None if there was but one."""
    having = [group for group in groups if len(group["branches"]) > 1]
    if not having:
        return None
    return table_of(
        "Branches of the corrections",
        (_AGENT, _CONDITION, "branch|see docs/metrics.md", "% of ticks|share of all ticks"),
        (
            (_name(group), group["weather"], branch, _two_digits(100.0 * share))
            for group in having
            for branch, share in group["branches"].items()
        ),
        words=3,
        note="Share of all ticks in which each branch decided.",
    )


def estimate_from_entry(entry: Mapping[str, Any]) -> Estimate:
    """Read an estimate of results.json."""
    return Estimate(**{name: entry[name] for name in ("value", "low", "high", "n", "unit")})


def _name(entry: Mapping[str, Any]) -> str:
    return f"{entry['agent']} / {entry['correction']}"


def _two_digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _cell(metrics: Mapping[str, Any], metric: str, *, signed: bool = False) -> Cell:
    entry, shown = metrics.get(metric), _FIGURES[metric]
    estimate = None if entry is None else estimate_from_entry(entry)
    return estimate_cell(estimate, shown.digits, factor=shown.factor, signed=signed)
