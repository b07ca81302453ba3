"""Tables over hand-made drives: rates by weather, pairs, and branches weighed by ticks."""

from dataclasses import replace

import numpy as np
import pytest

from sim.evaluation.limits import Status
from sim.metrics.summary import score_episodes, summarise_groups, summarise_pairs


@pytest.fixture
def scored(record, drive, straight_route):
    """Three routes by two modes in two weathers; `paper` is 1 m off and fails one at night."""
    routes = {name: replace(straight_route, name=name) for name in "abc"}
    records = [record(drive(), role="reference", route=name) for name in routes]
    for name in routes:
        for weather in ("clear", "night"):
            mine = {"route": name, "weather": weather}
            records.append(record(drive(), correction="none", **mine))
            failed = name == "b" and weather == "night"
            trajectory = drive(ticks=200 if failed else 400, lateral_m=1.0)
            status = Status.DEVIATED if failed else Status.COMPLETED
            records.append(record(trajectory, status, correction="paper", **mine))
    return score_episodes(records, routes)


def test_references_are_compared_with_but_not_summarised(scored):
    assert len(scored) == 12
    assert all(episode.metrics["frechet"].valid for episode in scored)


def test_every_mode_has_a_row_per_weather_and_one_over_all(scored):
    rows = [(g.correction, g.weather, g.episodes) for g in summarise_groups(scored, seed=0)]
    assert rows == [
        ("none", "clear", 3),
        ("none", "night", 3),
        ("none", "all", 6),
        ("paper", "clear", 3),
        ("paper", "night", 3),
        ("paper", "all", 6),
    ]


def test_a_failed_drive_shows_in_the_rate_and_in_no_other_weather(scored):
    groups = {(g.correction, g.weather): g for g in summarise_groups(scored, seed=0)}
    assert groups["paper", "clear"].success.value == 1.0
    assert groups["paper", "night"].success.value == pytest.approx(2 / 3)
    assert groups["paper", "clear"].metrics["cross_track_mean"].value == pytest.approx(1.0)


def test_pairs_subtract_the_same_route_and_weather(scored):
    pairs = {p.weather: p for p in summarise_pairs(scored, seed=0)}
    assert {w: (p.pairs, p.won, p.lost) for w, p in pairs.items()} == {
        "clear": (3, 0, 0),
        "night": (3, 0, 1),
        "all": (6, 0, 1),
    }
    difference = pairs["all"].differences["cross_track_mean"]
    assert (difference.value, difference.low, difference.high) == pytest.approx((1.0,) * 3)


def test_branches_are_weighed_by_ticks(record, drive, straight_route):
    short = record(drive(ticks=100), route="straight", branches=("none",))
    branch = np.ones(300)
    long = record(drive(ticks=300, branch=branch), branches=("none", "b"), repetition=1)
    (group,) = summarise_groups(score_episodes([short, long], {"straight": straight_route}), 0)
    assert group.branches == {"b": 0.75, "none": 0.25}
