"""The expert that drives among others, state by state, on a straight street with a junction."""

import math

import numpy as np
import pytest

from agent.progress import RouteGuide
from agent.traffic_expert import TrafficExpert
from agent.traffic_labels import AT_THE_LINE, WITHIN_SIGHT, StopRule, following_speed, label_state
from agent.way_ahead import HALF_LENGTH_M
from bicameral.protocols import DrivingAgent
from bicameral.types import (
    LightState,
    Observation,
    Pose,
    RoadUser,
    Route,
    StopLine,
    Surroundings,
)

pytestmark = pytest.mark.unit

LIMIT_MPS = 8.0
JUNCTION = (100.0, 120.0)


def make_route():
    s = np.arange(201.0)
    zero = np.zeros(201)
    return Route(
        name="street",
        town="none",
        kind="straight",
        xyz_m=np.column_stack([s, zero, zero]),
        yaw_rad=zero,
        s_m=s,
        command=np.full(201, 4, np.int8),
        in_junction=(s >= JUNCTION[0]) & (s < JUNCTION[1]),
        lane_width_m=zero + 3.5,
        speed_limit_mps=zero + LIMIT_MPS,
        target_speed_mps=zero + LIMIT_MPS,
    )


def car(x_m, y_m=0.0, yaw_deg=0.0, speed_mps=0.0, *, turn_radps=0.0, in_junction=False):
    yaw = math.radians(yaw_deg)
    return RoadUser(
        walker=False,
        pose=Pose(x_m=x_m, y_m=y_m, yaw_rad=yaw),
        velocity_mps=(speed_mps * math.cos(yaw), speed_mps * math.sin(yaw)),
        yaw_rate_radps=turn_radps,
        half_length_m=2.4,
        half_width_m=1.0,
        in_junction=in_junction,
    )


def walker(x_m, y_m, velocity_mps=(0.0, 0.0)):
    return RoadUser(
        walker=True,
        pose=Pose(x_m=x_m, y_m=y_m),
        velocity_mps=velocity_mps,
        yaw_rate_radps=0.0,
        half_length_m=0.2,
        half_width_m=0.2,
        in_junction=False,
    )


def label(*others, at_m=50.0, speed_mps=LIMIT_MPS, lines=(), rule=AT_THE_LINE):
    pose = Pose(x_m=at_m, y_m=0.0)
    guide = RouteGuide(make_route(), start_s_m=at_m)
    guide.update(pose)
    seen = Surroundings(others=others, stop_lines=lines)
    return label_state(guide, pose, speed_mps, seen, rule)


def test_alone_it_drives_at_the_speed_of_the_profile():
    found = label()
    assert (found.target_speed_mps, found.cause) == (pytest.approx(LIMIT_MPS), "free")
    assert (found.lead_distance_m, found.light, found.stop_line_m) == (None, None, None)
    assert found.deceleration_mps2 == 0.0


@pytest.mark.parametrize("lead_mps", [0.0, 3.0, 6.0])
def test_behind_another_it_keeps_the_models_distance(lead_mps):
    gaps = np.linspace(0.0, 60.0, 50)
    speeds = [following_speed(gap, lead_mps) for gap in gaps]
    assert speeds[0] == 0.0
    assert np.all(np.diff(speeds) > 0.0)
    # Where both are equally fast, only the time headway is left.
    assert following_speed(1.3 * lead_mps, lead_mps) == pytest.approx(lead_mps)


def test_the_vehicle_ahead_is_told_by_its_distance_and_speed():
    found = label(car(80.0, speed_mps=3.0), car(75.0, y_m=3.5))
    assert found.lead_distance_m == pytest.approx(80.0 - 2.4 - 50.0 - HALF_LENGTH_M)
    assert found.lead_speed_mps == pytest.approx(3.0)
    assert found.cause == "free"
    assert label(car(65.0, speed_mps=3.0)).cause == "vehicle"


def test_a_vehicle_right_ahead_that_stands_is_an_emergency():
    found = label(car(57.0))
    assert found.target_speed_mps == 0.0
    assert found.deceleration_mps2 > 9.0


@pytest.mark.parametrize(
    "harmless",
    [
        car(70.0, y_m=3.5, speed_mps=8.0),  # beside, the same way
        car(70.0, y_m=-3.5, yaw_deg=180.0, speed_mps=8.0),  # oncoming in its own lane
        car(40.0, speed_mps=12.0),  # behind
        walker(70.0, 4.0, (1.4, 0.0)),  # along the sidewalk
        walker(70.0, 3.0, (0.0, 1.4)),  # away from the road
    ],
)
def test_who_stays_off_the_way_changes_nothing(harmless):
    assert label(harmless).cause == "free"


def test_who_changes_onto_the_lane_is_followed_before_he_is_there():
    cutting = car(62.0, y_m=3.2, yaw_deg=-12.0, speed_mps=6.0)
    found = label(cutting)
    assert found.cause == "vehicle"
    assert 0.0 < found.target_speed_mps < LIMIT_MPS
    assert found.lead_distance_m < 12.0


