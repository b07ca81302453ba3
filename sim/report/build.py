"""Builds `report.html`: one file that holds everything it shows, for a browser without network."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.files import write_text_atomic
from bicameral.page import Block, Code, Folded, Page, Section, Tile, render_page
from bicameral.types import Route
from sim.evaluation.records import EpisodeRecord
from sim.evaluation.results import read_run
from sim.evaluation.video import VIDEO_SUFFIX
from sim.report.outcome import describe_omissions, describe_outcome
from sim.report.tables import branch_table, group_tables, pair_tables

#: Episodes whose curves are embedded; beyond that the failed ones come first.
MAX_EPISODES = 60

#: Videos are embedded until they weigh this much together; browsers slow down beyond.
MAX_VIDEO_BYTES = 24 * 2**20

#: Every so many ticks are one point of the curves: 5 per second.
TICKS_PER_POINT = 4


def write_report(folder: Path, training_towns: Sequence[str] | None = None) -> Path:
    """Write ``report.html`` from the results and the stored episodes of an evaluation.

    Args:
        folder: The evaluation's folder; `sim.evaluation.results.write_results` was called on it.
        training_towns: Every town that any of the networks was trained on; None if unknown.

    Returns:
        Path of the report.

    Raises:
        DataError: If the folder holds no results.
    """
    results = read_results(folder)
    records, routes, plan = read_run(folder)
    driven = [record for record in records if record.role == "evaluation"]
    page = Page(
        title=f"Closed-loop evaluation on {_join(r['town'] for r in plan['routes'])}",
        lead=_lead(results, plan),
        sentences=[describe_outcome(results, training_towns)],
        tiles=_tiles(results),
        notes=[*describe_omissions(plan), *_warnings(results, driven)],
        sections=[
            *_table_sections(results),
            Section(title="Look at an episode", blocks=_viewer(folder, driven, routes)),
            Section(title="How this was made", blocks=[_provenance(results)]),
        ],
        script=_read("viewer.js"),
        css=_read("viewer.css"),
    )
    path = folder / "report.html"
    write_text_atomic(path, render_page(page))
    return path


def read_results(folder: Path) -> dict[str, Any]:
    """Read the `bicameral` block of an evaluation's results.

    Raises:
        DataError: If the folder holds no results.
    """
    try:
        text = (folder / "results.json").read_text(encoding="utf-8")
        return dict(json.loads(text)["bicameral"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{folder} holds no readable results.json ({error}); run 'bicameral evaluate' first"
        ) from error


def _read(name: str) -> str:
    return resources.files("sim.report").joinpath(name).read_text(encoding="utf-8")


def _table_sections(results: Mapping[str, Any]) -> list[Section]:
    tables = [*group_tables(results["groups"])]
    if results["paired"]:
        tables += pair_tables(results["paired"])
    if (branches := branch_table(results["groups"])) is not None:
        tables.append(branches)
    return [Section(title=table.title, blocks=[table]) for table in tables]


def _viewer(
    folder: Path, driven: Sequence[EpisodeRecord], routes: Mapping[str, Route]
) -> list[Block]:
    """Return the place where the script draws an episode, and the data that it draws from."""
    shown = _choose_episodes(driven)
    data = _episodes_data(shown, routes, _embed_videos(folder, shown))
    # JSON that cannot end the script element it stands in.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    element = f'<script type="application/json" id="episodes">{text}</script>'
    return [
        f"{len(shown)} of {len(driven)} episodes are embedded here"
        + (", the failed ones first." if len(shown) < len(driven) else "."),
        Markup(_read("viewer.html") + element),  # noqa: S704 - ours, and escaped above
    ]


def _provenance(results: Mapping[str, Any]) -> Folded:
    made = {key: results[key] for key in ("created_at", "versions", "host", "plan")}
    return Folded(
        summary="Settings, seeds, versions, host", blocks=[Code(text=json.dumps(made, indent=2))]
    )


def _join(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _lead(results: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    trained = _join(str(a["trained_on"]) for a in plan["agents"] if a["trained_on"])
    return (
        f"{len(results['episodes'])} episodes: {len(plan['routes'])} routes, "
        f"{len(plan['agents'])} agents or corrections, {_join(plan['weathers'])}, "
        f"{plan['repetitions']} repetition(s), base seed {plan['seed']}. "
        + (f"Trained on: {trained}. " if trained else "")
        + f"Driven on: {_join(e['driven_on'] for e in results['episodes'])}. "
        + _competence(plan)
    )


def _competence(plan: Mapping[str, Any]) -> str:
    """Say what the figures can speak of."""
    if "traffic" not in plan:
        return (
            "Steering is learned; speed follows the planned route's profile. There is no traffic, "
            "and red lights are ignored but counted: no figure here speaks of driving competence."
        )
    return (
        "Steering is learned; unless an agent says otherwise, speed follows the planned route's "
        "profile, which knows neither the others nor the lights."
    )


def _warnings(results: Mapping[str, Any], driven: Sequence[EpisodeRecord]) -> list[str]:
    warnings = []
    if results["domain_mismatch"]:
        warnings.append(
            "The agent was trained on one simulator and driven on another: its camera never saw "
            "such pictures. Collect data there and train before judging it."
        )
    restarted = [record.episode_id for record in driven if record.restarts]
    if restarted:
        warnings.append(
            f"The simulator was lost and restarted in {len(restarted)} episode(s), which were "
            f"driven again from the start: {', '.join(restarted)}."
        )
    return warnings


def _tiles(results: Mapping[str, Any]) -> list[Tile]:
    episodes = results["episodes"]
    succeeded = sum(episode["metrics"]["success"]["value"] == 1.0 for episode in episodes)
    collisions = sum(len(episode["collisions"]) for episode in episodes)
    red_lights, met = (
        sum(episode["metrics"][name]["value"] for episode in episodes)
        for name in ("red_lights_passed", "red_lights_met")
    )
    return [
        Tile(value=f"{succeeded} / {len(episodes)}", label="episodes succeeded"),
        Tile(value=f"{collisions}", label="collisions"),
        Tile(
            value=f"{red_lights:.0f} of {met:.0f}",
            label="red lights passed"
            + ("" if "traffic" in results["plan"] else " (ignored by design)"),
        ),
        Tile(value=results["scoring_version"], label="leaderboard scoring version"),
    ]


def _choose_episodes(driven: Sequence[EpisodeRecord]) -> list[EpisodeRecord]:
    """Keep the order of the plan; if there are too many, prefer failures."""
    if len(driven) <= MAX_EPISODES:
        return list(driven)
    ranked = sorted(driven, key=lambda record: record.status == "Completed")[:MAX_EPISODES]
    kept = {record.episode_id for record in ranked}
    return [record for record in driven if record.episode_id in kept]


def _embed_videos(folder: Path, shown: Sequence[EpisodeRecord]) -> dict[str, str]:
    """Return data URLs by episode, as many as fit."""
    videos: dict[str, str] = {}
    weight = 0
    for record in shown:
        path = folder / "episodes" / record.episode_id / f"video{VIDEO_SUFFIX}"
        if not path.exists():
            continue
        weight += path.stat().st_size
        if weight > MAX_VIDEO_BYTES:
            break
        content = base64.b64encode(path.read_bytes()).decode("ascii")
        videos[record.episode_id] = f"data:video/webm;base64,{content}"
    return videos


def _episodes_data(
    shown: Sequence[EpisodeRecord], routes: Mapping[str, Route], videos: Mapping[str, str]
) -> dict[str, Any]:
    used = dict.fromkeys(record.route for record in shown)
    return {
        "episodes": [_episode_data(record, routes[record.route]) for record in shown],
        "routes": {
            name: {
                "x": _numbers(routes[name].xyz_m[:, 0], 1),
                "y": _numbers(routes[name].xyz_m[:, 1], 1),
            }
            for name in used
        },
        "videos": dict(videos),
    }


def _episode_data(record: EpisodeRecord, route: Route) -> dict[str, Any]:
    trajectory = record.trajectory
    keep = np.arange(0, len(trajectory), TICKS_PER_POINT)
    limit_mps = np.interp(trajectory.progress_m[keep], route.s_m, route.speed_limit_mps)
    error_m = np.abs(trajectory.cross_track_m)
    first = int(trajectory.frame[0]) if len(trajectory) else 0
    return {
        "id": record.episode_id,
        "mode": f"{record.agent}, correction {record.correction}",
        "condition": record.weather,
        "route": record.route,
        "repetition": record.repetition,
        "status": str(record.status),
        "summary": (
            f"{trajectory.progress_m[-1]:.0f} of {route.length_m:.0f} m, mean cross-track error "
            f"{error_m.mean():.2f} m, largest {error_m.max():.2f} m"
            if len(trajectory)
            else "nothing was driven"
        ),
        "t": _numbers(trajectory.time_s[keep], 2),
        "x": _numbers(trajectory.x_m[keep], 2),
        "y": _numbers(trajectory.y_m[keep], 2),
        "steer": _numbers(trajectory.steer[keep], 4),
        "steer_raw": _numbers(trajectory.steer_raw[keep], 4),
        "confidence": _numbers(trajectory.confidence[keep], 3),
        "cte": _numbers(trajectory.cross_track_m[keep], 3),
        "speed": _numbers(trajectory.speed_mps[keep], 2),
        "limit": _numbers(limit_mps, 2),
        "branch": trajectory.branch[keep].tolist(),
        "branches": list(record.branches),
        "collisions": [_place(record, hit.frame - first) for hit in record.collisions],
    }


def _place(record: EpisodeRecord, tick: int) -> list[float]:
    index = min(max(tick, 0), len(record.trajectory) - 1)
    return [float(record.trajectory.x_m[index]), float(record.trajectory.y_m[index])]


def _numbers(values: NDArray[np.floating], digits: int) -> list[float | None]:
    """Round for the page; what is no number becomes null."""
    return [round(v, digits) if math.isfinite(v) else None for v in values.tolist()]
