"""One episode: the actors, vehicles and lights on a town, from one load to the next."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from sim.pocket.dynamics import VehicleDynamics
from sim.pocket.traffic_lights import TrafficLights
from sim.pocket.world.actors import Actor, ActorRegistry
from sim.pocket.world.town import Town
from sim.pocket.world.visible import VisibleThings


class EpisodeClock:
    """Simulated time that is an exact multiple of the time step.

    Adding up steps would drift from the multiples by rounding; this counts them instead, and
    begins a new count when the step changes.
    """

    def __init__(self) -> None:
        self._start_s = 0.0
        self._step_s = 0.0
        self._steps = 0

    @property
    def now_s(self) -> float:
        """Simulated seconds since the episode began."""
        return self._start_s + self._steps * self._step_s

    def advance(self, step_s: float) -> None:
        """Go one step on."""
        if step_s != self._step_s:
            self._start_s = self.now_s
            self._step_s = step_s
            self._steps = 0
        self._steps += 1


class Episode:
    """Everything that a load of a map begins anew.

    Args:
        episode_id: Differs from the id of the episode before.
        town: The place.
        actor_ids: Numbers for its actors.
        stream_ids: Numbers for its sensors' streams.

    Attributes:
        episode_id: See above.
        town: The place as it is shown, without what is hidden.
        whole_town: The place with everything.
        hidden_tags: What is hidden altogether, because its map layer is not loaded.
        hidden_objects: Numbers of single objects that are hidden.
        actor_ids: See above.
        stream_ids: See above.
        clock: Simulated time.
        ticks: Ticks since the episode began.
        actors: All actors.
        visible: Those that are seen, with their models.
        lights: The states of the traffic lights.
        light_actor_ids: Actor id of a traffic light by its id in the OpenDRIVE text.
        spectator: The viewer's actor.
        sensors_spawned: How many sensors there were so far.
        map_change_pending: Whether the next snapshot has to announce the new map.
    """

    spectator: Actor

    def __init__(
        self, episode_id: int, town: Town, actor_ids: Iterator[int], stream_ids: Iterator[int]
    ) -> None:
        self.episode_id = episode_id
        self.town = self.whole_town = town
        self.hidden_tags: frozenset[int] = frozenset()
        self.hidden_objects: frozenset[int] = frozenset()
        self.actor_ids = actor_ids
        self.stream_ids = stream_ids
        self.clock = EpisodeClock()
        self.ticks = 0
        self.actors = ActorRegistry()
        self.visible = VisibleThings(self)
        self.lights = TrafficLights(town.map.carla_map)
        self.light_actor_ids: dict[str, int] = {}
        self.sensors_spawned = 0
        self.map_change_pending = True

    @functools.cached_property
    def dynamics(self) -> VehicleDynamics:
        """The motion of the vehicles."""
        return VehicleDynamics(self.whole_town.ground)

    def hide(self, tags: frozenset[int], objects: frozenset[int]) -> None:
        """Show the town without some of its things.

        Args:
            tags: What is hidden altogether.
            objects: Indices into the obstacles and then the signs of the whole town.
        """
        if (tags, objects) != (self.hidden_tags, self.hidden_objects):
            self.hidden_tags, self.hidden_objects = tags, objects
            self.town = self.whole_town.without(tags, objects)
