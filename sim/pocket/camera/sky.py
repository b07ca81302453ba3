"""The sky as a texture over the upper half of all directions.

A direction (x, y, z >= 0) is projected onto the octahedron |x| + |y| + z = 1 and turned by 45
degrees, which maps the half-sphere onto the full square without trigonometry per pixel.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.lighting import Lighting
from sim.pocket.camera.sky_kernels import paint_sky
from sim.pocket.scene.textures import smooth_lattice

#: Texels along the side; about 0.35 degrees each.
SKY_SIZE = 512
_CLOUD_SEED = 7
_CLOUD_LATTICE = 1024
#: Height of the fog layer in metres: an upward ray leaves it.
_FOG_LAYER_M = 90.0


def bake_sky(lighting: Lighting) -> NDArray[np.int64]:
    """Paint the sky for a light.

    Returns:
        (SKY_SIZE, SKY_SIZE) int64, colours in lanes of 16 bits as in `TexturePyramid.texels`.
    """
    sky = np.empty((SKY_SIZE, SKY_SIZE), np.int64)
    colours = np.array(
        [
            lighting.zenith,
            lighting.horizon,
            lighting.glow,
            lighting.cloud,
            lighting.fog,
            lighting.sun_direction,
        ]
    )
    fog_depth = max(0.0, lighting.extinction_per_m - 0.003) * _FOG_LAYER_M
    paint_sky(_cloud_density(), colours, lighting.cloudiness, fog_depth, sky)
    return sky


@functools.cache
def _cloud_density() -> NDArray[np.float32]:
    """(SKY_SIZE, SKY_SIZE) float32, 0..1: fractal noise on a plane overhead, seen from below."""
    generator = np.random.default_rng(_CLOUD_SEED)
    plane = np.zeros((_CLOUD_LATTICE, _CLOUD_LATTICE))
    for cells, weight in ((6, 0.46), (14, 0.26), (34, 0.15), (80, 0.09), (190, 0.04)):
        plane += weight * smooth_lattice(generator.random((cells, cells)), _CLOUD_LATTICE)
    side = (np.arange(SKY_SIZE) + 0.5) / SKY_SIZE * 2.0 - 1.0
    one, other = np.meshgrid(side, side)
    x, y = 0.5 * (one + other), 0.5 * (one - other)
    z = 1.0 - np.abs(x) - np.abs(y)
    # The plane is bent down towards the horizon, or distant clouds would be infinitely thin.
    reach = 0.16 / (z / np.sqrt(x * x + y * y + z * z) + 0.14)
    columns = np.mod((x * reach * 0.9 + 0.5) * _CLOUD_LATTICE, _CLOUD_LATTICE).astype(np.intp)
    rows = np.mod((y * reach * 0.9 + 0.5) * _CLOUD_LATTICE, _CLOUD_LATTICE).astype(np.intp)
    density: NDArray[np.float32] = plane[rows, columns].astype(np.float32)
    return density


def transmission_table(lighting: Lighting, step_m: float, count: int) -> NDArray[np.float32]:
    """Share of light that passes the air over 0, step, 2 step, ... metres (Beer-Lambert)."""
    distance = np.arange(count) * step_m
    fog = np.maximum(0.0, distance - lighting.fog_start_m)
    passed: NDArray[np.float32] = np.exp(-lighting.extinction_per_m * fog).astype(np.float32)
    return passed
