"""Background traffic: cars under the client's Traffic Manager, and walkers that find their way.

Everything that is left to chance follows from one seed. The calls are the official client's, so
the same traffic drives in CARLA.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import carla

from bicameral.errors import SimulatorLostError, UserError
from bicameral.types import Pose
from sim.client.connection import is_lost_simulator
from sim.client.local_server import find_free_port_pair
from sim.client.spawned import Spawned

_LOG = logging.getLogger(__name__)

#: What CARLA's own generate_traffic.py asks of every car: its distance to the one ahead.
KEPT_DISTANCE_M = 2.5
#: Nothing begins nearer to the ego vehicle's start than this.
FREE_VEHICLES_M = 20.0
FREE_WALKERS_M = 8.0

_WALKING_MPS = 1.4
_WALKER_LIFT_M = 1.0
_ATTEMPTS_PER_WALKER = 10
#: The pocket simulator makes the walkers' mesh of a town in the background once.
_MESH_TIMEOUT_S = 600.0
_MESH_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficDensity:
    """How many others there are.

    Attributes:
        vehicles: Cars under the Traffic Manager.
        walkers: Walkers with AI controllers.
    """

    vehicles: int = 0
    walkers: int = 0

    def __post_init__(self) -> None:
        if self.vehicles < 0 or self.walkers < 0:
            raise UserError(
                f"traffic is {self.vehicles} vehicles and {self.walkers} walkers; expected 0 or "
                "more of each"
            )

    def __bool__(self) -> bool:
        return self.vehicles > 0 or self.walkers > 0


class Traffic(Spawned):
    """Others on the road, for the length of a ``with`` block.

    Fewer than were asked for appear where a town has no more places; `vehicles` and `walkers` say
    which.

    Attributes:
        vehicles: The cars, in the order in which they were spawned.
        walkers: The walkers, likewise.
    """

    def __init__(
        self,
        client: carla.Client,
        world: carla.World,
        density: TrafficDensity,
        *,
        start: Pose,
        seed: int,
    ) -> None:
        """Spawn everybody and let them go.

        Args:
            client: Of the simulator; its Traffic Manager drives the cars.
            world: A freshly loaded world in synchronous mode; it is ticked twice. For walkers
                `prepare_walkers` has been called in this process.
            density: How many of each.
            start: Where the ego vehicle begins: nothing is spawned near it.
            seed: Of places, blueprints, and all decisions on the way.
        """
        self._client = client
        self._world = world
        self._manager: carla.TrafficManager | None = None
        self._controllers: list[Any] = []
        self.vehicles: list[Any] = []
        self.walkers: list[Any] = []
        chance = random.Random(seed)  # noqa: S311 - no secret
        try:
            if density.vehicles:
                self._spawn_vehicles(density.vehicles, start, chance, seed)
            if density.walkers:
                self._spawn_walkers(density.walkers, start, chance, seed)
        except BaseException as error:
            self.destroy(reachable=not is_lost_simulator(error))
            raise

    def destroy(self, *, reachable: bool = True) -> None:
        """Remove everybody."""
        manager, self._manager = self._manager, None
        controllers, self._controllers = self._controllers, []
        actors = [*controllers, *self.walkers, *self.vehicles]
        self.vehicles, self.walkers = [], []
        if not reachable:
            return
        try:
            # A manager that goes on would drive cars that are no more.
            if manager is not None:
                manager.shut_down()
            for controller in controllers:
                controller.stop()
            self._client.apply_batch_sync(
                [carla.command.DestroyActor(actor.id) for actor in actors], False
            )
        except RuntimeError:  # the simulator is gone, and everybody with it
            return

    def _spawn_vehicles(self, count: int, start: Pose, chance: random.Random, seed: int) -> None:
        self._manager = manager = self._client.get_trafficmanager(find_free_port_pair())
        manager.set_synchronous_mode(True)
        manager.set_random_device_seed(seed)
        manager.set_global_distance_to_leading_vehicle(KEPT_DISTANCE_M)
        blueprints = car_blueprints(self._world)
        points = [
            point
            for point in self._world.get_map().get_spawn_points()
            if _distance_m(point.location, start) >= FREE_VEHICLES_M
        ]
        chance.shuffle(points)
        batch = []
        for point in points[:count]:
            blueprint = chance.choice(blueprints)
            if blueprint.has_attribute("color"):
                colors = blueprint.get_attribute("color").recommended_values
                blueprint.set_attribute("color", chance.choice(colors))
            blueprint.set_attribute("role_name", "autopilot")
            batch.append(
                carla.command.SpawnActor(blueprint, point).then(
                    carla.command.SetAutopilot(carla.command.FutureActor, True, manager.get_port())
                )
            )
        answers = self._client.apply_batch_sync(batch, False)
        self._world.tick()
        self.vehicles = self._found([a.actor_id for a in answers if not a.error])
        _tell_missing("vehicles", len(self.vehicles), count)

    def _spawn_walkers(self, count: int, start: Pose, chance: random.Random, seed: int) -> None:
        self._world.set_pedestrians_seed(seed % 2**31)
        self._world.set_pedestrians_cross_factor(0.0)
        looks = walker_blueprints(self._world)
        for _ in range(_ATTEMPTS_PER_WALKER * count):
            if len(self.walkers) == count:
                break
            place = self._world.get_random_location_from_navigation()
            if place is None or _distance_m(place, start) < FREE_WALKERS_M:
                continue
            place.z += _WALKER_LIFT_M
            walker = self._world.try_spawn_actor(chance.choice(looks), carla.Transform(place))
            if walker is not None:
                self.walkers.append(walker)
        _tell_missing("walkers", len(self.walkers), count)
        mind = self._world.get_blueprint_library().find("controller.ai.walker")
        self._controllers = [
            self._world.spawn_actor(mind, carla.Transform(), attach_to=walker)
            for walker in self.walkers
        ]
        self._world.tick()
        for controller in self._controllers:
            _let_walk(self._world, controller)
        # Starting a controller makes its walker one that cars drive through unnoticed.
        for walker in self.walkers:
            walker.set_collisions(True)

    def _found(self, ids: Sequence[int]) -> list[Any]:
        by_id = {actor.id: actor for actor in self._world.get_actors(list(ids))}
        return [by_id[one] for one in ids]


def car_blueprints(world: carla.World) -> list[Any]:
    """Return the blueprints of all cars, by id."""
    found = _blueprints(world, "vehicle.*")
    return [blueprint for blueprint in found if blueprint.get_attribute("base_type") == "car"]


def walker_blueprints(world: carla.World) -> list[Any]:
    """Return the blueprints of all walkers, by id."""
    return _blueprints(world, "walker.pedestrian.*")


def _blueprints(world: carla.World, pattern: str) -> list[Any]:
    found = world.get_blueprint_library().filter(pattern)
    return sorted(found, key=lambda blueprint: blueprint.id)


def prepare_walkers(client: carla.Client, world: carla.World) -> None:
    """Make this process and its server ready for walkers.

    The first walkers of a process decide otherwise than the same ones later on: the client keeps
    something of them. So one takes a step in a world that is thrown away afterwards.

    Args:
        client: Of the simulator.
        world: Loaded and synchronous.

    Raises:
        SimulatorLostError: If the server makes no mesh for walkers.
    """
    until_s = time.monotonic() + _MESH_TIMEOUT_S
    while not client.get_required_files("Nav", False):
        if time.monotonic() > until_s:
            raise SimulatorLostError(
                f"the server has made no mesh for walkers within {_MESH_TIMEOUT_S:.0f} s; look at "
                "its log, or drive with --walkers 0"
            )
        time.sleep(_MESH_POLL_S)
    place = world.get_random_location_from_navigation()
    if place is None:
        return
    place.z += _WALKER_LIFT_M
    library = world.get_blueprint_library()
    walker = world.spawn_actor(library.filter("walker.pedestrian.*")[0], carla.Transform(place))
    world.tick()
    mind = library.find("controller.ai.walker")
    controller = world.spawn_actor(mind, carla.Transform(), attach_to=walker)
    world.tick()
    _let_walk(world, controller)
    world.tick()
    world.tick()
    controller.stop()


def _let_walk(world: carla.World, controller: Any) -> None:
    controller.start()
    controller.go_to_location(world.get_random_location_from_navigation())
    controller.set_max_speed(_WALKING_MPS)


def _distance_m(place: carla.Location, pose: Pose) -> float:
    return math.hypot(place.x - pose.x_m, place.y - pose.y_m)


def _tell_missing(kind: str, found: int, wanted: int) -> None:
    if found < wanted:
        _LOG.warning("only %d of %d %s found a place in this town", found, wanted, kind)
