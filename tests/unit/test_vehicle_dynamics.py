"""Vehicles accelerate, brake, steer, fall and stand as their physics say."""

import itertools
import math
from dataclasses import replace

import pytest

from bicameral.errors import UserError
from sim.pocket.dynamics import VehicleDynamics
from sim.pocket.geometry import Rotation, Transform, Vector3
from sim.pocket.ground import GroundSample
from sim.pocket.protocol.values import VehicleControl
from sim.pocket.vehicles import vehicle_model

pytestmark = pytest.mark.unit
MODEL_3 = vehicle_model("vehicle.tesla.model3")
MUSTANG = vehicle_model("vehicle.ford.mustang")


class Plane:
    """Ground that rises along x."""

    def __init__(self, slope=0.0):
        self.slope = slope

    def sample(self, x_m, y_m, z_hint_m):
        return GroundSample(self.slope * x_m, self.slope, 0.0)


def world(model=MODEL_3, slope=0.0, yaw_deg=0.0, z_m=0.0):
    dynamics = VehicleDynamics(Plane(slope))
    dynamics.add(1, model, Transform(Vector3(0.0, 0.0, z_m), Rotation(yaw=yaw_deg)))
    dynamics.step(0.05, 10)
    return dynamics


def drive(dynamics, seconds, **control):
    dynamics.set_control(1, VehicleControl(**control))
    for _ in range(round(seconds / 0.05)):
        dynamics.step(0.05, 10)
    return dynamics.state(1)


def roll(dynamics, speed_mps):
    yaw = math.radians(dynamics.state(1).transform.rotation.yaw)
    dynamics.set_target_velocity(1, Vector3(speed_mps * math.cos(yaw), speed_mps * math.sin(yaw)))


# ------------------------------------------------------------------ along the road


def test_a_model_3_needs_6_to_7_s_to_100_kmh():
    dynamics = world()
    seconds = 0.0
    while dynamics.state(1).forward_speed_mps < 100.0 / 3.6:
        drive(dynamics, 0.05, throttle=1.0)
        seconds += 0.05
    assert 6.0 <= seconds <= 7.0


def test_a_model_3_has_a_top_speed_of_a_road_car():
    assert 180.0 < 3.6 * drive(world(), 60.0, throttle=1.0).forward_speed_mps < 240.0


def test_full_brakes_stop_from_50_kmh_within_9_to_13_m_and_stay_stopped():
    dynamics = world()
    roll(dynamics, 50.0 / 3.6)
    start = dynamics.state(1).transform.location.x
    state = drive(dynamics, 3.0, brake=1.0)
    assert 9.0 < state.transform.location.x - start < 13.0
    assert state.forward_speed_mps == 0.0
    assert drive(dynamics, 1.0, brake=1.0).transform == state.transform


def test_a_petrol_car_shifts_through_its_gears():
    dynamics = world(MUSTANG)
    gears = [drive(dynamics, 0.05, throttle=1.0).gear for _ in range(400)]
    assert gears[0] == 1
    assert sorted(set(gears)) == list(range(1, max(gears) + 1))
    assert max(gears) >= 4
    changes = sum(a != b for a, b in itertools.pairwise(gears))
    assert changes == max(gears) - 1


def test_gears_go_down_again_when_slowing():
    dynamics = world(MUSTANG)
    drive(dynamics, 15.0, throttle=1.0)
    assert drive(dynamics, 8.0, brake=0.4).gear == 1


def test_manual_gears_are_obeyed():
    dynamics = world(MUSTANG)
    assert drive(dynamics, 1.0, throttle=0.5, manual_gear_shift=True, gear=3).gear == 3
    neutral = drive(world(MUSTANG), 2.0, throttle=1.0, manual_gear_shift=True, gear=0)
    assert neutral.forward_speed_mps == 0.0
    assert neutral.engine_rpm > 3000.0


def test_reverse_drives_backwards_and_forward_again():
    dynamics = world()
    state = drive(dynamics, 2.0, throttle=0.5, reverse=True)
    assert (state.gear, state.forward_speed_mps < -1.0) == (-1, True)
    state = drive(dynamics, 6.0, throttle=0.5)
    assert (state.gear, state.forward_speed_mps > 1.0) == (1, True)


