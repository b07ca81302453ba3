"""A video of a drive: the chase camera with what the agent saw and thought drawn over it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import MachineError
from bicameral.simulation import TICK_S
from bicameral.types import Decision, Observation
from bicameral.units import kmh_from_mps

#: VP8 in WebM: the codec that OpenCV's wheel can write and every browser can play.
VIDEO_SUFFIX = ".webm"
_CODEC = "VP80"

#: Every second tick is a frame: 10 per second play at real speed and halve the file.
TICKS_PER_FRAME = 2

_WHITE = (255, 255, 255)
_INSET_WIDTH = 112


class VideoWriter:
    """Writes one video file; the file is whole after `close`."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is created with the first frame."""
        self.path = path
        self._writer: cv2.VideoWriter | None = None
        self._ticks = 0

    def wants_next(self) -> bool:
        """Count one tick and return whether it is to be added."""
        self._ticks += 1
        return self._ticks % TICKS_PER_FRAME == 1

    def add(self, chase: NDArray[np.uint8], observation: Observation, decision: Decision) -> None:
        """Add one frame.

        Args:
            chase: (H, W, 3) uint8 RGB.
            observation: What the agent saw.
            decision: What it decided.

        Raises:
            MachineError: If this OpenCV cannot write the codec.
        """
        canvas = np.ascontiguousarray(chase[:, :, ::-1])
        if observation.image is not None:
            _draw_inset(canvas, observation.image)
        _draw_text(canvas, observation, decision)
        if self._writer is None:
            self._writer = self._open(canvas.shape[1], canvas.shape[0])
        self._writer.write(canvas)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        rate = 1.0 / (TICK_S * TICKS_PER_FRAME)
        code = cv2.VideoWriter.fourcc(*_CODEC)
        with _silence():
            writer = cv2.VideoWriter(str(self.path), code, rate, (width, height))
        if not writer.isOpened():
            raise MachineError(
                f"this OpenCV ({cv2.__version__}) cannot write {_CODEC} video to {self.path}; "
                "evaluate without videos, or install opencv-python-headless from PyPI"
            )
        return writer


@contextmanager
def _silence() -> Iterator[None]:
    """Keep OpenCV's remark that WebM has no code for VP8 off the terminal.

    It is printed to the standard error of the process, past Python and past OpenCV's own log
    levels, once per file, and means nothing: the file is right.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


def _draw_inset(canvas: NDArray[np.uint8], image: NDArray[np.uint8]) -> None:
    height = _INSET_WIDTH * image.shape[0] // image.shape[1]
    small = cv2.resize(image, (_INSET_WIDTH, height), interpolation=cv2.INTER_AREA)
    canvas[8 : 8 + height, -8 - _INSET_WIDTH : -8] = small[:, :, ::-1]


def _draw_text(canvas: NDArray[np.uint8], observation: Observation, decision: Decision) -> None:
    lines = [
        f"{observation.time_s:5.1f} s   {kmh_from_mps(observation.speed_mps):4.0f} km/h",
        f"steer {decision.control.steer:+.2f}",
    ]
    if decision.confidence is not None:
        lines.append(f"confidence {decision.confidence:.2f}")
    if decision.branch != "none":
        lines.append(decision.branch)
    for row, line in enumerate(lines):
        place = (8, 16 + 15 * row)
        cv2.putText(canvas, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(canvas, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _WHITE, 1, cv2.LINE_AA)
