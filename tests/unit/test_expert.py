"""The expert, its progress along the route and its speed controller, without any simulator."""

import math

import numpy as np
import pytest

from agent.expert import ExpertAgent, expert_steer
from agent.longitudinal import SpeedController
from agent.progress import RouteGuide
from agent.vehicle_model import (
    MAX_STEER_RAD,
    WHEELBASE_M,
    sideslip_rad,
    steer_from_curvature,
    steer_limit_rad,
)
from bicameral.protocols import DrivingAgent
from bicameral.simulation import TICK_S
from bicameral.types import Observation, Pose, RoadOption, Route

pytestmark = pytest.mark.unit


def make_route(curvature_per_m, speed_mps=8.0):
    """A route every metre whose curvature is given per point."""
    yaw_rad = np.concatenate([[0.0], np.cumsum(curvature_per_m[:-1])])
    count = len(yaw_rad)
    middle = (yaw_rad[1:] + yaw_rad[:-1]) / 2.0
    xyz_m = np.zeros((count, 3))
    xyz_m[1:, 0], xyz_m[1:, 1] = np.cumsum(np.cos(middle)), np.cumsum(np.sin(middle))
    command = np.full(count, RoadOption.LANE_FOLLOW, dtype=np.int8)
    command[count // 2 :] = RoadOption.LEFT
    return Route(
        name="made",
        town="none",
        kind="mixed",
        xyz_m=xyz_m,
        yaw_rad=yaw_rad,
        s_m=np.arange(count, dtype=np.float64),
        command=command,
        in_junction=np.zeros(count, dtype=bool),
        lane_width_m=np.full(count, 3.5),
        speed_limit_mps=np.full(count, speed_mps),
        target_speed_mps=np.full(count, speed_mps),
    )


STRAIGHT = make_route(np.zeros(100))


def test_looking_from_another_place_does_not_move_the_vehicle():
    guide = RouteGuide(STRAIGHT)
    assert guide.update(Pose(x_m=4.3, y_m=0.7)).s_m == pytest.approx(4.3)
    assert guide.look_from(Pose(x_m=9.0, y_m=-0.2)).cross_track_m == pytest.approx(-0.2)
    assert guide.position.s_m == pytest.approx(4.3)


def test_command_and_arrival_follow_the_vehicle():
    assert RouteGuide(STRAIGHT).command == RoadOption.LANE_FOLLOW
    guide = RouteGuide(STRAIGHT, start_s_m=60.0)
    guide.update(Pose(x_m=60.0, y_m=0.0))
    assert guide.command == RoadOption.LEFT
    assert not guide.finished
    assert guide.target_speed_ahead(5.0) == pytest.approx(8.0)
    guide = RouteGuide(STRAIGHT, start_s_m=98.0)
    guide.update(Pose(x_m=98.5, y_m=0.0))
    assert guide.finished
    assert guide.target_speed_ahead(5.0) == 0.0


def test_the_curvature_of_an_arc_is_its_inverse_radius():
    guide = RouteGuide(make_route(np.full(60, -1.0 / 20.0)))
    assert guide.curvature_at(30.0) == pytest.approx(-1.0 / 20.0)


def test_the_steering_curve_is_carlas():
    assert steer_limit_rad(0.0) == pytest.approx(MAX_STEER_RAD)
    assert steer_limit_rad(20.0 / 3.6) == pytest.approx(0.9 * MAX_STEER_RAD)
    assert steer_limit_rad(40.0 / 3.6) == pytest.approx(0.85 * MAX_STEER_RAD)
    assert steer_limit_rad(200.0) == pytest.approx(0.7 * MAX_STEER_RAD)


def test_steering_from_curvature_inverts_the_rolling_bicycle():
    wheel_rad = 0.4
    drift_rad = math.atan(0.5 * math.tan(wheel_rad))
    curvature = math.sin(drift_rad) / (WHEELBASE_M / 2.0)
    assert steer_from_curvature(curvature, 0.0) == pytest.approx(wheel_rad / MAX_STEER_RAD)
    assert sideslip_rad(curvature, 0.0) == pytest.approx(drift_rad)
    assert steer_from_curvature(-10.0, 3.0) == -1.0


@pytest.mark.parametrize("speed_mps", [0.0, 3.0, 10.0, 25.0])
def test_the_label_leads_back_to_the_route_from_both_sides(speed_mps):
    def label(y_m, yaw_rad):
        guide = RouteGuide(STRAIGHT, start_s_m=20.0)
        pose = Pose(x_m=20.0, y_m=y_m, yaw_rad=yaw_rad)
        guide.update(pose)
        return expert_steer(guide, pose, speed_mps)

    assert label(0.0, 0.0) == pytest.approx(0.0, abs=1e-9)
    assert label(1.0, 0.0) < 0.0
    assert label(0.0, 0.2) < 0.0
    assert label(1.0, 0.1) == pytest.approx(-label(-1.0, -0.1))


def test_the_label_of_a_state_does_not_depend_on_the_past():
    pose = Pose(x_m=30.0, y_m=-0.4, yaw_rad=0.05)
    one, other = RouteGuide(STRAIGHT, start_s_m=30.0), RouteGuide(STRAIGHT)
    one.update(pose)
    for x_m in range(30):
        other.update(Pose(x_m=float(x_m), y_m=0.8))
    other.update(pose)
    assert expert_steer(one, pose, 7.0) == expert_steer(other, pose, 7.0)


def drive_at(target_mps, seconds, start_mps=0.0, *, controller=None, uphill_mps2=0.0):
    """A point mass with the drive that the controller expects, minus a tenth of its power."""
    controller = controller or SpeedController()
    speed_mps, speeds, pedals = start_mps, [], []
    for _ in range(round(seconds / TICK_S)):
        throttle, brake = controller.control(speed_mps, target_mps)
        pedals.append((throttle, brake))
        push = 5.6 * throttle - 9.0 * brake - (0.12 + 0.09 * speed_mps if speed_mps > 0.0 else 0.0)
        push -= uphill_mps2
        speed_mps = max(0.0, speed_mps + push * TICK_S)
        speeds.append(speed_mps)
    return np.array(speeds), np.array(pedals)


def test_the_speed_settles_on_the_target_without_overshoot():
    speeds, pedals = drive_at(10.0, 40.0)
    assert speeds.max() < 10.4
    assert speeds[-100:] == pytest.approx(10.0, abs=0.1)
    assert np.all(pedals[:, 0] * pedals[:, 1] == 0.0)


def test_a_target_of_zero_stops_the_car_and_holds_it():
    speeds, pedals = drive_at(0.0, 15.0, start_mps=10.0)
    assert speeds[-1] == 0.0
    assert pedals[-1, 1] > 0.0


def test_a_car_that_is_to_stand_is_not_pushed_on_by_what_a_hill_took():
    controller = SpeedController()
    drive_at(3.0, 40.0, controller=controller, uphill_mps2=0.6)
    speeds, pedals = drive_at(0.0, 5.0, start_mps=3.0, controller=controller)
    assert np.all(pedals[:, 0] == 0.0)
    assert speeds[-1] == 0.0


def test_caution_lowers_the_target():
    throttle, _ = SpeedController().control(9.0, 10.0)
    slower, brake = SpeedController().control(9.0, 10.0, caution=0.5)
    assert throttle > 0.0
    assert slower == 0.0
    assert brake > 0.0


def test_the_expert_is_a_privileged_driving_agent_without_camera():
    agent = ExpertAgent()
    assert isinstance(agent, DrivingAgent)
    assert agent.privileged
    assert agent.camera is None
    with pytest.raises(RuntimeError, match="begin"):
        agent.act(
            Observation(frame=0, time_s=0.0, image=None, pose=Pose(x_m=0, y_m=0), speed_mps=0)
        )
    agent.begin(STRAIGHT, seed=0)
    decision = agent.act(
        Observation(frame=0, time_s=0.0, image=None, pose=Pose(x_m=0.0, y_m=0.5), speed_mps=0.0)
    )
    assert decision.control.throttle > 0.0
    assert decision.control.steer < 0.0
    assert decision.diagnostics["cross_track_m"] == pytest.approx(0.5)