def test_a_vehicle_without_control_stands_still():
    start = world().state(1).transform
    dynamics = world()
    for _ in range(200):
        dynamics.step(0.05, 10)
    assert dynamics.state(1).transform == start


def test_a_rolling_vehicle_coasts_to_a_stop():
    dynamics = world()
    roll(dynamics, 10.0)
    assert 2.0 < drive(dynamics, 2.0).forward_speed_mps < 10.0
    assert drive(dynamics, 60.0).forward_speed_mps == 0.0


def test_a_slope_rolls_a_free_car_back_and_brakes_hold_it():
    assert drive(world(slope=0.1), 5.0).forward_speed_mps < -1.0
    held = drive(world(slope=0.1), 5.0, brake=1.0)
    parked = drive(world(slope=0.1), 5.0, hand_brake=True)
    assert abs(held.forward_speed_mps) < 0.01
    assert abs(parked.forward_speed_mps) < 0.01


def test_climbing_costs_speed():
    level, hill = world(), world(slope=0.1)
    drive(level, 5.0, throttle=0.6)
    drive(hill, 5.0, throttle=0.6)
    lost = level.state(1).forward_speed_mps - hill.state(1).forward_speed_mps
    assert 2.0 < lost < 6.0


# ------------------------------------------------------------------ around corners


def test_steering_right_turns_right():
    dynamics = world()
    roll(dynamics, 5.0)
    state = drive(dynamics, 1.0, throttle=0.3, steer=0.3)
    assert state.transform.location.y > 0.1
    assert state.angular_velocity.z > 5.0
    assert state.steer_angle_deg > 0.0


def test_full_lock_turns_70_degrees_at_a_crawl():
    assert drive(world(), 2.0, steer=1.0).steer_angle_deg == pytest.approx(70.0)


@pytest.mark.parametrize(("speed_mps", "factor"), [(0.0, 1.0), (20 / 3.6, 0.9), (60 / 3.6, 0.8)])
def test_the_steering_curve_narrows_the_angle_with_speed(speed_mps, factor):
    dynamics = world()
    dynamics.set_constant_velocity(1, Vector3(speed_mps, 0.0, 0.0))
    state = drive(dynamics, 1.0, steer=0.1)
    assert state.steer_angle_deg == pytest.approx(7.0 * factor, rel=0.01)


def test_the_steering_wheel_takes_time():
    dynamics = world()
    assert drive(dynamics, 0.05, steer=1.0).steer_angle_deg == pytest.approx(0.05 * 2.5 * 70.0)


def test_slow_corners_follow_the_geometry_of_the_axles():
    dynamics = world()
    for _ in range(200):
        slow = dynamics.state(1).forward_speed_mps < 3.0
        state = drive(dynamics, 0.05, throttle=0.3 if slow else 0.0, steer=0.3)
    radius = state.forward_speed_mps / math.radians(state.angular_velocity.z)
    expected = MODEL_3.wheelbase_m / math.tan(math.radians(state.steer_angle_deg))
    assert radius == pytest.approx(expected, rel=0.05)


def set_friction(dynamics, friction):
    physics = dynamics.physics(1)
    wheels = tuple(replace(wheel, tire_friction=friction) for wheel in physics.wheels)
    dynamics.set_physics(1, replace(physics, wheels=wheels))


@pytest.mark.parametrize("friction", [0.5, 1.0, 3.5])
def test_tyres_limit_the_lateral_acceleration_to_their_friction(friction):
    dynamics = world()
    set_friction(dynamics, friction)
    roll(dynamics, 30.0)
    most = 0.0
    for _ in range(40):
        state = drive(dynamics, 0.05, steer=0.5, throttle=0.3)
        most = max(most, math.hypot(state.acceleration.x, state.acceleration.y))
    assert 0.8 * friction < most / 9.81 < 1.1 * friction


def test_brakes_stop_a_car_as_hard_as_they_can_until_the_tyres_slide():
    def braked_m(friction):
        dynamics = world()
        set_friction(dynamics, friction)
        roll(dynamics, 20.0)
        return drive(dynamics, 20.0, brake=1.0).transform.location.x

    assert braked_m(3.5) == braked_m(1.0)
    assert braked_m(0.3) > 2.0 * braked_m(3.5)


