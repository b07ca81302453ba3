"""What a collision sensor reports at every tick, counted as the CARLA leaderboard counts it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bicameral.simulation import TICK_S
from sim.client.ego import Collision
from sim.evaluation.records import CollisionRecord, Trajectory

# Numbers of scenario_runner's `CollisionTest`, which leaderboard 2.1 and Bench2Drive use.
#: Until the vehicle is so far from where it hit something, whatever it hits is the same collision.
_SAME_PLACE_M: Final = 5.0
#: For so long after it hit a thing, hitting that thing is the same collision, too.
_SAME_THING_TICKS: Final = round(5.0 / TICK_S)
#: The number of all that is part of the map, of which one wall is not another.
_MAP: Final = 0
#: A vehicle that is slower than this stands, and has not hit anything.
_STANDING_MPS: Final = 0.1


def count_collisions(
    contacts: Iterable[Collision], first_frame: int, trajectory: Trajectory
) -> tuple[tuple[CollisionRecord, ...], int]:
    """Join contacts, which a sensor reports anew at every tick, into collisions.

    Args:
        contacts: In any order, with simulator frames.
        first_frame: Simulator frame of the first recorded tick.
        trajectory: The recorded ticks; contacts before or after them are left out.

    Returns:
        The collisions in order of their first tick, and the number of ticks in which something
        touched the vehicle while it stood: it was hit then, and has hit nothing.
    """
    places_m = np.stack([trajectory.x_m, trajectory.y_m], axis=-1)
    ticks = len(places_m)
    collisions: list[CollisionRecord] = []
    hit_first: list[int] = []
    hit_standing: set[int] = set()
    for contact in sorted(contacts, key=lambda one: (one.frame, one.other, one.impulse_ns)):
        tick = contact.frame - first_frame
        if not 0 <= tick < ticks:
            continue
        if collisions:
            last = collisions[-1]
            same_thing = contact.other_id == hit_first[-1] != _MAP
            if (same_thing and tick - last.frame <= _SAME_THING_TICKS) or _stayed_there(
                places_m[last.frame : tick + 1]
            ):
                collisions[-1] = _prolonged(last, contact, tick)
                continue
        # The speed before the contact: after it, who was hit moves, and who hit a wall does not.
        if abs(trajectory.speed_mps[max(tick - 1, 0)]) < _STANDING_MPS:
            hit_standing.add(tick)
        else:
            hit_first.append(contact.other_id)
            collisions.append(_begun(contact, tick))
    return tuple(collisions), len(hit_standing)


def _stayed_there(places_m: NDArray[np.float64]) -> bool:
    from_first_m = np.hypot(*(places_m - places_m[0]).T)
    return bool((from_first_m <= _SAME_PLACE_M).all())


def _begun(contact: Collision, tick: int) -> CollisionRecord:
    return CollisionRecord(
        frame=tick, last_frame=tick, other=contact.other, impulse_ns=contact.impulse_ns
    )


def _prolonged(collision: CollisionRecord, contact: Collision, tick: int) -> CollisionRecord:
    impulse_ns = max(collision.impulse_ns, contact.impulse_ns)
    return collision.model_copy(update={"last_frame": tick, "impulse_ns": impulse_ns})
