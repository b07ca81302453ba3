"""Everything in an episode that moves or changes and can be seen, with its model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sim.pocket.geometry import Transform
from sim.pocket.scene.mesh import Mesh
from sim.pocket.scene.models import prop_mesh, signal_head_mesh, vehicle_mesh, walker_mesh
from sim.pocket.world.actors import Actor, Prop, Vehicle, Walker
from sim.pocket.world.episode import Episode


class VisibleThing(NamedTuple):
    """One model at its place.

    Attributes:
        mesh_key: Names the model; equal keys have equal models.
        make_mesh: Makes the model.
        transform: Pose of the model's origin, world frame.
        actor: What it is; a traffic light's head belongs to the light.
    """

    mesh_key: str
    make_mesh: Callable[[], Mesh]
    transform: Transform
    actor: Actor


def visible_things(episode: Episode) -> Iterator[VisibleThing]:
    """Yield vehicles, walkers, props and the heads of traffic lights, always in this order."""
    for vehicle in episode.actors.of_class(Vehicle):
        make = functools.partial(vehicle_mesh, vehicle.type_id, vehicle.model.body_half_extent)
        yield VisibleThing(vehicle.type_id, make, vehicle.transform, vehicle)
    for walker in episode.actors.of_class(Walker):
        make = functools.partial(walker_mesh, walker.stride_pose)
        yield VisibleThing(f"walker.{walker.stride_pose}", make, walker.transform, walker)
    for prop in episode.actors.of_class(Prop):
        make = functools.partial(prop_mesh, prop.type_id)
        yield VisibleThing(prop.type_id, make, prop.transform, prop)
    for head in episode.town.scene.signal_heads:
        light = episode.lights.by_opendrive_id.get(head.opendrive_id)
        if light is None:
            continue
        actor = episode.actors.get(episode.light_actor_ids[light.opendrive_id], Actor)
        make = functools.partial(signal_head_mesh, int(light.state))
        yield VisibleThing(f"signal.{int(light.state)}", make, head.transform, actor)
