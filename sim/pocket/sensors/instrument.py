"""What every sensor is that measures something by itself on a tick."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bicameral.errors import UserError
from sim.pocket.sensors.surroundings import Surroundings
from sim.pocket.world.actors import Sensor, number_attribute
from sim.pocket.world.episode import Episode
from sim.pocket.world.publisher import Publisher


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The world as it stands after a tick.

    Attributes:
        episode: Everything in it.
        delta_s: How long the tick was.
        gravity_mps2: What an accelerometer at rest shows.
        surroundings: What rays may meet.
        publisher: Knows the streams of actors that a message names.
    """

    episode: Episode
    delta_s: float
    gravity_mps2: float
    surroundings: Surroundings
    publisher: Publisher


class Instrument(Sensor, ABC):
    """A sensor that makes its messages by itself."""

    def follow(self, moment: Moment) -> None:
        """Look at a tick, whether a message is due or not; most sensors have no memory."""

    @abstractmethod
    def measure(self, moment: Moment) -> Sequence[bytes]:
        """Return the parts of a message that follow the sensor header; none for no message."""


def noise_from_seed(seed: float) -> np.random.Generator:
    """Return the random numbers of a sensor; its attribute ``noise_seed`` alone decides them."""
    return np.random.default_rng(int(seed) & 0xFFFFFFFF)


def number_within(sensor: Sensor, name: str, default: float, low: float, high: float) -> float:
    """Return a numeric attribute.

    Raises:
        UserError: It is no number or not from low to high.
    """
    value = number_attribute(sensor, name, default)
    if not low <= value <= high:
        raise UserError(
            f"attribute {name!r} of {sensor.type_id} is {value:g}, but must be {low:g} to {high:g}"
        )
    return value
