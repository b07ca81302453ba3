"""The obstacle detector: a ball that is moved ahead until it touches something."""

from __future__ import annotations

from collections.abc import Sequence

from sim.pocket.protocol.framing import pack_value
from sim.pocket.sensors.instrument import Instrument, Moment, number_within
from sim.pocket.world.actors import (
    flag_attribute,
    wire_from_actor,
    wire_from_scenery,
)


class ObstacleDetector(Instrument):
    """``sensor.other.obstacle``: the first thing on the way, if there is one.

    What carries the sensor is no obstacle. With ``only_dynamics``, nothing of the map is one:
    vehicles, walkers and props are left. ``debug_linetrace`` draws in CARLA's own window and has
    no effect here.
    """

    def _read_attributes(self) -> None:
        self._distance_m = number_within(self, "distance", 5.0, 0.0, 1e5)
        self._radius_m = number_within(self, "hit_radius", 0.5, 0.001, 1e3)
        self._only_dynamics = flag_attribute(self, "only_dynamics")

    def measure(self, moment: Moment) -> Sequence[bytes]:
        """Return ``[what carries the sensor, what is met, distance in m]``; nothing if none is."""
        found = moment.surroundings.sweep_from(
            self, self._radius_m, self._distance_m, only_actors=self._only_dynamics
        )
        if found is None:
            return ()
        thing, moved_m, label = found
        carrier = moment.episode.actors.find(self.identity.parent_id) or self
        other = (
            wire_from_scenery(label)
            if thing.actor is None
            else wire_from_actor(thing.actor, moment.publisher)
        )
        return (pack_value([wire_from_actor(carrier, moment.publisher), other, moved_m]),)