# ------------------------------------------------------------------ wheels


def test_the_wheels_turn_with_the_road_and_roll_forwards_negative():
    dynamics = world()
    dynamics.set_constant_velocity(1, Vector3(10.0, 0.0, 0.0))
    before = dynamics.wheel_pitch_deg(1)
    drive(dynamics, 0.05)
    for wheel in dynamics.wheels(1):
        assert wheel.omega_rad_s == pytest.approx(10.0 / 0.355, rel=0.05)
    turned = (dynamics.wheel_pitch_deg(1) - before + 180.0) % 360.0 - 180.0
    assert turned == pytest.approx(-math.degrees(0.5 / 0.355), rel=0.01)


def test_the_loads_carry_the_weight_and_nothing_in_the_air():
    wheels = world().wheels(1)
    assert sum(wheel.tire_load_n for wheel in wheels) == pytest.approx(1845.0 * 9.81)
    assert all(wheel.normalized_tire_load == pytest.approx(1.0) for wheel in wheels)
    flying = world(z_m=5.0).wheels(1)
    assert all(wheel.tire_load_n == wheel.long_force_n == 0.0 for wheel in flying)


@pytest.mark.parametrize("control", [{"throttle": 0.5}, {"brake": 0.5}])
def test_longitudinal_forces_explain_the_acceleration(control):
    dynamics = world()
    roll(dynamics, 10.0)
    state = drive(dynamics, 0.5, **control)
    wheels = dynamics.wheels(1)
    force = sum(wheel.long_force_n for wheel in wheels)
    assert force / 1845.0 == pytest.approx(state.acceleration.x, abs=0.6)
    for wheel in wheels:
        assert wheel.torque_n_m == pytest.approx(-0.355 * wheel.long_force_n)
        assert wheel.long_slip * wheel.long_force_n > 0.0
        assert abs(wheel.omega_rad_s * 0.355) / state.forward_speed_mps == pytest.approx(
            1.0 + wheel.long_slip, rel=0.01
        )


def test_lateral_forces_explain_the_turn():
    dynamics = world()
    roll(dynamics, 12.0)
    state = drive(dynamics, 1.0, steer=0.08, throttle=0.2)
    wheels = dynamics.wheels(1)
    inwards = math.radians(state.angular_velocity.z) * state.forward_speed_mps
    assert sum(wheel.lat_force_n for wheel in wheels) / 1845.0 == pytest.approx(inwards, rel=0.1)
    assert all(wheel.lat_slip_deg < 0.0 < wheel.normalized_lat_force for wheel in wheels)


def test_brakes_hold_what_stands_no_harder_than_the_slope_pulls():
    dynamics = world(slope=0.1)
    drive(dynamics, 1.0, brake=1.0)
    held = sum(wheel.long_force_n for wheel in dynamics.wheels(1))
    assert held == pytest.approx(1845.0 * 9.81 * math.sin(math.atan(0.1)), rel=0.01)
    level = world()
    drive(level, 1.0, brake=1.0)
    assert all(wheel.long_force_n == wheel.omega_rad_s == 0.0 for wheel in level.wheels(1))


# ------------------------------------------------------------------ ground


def test_a_spawned_car_drops_to_the_ground_and_lies_on_it():
    dynamics = world(z_m=0.6)
    heights = [drive(dynamics, 0.05).transform.location.z for _ in range(20)]
    assert heights[0] < 0.6
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == 0.0


def test_on_a_slope_the_car_lies_along_it_whatever_its_heading():
    uphill = drive(world(slope=0.1), 2.0, brake=1.0).transform.rotation
    assert uphill.pitch == pytest.approx(math.degrees(math.atan(0.1)), abs=0.1)
    across = drive(world(slope=0.1, yaw_deg=90.0), 2.0, brake=1.0).transform.rotation
    assert across.roll == pytest.approx(math.degrees(math.atan(0.1)), abs=0.1)
    assert across.pitch == pytest.approx(0.0, abs=0.1)


