"""A collision sensor's contacts are counted as scenario_runner's `CollisionTest` counts them."""

import numpy as np
import pytest

from sim.client.ego import Collision
from sim.evaluation.collisions import count_collisions

pytestmark = pytest.mark.unit

WALL, CAR, OTHER_CAR = 0, 7, 8
FIRST_FRAME = 100
TICKS = 400


@pytest.fixture
def drive_at(drive):
    """Build a trajectory along x from its speed, m/s, at 20 ticks a second."""

    def build(speed_mps):
        speeds = np.broadcast_to(np.asarray(speed_mps, np.float64), TICKS)
        return drive(x_m=np.cumsum(speeds) / 20.0, y_m=np.zeros(TICKS), speed_mps=speeds)

    return build


def hits(*ticks, thing=WALL):
    return [
        Collision(
            frame=FIRST_FRAME + tick, other=f"a.{thing}", other_id=thing, impulse_ns=float(tick)
        )
        for tick in ticks
    ]


def count(contacts, trajectory):
    """Return first and last tick of each collision, and the ticks in which it was hit standing."""
    collisions, standing = count_collisions(contacts, FIRST_FRAME, trajectory)
    return [(one.frame, one.last_frame) for one in collisions], standing


def test_contacts_with_a_thing_within_five_seconds_are_one_collision(drive_at):
    fast = drive_at(10.0)
    assert count(hits(5, 4, 3, 103, thing=CAR), fast) == ([(3, 103)], 0)
    assert count(hits(3, 104, thing=CAR), fast) == ([(3, 3), (104, 104)], 0)
    (one,), _ = count_collisions(hits(5, 4, 3, thing=CAR), FIRST_FRAME, fast)
    assert (one.impulse_ns, one.other) == (5.0, "a.7")
    # One wall is not another.
    assert count(hits(3, 30), fast) == ([(3, 3), (30, 30)], 0)


def test_what_is_hit_within_five_metres_is_the_same_collision_whatever_it_is(drive_at):
    # 0.02 m a tick: after 250 ticks the vehicle is 5 m away.
    slow = drive_at(0.4)
    assert count(hits(3, thing=CAR) + hits(4, 250, thing=OTHER_CAR), slow) == ([(3, 250)], 0)
    assert count(hits(3, thing=CAR) + hits(260, thing=OTHER_CAR), slow)[0] == [(3, 3), (260, 260)]


def test_a_thing_that_is_hit_again_after_the_vehicle_has_been_away_counts_again(drive_at):
    there_and_back = drive_at(np.repeat([1.0, -1.0], TICKS // 2))
    assert count(hits(3, 396, thing=CAR), there_and_back) == ([(3, 3), (396, 396)], 0)


def test_two_things_hit_farther_apart_are_two_collisions(drive_at):
    both = hits(3, 4, thing=CAR) + hits(20, 21, thing=OTHER_CAR)
    assert count(both, drive_at(10.0)) == ([(3, 4), (20, 21)], 0)


def test_whoever_stood_was_hit_and_has_hit_nothing(drive_at):
    # The impact sets it in motion: the speed before it counts.
    pushed = drive_at(np.where(np.arange(TICKS) < 10, 0.0, 0.05))
    assert count(hits(10, 11, thing=CAR), pushed) == ([], 2)
    # Who drives against a wall stands afterwards, and has hit it all the same.
    stopped = drive_at(np.where(np.arange(TICKS) < 10, 8.0, 0.0))
    assert count(hits(10), stopped) == ([(10, 10)], 0)


def test_contacts_outside_the_recorded_ticks_do_not_count(drive_at):
    assert count(hits(-1, TICKS), drive_at(10.0)) == ([], 0)
    assert count([], drive_at(10.0)) == ([], 0)
