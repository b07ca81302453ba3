"""Results of an evaluation: computed from what is stored, written whole."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import bicameral
from bicameral.errors import ConfigError, DataError, unknown_name
from bicameral.files import write_json_atomic
from bicameral.simulation import CARLA_VERSION
from bicameral.statistics import Estimate
from bicameral.types import Route
from sim.evaluation.agents import label_of
from sim.evaluation.leaderboard import leaderboard_document
from sim.evaluation.plan import SCHEMA, file_name
from sim.evaluation.records import EpisodeRecord, read_episode, read_route
from sim.evaluation.scoring import DEFAULT_SCORING, SCORING
from sim.metrics.episode import VOLATILE_METRICS
from sim.metrics.summary import (
    ScoredEpisode,
    score_episodes,
    summarise_groups,
    summarise_pairs,
)

_ESTIMATE = ("value", "low", "high", "n", "unit", "valid")

#: What only episode.json says of an episode.
_NOT_IN_RESULTS = {
    "schema_version",
    "role",
    "privileged",
    "lane_invasions",
    "branches",
    "versions",
    "domain_mismatch",
    "weather_parameters",
    "camera_fault",
    "start",
    "stop_signs_m",
    "light_lines_m",
}


def read_run(folder: Path) -> tuple[list[EpisodeRecord], dict[str, Route], dict[str, Any]]:
    """Read everything that an evaluation stored.

    Args:
        folder: The evaluation's folder.

    Returns:
        Complete episodes in the order of their names; every route by name; the plan.

    Raises:
        DataError: If the folder is no evaluation or part of it is damaged.
    """
    try:
        plan = dict(json.loads((folder / "plan.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} is not an evaluation: {error}; make one with 'bicameral evaluate'"
        ) from error
    stored = [read_route(path) for path in sorted((folder / "routes").glob("*.npz"))]
    records = [
        read_episode(path)
        for path in sorted((folder / "episodes").iterdir())
        if not path.name.startswith(".")
    ]
    return records, {route.name: route for route in stored}, plan


def write_results(folder: Path, scoring: str = DEFAULT_SCORING) -> Path:
    """Compute ``results.json`` and one leaderboard file per agent from the stored episodes.

    ``results.json`` is the leaderboard's file of the plan's first agent with one more top-level
    entry, ``bicameral``, about all of them. ``leaderboard/<agent>.json`` hold the others.

    Args:
        folder: The evaluation's folder.
        scoring: Version of the leaderboard's scoring.

    Returns:
        Path of results.json.

    Raises:
        UserError: If there is no such scoring version.
        ConfigError: If no episode is complete.
    """
    if scoring not in SCORING:
        raise unknown_name("scoring version", scoring, SCORING)
    records, routes, plan = read_run(folder)
    order = {name: i for i, name in enumerate(r["name"] for r in plan["routes"])}
    labels = [label_of(agent["name"], agent["correction"]) for agent in plan["agents"]]
    driven = sorted(
        (record for record in records if record.role == "evaluation"),
        key=lambda r: (order[r.route], plan["weathers"].index(r.weather), r.repetition),
    )
    if not driven:
        raise ConfigError(f"{folder} has no complete episode yet; run 'bicameral evaluate'")
    references = [record for record in records if record.role == "reference"]
    dropped = {
        r["name"]: r["dropped_scenarios"] for r in plan["routes"] if "dropped_scenarios" in r
    }
    documents = {}
    for label in labels:
        mine = [r for r in driven if label_of(r.agent, r.correction) == label]
        if mine:
            documents[label] = leaderboard_document(mine, routes, scoring, dropped)
    for label, document in documents.items():
        block = {
            "schema": SCHEMA,
            "scoring_version": scoring,
            "agent": label,
            **({"dropped_scenarios": dropped} if dropped else {}),
        }
        path = folder / "leaderboard" / f"{file_name(label)}.json"
        write_json_atomic(path, {**document, "bicameral": block})
    first = next(iter(documents))
    by_label = sorted(driven, key=lambda r: labels.index(label_of(r.agent, r.correction)))
    episodes = score_episodes([*references, *by_label], routes, scoring)
    block = _block(plan, episodes, scoring, first)
    write_json_atomic(folder / "results.json", {**documents[first], "bicameral": block})
    return folder / "results.json"


def _block(
    plan: Mapping[str, Any], episodes: Sequence[ScoredEpisode], scoring: str, first: str
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "scoring_version": scoring,
        "leaderboard_agent": first,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "bicameral": bicameral.__version__,
            "carla": CARLA_VERSION,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "host": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpus": len(os.sched_getaffinity(0)),
        },
        "plan": dict(plan),
        "domain_mismatch": any(e.record.domain_mismatch for e in episodes),
        "volatile_metrics": list(VOLATILE_METRICS),
        **entries_of(episodes, int(plan["seed"])),
    }


def entries_of(episodes: Sequence[ScoredEpisode], seed: int) -> dict[str, Any]:
    """Return episodes, groups of them and pairs of groups as JSON values.

    Args:
        episodes: In the order of the plan's agents.
        seed: Of the intervals.
    """
    return {
        "groups": [_entry(group) for group in summarise_groups(episodes, seed)],
        "paired": [_entry(pair) for pair in summarise_pairs(episodes, seed)],
        "episodes": [_episode_entry(episode) for episode in episodes],
    }


def _episode_entry(episode: ScoredEpisode) -> dict[str, Any]:
    return {
        **episode.record.model_dump(mode="json", exclude=_NOT_IN_RESULTS),
        "metrics": _entry(episode.metrics),
        "branches": dict(episode.branches),
    }


def _entry(value: Any) -> Any:
    """Return JSON values; what is no finite number becomes null."""
    if isinstance(value, Estimate):
        return {name: getattr(value, name) for name in _ESTIMATE}
    if is_dataclass(value):
        return {entry.name: _entry(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {name: _entry(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
