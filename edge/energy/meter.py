"""What a meter of energy is: something that tells watts, or something that counts joules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterInfo:
    """What a meter is, for every report that shows its joules.

    Attributes:
        name: ``ina3221``, ``rapl`` or ``nvml``.
        source: What is read: a rail, a file, a device.
        covers: What the joules are of, and what they leave out.
        kind: ``power``: it tells watts, which have to be sampled; ``counter``: it counts joules.
        update_period_s: How often its reading changes, as far as its documentation or its driver
            tells; None: unknown.
        max_power_w: More than what is metered can draw, mean over a second; None: unknown.
        range_j: Where a counter begins again at 0; None: it does not, or it is a meter of power.
        resolution: Smallest step of a reading, in watts or joules; None: unknown, so that the
            smallest step among the readings stands in for it.
    """

    name: str
    source: str
    covers: str
    kind: Literal["power", "counter"]
    update_period_s: float | None
    resolution: float | None
    max_power_w: float | None = None
    range_j: float | None = None


class Meter(Protocol):
    """Tells the power of this moment, or counts energy; then only differences mean something."""

    @property
    def info(self) -> MeterInfo:
        """What it is."""

    @property
    def wraps(self) -> int:
        """How often a counter has begun again since it was made; 0 for a meter of power."""

    def read(self) -> float:
        """Return watts if it is of the kind ``power``, else joules since some moment.

        Wrap-arounds of a counter are made good and counted in `wraps`; it must be read at least
        once per wrap-around. It cannot tell a wrap-around from a counter that was set back: that
        takes the times of the readings, which the recorder has.

        Raises:
            MeterError: If the reading fails; the message names the file or device.
        """

    def close(self) -> None:
        """Release what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMeter:
    """There is no meter of this kind here.

    Attributes:
        name: The kind that was looked for.
        reason: Why there is none, and what to do if something can be done.
    """

    name: str
    reason: str
