"""Watches Traffic Manager traffic through the official client, in a process of its own.

The Traffic Manager's threads can abort a process that ends while they run, so the process ends by
`os._exit` once it has sent what it saw.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import cast

import carla

from bicameral.errors import SimulatorLostError
from bicameral.simulation import TICK_S
from sim.client.connection import connect, open_town
from sim.client.local_server import find_free_port_pair
from sim.client.traffic import KEPT_DISTANCE_M
from sim.landmarks import lights_by_lane
from studies.stopwatch import Stopwatch

#: A vehicle further than this from the middle of every driving lane is off the road, m.
OFF_ROAD_M = 3.0
_PLACES_EVERY_TICKS, _LANES_EVERY_TICKS = 2, 20
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """What to drive.

    Attributes:
        town: Name of the map.
        kind: "cars" for cars only, "all" for every vehicle of the library.
        count: How many vehicles.
        seconds: Simulated time.
        seed: Of the places, the blueprints and the Traffic Manager.
    """

    town: str
    kind: str
    count: int
    seconds: float
    seed: int


@dataclass(slots=True, kw_only=True)
class Watched:
    """What was seen.

    Attributes:
        vehicles: How many were spawned.
        pairs: Blueprints of each two that touched, named once however often they did.
        off_road: Samples off the road, one a second and vehicle.
        samples: Such samples altogether.
        red_runs: How often a vehicle's middle went over the line while its light showed red.
        removed: Vehicles that the Traffic Manager took out.
        driven_m: By all together.
        ticks: How many.
        wall_s: How long those took.
        server_cpu_s: What they cost the server.
        notes: Where and how each pair first touched, and each red run, for people.
    """

    vehicles: int = 0
    pairs: list[tuple[str, str]] = field(default_factory=list)
    off_road: int = 0
    samples: int = 0
    red_runs: int = 0
    removed: int = 0
    driven_m: float = 0.0
    ticks: int = 0
    wall_s: float = 0.0
    server_cpu_s: float = 0.0
    notes: list[str] = field(default_factory=list)


def watch(port: int, server_pid: int, drive: Drive) -> Watched:
    """Drive against a fresh server.

    Args:
        port: Where it listens.
        server_pid: Its process.
        drive: What to drive.

    Raises:
        SimulatorLostError: The client's process ended without an answer.
    """
    here, there = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_watch_and_leave, args=(there, port, server_pid, drive))
    process.start()
    there.close()
    try:
        return cast("Watched", here.recv())
    except EOFError as error:
        raise SimulatorLostError(
            f"the client that drove {drive.count} vehicles on {drive.town} ended without a result"
        ) from error
    finally:
        process.join()


def _watch_and_leave(answer: Connection, port: int, server_pid: int, drive: Drive) -> None:
    answer.send(_Watch(port, drive).run(server_pid))
    answer.close()
    os._exit(0)


class _Watch:
    """The traffic and the counts."""

    def __init__(self, port: int, drive: Drive) -> None:
        self.drive = drive
        self.client = connect("127.0.0.1", port, _TIMEOUT_S)
        self.world = open_town(self.client, drive.town)
        self.map = self.world.get_map()
        self.seen = Watched()
        self.types: dict[int, str] = {}
        self.lights = lights_by_lane(self.world)
        self.touched: dict[tuple[int, int | str], None] = {}
        self.last_place: dict[int, carla.Location] = {}
        self.last_lane: dict[int, carla.Waypoint] = {}

    def run(self, server_pid: int) -> Watched:
        """Spawn, drive, and return the counts."""
        manager = self.client.get_trafficmanager(find_free_port_pair())
        manager.set_synchronous_mode(True)
        manager.set_random_device_seed(self.drive.seed)
        manager.set_global_distance_to_leading_vehicle(KEPT_DISTANCE_M)
        self.types.update(self._spawn(manager.get_port()))
        self.world.tick()
        sensors = [self._collision_sensor(actor_id) for actor_id in self.types]
        self.seen.vehicles = len(self.types)
        self.seen.ticks = round(self.drive.seconds / TICK_S)
        stopwatch = Stopwatch(server_pid)
        for tick in range(self.seen.ticks):
            self.world.tick()
            if tick % _PLACES_EVERY_TICKS == 0:
                self._look(self.world.get_snapshot(), tick)
        self.seen.wall_s, self.seen.server_cpu_s = stopwatch.read()
        for sensor in sensors:
            sensor.stop()
        manager.set_synchronous_mode(False)
        return self.seen

    def _spawn(self, manager_port: int) -> dict[int, str]:
        """Spawn the vehicles as generate_traffic.py does; return their types by id."""
        chance = random.Random(self.drive.seed)  # noqa: S311 -- no secret
        library = self.world.get_blueprint_library()
        blueprints = sorted(library.filter("vehicle.*"), key=lambda one: one.id)
        if self.drive.kind == "cars":
            blueprints = [one for one in blueprints if one.get_attribute("base_type") == "car"]
        points = self.map.get_spawn_points()
        chance.shuffle(points)
        batch = []
        for point in points[: self.drive.count]:
            blueprint = chance.choice(blueprints)
            blueprint.set_attribute("role_name", "autopilot")
            spawn = carla.command.SpawnActor(blueprint, point)
            autopilot = carla.command.SetAutopilot(carla.command.FutureActor, True, manager_port)
            batch.append(spawn.then(autopilot))
        answers = self.client.apply_batch_sync(batch, True)
        ids = [answer.actor_id for answer in answers if not answer.error]
        return {actor.id: actor.type_id for actor in self.world.get_actors(ids)}

    def _collision_sensor(self, actor_id: int) -> carla.Actor:
        blueprint = self.world.get_blueprint_library().find("sensor.other.collision")
        vehicle = self.world.get_actor(actor_id)
        sensor = self.world.spawn_actor(blueprint, carla.Transform(), attach_to=vehicle)
        sensor.listen(lambda event: self._touch(actor_id, event))
        return sensor

    def _touch(self, actor_id: int, event: carla.CollisionEvent) -> None:
        other = event.other_actor
        if other.id in self.types:
            first, second = sorted((actor_id, other.id))
            pair: tuple[int, int | str] = (first, second)
            names = (self.types[first], self.types[second])
        else:
            pair, names = (actor_id, other.type_id), (self.types[actor_id], other.type_id)
        if pair in self.touched:
            return
        self.touched[pair] = None
        self.seen.pairs.append(names)
        self.seen.notes.append(
            f"frame {event.frame}: {names} {self._told(actor_id)} / {self._told(other.id)}"
        )

    def _told(self, actor_id: int) -> str:
        place, lane = self.last_place.get(actor_id), self.last_lane.get(actor_id)
        if place is None or lane is None:
            return "?"
        vehicle = self.world.get_actor(actor_id)
        return (
            f"({place.x:.1f}, {place.y:.1f}), yaw {vehicle.get_transform().rotation.yaw:.0f}, "
            f"{vehicle.get_velocity().length():.1f} m/s"
            f"{', in a junction' if lane.is_junction else ''}"
        )

    def _look(self, snapshot: carla.WorldSnapshot, tick: int) -> None:
        """Count what can be seen in one snapshot."""
        for actor_id in list(self.types):
            actor = snapshot.find(actor_id)
            if actor is None:
                self.seen.removed += 1
                self.seen.notes.append(f"tick {tick}: removed {self.types.pop(actor_id)}")
                continue
            place = actor.get_transform().location
            if actor_id in self.last_place:
                self.seen.driven_m += place.distance(self.last_place[actor_id])
            self.last_place[actor_id] = place
            lane = self.map.get_waypoint(place)
            if self._runs_red(actor_id, lane):
                self.seen.red_runs += 1
                self.seen.notes.append(
                    f"tick {tick}: red run of {self.types[actor_id]} {self._told(actor_id)}"
                )
            self.last_lane[actor_id] = lane
            if tick % _LANES_EVERY_TICKS == 0:
                middle = lane.transform.location
                self.seen.samples += 1
                self.seen.off_road += (
                    math.hypot(middle.x - place.x, middle.y - place.y) > OFF_ROAD_M
                )

    def _runs_red(self, actor_id: int, lane: carla.Waypoint) -> bool:
        """Say whether a vehicle has just entered a junction while its light shows red."""
        before = self.last_lane.get(actor_id)
        if before is None or before.is_junction or not lane.is_junction:
            return False
        for point in (lane, before):
            light = self.lights.get((point.road_id, point.lane_id))
            if light is not None:
                return bool(light.get_state() == carla.TrafficLightState.Red)
        return False