def test_driving_uphill_keeps_the_wheels_on_the_ground_and_the_velocity_along_it():
    dynamics = world(slope=0.1)
    state = drive(dynamics, 6.0, throttle=0.8)
    assert state.transform.location.z == pytest.approx(0.1 * state.transform.location.x, abs=0.02)
    assert state.velocity.z == pytest.approx(0.1 * state.velocity.x, rel=0.02)
    assert math.hypot(*state.velocity) == pytest.approx(state.forward_speed_mps, rel=0.01)


def test_without_gravity_a_car_floats():
    dynamics = VehicleDynamics(Plane())
    dynamics.add(1, MODEL_3, Transform(Vector3(0.0, 0.0, 5.0)))
    dynamics.set_gravity(1, False)
    assert drive(dynamics, 2.0).transform.location.z == 5.0
    dynamics.set_gravity(1, True)
    assert drive(dynamics, 2.0).transform.location.z == 0.0


# ------------------------------------------------------------------ what clients set


def test_a_set_velocity_is_there_at_once_and_then_follows_the_physics():
    dynamics = world(yaw_deg=90.0)
    dynamics.set_target_velocity(1, Vector3(0.0, 10.0, 0.0))
    assert dynamics.state(1).forward_speed_mps == pytest.approx(10.0)
    assert drive(dynamics, 1.0).forward_speed_mps < 10.0


def test_a_constant_velocity_stays_in_the_frame_of_the_vehicle():
    dynamics = world(yaw_deg=90.0)
    dynamics.set_constant_velocity(1, Vector3(5.0, 0.0, 0.0))
    assert drive(dynamics, 2.0, brake=1.0).velocity == pytest.approx((0.0, 5.0, 0.0), abs=1e-9)
    dynamics.set_constant_velocity(1, None)
    assert drive(dynamics, 2.0, brake=1.0).forward_speed_mps == 0.0


def test_an_impulse_changes_the_velocity_by_impulse_over_mass():
    dynamics = world()
    dynamics.add_impulse(1, Vector3(1845.0 * 3.0, 0.0, 0.0))
    assert dynamics.state(1).velocity.x == pytest.approx(3.0)


def test_a_force_pushes_for_one_step():
    dynamics = world()
    dynamics.add_force(1, Vector3(1845.0 * 10.0, 0.0, 0.0))
    assert drive(dynamics, 0.05).forward_speed_mps == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("push", ["add_impulse", "add_force"])
def test_a_push_at_a_place_turns_the_car_by_its_lever_arm(push):
    """Behind the middle and to the right it turns left, through the middle it does not turn."""
    dynamics = world(yaw_deg=90.0)
    state = dynamics.state(1)
    x, y, z = state.transform.location
    amount = 1000.0 if push == "add_impulse" else 20_000.0
    getattr(dynamics, push)(1, Vector3(amount), Vector3(x, y - 2.0, z))
    if push == "add_force":
        dynamics.step(0.05, 10)
    turned = dynamics.state(1).angular_velocity.z
    expected = math.degrees(2.0 * 1000.0 / MODEL_3.yaw_inertia_kg_m2)
    assert turned == pytest.approx(expected, rel=1e-6 if push == "add_impulse" else 1.0)
    assert turned > 1.0
    straight = world(yaw_deg=90.0)
    getattr(straight, push)(1, Vector3(amount), straight.state(1).transform.location)
    straight.step(0.05, 10)
    assert abs(straight.state(1).angular_velocity.z) < 1.0


def test_a_torque_turns_for_one_step():
    dynamics = VehicleDynamics(Plane())
    dynamics.add(1, MODEL_3, Transform(Vector3(0.0, 0.0, 50.0)))
    dynamics.add_torque(1, Vector3(z=MODEL_3.yaw_inertia_kg_m2))
    rate = drive(dynamics, 0.05).angular_velocity.z
    assert rate == pytest.approx(math.degrees(0.05))
    assert drive(dynamics, 0.05).angular_velocity.z == pytest.approx(rate)


def test_an_angular_velocity_turns_the_car():
    dynamics = world()
    dynamics.set_target_angular_velocity(1, Vector3(0.0, 0.0, 30.0))
    assert dynamics.state(1).angular_velocity.z == pytest.approx(30.0)


