"""People: walkers and riders."""

from __future__ import annotations

from typing import NamedTuple

from sim.pocket.geometry import Transform, Vector3, compose
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Colour, Mesh, MeshBuilder
from sim.pocket.scene.shapes import add_block, add_limb, plain
from sim.pocket.walker_pose import on_walker, walking_pose

_SKIN: Colour = (0.78, 0.58, 0.46)
_HAIR: Colour = (0.2, 0.15, 0.11)
_TROUSERS: Colour = (0.16, 0.18, 0.26)
_SHOES: Colour = (0.08, 0.08, 0.08)


class _Look(NamedTuple):
    """The colours of a walker, and half the width of the trunk."""

    jacket: Colour = (0.24, 0.4, 0.56)
    trousers: Colour = _TROUSERS
    skin: Colour = _SKIN
    hair: Colour = _HAIR
    half_width_m: float = 0.2


_LOOKS = (
    _Look(),
    _Look((0.62, 0.18, 0.16), (0.3, 0.3, 0.32), (0.5, 0.34, 0.25), (0.06, 0.05, 0.05), 0.22),
    _Look((0.86, 0.82, 0.72), (0.2, 0.26, 0.4), (0.86, 0.68, 0.56), (0.62, 0.48, 0.26), 0.17),
    _Look((0.16, 0.34, 0.2), (0.42, 0.36, 0.28), (0.66, 0.47, 0.35), (0.12, 0.09, 0.07), 0.21),
    _Look((0.12, 0.12, 0.14), (0.1, 0.1, 0.12), (0.38, 0.26, 0.19), (0.05, 0.05, 0.05), 0.18),
    _Look((0.88, 0.62, 0.14), (0.14, 0.2, 0.34), (0.82, 0.62, 0.5), (0.55, 0.54, 0.52), 0.2),
)
LOOKS = len(_LOOKS)
_RIDER_JACKET: Colour = (0.5, 0.16, 0.14)
_HELMET: Colour = (0.85, 0.85, 0.82)

WALKER_HALF_HEIGHT_M = 0.93


def walker_mesh(pose: int = 0, look: int = 0) -> Mesh:
    """Return a person who looks along x; the origin is the middle of the body, as in CARLA.

    Args:
        pose: Number of a pose of `walking_pose`; 0 stands.
        look: Who it is, 0 to `LOOKS` - 1.
    """
    builder = MeshBuilder()
    tag = CityObjectLabel.PEDESTRIANS
    bones = on_walker(walking_pose(pose))
    jacket, trousers, skin, hair, half_width = _LOOKS[look]

    def place(bone: str, *, x: float = 0.0) -> tuple[float, float, float]:
        at = compose(bones[bone], Transform(Vector3(x, 0.0, 0.0))).location
        return at.x, at.y, at.z - WALKER_HALF_HEIGHT_M

    for side in "LR":
        hip, knee, ankle = (place(f"crl_{bone}__{side}") for bone in ("thigh", "leg", "foot"))
        add_limb(builder, plain(tag, trousers), knee, hip, 0.15)
        add_limb(builder, plain(tag, trousers), ankle, knee, 0.12)
        heel, toe = place(f"crl_foot__{side}", x=-0.09), place(f"crl_toeEnd__{side}")
        add_limb(builder, plain(tag, _SHOES), heel, toe, 0.09)
        shoulder, elbow, hand = (
            place(f"crl_{bone}__{side}") for bone in ("arm", "foreArm", "hand")
        )
        add_limb(builder, plain(tag, jacket), elbow, shoulder, 0.1)
        add_limb(builder, plain(tag, jacket), hand, elbow, 0.09)
    hips = place("crl_hips__C")[2]
    add_block(
        builder,
        plain(tag, jacket),
        (-0.12, -half_width, hips - 0.1),
        (0.12, half_width, hips + 0.56),
    )
    _add_head(builder, tag, (0.02, hips + 0.56), hair, skin)
    return builder.build()


def add_rider(
    builder: MeshBuilder,
    seat: tuple[float, float],
    hands: tuple[float, float],
    feet: tuple[float, float],
) -> None:
    """Add a rider; each place is (x, z) in metres in the frame of the two-wheeler."""
    tag = CityObjectLabel.RIDER
    shoulder = (seat[0] + 0.24, seat[1] + 0.54)
    knee = (seat[0] + 0.4, seat[1] - 0.08)
    spine = plain(tag, _RIDER_JACKET)
    add_limb(builder, spine, (seat[0], 0.0, seat[1]), (shoulder[0], 0.0, shoulder[1]), 0.32)
    for side in (-0.17, 0.17):
        thigh = ((seat[0], side * 0.7, seat[1] + 0.05), (knee[0], side, knee[1]))
        add_limb(builder, plain(tag, _TROUSERS), *thigh, 0.14)
        shin = ((knee[0], side, knee[1]), (feet[0], side, feet[1]))
        add_limb(builder, plain(tag, _TROUSERS), *shin, 0.11)
        arm = ((shoulder[0], side * 1.2, shoulder[1] - 0.06), (hands[0], side * 1.5, hands[1]))
        add_limb(builder, plain(tag, _RIDER_JACKET), *arm, 0.09)
    _add_head(builder, tag, (shoulder[0] + 0.05, shoulder[1] + 0.05), _HELMET, _SKIN)


def _add_head(
    builder: MeshBuilder,
    tag: CityObjectLabel,
    neck: tuple[float, float],
    cover: Colour,
    skin: Colour,
) -> None:
    """Add a head with hair or a helmet on a neck at (x, z)."""
    x, z = neck
    add_block(builder, plain(tag, skin), (x - 0.08, -0.075, z), (x + 0.1, 0.075, z + 0.22))
    low, high = (x - 0.12, -0.1, z + 0.14), (x + 0.09, 0.1, z + 0.33)
    add_block(builder, plain(tag, cover), low, high)
