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
        self._heads: list[_SignalHead] = []

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
            self._heads = self._find_heads()
            self._town = self._episode.town
        for head in self._heads:
            yield head.now()

    def _find_heads(self) -> list[_SignalHead]:
        episode = self._episode
        found = []
        for head in episode.town.scene.signal_heads:
            light = episode.lights.by_opendrive_id.get(head.opendrive_id)
            if light is not None:
                actor = episode.actors.get(episode.light_actor_ids[light.opendrive_id], Actor)
                found.append(_SignalHead(light, head.transform, actor))
        return found


class _SignalHead:
    """A head that stays where it is; there are many, so each is described once for a state."""

    def __init__(self, light: TrafficLight, transform: Transform, actor: Actor) -> None:
        self._light = light
        self._transform = transform
        self._actor = actor
        self._by_state: dict[int, VisibleThing] = {}

    def now(self) -> VisibleThing:
        """Return the head as it shines."""
        state = int(self._light.state)
        if state not in self._by_state:
            make = functools.partial(signal_head_mesh, state)
            self._by_state[state] = _thing(f"signal.{state}", make, self._actor, self._transform)
        return self._by_state[state]


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
