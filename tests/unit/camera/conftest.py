"""Small hand-made scenes for the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.pocket.camera.rasteriser import Rasteriser
from sim.pocket.camera.view import CameraView
from sim.pocket.geometry import Rotation, Transform, Vector3
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Colour, Material, Mesh, MeshBuilder
from sim.pocket.scene.textures import TEXTURE_NAMES


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes; the triangles keep their order."""
    starts = np.cumsum([0, *(len(mesh.positions) for mesh in meshes)])
    joined = {
        field.name: np.concatenate([getattr(mesh, field.name) for mesh in meshes])
        for field in fields(Mesh)
    }
    shifts = np.repeat(starts[:-1], [len(mesh.triangles) for mesh in meshes]).astype(np.int32)
    return Mesh(**joined | {"triangles": joined["triangles"] + shifts[:, None]})


@dataclass(frozen=True)
class HandMadeScene:
    static: Mesh
    tiles: NDArray[np.float64]
    lamps: NDArray[np.float64]


class Workshop:
    """Makes meshes, scenes and views with few words."""

    labels = CityObjectLabel

    def quad(
        self,
        corners: Sequence[Sequence[float]],
        tag: CityObjectLabel = CityObjectLabel.BUILDINGS,
        colour: Colour = (0.5, 0.5, 0.5),
        normal: Sequence[float] = (0.0, 0.0, 1.0),
        emissive: float = 0.0,
        texture: str = "plain",
    ) -> Mesh:
        builder = MeshBuilder()
        material = Material(texture=texture, tag=tag, colour=colour, emissive=emissive)
        builder.add_quads(material, [corners], normal, [(0, 0), (1, 0), (1, 1), (0, 1)])
        return builder.build()

    def facing(self, x: float, y: float, z: float, half: float, **looks: object) -> Mesh:
        """A square that faces the origin of the x axis, centred at x, y, z."""
        corners = [
            (x, y - half, z - half),
            (x, y + half, z - half),
            (x, y + half, z + half),
            (x, y - half, z + half),
        ]
        return self.quad(corners, normal=(-1.0, 0.0, 0.0), **looks)  # type: ignore[arg-type]

    def ground(self, half: float = 400.0, z: float = 0.0, **looks: object) -> Mesh:
        looks = {"tag": CityObjectLabel.ROADS, **looks}
        corners = [(-half, -half, z), (half, -half, z), (half, half, z), (-half, half, z)]
        return self.quad(corners, **looks)  # type: ignore[arg-type]

    def rasteriser(
        self, *meshes: Mesh, threads: int = 1, lamps: Sequence[Sequence[float]] = ()
    ) -> Rasteriser:
        static = merge(meshes)
        low, high = static.positions.min(axis=0), static.positions.max(axis=0)
        tiles = np.array([[*low, *high, 0, len(static.triangles)]], np.float64)
        textures = np.full((len(TEXTURE_NAMES), 16, 16, 4), 255, np.uint8)
        textures[TEXTURE_NAMES.index("leaves"), :, :8, 3] = 0
        scene = HandMadeScene(static=static, tiles=tiles, lamps=np.array(lamps).reshape(-1, 3))
        return Rasteriser(scene, textures, threads=threads)

    def view(
        self,
        location: tuple[float, float, float] = (0.0, 0.0, 0.0),
        rotation: tuple[float, float, float] = (0.0, 0.0, 0.0),
        width: int = 160,
        height: int = 120,
        fov_deg: float = 90.0,
    ) -> CameraView:
        """Rotation is pitch, yaw, roll in degrees."""
        return CameraView(
            width=width,
            height=height,
            fov_deg=fov_deg,
            transform=Transform(Vector3(*location), Rotation(*rotation)),
        )

    def rays(self, view: CameraView) -> NDArray[np.float64]:
        """(H, W, 3) world directions through the pixel centres, 1 along the forward axis."""
        columns = (np.arange(view.width) + 0.5 - view.width / 2) / view.focal_px
        rows = (view.height / 2 - np.arange(view.height) - 0.5) / view.focal_px
        right, up = np.meshgrid(columns, rows)
        forward, rightward, upward = view.axes
        return forward + right[..., None] * rightward + up[..., None] * upward


@pytest.fixture(scope="session")
def make() -> Workshop:
    return Workshop()
