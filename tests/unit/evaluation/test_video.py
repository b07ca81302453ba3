"""The video of a drive, read back by a decoder."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from bicameral.types import Control, Decision, Observation, Pose
from sim.evaluation.video import VideoWriter


def test_every_second_tick_is_a_frame_at_real_speed(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "drive.webm")
    picture = np.full((90, 160, 3), (200, 40, 40), dtype=np.uint8)
    for tick in range(20):
        if video.wants_next():
            video.add(picture, _observation(tick), Decision(control=Control(steer=0.1)))
    video.close()

    with av.open(str(video.path)) as file:
        (stream,) = file.streams.video
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        assert stream.average_rate == 10
    assert [frame.shape for frame in frames] == [picture.shape] * 10
    # Below the words the picture is as it was, so red is not blue.
    np.testing.assert_allclose(frames[-1][-20:].mean(axis=(0, 1)), (200, 40, 40), atol=6)


def test_a_drive_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "drive.webm")
    video.close()
    assert not video.path.exists()


def _observation(tick: int) -> Observation:
    pose = Pose(x_m=0.0, y_m=0.0)
    return Observation(frame=tick, time_s=0.05 * tick, image=None, pose=pose, speed_mps=8.0)
