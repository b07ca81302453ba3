"""A video of a drive: the chase camera with what the agent saw and thought drawn over it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.simulation import TICK_S
from bicameral.types import Decision, Observation
from bicameral.units import kmh_from_mps

#: VP8 in WebM plays in every browser.
VIDEO_SUFFIX = ".webm"
_CODEC = "libvpx"
_BITS_PER_S = 600_000

#: As for a live call: a tenth of the time of the default settings, at a little less quality.
_OPTIONS = {"deadline": "realtime", "cpu-used": "16"}

#: Every second tick is a frame: 10 per second play at real speed and halve the file.
TICKS_PER_FRAME = 2

_WHITE = (255, 255, 255)
_INSET_WIDTH = 112


class VideoWriter:
    """Writes one video file; the file is whole after `close`."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is created with the first frame."""
        self.path = path
        self._file: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._ticks = 0

    def wants_next(self) -> bool:
        """Count one tick and return whether it is to be added."""
        self._ticks += 1
        return self._ticks % TICKS_PER_FRAME == 1

    def add(self, chase: NDArray[np.uint8], observation: Observation, decision: Decision) -> None:
        """Add one frame.

        Args:
            chase: (H, W, 3) uint8 RGB; H and W are even and the same for all frames.
            observation: What the agent saw.
            decision: What it decided.
        """
        canvas = chase.copy()
        if observation.image is not None:
            _draw_inset(canvas, observation.image)
        _draw_text(canvas, observation, decision)
        if self._file is None or self._stream is None:
            self._file = av.open(str(self.path), "w")
            self._stream = _stream(self._file, canvas.shape[1], canvas.shape[0])
        self._file.mux(self._stream.encode(av.VideoFrame.from_ndarray(canvas, format="rgb24")))

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None and self._stream is not None:
            self._file.mux(self._stream.encode())
            self._file.close()
        self._file = self._stream = None


def _stream(file: av.container.OutputContainer, width: int, height: int) -> av.VideoStream:
    rate = Fraction(1.0 / (TICK_S * TICKS_PER_FRAME)).limit_denominator(1000)
    # One thread: episodes already run side by side.
    stream = file.add_stream(
        _CODEC,
        rate=rate,
        options=_OPTIONS,
        width=width,
        height=height,
        pix_fmt="yuv420p",
        bit_rate=_BITS_PER_S,
        thread_count=1,
    )
    return cast(av.VideoStream, stream)


def _draw_inset(canvas: NDArray[np.uint8], image: NDArray[np.uint8]) -> None:
    height = _INSET_WIDTH * image.shape[0] // image.shape[1]
    small = cv2.resize(image, (_INSET_WIDTH, height), interpolation=cv2.INTER_AREA)
    canvas[8 : 8 + height, -8 - _INSET_WIDTH : -8] = small


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
