"""Controls and skeletons of walkers."""

from __future__ import annotations

from typing import Any

from sim.pocket.geometry import Transform
from sim.pocket.methods.method import Method, fires, returns
from sim.pocket.protocol.values import (
    bool_from_wire,
    fields_from_wire,
    list_from_wire,
    number_from_wire,
    uint_from_wire,
    vector_from_wire,
)
from sim.pocket.world.actors import Walker
from sim.pocket.world.world import World

_CONTROL_FIELDS = 3


def apply_control_to_walker(world: World, _owner: object, actor_id: Any, control: Any) -> None:
    """Let a walker go into a direction at a speed in m/s."""
    walker = _walker(world, actor_id)
    direction, speed, jump = fields_from_wire(control, _CONTROL_FIELDS)[:_CONTROL_FIELDS]
    walker.direction = vector_from_wire(direction)
    walker.speed_mps = number_from_wire(speed)
    walker.jump = bool_from_wire(jump)


def get_bones_transform(world: World, _owner: object, actor_id: Any) -> list[Any]:
    """Return the only bone, the root."""
    walker = _walker(world, actor_id)
    return [[["crl_root", walker.transform, Transform(), Transform()]]]


def set_bones_transform(world: World, _owner: object, actor_id: Any, bones: Any) -> None:
    """Accept a pose of the skeleton; walkers are not animated."""
    _walker(world, actor_id)
    list_from_wire(bones)


def blend_pose(world: World, _owner: object, actor_id: Any, blend: Any) -> None:
    """Accept a blend between pose and animation; walkers are not animated."""
    _walker(world, actor_id)
    number_from_wire(blend)


def get_pose_from_animation(world: World, _owner: object, actor_id: Any) -> None:
    """Accept the wish to copy the animation's pose; walkers are not animated."""
    _walker(world, actor_id)


def _walker(world: World, actor_id: Any) -> Walker:
    return world.episode.actors.get(uint_from_wire(actor_id), Walker)


METHODS: dict[str, Method] = {
    "apply_control_to_walker": fires(apply_control_to_walker),
    "get_bones_transform": returns(get_bones_transform),
    "set_bones_transform": fires(set_bones_transform),
    "blend_pose": fires(blend_pose),
    "get_pose_from_animation": fires(get_pose_from_animation),
}
