"""The result file is the leaderboard's, field by field, in either scoring version."""

import json

import numpy as np
import pytest

from sim.evaluation.leaderboard import LABELS, leaderboard_document
from sim.evaluation.limits import Status
from sim.evaluation.records import CollisionRecord
from sim.evaluation.scoring import INFRACTION_KEYS, SCORING, find_infractions

WALL = CollisionRecord(frame=1, last_frame=2, other="static.wall", impulse_ns=3.0)
CAR = CollisionRecord(frame=1, last_frame=2, other="vehicle.audi.a2", impulse_ns=3.0)
WALKER = CollisionRecord(frame=1, last_frame=2, other="walker.pedestrian.0001", impulse_ns=3.0)


@pytest.fixture
def document(straight_route):
    return lambda *records, scoring="2.1", dropped=(): leaderboard_document(
        records, {"straight": straight_route}, scoring, dropped
    )


def test_a_perfect_drive_scores_100_in_every_version(record, drive, document):
    for version in SCORING:
        overall = document(record(drive()), scoring=version)["_checkpoint"]["global_record"]
        assert overall["status"] == "Perfect"
        assert overall["scores_mean"] == {
            "score_composed": 100.0,
            "score_route": 100.0,
            "score_penalty": 1.0,
        }


def test_a_route_without_its_scenarios_is_never_perfect(record, drive, document):
    checkpoint = document(record(drive()), dropped={"straight": ["Accident"]})["_checkpoint"]
    assert checkpoint["records"][0]["status"] == "Completed"
    assert checkpoint["global_record"]["status"] == "Completed"
    assert document(record(drive()), dropped={"other"})["_checkpoint"]["records"][0]["status"] == (
        "Perfect"
    )


def test_the_fields_are_exactly_the_leaderboards(record, drive, document):
    result = document(record(drive()), record(drive(ticks=100), Status.DEVIATED))
    assert set(result) == {
        "_checkpoint",
        "entry_status",
        "eligible",
        "sensors",
        "values",
        "labels",
    }
    assert result["labels"] == list(LABELS)
    assert [type(value) for value in result["values"]] == [str] * 15
    entry = result["_checkpoint"]["records"][1]
    assert set(entry) == {
        "index",
        "route_id",
        "status",
        "num_infractions",
        "infractions",
        "scores",
        "meta",
    }
    assert tuple(entry["infractions"]) == INFRACTION_KEYS
    assert entry["route_id"] == "RouteScenario_straight_rep1"
    assert entry["status"] == "Failed - Agent deviated from the route"
    assert result["_checkpoint"]["progress"] == [2, 2]
    assert result["_checkpoint"]["global_record"]["meta"]["exceptions"] == [
        ["RouteScenario_straight_rep1", 1, "Failed - Agent deviated from the route"]
    ]
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("version", "collisions", "penalty"),
    [
        ("2.0", (WALL,), 0.65),
        ("2.0", (WALL, CAR, WALKER), 0.65 * 0.6 * 0.5),
        ("2.1", (WALL,), 1 / 1.6),
        ("2.1", (WALL, CAR, WALKER), 1 / 3.3),
    ],
)
def test_collisions_cost_what_the_version_says(
    record, drive, document, version, collisions, penalty
):
    result = document(record(drive(), collisions=collisions), scoring=version)
    entry = result["_checkpoint"]["records"][0]
    assert entry["status"] == "Completed"
    assert entry["scores"]["score_penalty"] == pytest.approx(penalty, abs=1e-6)
    assert entry["scores"]["score_composed"] == pytest.approx(100 * penalty, abs=1e-4)


@pytest.mark.parametrize(("version", "penalty"), [("2.0", 0.7 * 0.8), ("2.1", 1 / 1.65)])
def test_red_lights_and_stop_signs_cost_among_others_only(
    record, drive, document, version, penalty
):
    light = np.where(np.arange(400) // 10 == 5, 1, 0)
    drives = drive(traffic_light=light)
    alone = record(drives, stop_signs_m=(100.0,))
    among = record(drives, stop_signs_m=(100.0,), vehicles=3, walkers=1)
    scores = [
        entry["scores"]["score_penalty"]
        for entry in document(alone, among, scoring=version)["_checkpoint"]["records"]
    ]
    assert scores == pytest.approx([1.0, penalty], abs=1e-6)


def test_leaving_the_lane_costs_its_share_and_readers_find_the_metres(
    record, drive, straight_route
):
    lateral = np.where(np.arange(400) < 100, 3.2, 0.0)
    found = find_infractions(record(drive(cross_track_m=lateral)), straight_route)
    message = found.messages["outside_route_lanes"][0]
    assert float(message.split(" ")[8]) == pytest.approx(49.5)
    for penalty in SCORING.values():
        assert penalty(found) == pytest.approx(1 - 99 / 399)


def test_the_edge_of_the_lane_is_still_inside(record, drive, straight_route):
    inside = find_infractions(record(drive(lateral_m=3.0)), straight_route)
    assert inside.outside_m == 0.0


def test_infractions_are_counted_per_kilometre(record, drive, document):
    result = document(record(drive(), collisions=(WALL, WALL)))
    assert result["_checkpoint"]["global_record"]["infractions"]["collisions_layout"] == 10.0
    assert result["values"][5] == "10.0"


def test_a_crashed_simulator_makes_the_entry_not_eligible(record, drive, document):
    result = document(record(drive(ticks=0), Status.SIMULATION_CRASHED))
    assert (result["entry_status"], result["eligible"]) == ("Crashed", False)
