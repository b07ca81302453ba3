"""Controls, physics and motion of vehicles and walkers, through the real client."""

import math

import carla
import pytest


@pytest.fixture
def points(world):
    return world.get_map().get_spawn_points()


@pytest.fixture
def vehicle(world, points):
    spawned = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.tesla.model3"), points[0]
    )
    world.tick()
    return spawned


def ticks(world, count):
    for _ in range(count):
        world.tick()


def test_the_control_of_the_last_tick_comes_back(world, vehicle):
    vehicle.apply_control(carla.VehicleControl(0.4, -0.2, 0.0, True, False, True, 3))
    world.tick()
    found = vehicle.get_control()
    assert found.throttle == pytest.approx(0.4)
    assert found.steer == pytest.approx(-0.2)
    assert (found.hand_brake, found.reverse, found.manual_gear_shift, found.gear) == (
        True,
        False,
        True,
        3,
    )


def test_controls_beyond_their_range_are_clamped(world, vehicle):
    vehicle.apply_control(carla.VehicleControl(throttle=7.0, steer=-9.0, brake=3.0))
    world.tick()
    found = vehicle.get_control()
    assert (found.throttle, found.steer, found.brake) == (1.0, -1.0, 1.0)


def test_throttle_drives_and_brake_stops(town):
    blueprint = town.get_blueprint_library().find("vehicle.tesla.model3")
    point = town.get_map().get_spawn_points()[0]
    vehicle = town.spawn_actor(blueprint, point)
    town.tick()
    vehicle.apply_control(carla.VehicleControl(throttle=0.6))
    ticks(town, 30)
    velocity, forward = vehicle.get_velocity(), vehicle.get_transform().get_forward_vector()
    assert velocity.length() > 2.0
    assert velocity.dot(forward) == pytest.approx(velocity.length(), rel=0.05)
    vehicle.apply_control(carla.VehicleControl(brake=1.0))
    ticks(town, 60)
    assert vehicle.get_velocity().length() < 0.05


def test_positive_steering_turns_right(world, vehicle):
    vehicle.apply_control(carla.VehicleControl(throttle=0.4, steer=0.4))
    ticks(world, 25)
    assert vehicle.get_angular_velocity().z > 1.0
    assert vehicle.get_wheel_steer_angle(carla.VehicleWheelLocation.FL_Wheel) > 5.0


def test_reverse_drives_backwards(world, vehicle):
    vehicle.apply_control(carla.VehicleControl(throttle=0.5, reverse=True))
    ticks(world, 25)
    forward = vehicle.get_transform().get_forward_vector()
    assert vehicle.get_velocity().dot(forward) < -0.5


def test_a_target_velocity_is_taken_once_and_a_constant_one_is_held(world, vehicle):
    forward = vehicle.get_transform().get_forward_vector()
    vehicle.set_target_velocity(forward * 6.0)
    world.tick()
    assert vehicle.get_velocity().length() == pytest.approx(6.0, rel=0.1)
    vehicle.enable_constant_velocity(carla.Vector3D(4.0, 0.0, 0.0))
    ticks(world, 20)
    assert vehicle.get_velocity().length() == pytest.approx(4.0, rel=0.02)
    vehicle.disable_constant_velocity()
    ticks(world, 40)
    assert vehicle.get_velocity().length() < 4.0


def test_an_impulse_changes_the_speed_by_its_share_of_the_mass(world, vehicle):
    mass_kg = vehicle.get_physics_control().mass
    vehicle.add_impulse(vehicle.get_transform().get_forward_vector() * (2.0 * mass_kg))
    world.tick()
    assert vehicle.get_velocity().length() == pytest.approx(2.0, rel=0.2)


def test_a_vehicle_goes_where_it_is_put(world, vehicle, points):
    vehicle.set_transform(points[7])
    world.tick()
    assert vehicle.get_location().distance(points[7].location) < 0.6
    vehicle.set_location(points[8].location)
    world.tick()
    assert vehicle.get_location().distance(points[8].location) < 0.6


def test_without_physics_a_vehicle_stays(world, vehicle):
    vehicle.set_simulate_physics(False)
    before = vehicle.get_location()
    vehicle.apply_control(carla.VehicleControl(throttle=1.0))
    ticks(world, 20)
    assert vehicle.get_location().distance(before) < 1e-3
    vehicle.set_simulate_physics(True)
    ticks(world, 20)
    assert vehicle.get_location().distance(before) > 0.5


def test_physics_come_back_as_they_were_set(world, vehicle):
    physics = vehicle.get_physics_control()
    assert len(physics.wheels) == 4
    assert physics.wheels[0].max_steer_angle == pytest.approx(70.0)
    assert next(iter(physics.steering_curve)).y == pytest.approx(1.0)
    physics.mass = 1234.0
    physics.drag_coefficient = 0.5
    physics.center_of_mass = carla.Vector3D(0.1, 0.0, -0.2)
    wheels = physics.wheels
    wheels[0].tire_friction = 2.5
    physics.wheels = wheels
    vehicle.apply_physics_control(physics)
    world.tick()
    found = vehicle.get_physics_control()
    assert found.mass == pytest.approx(1234.0)
    assert found.drag_coefficient == pytest.approx(0.5)
    assert found.center_of_mass.x == pytest.approx(0.1)
    assert found.wheels[0].tire_friction == pytest.approx(2.5)
    assert found.wheels[1].tire_friction == pytest.approx(3.5)


