"""What goes into the camera and what comes out of it."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import UserError
from sim.pocket.geometry import Transform, rotation_matrix

_LARGEST_SIDE_PX = 4096


class Channels(enum.Flag):
    """What a frame shall hold; a camera pays only for what it asks."""

    RGB = enum.auto()
    SEMANTIC = enum.auto()
    DEPTH = enum.auto()
    INSTANCE = enum.auto()
    NORMALS = enum.auto()
    ALL = RGB | SEMANTIC | DEPTH | INSTANCE | NORMALS


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraView:
    """A pinhole camera without distortion, its principal point in the middle of the image.

    Attributes:
        width: Image columns.
        height: Image rows.
        fov_deg: Horizontal field of view, 0 < fov < 180.
        transform: Pose in the world; the camera looks along its x axis, y is right, z is up.
    """

    width: int
    height: int
    fov_deg: float
    transform: Transform

    def __post_init__(self) -> None:
        """Refuse what no image can be made of."""
        if not (1 <= self.width <= _LARGEST_SIDE_PX and 1 <= self.height <= _LARGEST_SIDE_PX):
            raise UserError(
                f"a camera of {self.width}x{self.height} pixels cannot be rendered; "
                f"width and height must be 1..{_LARGEST_SIDE_PX}"
            )
        if not 1e-3 <= self.fov_deg <= 179.0:
            raise UserError(
                f"a camera with a field of view of {self.fov_deg} degrees cannot be rendered; "
                "fov must be 0.001..179"
            )

    @property
    def focal_px(self) -> float:
        """Focal length in pixels, the same for columns and rows (CARLA's pinhole)."""
        return self.width / (2.0 * math.tan(math.radians(self.fov_deg) / 2.0))

    @property
    def eye_m(self) -> NDArray[np.float64]:
        """(3,) world position of the pinhole."""
        return np.array(self.transform.location, np.float64)

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 3) rows are the camera's forward, right and up axes in the world."""
        return np.ascontiguousarray(rotation_matrix(self.transform.rotation).T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A registered mesh standing somewhere in the world for one frame.

    Attributes:
        mesh_key: The key it was registered under.
        transform: Pose of the mesh's origin in the world.
        paint: Red, green and blue 0..1; replaces the pure white vertices of the mesh.
        actor_id: The actor that it belongs to.
        headlamps: Whether it lights the road ahead of it.
    """

    mesh_key: str
    transform: Transform
    paint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    actor_id: int = 0
    headlamps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One rendered frame; a channel that was not asked for has no rows.

    The arrays belong to the rasteriser, which fills them anew on its next frame of that size.

    Attributes:
        bgra: (H, W, 4) uint8; blue, green, red and an alpha of 255.
        semantic: (H, W) uint8, `CityObjectLabel`.
        depth_m: (H, W) float32; distance along the camera's forward axis, 1000 for the sky.
        instance: (H, W) int32; index of the instance, -1 for the static scene and the sky.
        normals: (H, W, 3) float32; unit vectors out of the surfaces, world frame, 0 for the sky.
    """

    bgra: NDArray[np.uint8]
    semantic: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    instance: NDArray[np.int32]
    normals: NDArray[np.float32]
