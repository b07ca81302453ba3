"""Hand-made drives whose metrics are known without calculation."""

import math

import numpy as np
import pytest

from sim.client.ego import LaneInvasion
from sim.evaluation.limits import Status
from sim.evaluation.records import COLUMNS, CollisionRecord, Trajectory
from sim.metrics.episode import branch_shares, episode_metrics, straight_points

TICK_S = 0.05


@pytest.fixture
def metrics(straight_route):
    return lambda episode, reference=None: episode_metrics(episode, straight_route, reference)


@pytest.fixture
def perfect(record, drive):
    return record(drive())


def test_the_reference_itself_scores_exactly_zero_and_one(metrics, perfect):
    scores = metrics(perfect, perfect)
    zero = (
        "cross_track_mean cross_track_rmse cross_track_max cross_track_whole_route_mean "
        "heading_error_mean heading_error_rmse heading_error_max frechet dtw dtw_normalised area "
        "curve_length_error collisions lane_invasions off_road_time red_lights_passed "
        "steering_change steering_rate_rms steering_reversals share_asked_b"
    )
    assert {name: scores[name].value for name in zero.split()} == dict.fromkeys(zero.split(), 0.0)
    for name in ("success", "route_completion", "speed_share_on_straights"):
        assert scores[name].value == 1.0
        assert scores[name].valid


def test_driving_one_metre_beside_the_route_scores_one_metre(metrics, record, drive, perfect):
    scores = metrics(record(drive(lateral_m=-1.0, heading_rad=-0.1)), perfect)
    for name in ("cross_track_mean", "cross_track_rmse", "cross_track_max", "frechet"):
        assert scores[name].value == pytest.approx(1.0)
    assert scores["dtw_normalised"].value == pytest.approx(1.0)
    assert scores["area"].value == pytest.approx(199.5)
    assert scores["heading_error_max"].value == pytest.approx(0.1)


def test_a_drive_that_ends_early_cannot_look_good(metrics, record, drive, perfect):
    early = record(drive(ticks=200), Status.DEVIATED)
    scores = metrics(early, perfect)
    assert scores["cross_track_mean"].value == 0.0
    assert scores["success"].value == 0.0
    assert scores["route_completion"].value == pytest.approx(0.4975)
    assert scores["cross_track_whole_route_mean"].value == pytest.approx(5.0 * (1 - 0.4975))
    assert scores["frechet"].value == pytest.approx(100.0)
    assert scores["curve_length_error"].value == pytest.approx(100.0 / 199.5)
    assert scores["area"].value == pytest.approx(100.0**2 / 2, rel=0.01)


def test_standing_beside_the_route_does_not_outweigh_driving_on_it(metrics, record, drive):
    moving, standing = drive(ticks=100), drive(ticks=300, lateral_m=2.0)
    columns = {
        name: np.concatenate([getattr(standing, name), getattr(moving, name)]) for name in COLUMNS
    }
    columns["speed_mps"][:300] = 0.0
    scores = metrics(record(Trajectory(**columns)))
    assert scores["cross_track_mean"].value == 0.0
    assert scores["cross_track_max"].value == 2.0


def test_a_collision_or_leaving_the_lane_far_is_no_success(metrics, record, drive):
    hit = CollisionRecord(frame=3, last_frame=5, other="static.building", impulse_ns=10.0)
    assert metrics(record(drive(), collisions=(hit,)))["success"].value == 0.0
    assert metrics(record(drive(lateral_m=3.1)))["success"].value == 0.0
    assert metrics(record(drive(lateral_m=2.9)))["success"].value == 1.0
    assert metrics(record(drive(), Status.TIMED_OUT))["success"].value == 0.0


def test_lane_invasions_in_junctions_are_counted_apart(metrics, record, drive):
    inside, outside = 210, 10  # ticks at 105 m and at 5 m
    crossed = tuple(LaneInvasion(frame=f, markings=("Solid",)) for f in (outside, inside))
    scores = metrics(record(drive(), lane_invasions=crossed))
    assert scores["lane_invasions"].value == 2
    assert scores["lane_invasions_outside_junctions"].value == 1


def test_a_red_light_counts_once_when_its_area_is_left(metrics, record, drive):
    light = np.zeros(400)
    light[50:60] = 1  # left while red
    light[100:110] = 1
    light[110:120] = 3  # waited until green
    light[200:210] = 3  # never red
    light[300:310] = 2
    light[310:320] = 1  # turned red over the vehicle, which then left
    found = metrics(record(drive(traffic_light=light)))
    assert (found["red_lights_met"].value, found["red_lights_passed"].value) == (3, 2)