def test_wheel_positions_are_world_centimetres(vehicle):
    wheels = vehicle.get_physics_control().wheels
    place = vehicle.get_location()
    for wheel in wheels:
        distance_m = math.hypot(wheel.position.x / 100 - place.x, wheel.position.y / 100 - place.y)
        assert 1.0 < distance_m < 2.5


def test_an_ackermann_controller_reaches_its_speed(world, vehicle):
    vehicle.apply_ackermann_control(carla.VehicleAckermannControl(speed=4.0))
    ticks(world, 120)
    assert vehicle.get_velocity().length() == pytest.approx(4.0, rel=0.2)
    settings = vehicle.get_ackermann_controller_settings()
    settings.speed_kp = 0.3
    vehicle.apply_ackermann_controller_settings(settings)
    assert vehicle.get_ackermann_controller_settings().speed_kp == pytest.approx(0.3)
    vehicle.apply_control(carla.VehicleControl(brake=1.0))
    ticks(world, 60)
    assert vehicle.get_velocity().length() < 0.1


def test_an_ackermann_acceleration_of_1_gives_2_m_per_s_in_2_s_at_most(world, vehicle):
    vehicle.apply_ackermann_control(carla.VehicleAckermannControl(speed=20.0, acceleration=1.0))
    ticks(world, 40)
    assert 0.3 < vehicle.get_velocity().length() < 2.2


def test_a_control_that_does_not_stick_counts_for_one_tick(world, points):
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("sticky_control", "False")
    vehicle = world.spawn_actor(blueprint, points[0])
    world.tick()
    vehicle.apply_control(carla.VehicleControl(throttle=1.0))
    world.tick()
    assert vehicle.get_control().throttle == pytest.approx(1.0)
    world.tick()
    assert vehicle.get_control().throttle == 0.0
    ticks(world, 20)
    slow = vehicle.get_velocity().length()
    for _ in range(20):
        vehicle.apply_control(carla.VehicleControl(throttle=1.0))
        world.tick()
    assert vehicle.get_velocity().length() > slow + 2.0


def test_a_car_that_pushes_against_a_wall_is_not_accelerated(world, vehicle):
    pose = vehicle.get_transform()
    wall = carla.Transform(pose.location + pose.get_forward_vector() * 4.5, pose.rotation)
    wall.rotation.yaw += 90.0
    world.spawn_actor(world.get_blueprint_library().find("static.prop.container"), wall)
    vehicle.apply_control(carla.VehicleControl(throttle=0.5))
    ticks(world, 60)
    assert vehicle.get_velocity().length() < 0.05
    assert vehicle.get_acceleration().length() < 0.1
    assert vehicle.get_telemetry_data().wheels[0].long_force > 500.0


def test_vehicles_move_no_more_than_the_substeps_cover(world, vehicle):
    settings = world.get_settings()
    settings.fixed_delta_seconds = 0.2
    world.apply_settings(settings)
    vehicle.enable_constant_velocity(carla.Vector3D(5.0, 0.0, 0.0))
    world.tick()
    before = vehicle.get_location()
    ticks(world, 10)
    assert vehicle.get_location().distance(before) == pytest.approx(5.0, rel=0.02)


def test_lamps_doors_and_telemetry(world, vehicle):
    lamps = carla.VehicleLightState(carla.VehicleLightState.LowBeam | carla.VehicleLightState.Fog)
    vehicle.set_light_state(lamps)
    assert vehicle.get_light_state() == lamps
    assert world.get_vehicles_light_states()[vehicle.id] == lamps
    vehicle.open_door(carla.VehicleDoor.FL)
    vehicle.close_door(carla.VehicleDoor.All)
    vehicle.apply_control(carla.VehicleControl(throttle=0.5))
    ticks(world, 20)
    telemetry = vehicle.get_telemetry_data()
    assert telemetry.speed > 0.5
    assert telemetry.throttle == pytest.approx(0.5)
    assert len(telemetry.wheels) == 4
    for wheel in telemetry.wheels:
        assert wheel.omega * 0.355 == pytest.approx(telemetry.speed, rel=0.3)
        assert wheel.long_slip > 0.0 < wheel.long_force
        assert wheel.torque == pytest.approx(-0.355 * wheel.long_force, rel=1e-3)
        assert wheel.tire_load * 4.0 == pytest.approx(1845.0 * 9.81, rel=0.02)
    pitch = vehicle.get_wheel_pitch_angle(carla.VehicleWheelLocation.FL_Wheel)
    world.tick()
    assert vehicle.get_wheel_pitch_angle(carla.VehicleWheelLocation.FL_Wheel) != pitch
    assert vehicle.get_failure_state() == carla.VehicleFailureState.NONE


def test_the_speed_limit_is_one_that_the_map_could_mean(town):
    blueprint = town.get_blueprint_library().find("vehicle.tesla.model3")
    vehicle = town.spawn_actor(blueprint, town.get_map().get_spawn_points()[0])
    town.tick()
    assert 10.0 <= vehicle.get_speed_limit() <= 140.0


def test_a_walker_walks_on_the_ground(world, points):
    blueprint = world.get_blueprint_library().find("walker.pedestrian.0001")
    walker = world.spawn_actor(blueprint, points[3])
    ticks(world, 10)
    start = walker.get_location()
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.5, False))
    ticks(world, 20)
    moved = walker.get_location() - start
    assert moved.x == pytest.approx(1.5, abs=0.1)
    assert abs(moved.y) < 0.01
    assert walker.get_control().speed == pytest.approx(1.5)
    assert walker.get_transform().rotation.yaw == pytest.approx(0.0, abs=0.1)
