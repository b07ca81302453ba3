"""How far everything in a picture has moved since the one before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.view import CameraView, Frame, Instance
from sim.pocket.compiled import compiled
from sim.pocket.geometry import Transform, rotation_matrix

Array = NDArray[np.float64]

#: What is as far as this is the sky: only turning moves it.
_SKY_M = 1000.0
#: Nearer than this to the camera of the picture before, nothing was in it.
_NEAREST_M = 1e-3
#: Motion is told within this range, as CARLA's encoding has it.
_LARGEST = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Where the camera and all that moves were.

    Attributes:
        camera: Pose of the camera.
        places: Poses by actor and number among the instances of that actor.
    """

    camera: Transform
    places: dict[tuple[int, int], Transform] = field(default_factory=dict)


def arrangement_of(view: CameraView, instances: Sequence[Instance]) -> Arrangement:
    """Note where everything is, for the next picture."""
    places = dict(zip(_keys(instances), (item.transform for item in instances), strict=True))
    return Arrangement(camera=view.transform, places=places)


def optical_flow(
    frame: Frame, view: CameraView, instances: Sequence[Instance], before: Arrangement
) -> NDArray[np.float32]:
    """Return the motion of what each pixel shows since an earlier picture of the same camera.

    Args:
        frame: With depths and instances.
        view: Of the frame.
        instances: Of the frame.
        before: Where everything was; what was not there has not moved.

    Returns:
        (H, W, 2) float32: to the right and upwards; 2 is the width and the height of the picture.
    """
    camera_axes = rotation_matrix(before.camera.rotation).T
    moves = np.empty((len(instances) + 1, 3, 4))
    for number, key in enumerate(_keys(instances)):
        now = instances[number].transform
        moves[number] = _move(view, camera_axes, before.camera, now, before.places.get(key, now))
    moves[-1] = _move(view, camera_axes, before.camera, Transform(), Transform())
    flow = np.empty((view.height, view.width, 2), np.float32)
    _write_flow(frame.depth_m, frame.instance, moves, view.focal_px, flow)
    return flow


def _keys(instances: Sequence[Instance]) -> list[tuple[int, int]]:
    seen: Counter[int] = Counter()
    keys = []
    for instance in instances:
        keys.append((instance.actor_id, seen[instance.actor_id]))
        seen[instance.actor_id] += 1
    return keys


def _move(
    view: CameraView, camera_axes: Array, camera: Transform, now: Transform, then: Transform
) -> Array:
    """Return the (3, 4) way from the camera's frame to the one it had, on a thing that moved."""
    turn = rotation_matrix(then.rotation) @ rotation_matrix(now.rotation).T
    place = turn @ (view.eye_m - np.array(now.location)) + np.subtract(
        then.location, camera.location
    )
    return np.column_stack((camera_axes @ turn @ view.axes.T, camera_axes @ place))


@compiled
def _write_flow(
    depth_m: NDArray[np.float32],
    instance: NDArray[np.int32],
    moves: Array,
    focal_px: float,
    out: NDArray[np.float32],
) -> None:
    """Fill (H, W, 2); the last row of `moves` is the static scene."""
    height, width = depth_m.shape
    for y in range(height):
        upwards = (0.5 * height - (y + 0.5)) / focal_px
        for x in range(width):
            right = (x + 0.5 - 0.5 * width) / focal_px
            move = moves[instance[y, x]]
            ahead = depth_m[y, x]
            moved = 1.0 if ahead < _SKY_M else 0.0
            then_ahead = ahead * (move[0, 0] + move[0, 1] * right + move[0, 2] * upwards)
            then_right = ahead * (move[1, 0] + move[1, 1] * right + move[1, 2] * upwards)
            then_up = ahead * (move[2, 0] + move[2, 1] * right + move[2, 2] * upwards)
            then_ahead += moved * move[0, 3]
            then_right += moved * move[1, 3]
            then_up += moved * move[2, 3]
            out[y, x, 0], out[y, x, 1] = 0.0, 0.0
            if then_ahead > _NEAREST_M:
                across = (right - then_right / then_ahead) * focal_px / (0.5 * width)
                up = (upwards - then_up / then_ahead) * focal_px / (0.5 * height)
                out[y, x, 0] = min(_LARGEST, max(-_LARGEST, across))
                out[y, x, 1] = min(_LARGEST, max(-_LARGEST, up))
