"""The skeleton of a walker: CARLA's bones, a walk, and poses that clients set.

Bones are described in the walker's frame: x ahead, y to the right, z up from the ground under its
feet, metres. Proportions are those of the figure that cameras draw. CARLA's bones have the same
names and parents; their own axes, which differ from bone to bone there, are those of the walker
here while it stands.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sim.pocket.geometry import Rotation, Transform, Vector3, between, compose

#: What a walker covers with two steps.
STRIDE_M = 1.5
#: Into how many poses a stride is divided.
STRIDE_POSES = 16
_STILL_MPS = 0.2
_THIGH_DEG, _KNEE_DEG, _ARM_DEG, _ELBOW_DEG = 24.0, 38.0, 20.0, 14.0
_SOLE_M = 0.08

Pose = Mapping[str, Transform]
"""Bones by name, each on its parent."""


class Bone(NamedTuple):
    """A bone of a standing walker.

    Attributes:
        parent: Name of the bone it hangs on; empty for the root.
        place: Where it begins, in the walker's frame.
    """

    parent: str
    place: Vector3


def _arm(side: str, y: float) -> dict[str, Bone]:
    wrist = Vector3(0.02, 1.3 * y, 0.88)
    bones = {
        f"crl_shoulder__{side}": Bone("crl_spine01__C", Vector3(0.0, 0.3 * y, 1.44)),
        f"crl_arm__{side}": Bone(f"crl_shoulder__{side}", Vector3(0.0, 1.1 * y, 1.42)),
        f"crl_foreArm__{side}": Bone(f"crl_arm__{side}", Vector3(0.0, 1.2 * y, 1.14)),
        f"crl_hand__{side}": Bone(f"crl_foreArm__{side}", wrist),
    }
    for number, finger in enumerate(("Thumb", "Index", "Middle", "Ring", "Pinky")):
        parent, ahead = f"crl_hand__{side}", 0.05 - 0.02 * number
        for joint, name in enumerate(("", "01", "02", "End")):
            bone = f"crl_hand{finger}{name}__{side}"
            drop = 0.04 + 0.025 * joint
            bones[bone] = Bone(parent, Vector3(wrist.x + ahead, wrist.y, wrist.z - drop))
            parent = bone
    return bones


def _leg(side: str, y: float) -> dict[str, Bone]:
    return {
        f"crl_thigh__{side}": Bone("crl_hips__C", Vector3(0.0, y, 0.88)),
        f"crl_leg__{side}": Bone(f"crl_thigh__{side}", Vector3(0.0, y, 0.48)),
        f"crl_foot__{side}": Bone(f"crl_leg__{side}", Vector3(0.0, y, _SOLE_M)),
        f"crl_toe__{side}": Bone(f"crl_foot__{side}", Vector3(0.12, y, 0.03)),
        f"crl_toeEnd__{side}": Bone(f"crl_toe__{side}", Vector3(0.18, y, 0.03)),
    }


#: Parents before their children, in CARLA's order.
BONES: dict[str, Bone] = {
    "crl_root": Bone("", Vector3()),
    "crl_hips__C": Bone("crl_root", Vector3(0.0, 0.0, 0.94)),
    "crl_spine__C": Bone("crl_hips__C", Vector3(0.0, 0.0, 1.08)),
    "crl_spine01__C": Bone("crl_spine__C", Vector3(0.0, 0.0, 1.26)),
    **_arm("L", -0.2),
    "crl_neck__C": Bone("crl_spine01__C", Vector3(0.0, 0.0, 1.5)),
    "crl_Head__C": Bone("crl_neck__C", Vector3(0.02, 0.0, 1.6)),
    "crl_eye__L": Bone("crl_Head__C", Vector3(0.11, -0.035, 1.7)),
    "crl_eye__R": Bone("crl_Head__C", Vector3(0.11, 0.035, 1.7)),
    **_arm("R", 0.2),
    **_leg("R", 0.1),
    **_leg("L", -0.1),
}


@dataclass(slots=True)
class PoseOfClient:
    """The pose that a client has set for a walker, and how much of it shows.

    Attributes:
        bones: The bones that the client has set; the others stand.
        share: 0 for the walk, 1 for this pose.
    """

    bones: dict[str, Transform] = field(default_factory=dict)
    share: float = 0.0


def stride_pose(walked_m: float, speed_mps: float) -> int:
    """Return the number of the pose of a walker, 0 for one that stands.

    Args:
        walked_m: How far it has come.
        speed_mps: How fast it is.
    """
    if speed_mps < _STILL_MPS:
        return 0
    return 1 + int(walked_m / STRIDE_M * STRIDE_POSES) % STRIDE_POSES


@functools.cache
def walking_pose(number: int) -> Pose:
    """Return a pose of a stride, with the lower foot on the ground; see `stride_pose`."""
    pose = {name: _standing(name) for name in BONES}
    if number == 0:
        return pose
    phase = 2.0 * math.pi * (number - 1) / STRIDE_POSES
    for side, turn in (("R", 0.0), ("L", math.pi)):
        swing = math.sin(phase + turn)
        lifted = max(0.0, math.cos(phase + turn))  # while the leg comes forward
        thigh_deg, knee_deg = _THIGH_DEG * swing + 0.4 * _KNEE_DEG * lifted, -_KNEE_DEG * lifted
        _bend(pose, f"crl_thigh__{side}", thigh_deg)
        _bend(pose, f"crl_leg__{side}", knee_deg)
        _bend(pose, f"crl_foot__{side}", -thigh_deg - knee_deg)  # soles stay level
        _bend(pose, f"crl_arm__{side}", -_ARM_DEG * swing)
        _bend(pose, f"crl_foreArm__{side}", _ELBOW_DEG)
    placed = on_walker(pose)
    lowest_m = min(placed[f"crl_foot__{side}"].location.z for side in "LR")
    hips = pose["crl_hips__C"]
    lower = hips.location._replace(z=hips.location.z + _SOLE_M - lowest_m)
    pose["crl_hips__C"] = hips._replace(location=lower)
    return pose


def blended(walk: Pose, of_client: PoseOfClient) -> Pose:
    """Return a pose between the walk and the client's pose."""
    share = of_client.share
    if share <= 0.0:
        return walk
    return {
        name: between(bone, of_client.bones.get(name, _standing(name)), share)
        for name, bone in walk.items()
    }


def on_walker(pose: Pose) -> dict[str, Transform]:
    """Return where the bones of a pose are in the walker's frame."""
    placed: dict[str, Transform] = {}
    for name, bone in BONES.items():
        placed[name] = compose(placed[bone.parent], pose[name]) if bone.parent else pose[name]
    return placed


def _standing(name: str) -> Transform:
    parent, place = BONES[name]
    start = BONES[parent].place if parent else Vector3()
    return Transform(Vector3(*(a - b for a, b in zip(place, start, strict=True))))


def _bend(pose: dict[str, Transform], name: str, pitch_deg: float) -> None:
    pose[name] = pose[name]._replace(rotation=Rotation(pitch=pitch_deg))
