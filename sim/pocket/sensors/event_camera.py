"""The event camera (dynamic vision sensor): pixels that tell when their brightness changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.view import Channels
from sim.pocket.sensors.event_kernels import PixelMemory, find_events
from sim.pocket.sensors.instrument import number_within
from sim.pocket.sensors.lens import curve_of
from sim.pocket.sensors.pictures import Camera, Shot
from sim.pocket.world.actors import flag_attribute

_NS_PER_S = 1e9
#: Weights of red, green and blue in the brightness (ITU-R BT.601).
_BGR_WEIGHTS = np.array((0.114, 0.587, 0.2989), np.float32)
_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t_ns", "<i8"), ("brighter", "?")])
#: A smaller step than this tells of rounding only.
_LEAST_THRESHOLD = 0.01


class EventCamera(Camera):
    """``sensor.camera.dvs``: the events between two pictures, which see time as a straight line.

    The brightness of a pixel crosses thresholds above and below the one where it told last, and
    each crossing is an event at its own time (the model of ESIM, as in CARLA). Real CARLA sends
    nothing when nothing happens; here a message without events says so.
    """

    channels = Channels.RGB

    _memory: PixelMemory | None = None
    _last_ns = 0

    def _read_attributes(self) -> None:
        self._curve = curve_of(self)
        self._thresholds = np.array(
            [
                number_within(self, f"{sign}_threshold", 0.3, _LEAST_THRESHOLD, 1e6)
                for sign in ("positive", "negative")
            ]
        )
        self._deviations = np.array(
            [
                number_within(self, f"sigma_{sign}_threshold", 0.0, 0.0, 1e6)
                for sign in ("positive", "negative")
            ]
        )
        self._refractory_ns = int(number_within(self, "refractory_period_ns", 0.0, 0.0, 1e9))
        self._use_log = flag_attribute(self, "use_log")
        self._log_eps = number_within(self, "log_eps", 1e-3, 1e-9, 1e3)

    def picture(self, shot: Shot) -> bytes:
        """Return column, row, time in ns and sign of each event, in the order of the times."""
        brightness = self._brightness(shot.frame.bgra)
        now_ns = round(shot.now_s * _NS_PER_S)
        last_ns, self._last_ns = self._last_ns, now_ns
        if self._memory is None:
            self._memory = PixelMemory(
                brightness.copy(), brightness, np.full(brightness.shape, -1, np.int64)
            )
            return b""
        found = find_events(
            brightness,
            self._memory,
            self._thresholds_of_pixels(brightness.shape, shot.noise_seed),
            np.array((last_ns, now_ns, self._refractory_ns)),
        )
        events = np.empty(len(found), _EVENT)
        for column, name in enumerate(("x", "y", "t_ns", "brighter")):
            events[name] = found[:, column]
        return events[events["t_ns"].argsort(kind="stable")].tobytes()

    def _brightness(self, bgra: NDArray[np.uint8]) -> NDArray[np.float32]:
        shown = bgra if self._curve is None else self._curve[bgra]
        grey = shown[..., :3] @ _BGR_WEIGHTS
        if self._use_log:
            grey = np.log(self._log_eps + grey / 255.0)
        return np.ascontiguousarray(grey, np.float32)

    def _thresholds_of_pixels(self, shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
        """Return (H, W, 2) or (1, 1, 2): how much brighter and how much darker is told."""
        if not self._deviations.any():
            return self._thresholds[None, None]
        noise = np.random.default_rng(seed).standard_normal((*shape, 2))
        return np.maximum(self._thresholds + self._deviations * noise, _LEAST_THRESHOLD)
