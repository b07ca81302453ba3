"""Collisions of vehicles with each other, with walkers and props, and with the town.

Everything is an upright oriented box. `resolve_collisions` runs after `VehicleDynamics.step`,
replays the step in strides of a few centimetres so that nothing is jumped over, pushes vehicles out
along the shallowest axis and takes away the velocity into it, as an impulse with friction at the
point of contact.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sim.pocket import collision_kernels as k
from sim.pocket.dynamics import VehicleDynamics
from sim.pocket.geometry import OrientedBox, Transform, Vector3, rotation_matrix

_CELL_M = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """An actor that vehicles can hit but that the dynamics do not move: a walker, a prop.

    Attributes:
        actor_id: Its id.
        box: Where it is.
        mass_kg: Infinite for what stops a vehicle; a walker's mass only slows it.
    """

    actor_id: int
    box: OrientedBox
    mass_kg: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Two things overlap.

    Attributes:
        actor_id: The vehicle.
        other_id: The other actor, None for the town.
        other_tag: CityObjectLabel of the other.
        normal: Unit vector from the other to the vehicle, world frame.
        depth_m: How far they overlapped.
        impulse: N s that the vehicle received during the step, world frame.
    """

    actor_id: int
    other_id: int | None
    other_tag: int
    normal: Vector3
    depth_m: float
    impulse: Vector3


def box_of(transform: Transform, centre: Vector3, half_extent: Vector3, tag: int) -> OrientedBox:
    """Return the box of an actor.

    Args:
        transform: Its pose; pitch and roll only shift the centre.
        centre: Of its bounding box, actor frame, m.
        half_extent: Of its bounding box, m.
        tag: Its CityObjectLabel.
    """
    offset = rotation_matrix(transform.rotation) @ np.asarray(centre)
    location = (float(a + b) for a, b in zip(transform.location, offset, strict=True))
    return OrientedBox(
        location=Vector3(*location),
        half_extent=half_extent,
        yaw_deg=transform.rotation.yaw,
        tag=tag,
    )


def box_row(box: OrientedBox) -> NDArray[np.float64]:
    """Return the (BOX_COLUMNS,) row of a box for the kernels."""
    yaw = math.radians(box.yaw_deg)
    return np.array(
        (
            box.location.x,
            box.location.y,
            box.location.z - box.half_extent.z,
            box.location.z + box.half_extent.z,
            box.half_extent.x,
            box.half_extent.y,
            math.cos(yaw),
            math.sin(yaw),
        )
    )


def _rows(boxes: Sequence[OrientedBox]) -> NDArray[np.float64]:
    """Return (N, BOX_COLUMNS) rows for the kernels."""
    return np.array([box_row(box) for box in boxes]).reshape(-1, k.BOX_COLUMNS)


class StaticObstacles:
    """The boxes of everything that never moves, found through a grid of 8 m cells.

    Attributes:
        grid: The boxes as rows for the kernels, and where they are.
        tags: (M,) int64.
    """

    def __init__(self, boxes: Iterable[OrientedBox]) -> None:
        """Index the boxes."""
        known = list(boxes)
        self.grid = _indexed(_rows(known))
        self.tags = np.array([int(box.tag) for box in known], np.int64)

    def deepest_overlap(self, box: OrientedBox, others: Iterable[OrientedBox] = ()) -> float:
        """Return how far a box is inside the obstacle or other box that it is deepest in, m.

        Negative if it touches nothing.
        """
        row = box_row(box)
        found = np.empty(1024, np.int64)
        reach = math.hypot(box.half_extent.x, box.half_extent.y)
        count = k.candidates_near(row[k.BX], row[k.BY], reach, self.grid, found)
        near = [*self.grid.boxes[found[:count]], *map(box_row, others)]
        return max((k.overlap(row, other)[0] for other in near), default=-math.inf)


