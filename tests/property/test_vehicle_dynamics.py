"""Whatever a client commands, the numbers stay finite and the same inputs give the same motion."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.pocket.collision import StaticObstacles, resolve_collisions
from sim.pocket.dynamics import VehicleDynamics
from sim.pocket.geometry import OrientedBox, Rotation, Transform, Vector3
from sim.pocket.ground import GroundSample
from sim.pocket.protocol.values import VehicleControl
from sim.pocket.vehicles import VEHICLE_MODELS, Gear

pytestmark = pytest.mark.property


class Waves:
    """Hilly ground."""

    def sample(self, x_m, y_m, z_hint_m):
        return GroundSample(3.0 * math.sin(x_m / 20.0), 0.15 * math.cos(x_m / 20.0), 0.0)


any_float = st.floats(allow_nan=True, allow_infinity=True, width=32)
finite = st.floats(-1e6, 1e6)
vectors = st.builds(Vector3, finite, finite, finite)
controls = st.builds(
    VehicleControl,
    throttle=st.one_of(st.floats(0, 1), any_float),
    steer=st.one_of(st.floats(-1, 1), any_float),
    brake=st.one_of(st.just(0.0), st.floats(0, 1), any_float),
    hand_brake=st.booleans(),
    reverse=st.booleans(),
    manual_gear_shift=st.booleans(),
    gear=st.integers(-3, 10),
)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("set_control"), controls),
        st.tuples(st.just("set_target_velocity"), vectors),
        st.tuples(st.just("set_target_angular_velocity"), vectors),
        st.tuples(st.just("set_constant_velocity"), st.one_of(st.none(), vectors)),
        st.tuples(st.just("add_impulse"), vectors),
        st.tuples(st.just("add_angular_impulse"), vectors),
        st.tuples(st.just("add_force"), vectors),
        st.tuples(st.just("set_gravity"), st.booleans()),
        st.tuples(st.just("set_simulated"), st.booleans()),
    ),
    max_size=12,
)
models = st.sampled_from(VEHICLE_MODELS)
WALLS = StaticObstacles(
    [
        OrientedBox(
            location=Vector3(10.0 * i, 7.0, 1.0),
            half_extent=Vector3(4.0, 0.1, 9.0),
            yaw_deg=5.0 * i,
        )
        for i in range(-10, 10)
    ]
)


def numbers(state):
    return [
        *state.transform.location,
        *state.transform.rotation,
        *state.velocity,
        *state.angular_velocity,
        *state.acceleration,
        state.engine_rpm,
        state.steer_angle_deg,
        state.forward_speed_mps,
    ]


def run(model, commands, delta_s, substeps):
    dynamics = VehicleDynamics(Waves())
    dynamics.add(1, model, Transform(Vector3(0.0, 0.0, 1.0)))
    dynamics.add(2, VEHICLE_MODELS[0], Transform(Vector3(8.0, 0.5, 1.0), Rotation(yaw=120.0)))
    states = []
    for name, value in commands:
        getattr(dynamics, name)(1, value)
        for _ in range(5):
            dynamics.step(delta_s, substeps)
            resolve_collisions(dynamics, (), WALLS, vehicle_tags={})
            states += [dynamics.state(1), dynamics.state(2)]
    return states


@settings(max_examples=150, deadline=None)
@given(models, actions, st.floats(1e-3, 0.5), st.integers(0, 20))
def test_nothing_a_client_does_makes_a_number_infinite(model, commands, delta_s, substeps):
    for state in run(model, commands, delta_s, substeps):
        assert all(math.isfinite(number) for number in numbers(state))
        assert math.hypot(*state.velocity[:2]) <= 300.0


@settings(max_examples=30, deadline=None)
@given(models, actions)
def test_the_same_commands_give_the_same_motion(model, commands):
    assert run(model, commands, 0.05, 10) == run(model, commands, 0.05, 10)


@settings(max_examples=60, deadline=None)
@given(models, st.floats(-25.0, 25.0), st.floats(-1, 1))
def test_brakes_only_take_energy_away(model, speed_mps, steer):
    dynamics = VehicleDynamics(Flat())
    dynamics.add(1, model, Transform())
    dynamics.step(0.05, 10)
    dynamics.set_target_velocity(1, Vector3(speed_mps))
    dynamics.set_control(1, VehicleControl(brake=1.0, steer=steer))
    last = abs(speed_mps)
    for _ in range(100):
        dynamics.step(0.05, 10)
        state = dynamics.state(1)
        speed = math.hypot(*state.velocity)
        assert speed <= last + 0.05
        last = speed
    assert last < 0.05 or abs(speed_mps) > 15.0


class Flat:
    """Level ground."""

    def sample(self, x_m, y_m, z_hint_m):
        return GroundSample(0.0, 0.0, 0.0)


@settings(max_examples=60, deadline=None)
@given(
    models,
    st.floats(0.1, 1e5),
    st.floats(-10, 1e4),
    st.floats(0, 100),
    st.lists(st.tuples(st.floats(0, 2e4), st.floats(-1e3, 1e4)), min_size=1, max_size=50),
    st.lists(st.builds(Gear, ratio=st.floats(0, 20)), min_size=1, max_size=20),
    st.floats(0, 90),
)
def test_odd_but_possible_physics_stay_finite(
    model, mass, final_ratio, friction, curve, gears, max_steer
):
    dynamics = VehicleDynamics(Flat())
    dynamics.add(1, model, Transform())
    physics = dynamics.physics(1)
    wheels = tuple(
        replace(wheel, tire_friction=friction, max_steer_angle=max_steer)
        for wheel in physics.wheels
    )
    dynamics.set_physics(
        1,
        replace(
            physics,
            mass=mass,
            final_ratio=final_ratio,
            torque_curve=tuple(curve),
            forward_gears=tuple(gears),
            wheels=wheels,
        ),
    )
    dynamics.set_control(1, VehicleControl(throttle=1.0, steer=0.7))
    for _ in range(40):
        dynamics.step(0.05, 10)
        assert all(math.isfinite(number) for number in numbers(dynamics.state(1)))
