"""The first sentence of a report says what was driven and what the correction changed."""

from dataclasses import replace

import pytest

from sim.evaluation.limits import Status
from sim.evaluation.results import entries_of
from sim.metrics.summary import score_episodes
from sim.report.outcome import describe_omissions, describe_outcome

ROUTES = "abcdef"


@pytest.fixture
def results(record, drive, straight_route):
    """Build results in which each agent and mode fails on the routes that are named."""

    def build(failures, weathers=("clear",), repetitions=1, lateral_m=None):
        routes = {name: replace(straight_route, name=name) for name in ROUTES}
        records = [
            record(
                drive(lateral_m=(lateral_m or {}).get(correction, 0.0)),
                Status.DEVIATED if route in failed else Status.COMPLETED,
                agent=agent,
                correction=correction,
                route=route,
                weather=weather,
            )
            for (agent, correction), failed in failures.items()
            for route in ROUTES
            for weather in weathers
        ]
        plan = {
            "routes": [{"name": name, "town": "Ridgeway"} for name in ROUTES],
            "agents": [{"name": a, "correction": c, "kwargs": {}} for a, c in failures],
            "weathers": list(weathers),
            "repetitions": repetitions,
        }
        return entries_of(score_episodes(records, routes), seed=0) | {"plan": plan}

    return build


def test_a_correction_that_changes_nothing_is_said_to_change_nothing(results):
    same = results({("a", "none"): "ef", ("a", "second_opinion"): "ef"})
    assert describe_outcome(same, ["Train01"]) == (
        "Driven: 6 routes of Ridgeway, a town no network was trained on, by a. "
        "Without a correction 4 of 6 drives of a succeeded, with the second network's correction "
        "4 of 6 (the same drives: no difference). Mean distance to the lane centre: 0.00 m "
        "without, 0.00 m with the second network's correction (no difference)."
    )


@pytest.mark.parametrize(
    ("without", "corrected", "said"),
    [
        ("e", "", "6 of 6 (1 more, which may be chance)"),
        ("", "e", "5 of 6 (1 fewer, which may be chance)"),
        ("e", "f", "5 of 6 (as many, but 1 other)"),
        ("ef", "cd", "4 of 6 (as many, but 2 others)"),
        ("abcdef", "", "6 of 6 (6 more, beyond what chance explains)"),
    ],
)
def test_a_difference_is_counted_and_weighed(results, without, corrected, said):
    changed = results({("a", "none"): without, ("a", "paper"): corrected})
    assert f", with the paper's correction {said}. Mean" in describe_outcome(changed)


def test_how_much_nearer_to_the_lane_centre_a_correction_drives_is_said(results):
    nearer = results({("a", "none"): "", ("a", "fusion"): ""}, lateral_m={"none": 0.5})
    assert describe_outcome(nearer).endswith(
        "Mean distance to the lane centre: 0.50 m without, 0.00 m with the map's correction "
        "(0.50 m less, beyond what chance explains)."
    )


def test_a_network_that_is_told_its_lane_is_not_said_to_see_alone(results):
    told = results({("a", "none"): "", ("a", "fusion"): ""})
    for agent in told["plan"]["agents"]:
        agent["kwargs"] = {"navigation": {"intent": True, "sigma_m": 1.0}}
    assert describe_outcome(told).startswith(
        "Driven: 6 routes of Ridgeway, "
        "by a, told where its lane leads by a position that is 1 m off. "
    )


def test_without_a_pair_nothing_is_compared(results):
    alone = results({("a", "paper"): "f", ("b", "none"): ""})
    assert describe_outcome(alone) == (
        "Driven: 6 routes of Ridgeway, by a and b. Succeeded: 5 of 6 by a with the paper's "
        "correction and 6 of 6 by b. No drive was compared with and without a correction."
    )


def test_a_known_town_and_several_conditions_are_named(results):
    known = results({("a", "none"): ""}, weathers=("clear", "yaw_right"), repetitions=3)
    assert describe_outcome(known, ["Ridgeway"]).startswith(
        "Driven: 6 routes of Ridgeway, Ridgeway being known from training, 3 times each, "
        "in the conditions clear and yaw_right (the camera 3° too far right), by a. "
        "Succeeded: 12 of 12 by a."
    )


def test_scenarios_and_routes_that_were_not_driven_are_counted_and_named():
    routes = [
        {"name": "a", "dropped_scenarios": ["ControlLoss", "Accident", "ControlLoss"]},
        {"name": "b"},
    ]
    assert describe_omissions({"routes": routes[1:]}) == []
    dropped, left_out = describe_omissions({"routes": routes, "skipped_towns": {"Town12": 3}})
    assert dropped.startswith(
        "3 scenarios on 1 of 2 routes dropped, since scenarios are not driven here: Accident 1, "
        "ControlLoss 2. The word 'Perfect' is withheld"
    )
    assert "bicameral leaderboard-entry" in dropped
    assert left_out.startswith("3 routes of the file left out")
    assert "3 on Town12" in left_out
    assert "bicameral maps get" in left_out


def test_who_else_was_on_the_road_is_said(results):
    busy = results({("a", "none"): ""})
    busy["plan"]["traffic"] = {"vehicles": 30, "walkers": 1}
    said = describe_outcome(busy)
    assert said.startswith("Driven: 6 routes of Ridgeway, among 30 vehicles and 1 walker, by a.")
    busy["plan"]["traffic"] = {"vehicles": 0, "walkers": 20}
    assert "among 20 walkers, by a." in describe_outcome(busy)
