"""Sensor data by exact frame: the picture of this tick, never of a neighbouring one."""

from __future__ import annotations

import queue
import time
from typing import Any

import carla

from bicameral.errors import SimulatorLostError


class SensorQueue:
    """Collects what a sensor sends and hands out the data of the frame that is asked for.

    A queue is read either with `get` or with `newest`.

    `put` is the sensor's callback and runs on a thread of the carla client; the
    others belong to the thread that ticks the world.
    """

    def __init__(self, name: str) -> None:
        """Name the sensor, for error messages."""
        self.name = name
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._newest: Any = None

    def put(self, data: carla.SensorData) -> None:
        """Take one measurement; to be given to `carla.Sensor.listen`."""
        self._queue.put(data)

    def get(self, frame: int, timeout_s: float) -> Any:
        """Return the measurement of exactly this frame; older ones are thrown away.

        Args:
            frame: Frame number, as returned by ``world.tick()``. Must grow from call to call.
            timeout_s: How long to wait for it.

        Raises:
            SimulatorLostError: If it has not come in time, or a later frame came instead.
        """
        seen: list[int] = []
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                data = self._queue.get(timeout=max(deadline - time.monotonic(), 0.001))
            except queue.Empty:
                raise self._missing(frame, seen, f"none came within {timeout_s:g} s") from None
            if data.frame == frame:
                return data
            seen.append(int(data.frame))
            if data.frame > frame:
                raise self._missing(frame, seen, "that frame was skipped")

    def newest(self, timeout_s: float) -> Any:
        """Return the last measurement that has come, and throw the others away.

        For what need not belong to an exact frame, such as the picture of a video. The same one
        is returned again when no other has come since.

        Raises:
            SimulatorLostError: If none has ever come and none comes in time.
        """
        try:
            if self._newest is None:
                self._newest = self._queue.get(timeout=timeout_s)
            while True:
                self._newest = self._queue.get_nowait()
        except queue.Empty:
            if self._newest is None:
                raise SimulatorLostError(
                    f"sensor {self.name!r} delivered nothing within {timeout_s:g} s; look at the "
                    "server's log"
                ) from None
        return self._newest

    def _missing(self, frame: int, seen: list[int], what: str) -> SimulatorLostError:
        frames = ", ".join(map(str, seen[-8:])) or "no frame at all"
        return SimulatorLostError(
            f"sensor {self.name!r} did not deliver frame {frame}: {what}; seen while waiting: "
            f"{frames}. The server is overloaded or has stopped; look at its log"
        )
