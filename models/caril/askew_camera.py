"""What the network's picture would be if the camera were mounted a little askew.

A turn of the camera about its eye moves every pixel by a homography, whatever it shows. A shift of
the eye moves near things more than far ones; taken here is the homography of the ground plane,
which is exact for the road, where the lane is read. What stands on the road, up to walls and trees,
is moved as if it were painted on it, which at 0.2 m is a few pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.types import CameraSpec
from edge.sidecar import ImageSpec

#: From (forward, right, up) to the picture's axes (right, down, forward).
_PICTURE_AXES = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Askew:
    """How N cameras are mounted, beside how they should be; arrays of (N,).

    Attributes:
        pitch_deg: Turned up.
        yaw_deg: Turned right.
        roll_deg: Turned about the line of sight, the right side down.
        right_m: Moved to the right.
        up_m: Moved up.
    """

    pitch_deg: NDArray[np.float64]
    yaw_deg: NDArray[np.float64]
    roll_deg: NDArray[np.float64]
    right_m: NDArray[np.float64]
    up_m: NDArray[np.float64]


def homographies(askew: Askew, camera: CameraSpec, image: ImageSpec) -> NDArray[np.float64]:
    """Return where each pixel of the network's picture goes, as `cv2.warpPerspective` takes it.

    Args:
        askew: The cameras.
        camera: The camera as it should be.
        image: Crop and size of the network's picture.

    Returns:
        (N, 3, 3): pixel indices (column, row, 1) of the straight picture to those of the askew one.
    """
    lens = _lens(camera, image)
    straight = _axes(np.zeros(1), np.zeros(1), np.full(1, camera.pitch_deg))[0]
    turned = _axes(askew.roll_deg, askew.yaw_deg, camera.pitch_deg + askew.pitch_deg)
    shift = np.stack([np.zeros_like(askew.up_m), askew.right_m, askew.up_m], axis=1)
    # A point of the ground lies camera.z_m below the eye, so its distance along `up` is known.
    ground = np.eye(3) + shift[:, :, None] * _UP / camera.z_m
    rays = turned.swapaxes(1, 2) @ ground @ straight
    to_picture = lens @ _PICTURE_AXES
    return np.asarray(to_picture @ rays @ np.linalg.inv(to_picture))


def _lens(camera: CameraSpec, image: ImageSpec) -> NDArray[np.float64]:
    """Return the (3, 3) intrinsic matrix of the cropped and reduced picture, in pixel indices."""
    left, top, right, bottom = image.crop or (0, 0, camera.width, camera.height)
    columns, rows = image.width / (right - left), image.height / (bottom - top)
    focal = camera.width / (2.0 * np.tan(np.radians(camera.fov_deg) / 2.0))
    # The middle of pixel 0 lies half a pixel from the edge.
    return np.array(
        [
            [focal * columns, 0.0, (camera.width / 2.0 - left) * columns - 0.5],
            [0.0, focal * rows, (camera.height / 2.0 - top) * rows - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )


def _axes(
    roll_deg: NDArray[np.float64], yaw_deg: NDArray[np.float64], pitch_deg: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (N, 3, 3) whose columns are a camera's forward, right and up axes in the car's frame.

    CARLA's order: yaw, then pitch, then roll.
    """
    zero, one = np.zeros_like(roll_deg), np.ones_like(roll_deg)
    angles = (np.radians(roll_deg), np.radians(yaw_deg), np.radians(pitch_deg))
    (sr, sy, sp), (cr, cy, cp) = (tuple(map(function, angles)) for function in (np.sin, np.cos))
    roll = _matrices([[one, zero, zero], [zero, cr, sr], [zero, -sr, cr]])
    yaw = _matrices([[cy, -sy, zero], [sy, cy, zero], [zero, zero, one]])
    pitch = _matrices([[cp, zero, -sp], [zero, one, zero], [sp, zero, cp]])
    return yaw @ pitch @ roll


def _matrices(rows: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Return (N, 3, 3) of rows of entries (N,)."""
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