def test_a_teleported_car_keeps_its_velocity_in_the_world():
    dynamics = world()
    roll(dynamics, 10.0)
    dynamics.teleport(1, Transform(Vector3(50.0, 50.0, 0.0), Rotation(yaw=90.0)))
    state = dynamics.state(1)
    assert state.transform.location == (50.0, 50.0, 0.0)
    assert state.velocity == pytest.approx((10.0, 0.0, 0.0))
    assert state.forward_speed_mps == pytest.approx(0.0, abs=1e-9)


def test_a_vehicle_that_is_not_simulated_does_not_move():
    dynamics = world()
    roll(dynamics, 10.0)
    dynamics.set_simulated(1, False)
    frozen = dynamics.state(1)
    assert drive(dynamics, 1.0, throttle=1.0) == frozen
    assert frozen.velocity == (0.0, 0.0, 0.0)
    dynamics.set_simulated(1, True)
    assert drive(dynamics, 1.0, throttle=1.0).forward_speed_mps > 1.0


def test_controls_are_clamped_and_read_back():
    dynamics = world()
    control = dynamics.set_control(1, VehicleControl(throttle=7.0, steer=-3.0, brake=math.nan))
    assert (control.throttle, control.steer, control.brake) == (1.0, -1.0, 0.0)


def test_wheel_positions_are_reported_in_the_world_in_centimetres():
    dynamics = VehicleDynamics(Plane())
    dynamics.add(1, MODEL_3, Transform(Vector3(10.0, 20.0, 0.0), Rotation(yaw=90.0)))
    front_left = dynamics.physics(1).wheels[0].position
    half_track_m = 0.8 * MODEL_3.half_extent.y
    assert front_left.x == pytest.approx(100.0 * (10.0 + half_track_m))
    assert front_left.y == pytest.approx(100.0 * (20.0 + 0.5 * MODEL_3.wheelbase_m))


def test_physics_read_and_written_back_changes_nothing():
    one, two = world(), world()
    two.set_physics(1, two.physics(1))
    assert drive(one, 3.0, throttle=0.7, steer=0.1) == drive(two, 3.0, throttle=0.7, steer=0.1)


def test_physics_that_cannot_be_simulated_are_refused():
    dynamics = world()
    physics = dynamics.physics(1)
    for broken in (
        replace(physics, mass=0.0),
        replace(physics, mass=math.nan),
        replace(physics, wheels=()),
        replace(physics, forward_gears=()),
        replace(physics, torque_curve=((0.0, math.inf),)),
    ):
        with pytest.raises(UserError):
            dynamics.set_physics(1, broken)
    assert dynamics.physics(1) == physics


def test_numbers_that_are_not_finite_are_refused():
    dynamics = world()
    with pytest.raises(UserError, match="not finite"):
        dynamics.teleport(1, Transform(Vector3(math.nan, 0.0, 0.0)))
    with pytest.raises(UserError, match="not finite"):
        dynamics.set_target_velocity(1, Vector3(math.inf, 0.0, 0.0))
    assert drive(dynamics, 0.1).transform.location.x == 0.0


def test_vehicles_do_not_influence_each_other_and_ids_can_return():
    alone = drive(world(), 3.0, throttle=0.5, steer=0.1)
    dynamics = VehicleDynamics(Plane())
    for actor_id in range(2, 30):
        dynamics.add(actor_id, MUSTANG, Transform(Vector3(10.0 * actor_id, 5.0, 0.0)))
        dynamics.set_control(actor_id, VehicleControl(throttle=1.0))
    dynamics.remove(5)
    dynamics.add(1, MODEL_3, Transform())
    dynamics.step(0.05, 10)
    assert drive(dynamics, 3.0, throttle=0.5, steer=0.1) == alone
    with pytest.raises(UserError, match="already"):
        dynamics.add(1, MODEL_3, Transform())
    assert 5 not in dynamics


def test_finer_substeps_hardly_change_the_way():
    coarse, fine = world(), world()
    for dynamics, substeps in ((coarse, 1), (fine, 50)):
        dynamics.set_control(1, VehicleControl(throttle=0.6, steer=0.1))
        for _ in range(100):
            dynamics.step(0.05, substeps)
    gap = math.dist(coarse.state(1).transform.location, fine.state(1).transform.location)
    assert gap < 0.5
