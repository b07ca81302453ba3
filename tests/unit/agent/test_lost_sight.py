"""What was seen close ahead and is lost from sight is believed to be there for a while."""

from collections.abc import Sequence

import pytest

from agent.lost_sight import LostSight

pytestmark = pytest.mark.unit

FAR_M = 48.0


@pytest.fixture
def memory() -> LostSight:
    """Two seconds long, as an agent's."""
    return LostSight(hold_s=2.0)


def hides(memory: LostSight, leads_m: Sequence[float]) -> list[bool]:
    return [memory.hides_somebody(lead_m) for lead_m in leads_m]


def test_a_walker_who_leaves_the_picture_is_there_for_two_seconds(memory: LostSight) -> None:
    assert not any(hides(memory, [6.0, 5.9, 5.9]))
    assert hides(memory, [FAR_M] * 41) == [True] * 40 + [False]


def test_whoever_is_seen_again_is_not_out_of_sight(memory: LostSight) -> None:
    assert hides(memory, [5.9, 5.9, FAR_M, 6.0, 6.0]) == [False, False, True, False, False]


def test_one_answer_alone_that_somebody_is_close_is_not_believed(memory: LostSight) -> None:
    assert not any(hides(memory, [FAR_M, 3.0, FAR_M, 3.0, FAR_M]))


def test_a_car_that_drives_away_is_not_out_of_sight(memory: LostSight) -> None:
    assert not any(hides(memory, [4.0 + 0.3 * tick for tick in range(60)]))


def test_a_new_drive_remembers_nobody(memory: LostSight) -> None:
    assert hides(memory, [4.0, 4.0, FAR_M])[-1]
    memory.forget()
    assert not memory.hides_somebody(FAR_M)