def test_among_others_a_red_light_is_met_by_whoever_comes_near_its_line(metrics, record, drive):
    def met(line_m, *, red_from_m, area=()):
        drives = drive(traffic_light=np.isin(np.arange(400), area))
        lights = np.where(drives.progress_m >= red_from_m, 1, 3)[:, None]
        episode = record(
            drives, light_lines_m=(line_m,), lights=lights, others=np.zeros((400, 0, 3))
        )
        found = metrics(episode)
        return found["red_lights_met"].value, found["red_lights_passed"].value

    assert met(100.0, red_from_m=0.0) == (1, 0), "its area was not entered, as who stops before it"
    assert met(100.0, red_from_m=0.0, area=range(190, 199)) == (1, 1)
    assert met(100.0, red_from_m=101.0) == (0, 0), "it turned red behind the vehicle"
    assert met(250.0, red_from_m=0.0) == (0, 0), "the drive ended 50 m before it"


def test_a_stop_sign_is_passed_by_who_never_stands_at_its_line(metrics, record, drive):
    def passed(standing_at_m):
        moving = drive()
        speed = np.where(np.abs(moving.progress_m - standing_at_m) < 1.0, 0.0, 10.0)
        episode = record(drive(speed_mps=speed), stop_signs_m=(100.0,))
        return metrics(episode)["stop_signs_passed"].value

    assert (passed(standing_at_m=96.0), passed(standing_at_m=80.0)) == (0, 1)
    unreached = record(drive(ticks=150), Status.TIMED_OUT, stop_signs_m=(100.0,))
    assert metrics(unreached)["stop_signs_passed"].value == 0


def test_collisions_are_told_by_what_was_hit(metrics, record, drive):
    others = ("vehicle.audi.a2", "walker.pedestrian.0001", "static.wall", "traffic.stop")
    hits = tuple(
        CollisionRecord(frame=9, last_frame=9, other=other, impulse_ns=1.0) for other in others
    )
    found = metrics(record(drive(), collisions=hits))
    kinds = ("collisions_vehicle", "collisions_walker", "collisions_static", "collisions")
    assert [found[kind].value for kind in kinds] == [1, 1, 2, 4]


def test_half_the_time_off_the_road_is_ten_seconds(metrics, record, drive):
    scores = metrics(record(drive(off_road=np.arange(400) % 2)))
    assert scores["off_road_time"].value == pytest.approx(10.0)


def test_the_episodes_own_noise_is_not_the_agents_jitter(metrics, record, drive):
    noise = np.random.default_rng(0).normal(0.0, 0.01, 400).astype(np.float32)
    scores = metrics(record(drive(steer=noise, steer_noise=noise)))
    assert scores["steering_change"].value == 0.0


def test_steering_left_and_right_every_tick_is_measured(metrics, record, drive):
    steer = np.where(np.arange(400) % 2, 0.05, -0.05)
    scores = metrics(record(drive(steer=steer)))
    assert scores["steering_change"].value == pytest.approx(0.1)
    assert scores["steering_rate_rms"].value == pytest.approx(0.1 * math.radians(70) / TICK_S)
    assert scores["steering_reversals"].value == pytest.approx(20.0, rel=0.01)


def test_what_was_not_measured_is_not_zero(metrics, perfect):
    scores = metrics(perfect)
    for name in ("frechet", "area", "confidence_mean", "inference_mean_s"):
        assert not scores[name].valid
        assert math.isnan(scores[name].value)


def test_an_episode_without_a_tick_has_metrics_and_no_success(metrics, record, drive, perfect):
    empty = record(drive(ticks=0), Status.SIMULATION_CRASHED)
    scores = metrics(empty, perfect)
    assert scores.keys() == metrics(perfect, perfect).keys()
    assert scores["success"].value == 0.0
    assert scores["route_completion"].value == 0.0
    assert scores["cross_track_whole_route_mean"].value == pytest.approx(5.0)
    assert not scores["cross_track_mean"].valid


def test_straights_begin_after_the_start(straight_route):
    assert not straight_points(straight_route)[:50].any()
    assert straight_points(straight_route)[50:].all()


def test_branch_shares_add_up_to_one(record, drive):
    branch = np.repeat([0, 1], [300, 100])
    episode = record(drive(branch=branch), branches=("none", "second_opinion_b"))
    assert branch_shares(episode) == {"none": 0.75, "second_opinion_b": 0.25}