def _indexed(boxes: NDArray[np.float64]) -> k.ObstacleGrid:
    """Put each box into all cells that its bounding rectangle touches."""
    if not len(boxes):
        return k.ObstacleGrid(
            boxes,
            np.array([0.0, 0.0, _CELL_M, 0.0, 0.0]),
            np.zeros(1, np.int64),
            np.zeros(0, np.int64),
        )
    place = boxes[:, [k.BX, k.BY]]
    half_x, half_y = boxes[:, k.HALF_X], boxes[:, k.HALF_Y]
    cosine, sine = np.abs(boxes[:, k.COS]), np.abs(boxes[:, k.SIN])
    reach = np.column_stack([half_x * cosine + half_y * sine, half_x * sine + half_y * cosine])
    origin = (place - reach).min(axis=0)
    low = np.floor((place - reach - origin) / _CELL_M).astype(np.int64)
    high = np.floor((place + reach - origin) / _CELL_M).astype(np.int64)
    columns, rows = (high.max(axis=0) + 1).tolist()
    cells: list[list[int]] = [[] for _ in range(columns * rows)]
    for number, ((low_i, low_j), (high_i, high_j)) in enumerate(
        zip(low.tolist(), high.tolist(), strict=True)
    ):
        for i in range(low_i, high_i + 1):
            for j in range(low_j, high_j + 1):
                cells[i * rows + j].append(number)
    return k.ObstacleGrid(
        boxes,
        np.array([*origin, _CELL_M, columns, rows], np.float64),
        np.cumsum([0, *(len(cell) for cell in cells)], dtype=np.int64),
        np.array([number for cell in cells for number in cell], np.int64),
    )


def resolve_collisions(
    dynamics: VehicleDynamics,
    bodies: Sequence[Body],
    obstacles: StaticObstacles,
    *,
    vehicle_tags: Mapping[int, int],
    ghosts: Collection[int] = (),
) -> list[Contact]:
    """Keep the vehicles out of everything after a step, and report what they hit.

    Args:
        dynamics: The vehicles, just stepped; poses and velocities change where there is contact.
        bodies: Walkers and props.
        obstacles: The town.
        vehicle_tags: CityObjectLabel of each vehicle.
        ghosts: Vehicles that collide with nothing.

    Returns:
        One contact per vehicle and thing that it touched during the step; two vehicles that touch
        give one contact each, with opposite normals and impulses.
    """
    contacts = np.empty((k.MOST_CONTACTS, k.CONTACT_COLUMNS))
    rows, view = dynamics.collision_view(ghosts)
    masses = np.array([body.mass_kg for body in bodies], np.float64)
    hit_bodies = k.Bodies(_rows([body.box for body in bodies]), masses)
    count = k.collide(view, hit_bodies, obstacles.grid, contacts)
    if not count:
        return []
    result: list[Contact] = []
    for row, kind, other, x, y, depth, impulse_x, impulse_y in contacts[:count].tolist():
        actor_id = rows[int(row)]
        tag, other_id = 0, None
        if kind == k.WITH_OBSTACLE:
            tag = int(obstacles.tags[int(other)])
        elif kind == k.WITH_BODY:
            body = bodies[int(other)]
            tag, other_id = body.box.tag, body.actor_id
        else:
            other_id = rows[int(other)]
            tag = vehicle_tags.get(other_id, 0)
        contact = Contact(
            actor_id=actor_id,
            other_id=other_id,
            other_tag=tag,
            normal=Vector3(x, y),
            depth_m=depth,
            impulse=Vector3(impulse_x, impulse_y),
        )
        if kind == k.WITH_VEHICLE:
            result.append(_seen_by_the_other(contact, vehicle_tags.get(actor_id, 0)))
        result.append(contact)
    dynamics.refresh_accelerations(sorted({contact.actor_id for contact in result}))
    return result


def _seen_by_the_other(contact: Contact, tag: int) -> Contact:
    """Return the contact of two vehicles as the other one's; `tag` is the first one's."""
    return Contact(
        actor_id=cast(int, contact.other_id),
        other_id=contact.actor_id,
        other_tag=tag,
        normal=Vector3(-contact.normal.x, -contact.normal.y),
        depth_m=contact.depth_m,
        impulse=Vector3(-contact.impulse.x, -contact.impulse.y),
    )
