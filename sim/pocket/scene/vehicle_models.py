"""Low-poly vehicles, in the actor's frame: the origin lies on the ground below the centre.

White faces take the paint of the instance that is drawn; nothing else is exactly white.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import Vector3
from sim.pocket.scene.figures import add_rider
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import WHITE, Mesh, MeshBuilder
from sim.pocket.scene.shapes import (
    GLASS,
    HEADLAMP,
    TAIL_LAMP,
    TRIM,
    TYRE,
    add_block,
    add_faces,
    add_limb,
    add_wheel,
    plain,
)

Array = NDArray[np.float64]
Point = tuple[float, float, float]

_BUS_WORDS = ("fusorosa", "bus")
_TRUCK_WORDS = ("firetruck", "carlacola", "hgv", "truck")
_VAN_WORDS = ("ambulance", "sprinter", "t2", "van")
_BICYCLE_WORDS = ("crossbike", "century", "omafiets")
_MOTORCYCLE_WORDS = ("low_rider", "ninja", "vespa", "yzf")


class _Profile(NamedTuple):
    """Side view of a car, as shares of half the length (x) and of the height (z).

    The shoulder line runs from the tail to the nose; `roof` holds the x of rear window foot,
    roof rear, roof front and windscreen foot.
    """

    shoulder_x: tuple[float, ...]
    shoulder_z: tuple[float, ...]
    roof: tuple[float, float, float, float]


_SALOON = _Profile(
    shoulder_x=(-1.0, -0.985, -0.75, 0.36, 0.72, 0.96, 1.0),
    shoulder_z=(0.42, 0.6, 0.66, 0.62, 0.56, 0.46, 0.36),
    roof=(-0.8, -0.36, 0.08, 0.44),
)
_TALL = _Profile(
    shoulder_x=(-1.0, -0.99, -0.9, 0.45, 0.8, 0.97, 1.0),
    shoulder_z=(0.38, 0.56, 0.6, 0.58, 0.54, 0.44, 0.34),
    roof=(-0.95, -0.82, 0.12, 0.5),
)
_HATCHBACK = _Profile(
    shoulder_x=(-1.0, -0.99, -0.94, 0.42, 0.76, 0.96, 1.0),
    shoulder_z=(0.4, 0.58, 0.62, 0.6, 0.54, 0.45, 0.35),
    roof=(-0.97, -0.66, 0.1, 0.48),
)
_COUPE = _Profile(
    shoulder_x=(-1.0, -0.985, -0.82, 0.2, 0.68, 0.95, 1.0),
    shoulder_z=(0.44, 0.62, 0.66, 0.62, 0.58, 0.48, 0.38),
    roof=(-0.86, -0.3, -0.02, 0.26),
)
_TALL_M = 1.6
_COMPACT_M = 4.1
_COUPE_WORDS = ("mustang", ".tt", "charger")


def vehicle_mesh(type_id: str, half_extent: Vector3) -> Mesh:
    """Return the model of a vehicle.

    Args:
        type_id: CARLA's blueprint id, e.g. "vehicle.tesla.model3"; its name picks the kind.
        half_extent: Half length, half width and half height, metres.

    Returns:
        The mesh, from z = 0 to twice the half height.
    """
    build: Callable[[MeshBuilder, Vector3], None] = functools.partial(
        _add_car, profile=_profile_of(type_id, half_extent)
    )
    for words, candidate in (
        (_BICYCLE_WORDS, _add_bicycle),
        (_MOTORCYCLE_WORDS, _add_motorcycle),
        (_BUS_WORDS, _add_bus),
        (("cybertruck",), _add_pickup),
        (_TRUCK_WORDS, _add_truck),
        (_VAN_WORDS, _add_van),
    ):
        if any(word in type_id for word in words):
            build = candidate
            break
    builder = MeshBuilder()
    build(builder, half_extent)
    return builder.build()


def _profile_of(type_id: str, half: Vector3) -> _Profile:
    """Choose the side view of a car by its name and size."""
    if 2.0 * half.z >= _TALL_M:
        return _TALL
    if any(word in type_id for word in _COUPE_WORDS):
        return _COUPE
    return _HATCHBACK if 2.0 * half.x < _COMPACT_M else _SALOON


def _mirrored(points: Array) -> Array:
    return points * (1.0, -1.0, 1.0)


def _across(x: float, low: tuple[float, float], high: tuple[float, float]) -> list[Point]:
    """Return a face that looks along x, from half its width and its height at both edges."""
    return [
        (x, side * y, z)
        for side, (y, z) in zip((-1, 1, 1, -1), (low, low, high, high), strict=True)
    ]


def _along(y: float, xs: tuple[float, float, float, float], low: float, high: float) -> list[Point]:
    """Return a face that looks along y: rear and front below, then front and rear above."""
    return [(x, y, z) for x, z in zip(xs, (low, low, high, high), strict=True)]


def _add_pickup(builder: MeshBuilder, half: Vector3) -> None:
    _add_car(builder, half, CityObjectLabel.TRUCK, profile=_TALL)


def _add_car(
    builder: MeshBuilder,
    half: Vector3,
    tag: CityObjectLabel = CityObjectLabel.CAR,
    *,
    profile: _Profile,
) -> None:
    size = np.array((half.x, half.y, 2.0 * half.z))
    inside = np.array((0.0, 0.0, half.z))
    radius = min(0.34, half.z * 0.46)
    floor = 0.2
    line = np.column_stack([profile.shoulder_x, profile.shoulder_z]) * (size[0], size[2])
    taper = np.interp(np.abs(line[:, 0]) / size[0], (0.0, 0.75, 1.0), (1.0, 0.98, 0.86))
    right = np.column_stack([line[:, 0], taper * size[1], line[:, 1]])
    sill = right * (1.0, 0.97, 0.0) + (0.0, 0.0, floor)
    flank = np.stack([sill[:-1], sill[1:], right[1:], right[:-1]], axis=1)
    deck = np.stack([right[:-1], right[1:], _mirrored(right[1:]), _mirrored(right[:-1])], 1)
    ends = [[sill[k], right[k], _mirrored(right[k]), _mirrored(sill[k])] for k in (0, -1)]
    paint = plain(tag, WHITE)
    add_faces(builder, paint, np.concatenate([flank, _mirrored(flank), deck]), inside)
    add_faces(builder, paint, ends, inside)
    underside = [sill[0], sill[-1], _mirrored(sill[-1]), _mirrored(sill[0])]
    add_faces(builder, plain(tag, TRIM), [underside], inside)
    _add_cabin(builder, tag, profile, size, line)
    _add_car_lamps(builder, tag, right, floor)
    for x in (-0.6, 0.61):
        for y in (-1.0, 1.0):
            centre = (x * size[0], y * (size[1] - 0.1), radius)
            add_wheel(builder, tag, centre, (radius, 0.21))


def _add_cabin(
    builder: MeshBuilder, tag: CityObjectLabel, profile: _Profile, size: Array, line: Array
) -> None:
    """Add roof, windows and pillars."""
    x = np.array(profile.roof) * size[0]
    belt = np.interp(x, line[:, 0], line[:, 1])
    top = size[2]
    wide, narrow = 0.93 * size[1], 0.7 * size[1]
    foot_rear = np.array((x[0], wide, belt[0] - 0.02))
    roof_rear = np.array((x[1], narrow, top - 0.03))
    roof_front = np.array((x[2], narrow, top))
    foot_front = np.array((x[3], wide, belt[3] - 0.02))
    inside = np.array(((x[0] + x[3]) / 2.0, 0.0, belt.mean()))
    glass, paint = plain(tag, GLASS), plain(tag, WHITE)
    screens = [
        [foot_front, roof_front, _mirrored(roof_front), _mirrored(foot_front)],
        [foot_rear, roof_rear, _mirrored(roof_rear), _mirrored(foot_rear)],
    ]
    side = np.array([[foot_rear, foot_front, roof_front, roof_rear]])
    add_faces(builder, glass, np.concatenate([screens, side, _mirrored(side)]), inside)
    roof = [roof_rear, roof_front, _mirrored(roof_front), _mirrored(roof_rear)]
    add_faces(builder, paint, [roof], inside)
    middle = (roof_front + roof_rear) / 2.0
    foot = foot_front * 0.48 + foot_rear * 0.52
    shift, out = np.array((0.05, 0.0, 0.0)), np.array((0.0, 0.012, 0.0))
    ends = ((foot, middle), (foot_front, roof_front), (foot_rear, roof_rear))
    posts = np.array(
        [
            [lower - shift + out, lower + shift + out, upper + shift + out, upper - shift + out]
            for lower, upper in ends
        ]
    )
    add_faces(builder, paint, np.concatenate([posts, _mirrored(posts)]), inside)


def _add_car_lamps(builder: MeshBuilder, tag: CityObjectLabel, right: Array, floor: float) -> None:
    """Add head lamps, tail lamps, bumpers and the grille."""
    nose, tail = right[-1], right[0]
    for end, direction, colour, glow in (
        (nose, 1.0, HEADLAMP, 0.35),
        (tail, -1.0, TAIL_LAMP, 0.25),
    ):
        x = end[0] + 0.012 * direction
        inside = (0.0, 0.0, 0.5)
        high, low = end[2] - 0.02, end[2] - 0.16
        outer, inner = end[1] - 0.03, end[1] - 0.42
        lamp = np.array([[(x, outer, low), (x, inner, low), (x, inner, high), (x, outer, high)]])
        lamps = np.concatenate([lamp, _mirrored(lamp)])
        add_faces(builder, plain(tag, colour, glow), lamps, inside)
        bumper = _across(x, (end[1] - 0.05, floor), (end[1] - 0.05, floor + 0.14))
        add_faces(builder, plain(tag, TRIM), [bumper], inside)
        plate = _across(x, (0.26, low - 0.02), (0.26, low - 0.13))
        add_faces(builder, plain(tag, (0.9, 0.9, 0.88)), [plate], inside)


def _add_band(
    builder: MeshBuilder,
    tag: CityObjectLabel,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
) -> None:
    """Add a dark band of windows, a little outside a body between two corners."""
    grow = np.array((0.012, 0.012, 0.0))
    (x0, y0, z0), (x1, y1, z1) = np.array(low) - grow, np.array(high) + grow
    quads = [[(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)] for y in (y0, y1)]
    quads += [[(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)] for x in (x0, x1)]
    middle = (np.array(low) + np.array(high)) / 2.0
    add_faces(builder, plain(tag, GLASS), quads, middle)


def _add_box_lamps(builder: MeshBuilder, tag: CityObjectLabel, half: Vector3) -> None:
    """Add lamps at the four lower corners of a box-shaped vehicle."""
    for x, colour, glow in ((half.x + 0.02, HEADLAMP, 0.35), (-half.x - 0.02, TAIL_LAMP, 0.25)):
        for y in (-1.0, 1.0):
            outer, inner = y * (half.y - 0.06), y * (half.y - 0.42)
            lamp = [(x, outer, 0.62), (x, inner, 0.62), (x, inner, 0.86), (x, outer, 0.86)]
            add_faces(builder, plain(tag, colour, glow), [lamp], (0.0, 0.0, 0.7))


def _add_axles(
    builder: MeshBuilder, tag: CityObjectLabel, half: Vector3, shares: tuple[float, ...]
) -> None:
    radius = 0.48 if half.z > 1.4 else 0.36
    for share in shares:
        for y in (-1.0, 1.0):
            centre = (share * half.x, y * (half.y - 0.14), radius)
            add_wheel(builder, tag, centre, (radius, 0.28))


def _add_van(builder: MeshBuilder, half: Vector3) -> None:
    tag = CityObjectLabel.CAR
    x, y, top = half.x, half.y, 2.0 * half.z
    bonnet = 0.66 * x
    add_block(builder, plain(tag, WHITE), (-x, -y, 0.32), (bonnet, y, top))
    add_block(builder, plain(tag, WHITE), (bonnet, -y * 0.96, 0.32), (x, y * 0.96, 0.48 * top))
    front = _across(bonnet + 0.012, (y * 0.9, 0.52 * top), (y * 0.82, 0.9 * top))
    add_faces(builder, plain(tag, GLASS), [front], (0.0, 0.0, top / 2.0))
    for side in (-1.0, 1.0):
        edge = side * (y + 0.012)
        xs = (0.28 * x, bonnet - 0.08, bonnet - 0.2, 0.28 * x)
        window = _along(edge, xs, 0.54 * top, 0.86 * top)
        add_faces(builder, plain(tag, GLASS), [window], (0.0, 0.0, top / 2.0))
    _add_box_lamps(builder, tag, half)
    _add_axles(builder, tag, half, (-0.6, 0.62))


def _add_bus(builder: MeshBuilder, half: Vector3) -> None:
    tag = CityObjectLabel.BUS
    x, y, top = half.x, half.y, 2.0 * half.z
    add_block(builder, plain(tag, WHITE), (-x, -y, 0.36), (x, y, top))
    _add_band(builder, tag, (-x, -y, 0.48 * top), (x, y, 0.82 * top))
    for share in np.linspace(-0.78, 0.78, 6):
        for side in (-1.0, 1.0):
            post = side * (y + 0.02)
            rear, front = share * x - 0.06, share * x + 0.06
            edge = _along(post, (rear, front, front, rear), 0.48 * top, 0.82 * top)
            add_faces(builder, plain(tag, WHITE), [edge], (share * x, 0.0, half.z))
    _add_box_lamps(builder, tag, half)
    _add_axles(builder, tag, half, (-0.58, 0.62))


def _add_truck(builder: MeshBuilder, half: Vector3) -> None:
    tag = CityObjectLabel.TRUCK
    x, y, top = half.x, half.y, 2.0 * half.z
    rear_of_cab = x - min(2.2, 0.55 * x)
    cab_top = min(top, 2.9)
    add_block(builder, plain(tag, WHITE), (rear_of_cab, -y, 0.42), (x, y, cab_top))
    _add_band(builder, tag, (rear_of_cab + 0.7, -y, 0.52 * cab_top), (x, y, 0.84 * cab_top))
    add_block(builder, plain(tag, TRIM), (-x, -0.45 * y, 0.5), (rear_of_cab, 0.45 * y, 0.9))
    cargo = plain(tag, (0.86, 0.86, 0.84))
    add_block(builder, cargo, (-x, -y, 0.9), (rear_of_cab - 0.18, y, top))
    _add_box_lamps(builder, tag, half)
    _add_axles(builder, tag, half, (-0.72, -0.5, 0.68))


def _add_motorcycle(builder: MeshBuilder, half: Vector3) -> None:
    tag = CityObjectLabel.MOTORCYCLE
    radius, axle = 0.31, half.x - 0.33
    for x in (-axle, axle):
        add_wheel(builder, tag, (x, 0.0, radius), (radius, 0.13), both_sides=True)
    add_block(builder, plain(tag, TRIM), (-0.35, -0.14, 0.28), (0.32, 0.14, 0.62))
    add_block(builder, plain(tag, WHITE), (-0.05, -0.16, 0.62), (0.42, 0.16, 0.86))
    add_block(builder, plain(tag, TYRE), (-0.7, -0.14, 0.66), (-0.05, 0.14, 0.78))
    add_limb(builder, plain(tag, TRIM), (axle, 0.0, radius), (axle - 0.32, 0.0, 0.95), 0.1)
    add_limb(builder, plain(tag, TRIM), (axle - 0.34, -0.36, 0.98), (axle - 0.34, 0.36, 0.98), 0.05)
    add_block(
        builder, plain(tag, HEADLAMP, 0.35), (axle - 0.24, -0.09, 0.78), (axle - 0.14, 0.09, 0.94)
    )
    add_rider(builder, seat=(-0.3, 0.78), hands=(axle - 0.36, 1.0), feet=(0.05, 0.34))


def _add_bicycle(builder: MeshBuilder, half: Vector3) -> None:
    tag = CityObjectLabel.BICYCLE
    radius, axle = 0.34, half.x - 0.36
    for x in (-axle, axle):
        add_wheel(builder, tag, (x, 0.0, radius), (radius, 0.05), both_sides=True)
    frame = plain(tag, WHITE)
    crank, seat, head = (-0.05, 0.0, 0.3), (-0.22, 0.0, 0.9), (axle - 0.2, 0.0, 0.88)
    for start, end in (
        (crank, seat),
        (crank, head),
        (seat, head),
        (crank, (-axle, 0.0, radius)),
        (seat, (-axle, 0.0, radius)),
        (head, (axle, 0.0, radius)),
    ):
        add_limb(builder, frame, start, end, 0.045)
    add_limb(builder, plain(tag, TRIM), (head[0], -0.26, 1.0), (head[0], 0.26, 1.0), 0.04)
    add_block(builder, plain(tag, TRIM), (-0.34, -0.08, 0.9), (-0.1, 0.08, 0.96))
    add_rider(builder, seat=(-0.22, 0.96), hands=(head[0], 1.02), feet=(-0.02, 0.24))
