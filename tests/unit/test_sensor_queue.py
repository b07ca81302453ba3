"""A picture belongs to its tick: exactly that frame, or an error that says what came instead."""

import threading
from dataclasses import dataclass

import pytest

from bicameral.errors import SimulatorLostError
from sim.client.sensor_queue import SensorQueue


@dataclass(frozen=True)
class Data:
    frame: int


def queue_with(*frames):
    queue = SensorQueue("agent camera")
    for frame in frames:
        queue.put(Data(frame))
    return queue


def test_older_frames_are_thrown_away():
    assert queue_with(1, 2, 3).get(3, 1.0) == Data(3)


def test_a_later_frame_is_never_given_instead():
    with pytest.raises(SimulatorLostError, match=r"agent camera.*frame 3.*skipped.*1, 2, 4"):
        queue_with(1, 2, 4).get(3, 1.0)


def test_a_missing_frame_names_the_sensor_and_what_was_seen():
    with pytest.raises(SimulatorLostError, match=r"agent camera.*frame 3.*none came.*1, 2"):
        queue_with(1, 2).get(3, 0.01)
    with pytest.raises(SimulatorLostError, match="no frame at all"):
        queue_with().get(3, 0.01)


def test_a_frame_that_is_still_on_its_way_is_waited_for():
    queue = queue_with()
    sender = threading.Thread(target=queue.put, args=(Data(7),))
    sender.start()
    assert queue.get(7, 10.0) == Data(7)
    sender.join()


def test_the_newest_is_kept_until_another_comes():
    queue = queue_with(1, 2)
    assert queue.newest(1.0) == Data(2)
    assert queue.newest(1.0) == Data(2)
    queue.put(Data(3))
    assert queue.newest(1.0) == Data(3)
    with pytest.raises(SimulatorLostError, match="delivered nothing"):
        queue_with().newest(0.01)
