"""The result file of CARLA leaderboard 2.x, field by field."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bicameral.simulation import TICK_S
from bicameral.types import Route
from sim.evaluation.limits import Status
from sim.evaluation.records import EpisodeRecord
from sim.evaluation.scoring import (
    INFRACTION_KEYS,
    SCORING,
    find_infractions,
    route_score,
)

#: The score or infraction behind each label, in the leaderboard's order, which its page relies on.
LABELS = {
    "Avg. driving score": "score_composed",
    "Avg. route completion": "score_route",
    "Avg. infraction penalty": "score_penalty",
    "Collisions with pedestrians": "collisions_pedestrian",
    "Collisions with vehicles": "collisions_vehicle",
    "Collisions with layout": "collisions_layout",
    "Red lights infractions": "red_light",
    "Stop sign infractions": "stop_infraction",
    "Off-road infractions": "outside_route_lanes",
    "Route deviations": "route_dev",
    "Route timeouts": "route_timeout",
    "Agent blocked": "vehicle_blocked",
    "Yield emergency vehicles infractions": "yield_emergency_vehicle_infractions",
    "Scenario timeouts": "scenario_timeouts",
    "Min speed infractions": "min_speed_infractions",
}

_SCORES = ("score_composed", "score_route", "score_penalty")
_PERFECT = "Perfect"
_SCORE_DIGITS = 6
_DIGITS = 3


def leaderboard_document(
    records: Sequence[EpisodeRecord],
    routes: Mapping[str, Route],
    scoring: str,
    dropped: Collection[str] = (),
) -> dict[str, Any]:
    """Return the leaderboard's JSON for the drives of one agent.

    Args:
        records: Its drives in order, one or more.
        routes: Every route by name.
        scoring: A key of `SCORING`.
        dropped: Names of routes that were driven without their scenarios: whatever was met,
            ``"Perfect"`` is not said of them.
    """
    repetitions: dict[str, int] = {}
    entries, outside_km = [], []
    for index, record in enumerate(records):
        repetition = repetitions.get(record.route, 0)
        repetitions[record.route] = repetition + 1
        entry, outside_m = _route_record(record, routes[record.route], scoring)
        if entry["status"] == _PERFECT and record.route in dropped:
            entry["status"] = str(Status.COMPLETED)
        prefix = "" if record.route.startswith("RouteScenario_") else "RouteScenario_"
        entries.append(
            {"index": index, "route_id": f"{prefix}{record.route}_rep{repetition}", **entry}
        )
        outside_km.append(outside_m / 1000.0)
    overall = _global_record(entries, outside_km)
    crashed = any(record.status is Status.SIMULATION_CRASHED for record in records)
    values = overall["scores_mean"] | overall["infractions"]
    return {
        "_checkpoint": {
            "global_record": overall,
            "progress": [len(entries), len(entries)],
            "records": entries,
        },
        "entry_status": "Crashed" if crashed else "Finished",
        "eligible": not crashed,
        "sensors": ["carla_camera"],
        "values": [str(values[key]) for key in LABELS.values()],
        "labels": list(LABELS),
    }


def _route_record(
    record: EpisodeRecord, route: Route, scoring: str
) -> tuple[dict[str, Any], float]:
    infractions = find_infractions(record, route)
    count = sum(map(len, infractions.messages.values()))
    completion, penalty = route_score(record, route), SCORING[scoring](infractions)
    status = str(record.status)
    if record.status is Status.COMPLETED and count == 0:
        status = _PERFECT
    entry = {
        "status": status,
        "num_infractions": count,
        "infractions": dict(infractions.messages),
        "scores": {
            "score_route": round(completion, _SCORE_DIGITS),
            "score_penalty": round(penalty, _SCORE_DIGITS),
            "score_composed": round(max(completion * penalty, 0.0), _SCORE_DIGITS),
        },
        "meta": {
            "route_length": round(route.length_m, _DIGITS),
            "duration_game": round(len(record.trajectory) * TICK_S, _DIGITS),
            "duration_system": round(record.wall_time_s, _DIGITS),
        },
    }
    return entry, infractions.outside_m


def _global_record(
    entries: Sequence[Mapping[str, Any]], outside_km: Sequence[float]
) -> dict[str, Any]:
    scores = {name: [entry["scores"][name] for entry in entries] for name in _SCORES}
    driven_km = sum(
        entry["meta"]["route_length"] / 1000.0 * entry["scores"]["score_route"] / 100.0
        for entry in entries
    )
    infractions = {
        key: sum(len(entry["infractions"][key]) for entry in entries) / max(driven_km, 0.001)
        for key in INFRACTION_KEYS
    }
    infractions["outside_route_lanes"] = math.fsum(outside_km)
    statuses = [entry["status"] for entry in entries]
    status = _PERFECT if all(s == _PERFECT for s in statuses) else str(Status.COMPLETED)
    exceptions = [
        [entry["route_id"], entry["index"], entry["status"]]
        for entry in entries
        if entry["status"].startswith("Failed")
    ]
    spread = {name: statistics.stdev(v) if len(v) > 1 else 0.0 for name, v in scores.items()}
    return {
        "index": -1,
        "route_id": -1,
        "status": "Failed" if exceptions else status,
        "infractions": {key: round(value, _DIGITS) for key, value in infractions.items()},
        "scores_mean": {
            name: round(statistics.fmean(values), _SCORE_DIGITS) for name, values in scores.items()
        },
        "scores_std_dev": {name: round(value, _DIGITS) for name, value in spread.items()},
        "meta": {
            "total_length": round(sum(e["meta"]["route_length"] for e in entries), _DIGITS),
            "duration_game": round(sum(e["meta"]["duration_game"] for e in entries), _DIGITS),
            "duration_system": round(sum(e["meta"]["duration_system"] for e in entries), _DIGITS),
            "exceptions": exceptions,
        },
    }
