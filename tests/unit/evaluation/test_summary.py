"""Corrected agents are compared with every agent that drove without a correction, in pairs."""

import pytest

from sim.evaluation.limits import Status
from sim.metrics.summary import score_episodes, summarise_groups, summarise_pairs


@pytest.fixture
def episodes(record, drive, straight_route):
    good = drive(ticks=400)
    lost = drive(ticks=100)
    records = [
        record(good, agent="a", correction="second_opinion", repetition=0),
        record(good, agent="a", correction="second_opinion", repetition=1),
        record(good, agent="a", repetition=0),
        record(lost, status=Status.DEVIATED, agent="a", repetition=1),
        record(good, agent="b", repetition=0),
        record(good, agent="b", repetition=1),
    ]
    return score_episodes(records, {"straight": straight_route})


def test_the_agents_own_drives_come_before_the_controls(episodes):
    pairs = summarise_pairs(episodes, seed=0)
    assert [(p.agent, p.correction, p.baseline) for p in pairs] == [
        ("a", "second_opinion", "a"),
        ("a", "second_opinion", "b"),
    ]


def test_won_and_lost_count_pairs_in_which_only_one_succeeded(episodes):
    own, control = summarise_pairs(episodes, seed=0)
    assert (own.pairs, own.won, own.lost) == (2, 1, 0)
    assert (control.pairs, control.won, control.lost) == (2, 0, 0)


def test_the_difference_is_the_corrected_minus_the_uncorrected(episodes):
    own, _ = summarise_pairs(episodes, seed=0)
    groups = {(g.agent, g.correction): g for g in summarise_groups(episodes, seed=0)}
    expected = (
        groups["a", "second_opinion"].metrics["route_completion"].value
        - groups["a", "none"].metrics["route_completion"].value
    )
    assert own.differences["route_completion"].value == pytest.approx(expected)
