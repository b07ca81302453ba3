"""The Ackermann controller reaches a speed within the limits of the command."""

import itertools
import math

import pytest

from sim.pocket.ackermann import AckermannController, AckermannGains, AckermannTarget
from sim.pocket.dynamics import VehicleDynamics
from sim.pocket.geometry import Transform
from sim.pocket.ground import GroundSample
from sim.pocket.vehicles import vehicle_model

pytestmark = pytest.mark.unit
MODEL_3 = vehicle_model("vehicle.tesla.model3")
TICK_S = 0.05


class Flat:
    """Level ground."""

    def sample(self, x_m, y_m, z_hint_m):
        return GroundSample(0.0, 0.0, 0.0)


class Driven:
    """A car under the controller."""

    def __init__(self):
        self.dynamics = VehicleDynamics(Flat())
        self.dynamics.add(1, MODEL_3, Transform())
        self.controller = AckermannController(0.0)
        self.controls = []

    def drive(self, seconds, gains=None, **target):
        wanted = AckermannTarget(
            target.get("steer", 0.0),
            target.get("steer_speed", 0.0),
            target.get("speed", 0.0),
            target.get("acceleration", 0.0),
            target.get("jerk", 0.0),
        )
        speeds = []
        for _ in range(round(seconds / TICK_S)):
            control = self.controller.control(
                wanted,
                gains or AckermannGains(),
                speed_mps=self.dynamics.state(1).forward_speed_mps,
                largest_steer_rad=self.dynamics.largest_steer_rad(1),
                delta_s=TICK_S,
            )
            self.controls.append(control)
            self.dynamics.set_control(1, control)
            self.dynamics.step(TICK_S, 10)
            speeds.append(self.dynamics.state(1).forward_speed_mps)
        return speeds


@pytest.fixture
def car():
    return Driven()


def test_the_speed_is_reached_and_held(car):
    speeds = car.drive(40.0, speed=8.0)
    assert speeds[-1] == pytest.approx(8.0, abs=0.5)


def test_an_acceleration_of_1_gives_at_most_2_m_per_s_after_2_s(car):
    speeds = car.drive(6.0, speed=20.0, acceleration=1.0)
    assert speeds[round(2.0 / TICK_S) - 1] < 2.2
    assert 2.0 < speeds[-1] < 8.0


def test_a_larger_limit_is_used(car):
    slow = Driven().drive(5.0, speed=20.0, acceleration=1.0)[-1]
    assert car.drive(5.0, speed=20.0, acceleration=3.0)[-1] > 1.5 * slow


def test_a_jerk_limit_delays_the_acceleration(car):
    free = Driven().drive(2.0, speed=20.0, acceleration=3.0)[-1]
    assert car.drive(2.0, speed=20.0, acceleration=3.0, jerk=0.5)[-1] < 0.7 * free


def test_it_stops_and_holds(car):
    car.drive(15.0, speed=6.0)
    assert car.drive(25.0, speed=0.0)[-1] == pytest.approx(0.0, abs=0.05)
    assert car.controls[-1].brake == 1.0


def test_it_stops_before_it_turns_back(car):
    car.drive(10.0, speed=4.0)
    speeds = car.drive(40.0, speed=-3.0)
    assert speeds[-1] == pytest.approx(-3.0, abs=0.5)
    for control, speed in zip(car.controls[-len(speeds) :], speeds, strict=True):
        assert not control.reverse or speed < 0.2


def test_gains_count(car):
    eager = AckermannGains(accel_kp=0.05)
    assert car.drive(2.0, eager, speed=20.0)[-1] > Driven().drive(2.0, speed=20.0)[-1]


def test_the_wheels_are_turned_at_once_or_at_the_speed_asked_for(car):
    car.drive(TICK_S, steer=0.5)
    assert car.controls[-1].steer == pytest.approx(0.5 / math.radians(70.0))
    slow = Driven()
    slow.drive(1.0, steer=0.5, steer_speed=0.2)
    angles = [control.steer * math.radians(70.0) for control in slow.controls]
    changes = [after - before for before, after in itertools.pairwise(angles)]
    assert changes == pytest.approx([0.2 * TICK_S] * len(changes))
