"""The numba kernels of collision: oriented boxes, a grid of obstacles, swept contacts.

Boxes stand upright: they overlap in the plane (separating axes) and in height. Rows of boxes are
(x, y, z low, z high, half x, half y, cos yaw, sin yaw), world frame, metres.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.compiled import compiled, compiled_part
from sim.pocket.dynamics_kernels import COM_X, MASS, VX, VY, YAW, YAW_INERTIA, YAW_RATE, X, Y, Z

BX, BY, LOW, HIGH, HALF_X, HALF_Y, COS, SIN = range(8)
BOX_COLUMNS = 8

# What a contact is with, and the columns of the contacts that the kernel returns.
WITH_OBSTACLE, WITH_BODY, WITH_VEHICLE = range(3)
ROW, KIND, OTHER, NORMAL_X, NORMAL_Y, DEPTH, IMPULSE_X, IMPULSE_Y = range(8)
CONTACT_COLUMNS = 8
MOST_CONTACTS = 512

#: Vehicles are tested at places no further apart than this, m: the thinnest pole is thicker.
_STRIDE_M = 0.15
_MOST_STRIDES = 64
#: Overlap that does not count, so that touching is not pressing, m.
_SLOP_M = 1e-4
#: Furthest that one contact moves a vehicle, m; deep overlaps dissolve over several strides.
_MOST_PUSH_M = 0.3
#: Friction of metal along what it hits (estimate).
_SCRAPE = 0.3
_MOST_CANDIDATES = 256


class ObstacleGrid(NamedTuple):
    """The boxes of what never moves, found through a grid of cells.

    Attributes:
        boxes: (M, BOX_COLUMNS) float64.
        extent: (5,) float64: origin x, origin y, cell size, cells along x, cells along y.
        starts: (cells + 1,) int64, where each cell's members begin.
        members: (S,) int64, obstacle numbers by cell.
    """

    boxes: NDArray[np.float64]
    extent: NDArray[np.float64]
    starts: NDArray[np.int64]
    members: NDArray[np.int64]


class Bodies(NamedTuple):
    """What vehicles can hit but the dynamics do not move.

    Attributes:
        boxes: (B, BOX_COLUMNS) float64.
        mass_kg: (B,) float64; infinite for what does not give way.
    """

    boxes: NDArray[np.float64]
    mass_kg: NDArray[np.float64]


class Sweep(NamedTuple):
    """The replay of one step; a row per vehicle.

    Attributes:
        involved: (N,) bool, whether it may touch anything.
        near: (N, K) int64, numbers of the obstacles that it may touch.
        near_count: (N,) int64, how many those are.
        near_body: (N,) bool, whether it may touch any body.
        place: (N, BOX_COLUMNS) float64, where it is by now.
        steps: (N, 2) float64, what is left to do per stride; contacts take the part into the
            normal out of it.
        turn: (N,) float64, change of the yaw during the step.
        touched: (N,) bool, whether anything has moved it.
    """

    involved: NDArray[np.bool_]
    near: NDArray[np.int64]
    near_count: NDArray[np.int64]
    near_body: NDArray[np.bool_]
    place: NDArray[np.float64]
    steps: NDArray[np.float64]
    turn: NDArray[np.float64]
    touched: NDArray[np.bool_]


@compiled
def overlap(a: Any, b: Any) -> tuple[float, float, float]:
    """Return (depth, normal x, normal y) by which box a must move out of b; depth <= 0 if apart."""
    if a[LOW] >= b[HIGH] or b[LOW] >= a[HIGH]:
        return -1.0, 0.0, 0.0
    dx, dy = a[BX] - b[BX], a[BY] - b[BY]
    cosine = abs(a[COS] * b[COS] + a[SIN] * b[SIN])
    sine = abs(a[COS] * b[SIN] - a[SIN] * b[COS])
    best, normal_x, normal_y = 1e30, 0.0, 0.0
    for axis in range(4):
        if axis == 0:
            ux, uy = a[COS], a[SIN]
            reach = a[HALF_X] + b[HALF_X] * cosine + b[HALF_Y] * sine
        elif axis == 1:
            ux, uy = -a[SIN], a[COS]
            reach = a[HALF_Y] + b[HALF_X] * sine + b[HALF_Y] * cosine
        elif axis == 2:
            ux, uy = b[COS], b[SIN]
            reach = b[HALF_X] + a[HALF_X] * cosine + a[HALF_Y] * sine
        else:
            ux, uy = -b[SIN], b[COS]
            reach = b[HALF_Y] + a[HALF_X] * sine + a[HALF_Y] * cosine
        distance = dx * ux + dy * uy
        depth = reach - abs(distance)
        if depth <= 0.0:
            return depth, 0.0, 0.0
        # The margin keeps the choice stable between parallel axes of both boxes.
        if depth < best - 1e-9:
            sign = 1.0 if distance >= 0.0 else -1.0
            best, normal_x, normal_y = depth, sign * ux, sign * uy
    return best, normal_x, normal_y


@compiled_part
def contact_point(a: Any, b: Any) -> tuple[float, float]:
    """Return the middle of the corners of either box inside the other, world frame."""
    sum_x, sum_y, count = 0.0, 0.0, 0
    for turn in range(2):
        p, q = (a, b) if turn == 0 else (b, a)
        for corner in range(4):
            along = p[HALF_X] if corner < 2 else -p[HALF_X]
            across = p[HALF_Y] if corner % 2 == 0 else -p[HALF_Y]
            x = p[BX] + along * p[COS] - across * p[SIN]
            y = p[BY] + along * p[SIN] + across * p[COS]
            dx, dy = x - q[BX], y - q[BY]
            inside_x = abs(dx * q[COS] + dy * q[SIN]) <= q[HALF_X] + 1e-6
            if inside_x and abs(-dx * q[SIN] + dy * q[COS]) <= q[HALF_Y] + 1e-6:
                sum_x += x
                sum_y += y
                count += 1
    if count > 0:
        return sum_x / count, sum_y / count
    dx, dy = a[BX] - b[BX], a[BY] - b[BY]
    along = min(max(dx * b[COS] + dy * b[SIN], -b[HALF_X]), b[HALF_X])
    across = min(max(-dx * b[SIN] + dy * b[COS], -b[HALF_Y]), b[HALF_Y])
    return b[BX] + along * b[COS] - across * b[SIN], b[BY] + along * b[SIN] + across * b[COS]


@compiled
def candidates_near(x: float, y: float, reach: float, obstacles: Any, found: Any) -> int:
    """Collect the obstacles whose circle comes within `reach` of a point, each once.

    Args:
        x: World frame, m.
        y: World frame, m.
        reach: Metres.
        obstacles: An `ObstacleGrid`.
        found: (K,) int64, is filled.

    Returns:
        How many were found, at most K.
    """
    grid, starts, members = obstacles.extent, obstacles.starts, obstacles.members
    count = 0
    columns, rows = int(grid[3]), int(grid[4])
    low_i = max(math.floor((x - reach - grid[0]) / grid[2]), 0)
    high_i = min(math.floor((x + reach - grid[0]) / grid[2]), columns - 1)
    low_j = max(math.floor((y - reach - grid[1]) / grid[2]), 0)
    high_j = min(math.floor((y + reach - grid[1]) / grid[2]), rows - 1)
    for i in range(low_i, high_i + 1):
        for j in range(low_j, high_j + 1):
            cell = i * rows + j
            for k in range(starts[cell], starts[cell + 1]):
                other = members[k]
                b = obstacles.boxes[other]
                limit = reach + b[HALF_X] + b[HALF_Y]
                if abs(b[BX] - x) > limit or abs(b[BY] - y) > limit:
                    continue
                known = False
                for m in range(count):
                    if found[m] == other:
                        known = True
                        break
                if not known and count < found.shape[0]:
                    found[count] = other
                    count += 1
    return count


@compiled_part
def point_velocity(s: Any, px: float, py: float, x: float, y: float) -> tuple[float, float]:
    """Return the world velocity of a point of a vehicle whose centre of mass is at (x, y)."""
    cos_yaw, sin_yaw = math.cos(s[YAW]), math.sin(s[YAW])
    vx = s[VX] * cos_yaw - s[VY] * sin_yaw
    vy = s[VX] * sin_yaw + s[VY] * cos_yaw
    return vx - s[YAW_RATE] * (py - y), vy + s[YAW_RATE] * (px - x)


@compiled_part
def kick(s: Any, mass: float, inertia: float, jx: float, jy: float, rx: float, ry: float) -> None:
    """Apply an impulse at an offset from the centre of mass."""
    cos_yaw, sin_yaw = math.cos(s[YAW]), math.sin(s[YAW])
    s[VX] += (jx * cos_yaw + jy * sin_yaw) / mass
    s[VY] += (-jx * sin_yaw + jy * cos_yaw) / mass
    s[YAW_RATE] += (rx * jy - ry * jx) / inertia


@compiled_part
def note(contacts: Any, count: int, values: Any) -> int:
    """Add a contact, or add to the one between the same two; return the number of contacts."""
    for k in range(count):
        c = contacts[k]
        if c[ROW] == values[ROW] and c[KIND] == values[KIND] and c[OTHER] == values[OTHER]:
            c[IMPULSE_X] += values[IMPULSE_X]
            c[IMPULSE_Y] += values[IMPULSE_Y]
            if values[DEPTH] > c[DEPTH]:
                c[NORMAL_X], c[NORMAL_Y] = values[NORMAL_X], values[NORMAL_Y]
                c[DEPTH] = values[DEPTH]
            return count
    if count < contacts.shape[0]:
        # An assignment of the whole row would compile the words of its error, which takes seconds.
        for column in range(contacts.shape[1]):
            contacts[count, column] = values[column]
        return count + 1
    return count


@compiled_part
def bounce(
    row: int,
    other_row: int,
    other_mass: float,
    a: Any,
    b: Any,
    nx: float,
    ny: float,
    state: Any,
    parameters: Any,
) -> tuple[float, float]:
    """Stop two bodies from moving into each other and return the impulse on the first, N s.

    Args:
        row: The vehicle.
        other_row: The other vehicle, -1 if it is none that moves.
        other_mass: Mass of the other if it is no moving vehicle; infinite for walls.
        a: Box of the vehicle.
        b: Box of the other.
        nx: Normal from the other to the vehicle.
        ny: Its y component.
        state: All vehicles, changed in place.
        parameters: All vehicles.
    """
    px, py = contact_point(a, b)
    s, p = state[row], parameters[row]
    x, y = a[BX] + p[COM_X] * a[COS], a[BY] + p[COM_X] * a[SIN]
    vx, vy = point_velocity(s, px, py, x, y)
    lever = (px - x) * ny - (py - y) * nx
    softness = 1.0 / p[MASS] + lever * lever / p[YAW_INERTIA]
    x2, y2 = b[BX], b[BY]
    if other_row >= 0:
        q = parameters[other_row]
        x2, y2 = b[BX] + q[COM_X] * b[COS], b[BY] + q[COM_X] * b[SIN]
        ux, uy = point_velocity(state[other_row], px, py, x2, y2)
        vx -= ux
        vy -= uy
        lever = (px - x2) * ny - (py - y2) * nx
        softness += 1.0 / q[MASS] + lever * lever / q[YAW_INERTIA]
    elif other_mass < 1e29:
        softness += 1.0 / other_mass
    into = vx * nx + vy * ny
    if into >= 0.0:
        return 0.0, 0.0
    push = -into / softness
    tx, ty = -ny, nx
    slide = vx * tx + vy * ty
    scrape = min(_SCRAPE * push, 0.5 * abs(slide) / softness)
    scrape = -math.copysign(scrape, slide)
    jx, jy = push * nx + scrape * tx, push * ny + scrape * ty
    kick(s, p[MASS], p[YAW_INERTIA], jx, jy, px - x, py - y)
    if other_row >= 0:
        q = parameters[other_row]
        kick(state[other_row], q[MASS], q[YAW_INERTIA], -jx, -jy, px - x2, py - y2)
    return jx, jy


@compiled_part
def find_involved(vehicles: Any, bodies: Any, obstacles: Any, sweep: Any) -> int:
    """Find which vehicles may touch what, and return into how many strides to divide the step."""
    state, before, movable = vehicles.state, vehicles.before, vehicles.movable
    involved = sweep.involved
    rows = state.shape[0]
    reach = np.zeros(rows)
    strides = 1
    for i in range(rows):
        if not vehicles.present[i]:
            continue
        dx, dy = state[i, X] - before[i, 0], state[i, Y] - before[i, 1]
        moved = math.sqrt(dx * dx + dy * dy)
        extents = vehicles.extents[i]
        reach[i] = math.hypot(extents[0], extents[1]) + 0.5 * moved + _MOST_PUSH_M
        middle_x, middle_y = before[i, 0] + 0.5 * dx, before[i, 1] + 0.5 * dy
        if movable[i]:
            sweep.near_count[i] = candidates_near(
                middle_x, middle_y, reach[i], obstacles, sweep.near[i]
            )
            for m in range(bodies.boxes.shape[0]):
                b = bodies.boxes[m]
                limit = reach[i] + b[HALF_X] + b[HALF_Y]
                if abs(b[BX] - middle_x) < limit and abs(b[BY] - middle_y) < limit:
                    sweep.near_body[i] = True
            involved[i] = sweep.near_count[i] > 0 or sweep.near_body[i]
            strides = max(strides, math.ceil(moved / _STRIDE_M))
        for j in range(i):
            if not vehicles.present[j] or not (movable[i] or movable[j]):
                continue
            ex = middle_x - 0.5 * (before[j, 0] + state[j, X])
            ey = middle_y - 0.5 * (before[j, 1] + state[j, Y])
            if ex * ex + ey * ey < (reach[i] + reach[j]) ** 2:
                involved[i] = True
                involved[j] = True
    return min(strides, _MOST_STRIDES)


@compiled_part
def go_back(vehicles: Any, strides: int, sweep: Any) -> None:
    """Put the involved vehicles to where the step began."""
    state, before, place = vehicles.state, vehicles.before, sweep.place
    for i in range(state.shape[0]):
        if not sweep.involved[i]:
            continue
        extents = vehicles.extents[i]
        place[i, BX], place[i, BY] = before[i, 0], before[i, 1]
        # Kerbs and the road itself are no obstacles.
        place[i, LOW] = state[i, Z] + 0.2
        place[i, HIGH] = state[i, Z] + 2.0 * extents[2]
        place[i, HALF_X], place[i, HALF_Y] = extents[0], extents[1]
        sweep.steps[i, 0] = (state[i, X] - before[i, 0]) / strides
        sweep.steps[i, 1] = (state[i, Y] - before[i, 1]) / strides
        change = state[i, YAW] - before[i, 2] + math.pi
        sweep.turn[i] = (change % (2.0 * math.pi)) - math.pi


@compiled_part
def touch(
    i: int,
    kind: int,
    number: int,
    mass_kg: float,
    b: Any,
    vehicles: Any,
    sweep: Any,
    contacts: Any,
    count: int,
) -> int:
    """Let a vehicle and another thing push each other, if they overlap.

    Args:
        i: The vehicle.
        kind: What the other is.
        number: Which of its kind.
        mass_kg: Mass of the other if it is no vehicle; infinite for what does not give way.
        b: Box of the other.
        vehicles: A `CollisionView`.
        sweep: Places and steps, changed in place.
        contacts: Is filled.
        count: Contacts so far.

    Returns:
        Contacts by now.
    """
    a = sweep.place[i]
    depth, nx, ny = overlap(a, b)
    if depth <= _SLOP_M:
        return count
    state, parameters, movable = vehicles.state, vehicles.parameters, vehicles.movable
    # A literal -1 would be a type of its own, for which `bounce` would be compiled once more.
    nobody = int(np.int64(-1))
    other_row = number if kind == WITH_VEHICLE and movable[number] else nobody
    if movable[i]:
        jx, jy = bounce(i, other_row, mass_kg, a, b, nx, ny, state, parameters)
    else:
        jx, jy = bounce(number, nobody, np.inf, b, a, -nx, -ny, state, parameters)
        jx, jy = -jx, -jy
    values = np.empty(CONTACT_COLUMNS)
    values[ROW], values[KIND], values[OTHER] = i, kind, number
    values[NORMAL_X], values[NORMAL_Y], values[DEPTH] = nx, ny, depth
    values[IMPULSE_X], values[IMPULSE_Y] = jx, jy
    count = note(contacts, count, values)
    # What gives way (a walker) slows the vehicle but does not hold it.
    if kind == WITH_BODY and mass_kg < 1e29:
        return count
    share = 1.0
    if other_row >= 0 and movable[i]:
        light, heavy = parameters[i, MASS], parameters[number, MASS]
        share = heavy / (light + heavy)
    elif not movable[i]:
        share = 0.0
    push = min(depth, _MOST_PUSH_M)
    steps, touched = sweep.steps, sweep.touched
    a[BX] += share * push * nx
    a[BY] += share * push * ny
    touched[i] = touched[i] or share > 0.0
    into = min(steps[i, 0] * nx + steps[i, 1] * ny, 0.0)
    steps[i, 0] -= into * nx
    steps[i, 1] -= into * ny
    if share < 1.0:
        b[BX] -= (1.0 - share) * push * nx
        b[BY] -= (1.0 - share) * push * ny
        touched[number] = True
        into = max(steps[number, 0] * nx + steps[number, 1] * ny, 0.0)
        steps[number, 0] -= into * nx
        steps[number, 1] -= into * ny
    return count


@compiled
def collide(vehicles: Any, bodies: Any, obstacles: Any, contacts: Any) -> int:
    """Replay the last step of the vehicles in small strides and keep them out of each other.

    Args:
        vehicles: A `CollisionView`; states are changed in place where there is contact.
        bodies: `Bodies`, walkers and props.
        obstacles: An `ObstacleGrid`.
        contacts: (MOST_CONTACTS, CONTACT_COLUMNS) float64, is filled.

    Returns:
        The number of contacts, one for each pair.
    """
    rows = vehicles.state.shape[0]
    sweep = Sweep(
        np.zeros(rows, np.bool_),
        np.empty((rows, _MOST_CANDIDATES), np.int64),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.bool_),
        np.zeros((rows, BOX_COLUMNS)),
        np.zeros((rows, 2)),
        np.zeros(rows),
        np.zeros(rows, np.bool_),
    )
    strides = find_involved(vehicles, bodies, obstacles, sweep)
    if not sweep.involved.any():
        return 0
    go_back(vehicles, strides, sweep)
    # As in `touch`: no literal.
    count = int(np.int64(0))
    for stride in range(1, strides + 1):
        for i in range(rows):
            if sweep.involved[i]:
                a = sweep.place[i]
                a[BX] += sweep.steps[i, 0]
                a[BY] += sweep.steps[i, 1]
                yaw = vehicles.before[i, 2] + sweep.turn[i] * stride / strides
                a[COS], a[SIN] = math.cos(yaw), math.sin(yaw)
        for i in range(rows):
            if not sweep.involved[i]:
                continue
            first_body = sweep.near_count[i]
            first_vehicle = first_body + (bodies.boxes.shape[0] if sweep.near_body[i] else 0)
            for m in range(first_vehicle + i):
                mass = np.inf
                if m < first_body:
                    kind, number = WITH_OBSTACLE, sweep.near[i, m]
                    b = obstacles.boxes[number]
                elif m < first_vehicle:
                    kind, number = WITH_BODY, m - first_body
                    b, mass = bodies.boxes[number], bodies.mass_kg[number]
                else:
                    kind, number = WITH_VEHICLE, m - first_vehicle
                    b = sweep.place[number]
                    movable = vehicles.movable[i] or vehicles.movable[number]
                    if not sweep.involved[number] or not movable:
                        continue
                count = touch(i, kind, number, mass, b, vehicles, sweep, contacts, count)
    for i in range(rows):
        if sweep.touched[i] and vehicles.movable[i]:
            vehicles.state[i, X], vehicles.state[i, Y] = sweep.place[i, BX], sweep.place[i, BY]
    return count
