"""The numba kernels of the vehicle dynamics: a dynamic bicycle model with saturating tyres.

Everything is a struct of arrays with one row per vehicle; the constants below name the columns.
The frame is left-handed (x forward, y right), so positive yaw, steering and lateral slip all mean
right and the textbook equations of the bicycle model hold unchanged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.pocket.compiled import compiled, compiled_part

Floats = NDArray[np.float64]

# Columns of the state. x, y, z: the vehicle's origin; vx, vy: velocity of the centre of mass
# along the vehicle's forward and right axis; slopes: ground along forward and right at the last
# sample; force: outside force in the body frame, and torque about the vertical, consumed by the
# next step; rolled: how far the wheels have rolled, m.
(
    X, Y, Z, YAW, VX, VY, VZ, YAW_RATE, RPM, GEAR, STEER, SHIFT_S, AIRBORNE, PITCH, ROLL,
    SLOPE_FORWARD, SLOPE_RIGHT, FORCE_X, FORCE_Y, TORQUE, THROTTLE, BRAKE, ROLLED,
) = range(23)  # fmt: skip
STATE_COLUMNS = 23

# Columns of the control. CONSTANT: 1 while a constant velocity (frame of the vehicle) is imposed.
(
    IN_THROTTLE, IN_STEER, IN_BRAKE, IN_HAND_BRAKE, IN_REVERSE, IN_MANUAL, IN_GEAR, CONSTANT,
    CONSTANT_X, CONSTANT_Y,
) = range(10)  # fmt: skip
CONTROL_COLUMNS = 10

# Columns of the parameters. Stiffnesses, torques and frictions are sums or means over an axle.
(
    MASS, YAW_INERTIA, TO_FRONT, TO_REAR, COM_X, STIFFNESS_FRONT, STIFFNESS_REAR, FRICTION_FRONT,
    FRICTION_REAR, DRAG, MAX_STEER, RADIUS, MOI, DAMPING_FULL, DAMPING_ZERO, FINAL_RATIO, MAX_RPM,
    SWITCH_S, GEARS, AUTOBOX, BRAKE_FRONT, BRAKE_REAR, HAND_FRONT, HAND_REAR, WHEEL_DAMPING,
    TORQUE_POINTS, STEERING_POINTS,
) = range(27)  # fmt: skip
PARAMETER_COLUMNS = 27

GRAVITY = 9.81
#: Rolling resistance of car tyres on asphalt, share of the weight (Gillespie, Fundamentals of
#: Vehicle Dynamics, 1992, gives 0.010 to 0.015).
ROLLING_RESISTANCE = 0.012
#: How fast the inputs follow the commands, per second, rising and falling: the defaults of
#: Unreal's WheeledVehicleMovementComponent.
STEER_RISE, STEER_FALL = 2.5, 5.0
PEDAL_RISE, PEDAL_FALL = 6.0, 10.0
#: Between these speeds the kinematic model of crawling hands over to the tyre model, m/s.
BLEND_FROM_MPS, BLEND_TO_MPS = 1.0, 3.0
IDLE_RPM = 800.0
#: Nothing in the simulator moves or turns faster; it keeps absurd impulses finite.
FASTEST_MPS, FASTEST_TURN_RAD_S = 200.0, 20.0
_RPM_PER_RAD_S = 60.0 / (2.0 * math.pi)
#: Part of its lateral grip that a tyre keeps when drive or brakes use all of its friction.
_LEAST_LATERAL_SHARE = 0.25


@compiled_part
def interpolate(curve: Any, points: int, x: float) -> float:
    """Linear interpolation in rows (x, y) of which the first `points` are valid; ends are held."""
    if x <= curve[0, 0]:
        return float(curve[0, 1])
    for k in range(1, points):
        if x < curve[k, 0]:
            share = (x - curve[k - 1, 0]) / (curve[k, 0] - curve[k - 1, 0])
            return float(curve[k - 1, 1] + share * (curve[k, 1] - curve[k - 1, 1]))
    return float(curve[points - 1, 1])


@compiled_part
def approach(value: float, target: float, step: float) -> float:
    """Move towards a target by at most `step`."""
    return min(target, value + step) if target > value else max(target, value - step)


@compiled_part
def tyre_force(slip_rad: float, stiffness: float, limit: float) -> float:
    """Lateral force of an axle against its slip angle.

    A brush tyre: linear with the cornering stiffness, saturating at `limit` when
    slip * stiffness = 3 * limit. It is the curve of the PhysX vehicle SDK (NVIDIA PhysX 3.4 guide,
    "Vehicles", tyre shader), which CARLA drives on.

    Args:
        slip_rad: Slip angle, sign as the lateral velocity.
        stiffness: N / rad.
        limit: Friction times load, N.

    Returns:
        N, of the opposite sign.
    """
    k = abs(slip_rad) * stiffness / limit
    share = 1.0 if k >= 3.0 else k - k * k / 3.0 + k * k * k / 27.0
    return -math.copysign(share * limit, slip_rad)


@compiled_part
def choose_gear(s: Any, u: Any, p: Any, gears: Any, h: float) -> None:
    """Engage the gear that the control or the automatic gearbox asks for."""
    count = int(p[GEARS])
    gear = int(s[GEAR])
    wanted = gear
    if u[IN_MANUAL] > 0.5:
        wanted = min(max(int(u[IN_GEAR]), -1), count)
    elif u[IN_REVERSE] > 0.5:
        wanted = -1
    elif gear < 1:
        wanted = 1 if (s[THROTTLE] > 0.0 or gear < 0 or abs(s[VX]) > 1.0) else 0
    elif p[AUTOBOX] > 0.5 and s[SHIFT_S] <= 0.0:
        share = s[RPM] / p[MAX_RPM]
        if gear < count and share > gears[gear - 1, 2]:
            wanted = gear + 1
        elif gear > 1 and share < gears[gear - 1, 1]:
            # Not down when the lower gear would at once shift up again.
            lower = share * gears[gear - 2, 0] / gears[gear - 1, 0]
            if lower < 0.95 * gears[gear - 2, 2]:
                wanted = gear - 1
    if wanted != gear:
        s[GEAR] = wanted
        if gear > 0 and wanted > 0:
            s[SHIFT_S] = p[SWITCH_S]
    s[SHIFT_S] = max(0.0, s[SHIFT_S] - h)


@compiled
def engine_forces(s: Any, p: Any, gears: Any, torque: Any) -> tuple[float, float, float]:
    """Return (driving force N, resisting force N, inertia of the engine at the wheels kg)."""
    gear = int(s[GEAR])
    if gear == 0:
        s[RPM] = max(IDLE_RPM, s[THROTTLE] * p[MAX_RPM]) if p[MAX_RPM] > IDLE_RPM else 0.0
        return 0.0, 0.0, 0.0
    ratio = gears[max(gear, 1) - 1, 0] * p[FINAL_RATIO]
    omega = abs(s[VX]) / p[RADIUS] * ratio
    s[RPM] = omega * _RPM_PER_RAD_S
    if s[SHIFT_S] > 0.0:
        return 0.0, 0.0, 0.0
    lever = ratio / p[RADIUS]
    throttle = s[THROTTLE]
    damping = p[DAMPING_ZERO] + (p[DAMPING_FULL] - p[DAMPING_ZERO]) * throttle
    resist = damping * omega * lever
    if throttle <= 0.0:
        return 0.0, resist, 0.0
    available = interpolate(torque, int(p[TORQUE_POINTS]), s[RPM]) if s[RPM] < p[MAX_RPM] else 0.0
    drive = throttle * available * lever
    return (drive if gear > 0 else -drive), resist, p[MOI] * lever * lever


@compiled
def axle_loads(s: Any, p: Any) -> tuple[float, float]:
    """Return the weight on the front and on the rear axle, N."""
    level = 1.0 / math.sqrt(1.0 + s[SLOPE_FORWARD] ** 2 + s[SLOPE_RIGHT] ** 2)
    weight = p[MASS] * GRAVITY * level
    front = weight * p[TO_REAR] / (p[TO_FRONT] + p[TO_REAR])
    return front, weight - front


@compiled
def pedal_forces(
    s: Any, u: Any, p: Any, drive: float, grip_front: float, grip_rear: float
) -> tuple[float, float, float, float]:
    """Return how hard the tyres drive and how hard they can brake, front then rear, N.

    Args:
        s: State row.
        u: Control row.
        p: Parameter row.
        drive: Force of the engine, N; both axles get half of it.
        grip_front: Friction times load of the front axle, N.
        grip_rear: The same of the rear axle.
    """
    hand = u[IN_HAND_BRAKE]
    brake_front = min((p[BRAKE_FRONT] * s[BRAKE] + p[HAND_FRONT] * hand) / p[RADIUS], grip_front)
    brake_rear = min((p[BRAKE_REAR] * s[BRAKE] + p[HAND_REAR] * hand) / p[RADIUS], grip_rear)
    drive_front = min(max(0.5 * drive, -grip_front), grip_front)
    drive_rear = min(max(0.5 * drive, -grip_rear), grip_rear)
    return drive_front, drive_rear, brake_front, brake_rear


@compiled
def slip_angles(s: Any, p: Any) -> tuple[float, float]:
    """Return at which angle the front and the rear tyres move to where they point, rad."""
    cos_steer, sin_steer = math.cos(s[STEER]), math.sin(s[STEER])
    at_front = s[VY] + p[TO_FRONT] * s[YAW_RATE]
    along = s[VX] * cos_steer + at_front * sin_steer
    across = -s[VX] * sin_steer + at_front * cos_steer
    front = math.atan2(across, abs(along) + 1e-3)
    return front, math.atan2(s[VY] - p[TO_REAR] * s[YAW_RATE], abs(s[VX]) + 1e-3)


@compiled
def side_forces(
    s: Any, p: Any, used_front: float, used_rear: float, grip_front: float, grip_rear: float
) -> tuple[float, float]:
    """Return the lateral forces of the front and the rear axle, N, positive right.

    Args:
        s: State row.
        p: Parameter row.
        used_front: Share of the front axle's grip that drive and brakes use.
        used_rear: The same of the rear axle.
        grip_front: Friction times load of the front axle, N.
        grip_rear: The same of the rear axle.
    """
    load_front, load_rear = axle_loads(s, p)
    slip_front, slip_rear = slip_angles(s, p)
    used_front, used_rear = min(used_front, 1.0), min(used_rear, 1.0)
    left_front = max(math.sqrt(1.0 - used_front * used_front), _LEAST_LATERAL_SHARE)
    left_rear = max(math.sqrt(1.0 - used_rear * used_rear), _LEAST_LATERAL_SHARE)
    front = tyre_force(slip_front, p[STIFFNESS_FRONT] * load_front, grip_front * left_front)
    rear = tyre_force(slip_rear, p[STIFFNESS_REAR] * load_rear, grip_rear * left_rear)
    tyres = tyre_share(s)
    return front * tyres, rear * tyres


@compiled_part
def tyre_share(s: Any) -> float:
    """Return how much the tyre model counts, 0..1; the rest is the kinematic model of crawling."""
    share = (abs(s[VX]) - BLEND_FROM_MPS) / (BLEND_TO_MPS - BLEND_FROM_MPS)
    return float(min(max(share, 0.0), 1.0))


@compiled_part
def crawl(s: Any, p: Any, share: float, front: float, rear: float, h: float) -> None:
    """Pull lateral velocity and yaw rate to rolling without slip, within what friction allows.

    Args:
        s: State row.
        p: Parameter row.
        share: 0..1, how much the kinematic model counts.
        front: Friction times load of the front axle, N.
        rear: The same of the rear axle.
        h: Substep, s.
    """
    wheelbase = p[TO_FRONT] + p[TO_REAR]
    tangent = math.tan(min(max(s[STEER], -1.4), 1.4))
    rate = s[VX] * tangent / wheelbase
    gain = share * min(1.0, 30.0 * h)
    lateral = gain * (rate * p[TO_REAR] - s[VY])
    most = (front + rear) / p[MASS] * h
    s[VY] += min(max(lateral, -most), most)
    turn = gain * (rate - s[YAW_RATE])
    most = (front * p[TO_FRONT] + rear * p[TO_REAR]) / p[YAW_INERTIA] * h
    s[YAW_RATE] += min(max(turn, -most), most)


@compiled_part
def roll_on_ground(
    s: Any, u: Any, p: Any, gears: Any, torque: Any, steering: Any, h: float
) -> None:
    """Advance the velocities of one vehicle on the ground by one substep."""
    # Inputs follow the commands at Unreal's rates.
    for target, slot in ((u[IN_THROTTLE], THROTTLE), (u[IN_BRAKE], BRAKE)):
        s[slot] = approach(s[slot], target, (PEDAL_RISE if target > s[slot] else PEDAL_FALL) * h)
    curve = interpolate(steering, int(p[STEERING_POINTS]), abs(s[VX]) * 3.6)
    wanted = u[IN_STEER] * curve * p[MAX_STEER]
    rising = wanted * s[STEER] >= 0.0 and abs(wanted) > abs(s[STEER])
    s[STEER] = approach(s[STEER], wanted, (STEER_RISE if rising else STEER_FALL) * p[MAX_STEER] * h)
    choose_gear(s, u, p, gears, h)

    load_front, load_rear = axle_loads(s, p)
    grip_front = max(p[FRICTION_FRONT] * load_front, 1.0)
    grip_rear = max(p[FRICTION_REAR] * load_rear, 1.0)
    drive, engine_drag, engine_mass = engine_forces(s, p, gears, torque)
    drive_front, drive_rear, brake_front, brake_rear = pedal_forces(
        s, u, p, drive, grip_front, grip_rear
    )
    resist = brake_front + brake_rear + engine_drag
    resist += ROLLING_RESISTANCE * (load_front + load_rear) + p[WHEEL_DAMPING] * abs(s[VX])
    used_front = (abs(drive_front) + brake_front) / grip_front
    used_rear = (abs(drive_rear) + brake_rear) / grip_rear
    side_front, side_rear = side_forces(s, p, used_front, used_rear, grip_front, grip_rear)

    tyres = tyre_share(s)
    downhill = -(load_front + load_rear)
    gravity_x, gravity_y = downhill * s[SLOPE_FORWARD], downhill * s[SLOPE_RIGHT]
    cos_steer, sin_steer = math.cos(s[STEER]), math.sin(s[STEER])
    push = drive_front * cos_steer + drive_rear - side_front * sin_steer + gravity_x + s[FORCE_X]
    push -= p[DRAG] * s[VX] * abs(s[VX])
    inertia = p[MASS] + engine_mass
    # The turning frame's terms: at a crawl the kinematic model already contains them.
    old_vx = s[VX]
    forward = old_vx + (push / inertia + tyres * s[YAW_RATE] * s[VY]) * h
    # Resistance stops a vehicle but never pushes it backwards.
    stop = resist / inertia * h
    s[VX] = 0.0 if abs(forward) <= stop else forward - math.copysign(stop, forward)
    # At a crawl friction carries the weight across the slope; a sliding tyre does not.
    sideways = side_front * cos_steer + side_rear + tyres * gravity_y + s[FORCE_Y]
    s[VY] += (sideways / p[MASS] - tyres * s[YAW_RATE] * old_vx) * h
    moment = p[TO_FRONT] * side_front * cos_steer - p[TO_REAR] * side_rear + s[TORQUE]
    s[YAW_RATE] += moment / p[YAW_INERTIA] * h
    if tyres < 1.0:
        crawl(s, p, 1.0 - tyres, grip_front, grip_rear, h)
    s[ROLLED] += s[VX] * h


@compiled
def step_vehicles(
    moving: Any,
    state: Any,
    control: Any,
    parameters: Any,
    gears: Any,
    torque: Any,
    steering: Any,
    gravity: Any,
    delta_s: float,
    substeps: int,
) -> None:
    """Advance all vehicles by one step.

    Args:
        moving: (N,) bool, which rows to advance.
        state: (N, STATE_COLUMNS) float64, changed in place.
        control: (N, CONTROL_COLUMNS) float64.
        parameters: (N, PARAMETER_COLUMNS) float64.
        gears: (N, G, 3) float64: ratio, down ratio, up ratio.
        torque: (N, K, 2) float64: rpm, N m.
        steering: (N, K, 2) float64: km/h, factor.
        gravity: (N,) float64, m/s2, 0 for vehicles that do not fall.
        delta_s: Length of the step.
        substeps: Number of equal substeps.
    """
    h = delta_s / substeps
    for i in range(moving.shape[0]):
        if not moving[i]:
            continue
        s, u, p = state[i], control[i], parameters[i]
        cos_pitch = 1.0 / math.sqrt(1.0 + s[SLOPE_FORWARD] ** 2)
        cos_roll = 1.0 / math.sqrt(1.0 + s[SLOPE_RIGHT] ** 2)
        for _ in range(substeps):
            if u[CONSTANT] > 0.5:
                s[VX], s[VY] = u[CONSTANT_X], u[CONSTANT_Y]
            if s[AIRBORNE] > 0.5:
                s[VX] += s[FORCE_X] / p[MASS] * h
                s[VY] += s[FORCE_Y] / p[MASS] * h
                s[YAW_RATE] += s[TORQUE] / p[YAW_INERTIA] * h
                s[VZ] -= gravity[i] * h
                s[Z] += s[VZ] * h
            else:
                roll_on_ground(s, u, p, gears[i], torque[i], steering[i], h)
                if u[CONSTANT] > 0.5:
                    s[VX], s[VY] = u[CONSTANT_X], u[CONSTANT_Y]
            # Velocities belong to the centre of mass; the origin lies COM_X behind it.
            forward, right = s[VX], s[VY] - p[COM_X] * s[YAW_RATE]
            if s[AIRBORNE] < 0.5:
                forward, right = forward * cos_pitch, right * cos_roll
            heading = s[YAW] + 0.5 * s[YAW_RATE] * h
            cos_yaw, sin_yaw = math.cos(heading), math.sin(heading)
            s[X] += (forward * cos_yaw - right * sin_yaw) * h
            s[Y] += (forward * sin_yaw + right * cos_yaw) * h
            s[YAW] += s[YAW_RATE] * h
            s[VX] = min(max(s[VX], -FASTEST_MPS), FASTEST_MPS)
            s[VY] = min(max(s[VY], -FASTEST_MPS), FASTEST_MPS)
            s[YAW_RATE] = min(max(s[YAW_RATE], -FASTEST_TURN_RAD_S), FASTEST_TURN_RAD_S)
        s[YAW] = (s[YAW] + math.pi) % (2.0 * math.pi) - math.pi
        s[FORCE_X], s[FORCE_Y], s[TORQUE] = 0.0, 0.0, 0.0


#: A vehicle that is higher than this above the ground flies, m.
_LIFT_OFF_M = 0.25
#: How fast height and attitude follow the ground, s (estimate of a car's suspension).
_HEIGHT_FOLLOWS_S = 0.06
_ATTITUDE_FOLLOWS_S = 0.12


@compiled
def follow_ground(moving: Any, state: Any, ground: Any, gravity: Any, delta_s: float) -> None:
    """Set height, pitch and roll after a step from the ground below each vehicle.

    Args:
        moving: (N,) bool.
        state: (N, STATE_COLUMNS) float64, changed in place.
        ground: (N, 3) float64: height in m, dz/dx, dz/dy.
        gravity: (N,) float64, m/s2, 0 for vehicles that do not fall.
        delta_s: Length of the step.
    """
    for i in range(moving.shape[0]):
        if not moving[i]:
            continue
        s = state[i]
        cos_yaw, sin_yaw = math.cos(s[YAW]), math.sin(s[YAW])
        s[SLOPE_FORWARD] = ground[i, 1] * cos_yaw + ground[i, 2] * sin_yaw
        s[SLOPE_RIGHT] = -ground[i, 1] * sin_yaw + ground[i, 2] * cos_yaw
        climb = s[SLOPE_FORWARD] * s[VX] / math.sqrt(1.0 + s[SLOPE_FORWARD] ** 2)
        climb += s[SLOPE_RIGHT] * s[VY] / math.sqrt(1.0 + s[SLOPE_RIGHT] ** 2)
        height = s[Z] - ground[i, 0] + (0.0 if s[AIRBORNE] > 0.5 else climb * delta_s)
        if s[AIRBORNE] > 0.5:
            if height > 0.0 or (height > -0.01 and s[VZ] > climb):
                continue
            s[AIRBORNE] = 0.0
            s[Z] = ground[i, 0]
        elif height > _LIFT_OFF_M:
            s[AIRBORNE] = 1.0
            continue
        elif gravity[i] > 0.0 or height < 0.0:
            kept = math.exp(-delta_s / _HEIGHT_FOLLOWS_S)
            # Deep below the surface there is nothing to follow: come up at once.
            s[Z] = ground[i, 0] + (height * kept if abs(height) < 1.0 else 0.0)
        s[VZ] = climb
        share = 1.0 - math.exp(-delta_s / _ATTITUDE_FOLLOWS_S)
        pitch = math.atan(s[SLOPE_FORWARD])
        roll = -math.atan(s[SLOPE_RIGHT] * math.cos(pitch))
        s[PITCH] += share * (pitch - s[PITCH])
        s[ROLL] += share * (roll - s[ROLL])


@compiled
def refresh_velocities(chosen: Any, state: Any, parameters: Any, velocity: Any) -> None:
    """Derive the velocity of the origin in the world frame.

    Args:
        chosen: (N,) bool, which rows.
        state: (N, STATE_COLUMNS) float64.
        parameters: (N, PARAMETER_COLUMNS) float64.
        velocity: (N, 3) float64, m/s, is written.
    """
    for i in range(chosen.shape[0]):
        if not chosen[i]:
            continue
        s = state[i]
        forward = s[VX]
        right = s[VY] - parameters[i, COM_X] * s[YAW_RATE]
        if s[AIRBORNE] < 0.5:
            forward /= math.sqrt(1.0 + s[SLOPE_FORWARD] ** 2)
            right /= math.sqrt(1.0 + s[SLOPE_RIGHT] ** 2)
        cos_yaw, sin_yaw = math.cos(s[YAW]), math.sin(s[YAW])
        velocity[i, 0] = forward * cos_yaw - right * sin_yaw
        velocity[i, 1] = forward * sin_yaw + right * cos_yaw
        velocity[i, 2] = s[VZ]
