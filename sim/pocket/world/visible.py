"""Everything in an episode that moves or changes and can be seen, with its model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from sim.pocket.camera.view import Instance
from sim.pocket.geometry import Transform
from sim.pocket.scene.figures import LOOKS, walker_mesh
from sim.pocket.scene.mesh import Mesh
from sim.pocket.scene.models import prop_mesh, signal_head_mesh
from sim.pocket.scene.vehicle_models import vehicle_mesh
from sim.pocket.traffic_lights import TrafficLight
from sim.pocket.world.actors import Actor, Prop, Vehicle, Walker

if TYPE_CHECKING:
    from sim.pocket.world.episode import Episode
    from sim.pocket.world.town import Town

_UNPAINTED = (1.0, 1.0, 1.0)
#: CARLA's VehicleLightState: LowBeam or HighBeam.
_BEAMS = 0x2 | 0x4


class VisibleThing(NamedTuple):
    """One model at its place.

    Attributes:
        instance: The model's name and where it stands; equal names have equal models.
        make_mesh: Makes the model.
        actor: What it is; a traffic light's head belongs to the light.
    """

    instance: Instance
    make_mesh: Callable[[], Mesh]
    actor: Actor


class VisibleThings:
    """Iterates over vehicles, walkers, props and the heads of traffic lights, in this order.

    Args:
        episode: Whose things they are, as they stand when it is iterated.
    """

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._town: Town | None = None
        #: Each with how it looks by its state: there are many, and they stay where they are.
        self._heads: list[tuple[TrafficLight, Transform, Actor, dict[int, VisibleThing]]] = []

    def __iter__(self) -> Iterator[VisibleThing]:
        actors = self._episode.actors
        for vehicle in actors.of_class(Vehicle):
            make = functools.partial(vehicle_mesh, vehicle.type_id, vehicle.model.body_half_extent)
            yield _thing(vehicle.type_id, make, vehicle)
        for walker in actors.of_class(Walker):
            pose, look = walker.stride_pose, _look(walker)
            make = functools.partial(walker_mesh, pose, look)
            yield _thing(f"walker.{look}.{pose}", make, walker)
        for prop in actors.of_class(Prop):
            yield _thing(prop.type_id, functools.partial(prop_mesh, prop.type_id), prop)
        if self._town is not self._episode.town:
            self._find_heads()
            self._town = self._episode.town
        for light, place, actor, shown in self._heads:
            state = int(light.state)
            if state not in shown:
                make = functools.partial(signal_head_mesh, state)
                shown[state] = _thing(f"signal.{state}", make, actor, place)
            yield shown[state]

    def _find_heads(self) -> None:
        episode = self._episode
        self._heads = []
        for head in episode.town.scene.signal_heads:
            light = episode.lights.by_opendrive_id.get(head.opendrive_id)
            if light is not None:
                actor = episode.actors.get(episode.light_actor_ids[light.opendrive_id], Actor)
                self._heads.append((light, head.transform, actor, {}))


def _thing(
    mesh_key: str, make_mesh: Callable[[], Mesh], actor: Actor, transform: Transform | None = None
) -> VisibleThing:
    instance = Instance(
        mesh_key=mesh_key,
        transform=transform or actor.transform,
        paint=_paint(actor),
        actor_id=actor.id,
        headlamps=isinstance(actor, Vehicle) and bool(actor.light_state & _BEAMS),
    )
    return VisibleThing(instance, make_mesh, actor)


def _look(walker: Walker) -> int:
    """Choose a figure by the number of a blueprint such as ``walker.pedestrian.0001``."""
    number = walker.type_id.rpartition(".")[2]
    return (int(number) - 1) % LOOKS if number.isdigit() else 0


def _paint(actor: Actor) -> tuple[float, float, float]:
    """Read the colour attribute ``"r,g,b"``."""
    try:
        red, green, blue = (
            min(255, max(0, int(part))) / 255.0 for part in actor.attributes["color"].split(",")
        )
    except (KeyError, ValueError):
        return _UNPAINTED
    return red, green, blue
