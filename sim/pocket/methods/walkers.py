"""Controls and skeletons of walkers."""

from __future__ import annotations

from typing import Any, NamedTuple

from sim.pocket.geometry import Transform, Vector3, compose
from sim.pocket.methods.dispatch import Method, fires, returns
from sim.pocket.scene.figures import WALKER_HALF_HEIGHT_M
from sim.pocket.walker_pose import BONES, blended, on_walker, walking_pose
from sim.pocket.world.actors import Actor, Walker

_FEET = Transform(Vector3(0.0, 0.0, -WALKER_HALF_HEIGHT_M))


def apply_control_to_walker(walker: Walker, control: tuple[Vector3, float, bool]) -> None:
    """Let a walker go into a direction at a speed in m/s, or jump."""
    walker.direction, walker.speed_mps, walker.jump = control
    walker.led_tick = None


class PlacedBone(NamedTuple):
    """A bone as clients read it: where it is in the world, on the walker and on its parent."""

    name: str
    world: Transform
    on_walker: Transform
    on_parent: Transform


def bones_of(actor: Actor) -> list[PlacedBone]:
    """Return the bones of a walker, the root of any other actor."""
    if not isinstance(actor, Walker):
        return [PlacedBone("root", actor.transform, Transform(), Transform())]
    pose = blended(walking_pose(actor.stride_pose), actor.pose)
    feet = compose(actor.transform, _FEET)
    placed = on_walker(pose)
    return [
        PlacedBone(name, compose(feet, placed[name]), placed[name], pose[name]) for name in BONES
    ]


def get_bones_transform(walker: Walker) -> list[list[list[Any]]]:
    """Return the bones."""
    return [[[bone.name, bone.world, bone.on_walker, bone.on_parent] for bone in bones_of(walker)]]


def set_bones_transform(walker: Walker, bones: tuple[list[tuple[str, Transform]]]) -> None:
    """Set bones on their parents; they show as far as `blend_pose` says. Unknown ones are ignored.

    Cameras show the walk only.
    """
    walker.pose.bones.update({name: bone for name, bone in bones[0] if name in BONES})


def blend_pose(walker: Walker, share: float) -> None:
    """Show the walk (0), the pose that was set (1) or something between."""
    walker.pose.share = min(1.0, max(0.0, share))


def get_pose_from_animation(walker: Walker) -> None:
    """Set all bones as the walk has them now."""
    walker.pose.bones = dict(walking_pose(walker.stride_pose))


METHODS: dict[str, Method] = {
    "apply_control_to_walker": fires(apply_control_to_walker),
    "get_bones_transform": returns(get_bones_transform),
    "set_bones_transform": fires(set_bones_transform),
    "blend_pose": fires(blend_pose),
    "get_pose_from_animation": fires(get_pose_from_animation),
}
