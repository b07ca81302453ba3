"""Tables over many drives: per agent, correction and weather, and corrections compared in pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bicameral.statistics import Estimate, clustered_mean, share
from bicameral.types import Metric, Route
from sim.evaluation.records import EpisodeRecord
from sim.evaluation.scoring import DEFAULT_SCORING, driving_score
from sim.metrics.episode import branch_shares, episode_metrics

#: Stands for all weathers together.
ALL_WEATHERS = "all"

#: The correction mode of an agent without correction; the others are compared with such agents.
BASELINE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredEpisode:
    """A drive with its metrics."""

    record: EpisodeRecord
    metrics: Mapping[str, Metric]
    branches: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """All drives of one agent with one correction in one weather, or in all.

    Attributes:
        agent: Name of the agent.
        correction: Its correction mode.
        weather: Name of the weather, or ``"all"``.
        episodes: Number of drives.
        success: Rate with Wilson's interval.
        collisions_per_km: All collisions by all kilometres driven; NaN if none was driven.
        red_lights_met: Of all drives.
        red_lights_passed: How many of those.
        metrics: Mean of each metric with its interval.
        branches: Share of all ticks in which each branch was taken.
    """

    agent: str
    correction: str
    weather: str
    episodes: int
    success: Estimate
    collisions_per_km: float
    red_lights_met: int
    red_lights_passed: int
    metrics: Mapping[str, Estimate]
    branches: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedSummary:
    """A correction mode minus a baseline, over pairs of equal route, weather and repetition.

    Attributes:
        agent: Name of the agent.
        correction: The mode.
        baseline: Name of the agent whose uncorrected drives are subtracted.
        weather: Name of the weather, or ``"all"``.
        pairs: Number of pairs.
        won: Pairs in which only the mode succeeded.
        lost: Pairs in which only the baseline succeeded.
        differences: Mean difference of each metric with its interval.
    """

    agent: str
    correction: str
    baseline: str
    weather: str
    pairs: int
    won: int
    lost: int
    differences: Mapping[str, Estimate]


def score_episodes(
    records: Sequence[EpisodeRecord], routes: Mapping[str, Route], scoring: str = DEFAULT_SCORING
) -> list[ScoredEpisode]:
    """Compute the metrics of every evaluation drive; reference drives are only compared with.

    Args:
        records: All drives, the references among them.
        routes: Every route by name.
        scoring: Version of the leaderboard's scoring, for the driving score.
    """
    references = {record.route: record for record in records if record.role == "reference"}
    return [
        ScoredEpisode(
            record=record,
            metrics={
                **episode_metrics(record, routes[record.route], references.get(record.route)),
                "driving_score": Metric(
                    value=driving_score(record, routes[record.route], scoring), unit="%"
                ),
            },
            branches=branch_shares(record),
        )
        for record in records
        if record.role == "evaluation"
    ]


def summarise_groups(episodes: Sequence[ScoredEpisode], seed: int) -> list[GroupSummary]:
    """Summarise every combination of agent, correction and weather, in order of appearance."""
    return [
        _summarise(agent, correction, weather, members, seed)
        for (agent, correction), weather, members in _groups(episodes)
    ]


def summarise_pairs(episodes: Sequence[ScoredEpisode], seed: int) -> list[PairedSummary]:
    """Compare every corrected agent with every agent that drove without a correction.

    The agent's own uncorrected drives come first; the others are controls, e.g. the second network
    alone.
    """
    groups = {(key, weather): members for key, weather, members in _groups(episodes)}
    summaries = []
    for ((agent, correction), weather), members in groups.items():
        if correction == BASELINE:
            continue
        controls = sorted(
            (name for (name, mode), where in groups if mode == BASELINE and where == weather),
            key=lambda name: name != agent,
        )
        for control in controls:
            pairs = _pairs(members, groups[(control, BASELINE), weather])
            summary = _compare(agent, correction, weather, pairs, seed)
            summaries.append(replace(summary, baseline=control))
    return summaries


def _groups(
    episodes: Sequence[ScoredEpisode],
) -> Iterable[tuple[tuple[str, str], str, list[ScoredEpisode]]]:
    keys = dict.fromkeys((e.record.agent, e.record.correction) for e in episodes)
    weathers = list(dict.fromkeys(e.record.weather for e in episodes))
    for key in keys:
        mine = [e for e in episodes if (e.record.agent, e.record.correction) == key]
        for weather in weathers:
            yield key, weather, [e for e in mine if e.record.weather == weather]
        if len(weathers) > 1:
            yield key, ALL_WEATHERS, mine


def _summarise(
    agent: str, correction: str, weather: str, members: Sequence[ScoredEpisode], seed: int
) -> GroupSummary:
    names = members[0].metrics if members else {}
    ticks = sum(len(e.record.trajectory) for e in members)
    branches: dict[str, float] = {}
    for episode in members:
        weight = len(episode.record.trajectory) / max(ticks, 1)
        for name, ticks_share in episode.branches.items():
            branches[name] = branches.get(name, 0.0) + ticks_share * weight
    driven_km = sum(_driven_m(e) for e in members) / 1000.0
    collisions = sum(len(e.record.collisions) for e in members)
    return GroupSummary(
        agent=agent,
        correction=correction,
        weather=weather,
        episodes=len(members),
        success=share(sum(_succeeded(e) for e in members), len(members)),
        collisions_per_km=collisions / driven_km if driven_km > 0.0 else math.nan,
        red_lights_met=_total("red_lights_met", members),
        red_lights_passed=_total("red_lights_passed", members),
        metrics={name: _estimate(name, members, seed) for name in names},
        branches=dict(sorted(branches.items())),
    )


def _estimate(name: str, members: Sequence[ScoredEpisode], seed: int) -> Estimate:
    having = [e for e in members if e.metrics[name].valid]
    return clustered_mean(
        [e.metrics[name].value for e in having],
        [e.record.route for e in having],
        members[0].metrics[name].unit,
        seed=seed,
        name=name,
    )


def _pairs(
    members: Sequence[ScoredEpisode], baseline: Sequence[ScoredEpisode]
) -> list[tuple[ScoredEpisode, ScoredEpisode]]:
    partners = {_pair_key(e.record): e for e in baseline}
    return [(e, partners[_pair_key(e.record)]) for e in members if _pair_key(e.record) in partners]


def _pair_key(record: EpisodeRecord) -> tuple[str, str, int]:
    return record.route, record.weather, record.repetition


def _compare(
    agent: str,
    correction: str,
    weather: str,
    pairs: Sequence[tuple[ScoredEpisode, ScoredEpisode]],
    seed: int,
) -> PairedSummary:
    differences = {}
    for name, metric in pairs[0][0].metrics.items() if pairs else ():
        having = [(a, b) for a, b in pairs if a.metrics[name].valid and b.metrics[name].valid]
        differences[name] = clustered_mean(
            [a.metrics[name].value - b.metrics[name].value for a, b in having],
            [a.record.route for a, _ in having],
            metric.unit,
            seed=seed,
            name=f"paired {name}",
        )
    return PairedSummary(
        agent=agent,
        correction=correction,
        baseline=agent,
        weather=weather,
        pairs=len(pairs),
        won=sum(_succeeded(a) and not _succeeded(b) for a, b in pairs),
        lost=sum(_succeeded(b) and not _succeeded(a) for a, b in pairs),
        differences=differences,
    )


def _succeeded(episode: ScoredEpisode) -> bool:
    return episode.metrics["success"].value == 1.0


def _total(name: str, members: Sequence[ScoredEpisode]) -> int:
    return round(sum(episode.metrics[name].value for episode in members))


def _driven_m(episode: ScoredEpisode) -> float:
    progress_m = episode.record.trajectory.progress_m
    return float(progress_m.max()) if len(progress_m) else 0.0