def test_a_walker_who_is_about_to_step_onto_the_lane_is_waited_for():
    found = label(walker(66.0, 3.0, (0.0, -1.4)))
    assert found.cause == "walker"
    assert found.target_speed_mps < LIMIT_MPS
    assert label(walker(55.0, 0.5)).target_speed_mps == 0.0


@pytest.mark.parametrize(
    ("state", "at_m", "stops"),
    [
        (LightState.RED, 92.0, True),
        (LightState.RED, 99.0, False),  # over the line already
        (LightState.YELLOW, 80.0, True),
        (LightState.YELLOW, 94.0, False),  # too late
        (LightState.GREEN, 92.0, False),
    ],
)
def test_lights_stop_who_can_still_stop(state, at_m, stops):
    found = label(at_m=at_m, lines=(StopLine(s_m=100.0, light=state),))
    assert (found.cause == "light") is stops
    if at_m + HALF_LENGTH_M < 100.0:
        assert found.light is state
        assert found.stop_line_m == pytest.approx(100.0 - at_m - HALF_LENGTH_M)


def test_at_a_red_light_it_stands_before_the_line():
    red = (StopLine(s_m=100.0, light=LightState.RED),)
    assert label(at_m=96.0, speed_mps=0.0, lines=red).target_speed_mps == 0.0


def test_an_expert_to_be_copied_stands_where_its_camera_sees_the_light():
    red = (StopLine(s_m=100.0, light=LightState.RED),)
    ahead_m = {far: label(at_m=97.6 - far, lines=red, rule=WITHIN_SIGHT) for far in (5, 7, 12, 30)}
    assert ahead_m[30].allowed_speed_mps > ahead_m[12].allowed_speed_mps > 0.0
    assert ahead_m[7].target_speed_mps == 0.0
    # The light is out of the picture: who came this far drives on.
    assert (ahead_m[5].cause, ahead_m[5].allowed_speed_mps) == ("free", None)


def test_a_stop_sign_holds_until_it_was_obeyed():
    sign = (StopLine(s_m=100.0, light=None),)
    assert label(at_m=90.0, lines=sign).cause == "stop_sign"
    assert label(at_m=90.0, lines=sign, rule=StopRule(obeyed_m={100.0})).cause == "free"


def test_it_yields_to_who_comes_across_in_a_junction_unless_a_light_holds_him():
    crossing = car(110.0, y_m=-16.0, yaw_deg=90.0, speed_mps=8.0)
    assert label(crossing, at_m=92.0).cause == "yield"
    green = (StopLine(s_m=100.0, light=LightState.GREEN),)
    assert label(crossing, at_m=92.0, lines=green).cause == "free"
    inside = car(110.0, y_m=-10.0, yaw_deg=90.0, speed_mps=6.0, in_junction=True)
    assert label(inside, at_m=92.0, lines=green).cause == "yield"


def test_who_comes_across_much_later_is_not_waited_for():
    late = car(110.0, y_m=-32.0, yaw_deg=90.0, speed_mps=8.0)
    assert label(late, at_m=96.0).cause == "free"


def drive(expert, lead_x_m, seconds, line=None):
    """A point mass behind a standing car or a line, under the expert's pedals."""
    x_m, speed_mps = 20.0, 0.0
    for tick in range(round(seconds / 0.05)):
        others = () if lead_x_m is None else (car(lead_x_m),)
        seen = Surroundings(others=others, stop_lines=() if line is None else (line,))
        control = expert.act(
            Observation(
                frame=tick,
                time_s=tick * 0.05,
                image=None,
                pose=Pose(x_m=x_m, y_m=0.0),
                speed_mps=speed_mps,
                surroundings=seen,
            )
        ).control
        push = 6.2 * control.throttle - 9.0 * control.brake
        speed_mps = max(0.0, speed_mps + (push - 0.12 - 0.09 * speed_mps) * 0.05)
        x_m += speed_mps * 0.05
    return x_m, speed_mps


def test_it_stops_behind_a_standing_car_and_at_a_stop_sign_goes_on():
    expert = TrafficExpert()
    assert isinstance(expert, DrivingAgent)
    expert.begin(make_route(), seed=0)
    x_m, speed_mps = drive(expert, 90.0, 40.0)
    assert speed_mps == 0.0
    assert 1.0 < 90.0 - 2.4 - HALF_LENGTH_M - x_m < 4.0
    expert.begin(make_route(), seed=0)
    x_m, _ = drive(expert, None, 20.0, line=StopLine(s_m=60.0, light=None))
    assert x_m > 80.0


def test_without_surroundings_it_drives_as_if_alone():
    expert = TrafficExpert()
    with pytest.raises(RuntimeError, match="begin"):
        expert.act(Observation(frame=0, time_s=0, image=None, pose=Pose(x_m=0, y_m=0), speed_mps=0))
    expert.begin(make_route(), seed=0)
    alone = expert.act(
        Observation(frame=0, time_s=0.0, image=None, pose=Pose(x_m=20.0, y_m=0.0), speed_mps=0.0)
    )
    assert alone.control.throttle > 0.0
    assert alone.branch == "expert"
