"""The motion of all vehicles: controls and physics parameters in, poses and velocities out.

The model is a dynamic bicycle (two axles, lateral slip, yaw) with saturating tyres, an engine with
a torque curve, gears, drag, rolling resistance, brakes and slopes; `dynamics_kernels` holds the
equations. It is driven by the fields of CARLA's ``VehiclePhysicsControl``, read like this:

* The tyre's friction limit is ``tire_friction`` * load, as in CARLA, whose default of 3.5 grips far
  harder than dry asphalt (about 1). ``max_brake_torque`` limits braking before the tyres do.
* The cornering stiffness is ``lat_stiff_value`` * load * f(``lat_stiff_max_load``) with the load
  curve f of the PhysX vehicle SDK.
* The clutch limits engine braking to c d / (c + d) of clutch strength c and damping d.
* The front wheels turn to ``max_steer_angle`` * ``steering_curve``(speed) * steer as the one front
  wheel of a bicycle would.
* ``center_of_mass``: only x counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bicameral.errors import UserError
from bicameral.units import wrap_deg
from sim.pocket import dynamics_kernels as k
from sim.pocket.geometry import Rotation, Transform, Vector3, compose
from sim.pocket.ground import Ground
from sim.pocket.protocol.values import VehicleControl
from sim.pocket.vehicle_arrays import CollisionView, VehicleArrays, check_physics
from sim.pocket.vehicles import PhysicsControl, VehicleModel
from sim.pocket.wheel_states import WheelState, wheel_states

#: No substep is longer, whatever the client asks for; the tyre model needs it.
LONGEST_SUBSTEP_S = 0.01
#: A vehicle that moved less than this since it asked the map drives on the plane that it was told
#: of, m: over a metre a road bends by millimetres, and a question costs 20 us.
_RESAMPLE_M = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleState:
    """How a vehicle moves after the last step.

    Attributes:
        transform: Pose of the origin, world frame.
        velocity: m/s, world frame.
        angular_velocity: deg/s about the world's axes; z is the rate of the yaw.
        acceleration: m/s2, world frame, without gravity.
        gear: -1 reverse, 0 neutral, 1.. forward.
        engine_rpm: Revolutions of the engine per minute.
        steer_angle_deg: Angle of the front wheels, positive right.
        forward_speed_mps: Speed along the vehicle's axis, negative backwards.
    """

    transform: Transform
    velocity: Vector3
    angular_velocity: Vector3
    acceleration: Vector3
    gear: int
    engine_rpm: float
    steer_angle_deg: float
    forward_speed_mps: float


def _require_finite(what: str, *values: Iterable[float]) -> None:
    """Refuse numbers that would spoil the state."""
    numbers = [number for group in values for number in group]
    if not all(math.isfinite(number) for number in numbers):
        raise UserError(f"{what} {numbers} of a vehicle is not finite; expected finite numbers")


def _clamped(value: float, low: float, high: float) -> float:
    """Clamp a command; what is no number counts as 0."""
    return min(max(value, low), high) if math.isfinite(value) else 0.0


class VehicleDynamics:
    """All vehicles of a world.

    Every method but `add` raises KeyError for an unknown actor, and every one that takes a place, a
    velocity, a force or the like raises UserError if one of its numbers is not finite.
    """

    def __init__(self, ground: Ground) -> None:
        """Start without vehicles on this ground."""
        self._ground = ground
        self._rows: dict[int, int] = {}
        self._models: dict[int, VehicleModel] = {}
        self._physics: dict[int, PhysicsControl] = {}
        self._arrays = VehicleArrays(8)
        self._step_s = 1.0

    def __contains__(self, actor_id: int) -> bool:
        return actor_id in self._rows

    def add(self, actor_id: int, model: VehicleModel, transform: Transform) -> None:
        """Put a vehicle into the world, at rest; it falls to the ground from where it is.

        Raises:
            UserError: The actor is already here.
        """
        if actor_id in self._rows:
            raise UserError(f"actor {actor_id} is already a vehicle of this world")
        _require_finite("transform", *transform)
        taken = set(self._rows.values())
        row = next(index for index in range(len(taken) + 1) if index not in taken)
        if row == len(self._arrays.moving):
            self._arrays = self._arrays.grown(2 * row)
        self._arrays.clear(row)
        self._arrays.set_physics(row, model, model.physics)
        self._arrays.gravity[row] = k.GRAVITY
        self._arrays.moving[row] = True
        self._arrays.present[row] = True
        self._arrays.extents[row] = model.body_half_extent
        self._rows[actor_id] = row
        self._models[actor_id] = model
        self._physics[actor_id] = model.physics
        self.teleport(actor_id, transform)

    def remove(self, actor_id: int) -> None:
        """Take a vehicle out of the world."""
        row = self._rows.pop(actor_id)
        self._arrays.moving[row] = False
        self._arrays.present[row] = False
        del self._models[actor_id], self._physics[actor_id]

    def set_control(self, actor_id: int, control: VehicleControl) -> VehicleControl:
        """Command a vehicle until the next call; returns the command, clamped to its ranges."""
        clean = control._replace(
            throttle=_clamped(control.throttle, 0.0, 1.0),
            steer=_clamped(control.steer, -1.0, 1.0),
            brake=_clamped(control.brake, 0.0, 1.0),
        )
        gear = min(max(clean.gear, -1), 127)
        self._arrays.control[self._rows[actor_id], : k.CONSTANT] = clean._replace(gear=gear)
        return clean

    def teleport(self, actor_id: int, transform: Transform) -> None:
        """Move a vehicle; it keeps its velocity in the world frame, as in CARLA."""
        _require_finite("transform", *transform)
        row = self._rows[actor_id]
        s = self._arrays.state[row]
        velocity = Vector3(*self._arrays.velocity[row])
        s[k.X], s[k.Y], s[k.Z] = transform.location
        rotation = transform.rotation
        s[k.PITCH], s[k.ROLL] = math.radians(rotation.pitch), math.radians(rotation.roll)
        s[k.YAW] = (math.radians(rotation.yaw) + math.pi) % (2.0 * math.pi) - math.pi
        self._sample_ground_of(row, transform.location)
        s[k.AIRBORNE] = float(transform.location.z > self._arrays.ground[row, 0] + 0.005)
        self.set_target_velocity(actor_id, velocity)

    def set_target_velocity(self, actor_id: int, velocity: Vector3) -> None:
        """Set the velocity once; the physics goes on from there.

        Args:
            actor_id: The vehicle.
            velocity: m/s, world frame.
        """
        _require_finite("velocity", velocity)
        row = self._rows[actor_id]
        s, ground = self._arrays.state[row], self._arrays.ground[row]
        fast = k.FASTEST_MPS
        x, y, z = (min(max(value, -fast), fast) for value in velocity)
        cos_yaw, sin_yaw = math.cos(s[k.YAW]), math.sin(s[k.YAW])
        s[k.SLOPE_FORWARD] = ground[1] * cos_yaw + ground[2] * sin_yaw
        s[k.SLOPE_RIGHT] = -ground[1] * sin_yaw + ground[2] * cos_yaw
        climb = ground[1] * x + ground[2] * y
        forward, right = x * cos_yaw + y * sin_yaw, -x * sin_yaw + y * cos_yaw
        if z > climb + 0.5:
            s[k.AIRBORNE] = 1.0
        if s[k.AIRBORNE] < 0.5:
            forward *= math.hypot(1.0, s[k.SLOPE_FORWARD])
            right *= math.hypot(1.0, s[k.SLOPE_RIGHT])
            z = climb
        s[k.VX], s[k.VZ] = forward, z
        s[k.VY] = right + self._arrays.parameters[row, k.COM_X] * s[k.YAW_RATE]
        self._arrays.velocity[row] = x, y, z

    def set_target_angular_velocity(self, actor_id: int, angular_velocity: Vector3) -> None:
        """Set the yaw rate once; the other two axes do not turn freely.

        Args:
            actor_id: The vehicle.
            angular_velocity: deg/s, world frame.
        """
        _require_finite("angular velocity", angular_velocity)
        row = self._rows[actor_id]
        fast = k.FASTEST_TURN_RAD_S
        rate = min(max(math.radians(angular_velocity.z), -fast), fast)
        self._arrays.state[row, k.YAW_RATE] = rate

    def set_constant_velocity(self, actor_id: int, velocity: Vector3 | None = None) -> None:
        """Impose a velocity until it is taken back.

        Args:
            actor_id: The vehicle.
            velocity: m/s, frame of the vehicle; z is ignored. None takes it back.
        """
        command = self._arrays.control[self._rows[actor_id]]
        if velocity is None:
            command[k.CONSTANT :] = 0.0
            return
        _require_finite("velocity", velocity)
        command[k.CONSTANT :] = 1.0, velocity.x, velocity.y

    def add_impulse(self, actor_id: int, impulse: Vector3, location: Vector3 | None = None) -> None:
        """Change the momentum at once, and the turning too if the impulse has a lever arm.

        Args:
            actor_id: The vehicle.
            impulse: N s, world frame.
            location: Where it acts, world frame, m; None for the centre of mass.
        """
        _require_finite("impulse", impulse)
        row = self._rows[actor_id]
        moment = self._moment(row, impulse, location)
        mass = self._arrays.parameters[row, k.MASS]
        velocity = self._arrays.velocity[row]
        self.set_target_velocity(
            actor_id, Vector3(*(v + j / mass for v, j in zip(velocity, impulse, strict=True)))
        )
        if moment != 0.0:
            self.add_angular_impulse(actor_id, Vector3(z=moment))
            self.refresh_velocities([actor_id])

    def add_angular_impulse(self, actor_id: int, impulse: Vector3) -> None:
        """Change the angular momentum at once.

        Args:
            actor_id: The vehicle.
            impulse: N m s about the world's axes; only z counts.
        """
        _require_finite("angular impulse", impulse)
        row = self._rows[actor_id]
        rate = self._arrays.state[row, k.YAW_RATE]
        rate += impulse.z / self._arrays.parameters[row, k.YAW_INERTIA]
        self.set_target_angular_velocity(actor_id, Vector3(z=math.degrees(rate)))

    def add_force(self, actor_id: int, force: Vector3, location: Vector3 | None = None) -> None:
        """Push during the next step, and turn if the force has a lever arm.

        Args:
            actor_id: The vehicle.
            force: N, world frame; z is ignored.
            location: Where it acts, world frame, m; None for the centre of mass.
        """
        _require_finite("force", force)
        row = self._rows[actor_id]
        s = self._arrays.state[row]
        s[k.TORQUE] += self._moment(row, force, location)
        cos_yaw, sin_yaw = math.cos(s[k.YAW]), math.sin(s[k.YAW])
        s[k.FORCE_X] += force.x * cos_yaw + force.y * sin_yaw
        s[k.FORCE_Y] += -force.x * sin_yaw + force.y * cos_yaw

    def add_torque(self, actor_id: int, torque: Vector3) -> None:
        """Turn during the next step.

        Args:
            actor_id: The vehicle.
            torque: N m about the world's axes; only z counts.
        """
        _require_finite("torque", torque)
        self._arrays.state[self._rows[actor_id], k.TORQUE] += torque.z

    def _moment(self, row: int, force: Vector3, location: Vector3 | None) -> float:
        """Return the moment of a force about the vertical through the centre of mass."""
        if location is None:
            return 0.0
        _require_finite("location", location)
        s, com_x = self._arrays.state[row], self._arrays.parameters[row, k.COM_X]
        arm_x = location.x - s[k.X] - com_x * math.cos(s[k.YAW])
        arm_y = location.y - s[k.Y] - com_x * math.sin(s[k.YAW])
        return float(arm_x * force.y - arm_y * force.x)

    def set_physics(self, actor_id: int, physics: PhysicsControl) -> None:
        """Replace the physics of a vehicle; wheel positions are the model's and stay.

        Raises:
            UserError: The physics cannot be simulated (no gears, no mass, not finite, ...).
        """
        row, model = self._rows[actor_id], self._models[actor_id]
        check_physics(physics)
        places = [wheel.position for wheel in model.physics.wheels]
        wheels = tuple(
            replace(wheel, position=place)
            for wheel, place in zip(physics.wheels, places, strict=False)
        )
        self._physics[actor_id] = replace(physics, wheels=wheels)
        self._arrays.set_physics(row, model, physics)

    def physics(self, actor_id: int) -> PhysicsControl:
        """Return the physics of a vehicle, wheel positions in the world frame (centimetres)."""
        pose = self._transform(self._rows[actor_id])
        physics = self._physics[actor_id]
        wheels = tuple(
            replace(wheel, position=_world_cm(pose, wheel.position)) for wheel in physics.wheels
        )
        return replace(physics, wheels=wheels)

    def set_simulated(self, actor_id: int, simulated: bool) -> None:
        """Freeze a vehicle where it is, at rest, or let it go on."""
        row = self._rows[actor_id]
        self._arrays.moving[row] = simulated
        if not simulated:
            s = self._arrays.state[row]
            s[[k.VX, k.VY, k.VZ, k.YAW_RATE]] = 0.0
            self._arrays.velocity[row] = 0.0
            self._arrays.acceleration[row] = 0.0

    def set_gravity(self, actor_id: int, enabled: bool) -> None:
        """Let a vehicle fall, or let it float where it is above the ground."""
        self._arrays.gravity[self._rows[actor_id]] = k.GRAVITY if enabled else 0.0

    def largest_steer_rad(self, actor_id: int) -> float:
        """Return how far the front wheels turn with the steering wheel at its end."""
        return float(self._arrays.parameters[self._rows[actor_id], k.MAX_STEER])

    def wheel_pitch_deg(self, actor_id: int) -> float:
        """Return how far the wheels have rolled, -180..180; forwards is negative, as in Unreal."""
        row = self._rows[actor_id]
        rolled_m = self._arrays.state[row, k.ROLLED]
        return wrap_deg(-math.degrees(rolled_m / self._arrays.parameters[row, k.RADIUS]))

    def wheels(self, actor_id: int) -> tuple[WheelState, ...]:
        """Return what each wheel does now."""
        return wheel_states(self._arrays, self._rows[actor_id], self._physics[actor_id])

    def state(self, actor_id: int) -> VehicleState:
        """Return how a vehicle moves after the last step."""
        row = self._rows[actor_id]
        s = self._arrays.state[row]
        return VehicleState(
            transform=self._transform(row),
            velocity=Vector3(*self._arrays.velocity[row].tolist()),
            angular_velocity=Vector3(z=math.degrees(s[k.YAW_RATE])),
            acceleration=Vector3(*self._arrays.acceleration[row].tolist()),
            gear=int(s[k.GEAR]),
            engine_rpm=float(s[k.RPM]),
            steer_angle_deg=math.degrees(s[k.STEER]),
            forward_speed_mps=float(s[k.VX]),
        )

    def _transform(self, row: int) -> Transform:
        """Return the pose of a row."""
        s = self._arrays.state[row].tolist()
        rotation = Rotation(*(math.degrees(s[c]) for c in (k.PITCH, k.YAW, k.ROLL)))
        return Transform(Vector3(s[k.X], s[k.Y], s[k.Z]), rotation)

    def step(self, delta_s: float, substeps: int) -> None:
        """Advance all vehicles.

        Args:
            delta_s: Simulated time, s; 0 does nothing.
            substeps: Substeps that the client asked for; more are taken if they would be longer
                than `LONGEST_SUBSTEP_S`.
        """
        if delta_s <= 0.0 or not self._rows:
            return
        a = self._arrays
        count = max(substeps, math.ceil(delta_s / LONGEST_SUBSTEP_S - 1e-9), 1)
        a.before[:] = a.state[:, [k.X, k.Y, k.YAW]]
        k.step_vehicles(
            a.moving, a.state, a.control, a.parameters, a.gears, a.torque, a.steering, a.gravity,
            delta_s, count,
        )  # fmt: skip
        self._sample_ground()
        k.follow_ground(a.moving, a.state, a.ground, a.gravity, delta_s)
        a.velocity_before[:] = a.velocity
        self._step_s = delta_s
        k.refresh_velocities(a.moving, a.state, a.parameters, a.velocity)
        a.acceleration[:] = (a.velocity - a.velocity_before) / delta_s

    def collision_view(self, ghosts: Collection[int]) -> tuple[dict[int, int], CollisionView]:
        """Return what collisions work on.

        Args:
            ghosts: Vehicles that collide with nothing.

        Returns:
            The actor id by row, and the arrays themselves.
        """
        a = self._arrays
        present = a.present
        if ghosts:
            present = present.copy()
            present[[self._rows[actor_id] for actor_id in ghosts if actor_id in self._rows]] = False
        view = CollisionView(
            state=a.state,
            before=a.before,
            parameters=a.parameters,
            extents=a.extents,
            present=present,
            movable=present & a.moving,
        )
        return {row: actor_id for actor_id, row in self._rows.items()}, view

    def refresh_velocities(self, actor_ids: Iterable[int]) -> None:
        """Derive the world velocities anew after something changed those of the bodies."""
        a = self._arrays
        changed = np.zeros_like(a.moving)
        changed[[self._rows[actor_id] for actor_id in actor_ids]] = True
        k.refresh_velocities(changed & a.moving, a.state, a.parameters, a.velocity)

    def refresh_accelerations(self, actor_ids: Iterable[int]) -> None:
        """Derive the velocities anew after collisions, and from them what the step came to.

        What stands against a wall with its throttle open is not accelerated.
        """
        self.refresh_velocities(actor_ids)
        a = self._arrays
        a.acceleration[:] = (a.velocity - a.velocity_before) / self._step_s

    def _sample_ground(self) -> None:
        """Move the ground along below every vehicle; ask the map where one has gone too far."""
        a = self._arrays
        places = a.state[:, [k.X, k.Y, k.Z]]
        gone = places - a.sampled_at
        a.ground[:, 0] = a.sampled_ground_z + (a.ground[:, 1:] * gone[:, :2]).sum(axis=1)
        moved = np.abs(gone).max(axis=1) > _RESAMPLE_M
        for row in np.flatnonzero(moved & a.moving).tolist():
            self._sample_ground_of(row, places[row].tolist())

    def _sample_ground_of(self, row: int, place: Sequence[float]) -> None:
        """Ask the map below one vehicle."""
        a = self._arrays
        a.ground[row] = self._ground.sample(*place)
        a.sampled_at[row] = place
        a.sampled_ground_z[row] = a.ground[row, 0]


def _world_cm(pose: Transform, position_cm: Vector3) -> Vector3:
    """Return the world position in centimetres of a point of the vehicle."""
    local = Vector3(*(0.01 * value for value in position_cm))
    world = compose(pose, Transform(local)).location
    return Vector3(*(100.0 * value for value in world))
