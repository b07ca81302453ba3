"""What every sensor is that measures something by itself on a tick."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sim.pocket.world.actors import Sensor
    from sim.pocket.world.episode import Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The world as it stands after a tick.

    Attributes:
        episode: Everything in it.
        delta_s: How long the tick was.
        gravity_mps2: What an accelerometer at rest shows.
    """

    episode: Episode
    delta_s: float
    gravity_mps2: float


class Instrument(ABC):
    """Makes the messages of one sensor; made, and the attributes read, when that is spawned."""

    def follow(self, sensor: Sensor, moment: Moment) -> None:  # noqa: B027
        """Look at a tick, whether a message is due or not; most sensors have no memory."""

    @abstractmethod
    def measure(self, sensor: Sensor, moment: Moment) -> Sequence[bytes]:
        """Return the parts of a message that follow the sensor header."""


def noise_from_seed(seed: float) -> np.random.Generator:
    """Return the random numbers of a sensor; its attribute ``noise_seed`` alone decides them."""
    return np.random.default_rng(int(seed) & 0xFFFFFFFF)
