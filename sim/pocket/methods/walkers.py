"""Controls and skeletons of walkers."""

from __future__ import annotations

from typing import Any

from sim.pocket.geometry import Transform, Vector3
from sim.pocket.methods.dispatch import Method, fires, returns
from sim.pocket.world.actors import Walker


def apply_control_to_walker(walker: Walker, control: tuple[Vector3, float, bool]) -> None:
    """Let a walker go into a direction at a speed in m/s, or jump."""
    walker.direction, walker.speed_mps, walker.jump = control


def get_bones_transform(walker: Walker) -> list[Any]:
    """Return the only bone, the root."""
    return [[["crl_root", walker.transform, Transform(), Transform()]]]


def set_bones_transform(_walker: Walker, _bones: list[Any]) -> None:
    """Accept a pose of the skeleton; walkers are not animated."""


def blend_pose(_walker: Walker, _blend: float) -> None:
    """Accept a blend between pose and animation; walkers are not animated."""


def get_pose_from_animation(_walker: Walker) -> None:
    """Accept the wish to copy the animation's pose; walkers are not animated."""


METHODS: dict[str, Method] = {
    "apply_control_to_walker": fires(apply_control_to_walker),
    "get_bones_transform": returns(get_bones_transform),
    "set_bones_transform": fires(set_bones_transform),
    "blend_pose": fires(blend_pose),
    "get_pose_from_animation": fires(get_pose_from_animation),
}
