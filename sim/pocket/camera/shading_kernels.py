"""Deferred shading: from the visibility buffer to colours, tags and depths."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.buffers import (
    COLOUR,
    EMISSIVE,
    NORMAL,
    PAINTED,
    ScreenTriangles,
    TriangleTable,
    Visibility,
)
from sim.pocket.camera.raster_kernels import mip_level
from sim.pocket.camera.shadow_kernels import SunShadows, sunlit_share
from sim.pocket.camera.textures import TexturePyramid
from sim.pocket.compiled import compiled, compiled_part, inlined_part

#: Entries per metre of the table of air transmission.
TRANSMISSION_STEPS_PER_M = 4.0
_SKY_TAG = 11
_ROAD_TAG = 1
_FAR_M = 1000.0
_LANE = 0xFFFF
_OPAQUE = 0xFF000000


class Light(NamedTuple):
    """Light and air for one frame.

    Attributes:
        colours: (4, 3) float64: sun, light from above, light from below (factors), fog (0..255).
        transmission: (M,) float32; share of light that passes 0, 1/4, 2/4, ... metres of air.
        sky: (S, S) int64; see `sky.bake_sky`.
        road_gain: Factor on the colour of roads.
    """

    colours: NDArray[np.float64]
    transmission: NDArray[np.float32]
    sky: NDArray[np.int64]
    road_gain: float


class _Surface(NamedTuple):
    """What light makes of a surface: by the open sky, by the sun, by itself; and its shadows."""

    flat_r: float
    flat_g: float
    flat_b: float
    lit_r: float
    lit_g: float
    lit_b: float
    lamp_r: float
    lamp_g: float
    lamp_b: float
    glow: float
    shadowed: bool
    bias: float


@compiled
def shade(
    visibility: Visibility,
    triangles: ScreenTriangles,
    table: TriangleTable,
    pyramid: TexturePyramid,
    instances: NDArray[np.float64],
    light: Light,
    shadows: SunShadows,
    occlusion: NDArray[np.uint8],
    camera: NDArray[np.float64],
    focal_px: float,
    out: NDArray[np.uint32],
) -> None:
    """Colour every pixel of the visibility buffer.

    Args:
        visibility: Who is seen where.
        triangles: Projected triangles.
        table: Their surfaces.
        pyramid: Textures.
        instances: (I, 9) per instance: direction to the sun and up in its own frame, paint.
        light: Light and air.
        shadows: Shadows of the static scene.
        occlusion: (H, W) shade of instances; see `shadow_kernels.cast_box_shadows`.
        camera: (4, 3) eye, forward, right, up in the world.
        focal_px: Focal length.
        out: (H, W) uint32 output, bytes B, G, R, A.
    """
    _shade_sky(visibility.triangle, light.sky, camera, focal_px, out)
    height, width = out.shape
    table_end = light.transmission.shape[0] - 1
    coarsest = pyramid.starts.shape[0] - 1
    fog_r, fog_g, fog_b = light.colours[3, 0], light.colours[3, 1], light.colours[3, 2]
    for y in range(height):
        centre_y = y + 0.5
        ray_up = (0.5 * height - centre_y) / focal_px
        row_x = camera[1, 0] + ray_up * camera[3, 0]
        row_y = camera[1, 1] + ray_up * camera[3, 1]
        row_z = camera[1, 2] + ray_up * camera[3, 2]
        row_square = 1.0 + ray_up * ray_up
        owner = visibility.triangle[y]
        depths = visibility.inverse_depth[y]
        start = 0
        while start < width:
            triangle = owner[start]
            end = start + 1
            while end < width and owner[end] == triangle:
                end += 1
            if triangle < 0:
                start = end
                continue
            source = triangles.source[triangle]
            number = triangles.instance[triangle]
            gain = light.road_gain if table.tag[source] == _ROAD_TAG else 1.0
            surface = _light_surface(
                table.surface, source, gain, instances, number, light.colours, shadows
            )
            layer, density = table.texture[source], triangles.density[triangle]
            plane = triangles.planes[triangle]
            row_u = plane[3] + plane[5] * centre_y
            row_v = plane[6] + plane[8] * centre_y
            slope_u, slope_v = plane[4], plane[7]
            for x in range(start, end):
                centre_x = x + 0.5
                depth = 1.0 / depths[x]
                u = (row_u + slope_u * centre_x) * depth
                v = (row_v + slope_v * centre_x) * depth
                level = mip_level(density * depth * depth * depth, coarsest)
                colour = _texel_colour(pyramid, layer, level, u, v)
                ray_right = (centre_x - 0.5 * width) / focal_px
                distance = depth * math.sqrt(row_square + ray_right * ray_right)
                air = light.transmission[min(int(distance * TRANSMISSION_STEPS_PER_M), table_end)]
                shade_code = occlusion[y, x]
                open_sky = 1.0 - (shade_code & 127) * (1.0 / 127.0)
                hidden = surface.shadowed and shade_code > 127
                sunlit = 0.0 if hidden else 1.0
                if surface.shadowed and not hidden:
                    sunlit = sunlit_share(
                        shadows,
                        camera[0, 0] + depth * (row_x + ray_right * camera[2, 0]),
                        camera[0, 1] + depth * (row_y + ray_right * camera[2, 1]),
                        camera[0, 2] + depth * (row_z + ray_right * camera[2, 2]),
                        surface.bias,
                    )
                # A lamp shines through fog farther than what it lights.
                seen = air + surface.glow * (math.sqrt(air) - air)
                veil = 1.0 - seen
                red = surface.flat_r * open_sky + surface.lit_r * sunlit + surface.lamp_r
                green = surface.flat_g * open_sky + surface.lit_g * sunlit + surface.lamp_g
                blue = surface.flat_b * open_sky + surface.lit_b * sunlit + surface.lamp_b
                red *= colour & _LANE
                green *= colour >> 16 & _LANE
                blue *= colour >> 32
                out[y, x] = (
                    _OPAQUE
                    | int(min(red * seen + fog_r * veil, 255.0)) << 16
                    | int(min(green * seen + fog_g * veil, 255.0)) << 8
                    | int(min(blue * seen + fog_b * veil, 255.0))
                )
            start = end


@compiled_part
def _shade_sky(
    owners: NDArray[np.int32],
    sky: NDArray[np.int64],
    camera: NDArray[np.float64],
    focal_px: float,
    out: NDArray[np.uint32],
) -> None:
    """Colour every pixel in which nothing is."""
    height, width = out.shape
    for y in range(height):
        ray_up = (0.5 * height - (y + 0.5)) / focal_px
        row_x = camera[1, 0] + ray_up * camera[3, 0]
        row_y = camera[1, 1] + ray_up * camera[3, 1]
        row_z = camera[1, 2] + ray_up * camera[3, 2]
        for x in range(width):
            if owners[y, x] < 0:
                ray_right = (x + 0.5 - 0.5 * width) / focal_px
                out[y, x] = _sky_colour(
                    sky,
                    row_x + ray_right * camera[2, 0],
                    row_y + ray_right * camera[2, 1],
                    row_z + ray_right * camera[2, 2],
                )


@inlined_part
def _light_surface(
    surface: NDArray[np.float32],
    source: int,
    gain: float,
    instances: NDArray[np.float64],
    number: int,
    colours: NDArray[np.float64],
    shadows: SunShadows,
) -> _Surface:
    """Light a flat surface, before texture, shadow and air; see `shade`."""
    nx, ny, nz = surface[source, NORMAL], surface[source, NORMAL + 1], surface[source, NORMAL + 2]
    facing = max(
        0.0, nx * instances[number, 0] + ny * instances[number, 1] + nz * instances[number, 2]
    )
    upward = 0.5 + 0.5 * (
        nx * instances[number, 3] + ny * instances[number, 4] + nz * instances[number, 5]
    )
    gain *= 1.0 / 256.0
    painted = surface[source, PAINTED] > 0.0
    base_r = gain * (instances[number, 6] if painted else surface[source, COLOUR])
    base_g = gain * (instances[number, 7] if painted else surface[source, COLOUR + 1])
    base_b = gain * (instances[number, 8] if painted else surface[source, COLOUR + 2])
    glow = surface[source, EMISSIVE]
    dull = 1.0 - glow
    direct = facing * dull
    # How far the surface itself rises from one texel of the shadow map to the next.
    tilt = 2.0 * upward - 1.0
    climb = math.sqrt(max(0.0, 1.0 - tilt * tilt)) / max(facing, 0.08)
    return _Surface(
        base_r * dull * (colours[2, 0] + (colours[1, 0] - colours[2, 0]) * upward),
        base_g * dull * (colours[2, 1] + (colours[1, 1] - colours[2, 1]) * upward),
        base_b * dull * (colours[2, 2] + (colours[1, 2] - colours[2, 2]) * upward),
        base_r * direct * colours[0, 0],
        base_g * direct * colours[0, 1],
        base_b * direct * colours[0, 2],
        base_r * glow,
        base_g * glow,
        base_b * glow,
        glow,
        shadows.active and facing > 0.0,
        shadows.flat_bias_m + shadows.steep_bias_m * climb,
    )


@compiled_part
def _texel_colour(pyramid: TexturePyramid, layer: int, level: int, u: float, v: float) -> int:
    """Interpolate bilinearly; the result is 256 times the colour, in lanes of 16 bits."""
    size = pyramid.size >> level
    across = u * size - 0.5
    down = v * size - 0.5
    column = math.floor(across)
    row = math.floor(down)
    right = int((across - column) * 16.0)
    below = int((down - row) * 16.0)
    left_column = column & (size - 1)
    right_column = (column + 1) & (size - 1)
    base = pyramid.starts[level] + layer * size * size
    upper = base + (row & (size - 1)) * size
    lower = base + ((row + 1) & (size - 1)) * size
    texels = pyramid.texels
    return int(
        texels[upper + left_column] * ((16 - right) * (16 - below))
        + texels[upper + right_column] * (right * (16 - below))
        + texels[lower + left_column] * ((16 - right) * below)
        + texels[lower + right_column] * (right * below)
    )


@compiled_part
def _sky_colour(sky: NDArray[np.int64], x: float, y: float, z: float) -> int:
    """Look the sky up in a direction (not normalised), interpolated; packed B, G, R, A."""
    z = max(z, 0.0)
    last = sky.shape[0] - 1
    scale = 1.0 / (abs(x) + abs(y) + z)
    across = max(0.0, ((x + y) * scale * 0.5 + 0.5) * sky.shape[0] - 0.5)
    down = max(0.0, ((x - y) * scale * 0.5 + 0.5) * sky.shape[0] - 0.5)
    column = min(int(across), last)
    row = min(int(down), last)
    right = min(int((across - column) * 16.0), 16)
    below = min(int((down - row) * 16.0), 16)
    next_column = min(column + 1, last)
    next_row = min(row + 1, last)
    mixed = (
        sky[row, column] * ((16 - right) * (16 - below))
        + sky[row, next_column] * (right * (16 - below))
        + sky[next_row, column] * ((16 - right) * below)
        + sky[next_row, next_column] * (right * below)
    )
    red, green, blue = mixed >> 8 & 0xFF, mixed >> 24 & 0xFF, mixed >> 40
    return int(_OPAQUE | red << 16 | green << 8 | blue)


@compiled
def write_semantic(
    visibility: Visibility,
    source: NDArray[np.int32],
    tag: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Write each pixel's tag, (H, W) uint8; sky where nothing is."""
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            triangle = visibility.triangle[y, x]
            out[y, x] = tag[source[triangle]] if triangle >= 0 else _SKY_TAG


@compiled
def write_depth(visibility: Visibility, out: NDArray[np.float32]) -> None:
    """Write each pixel's depth in metres, (H, W) float32, at most 1000."""
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            inverse = visibility.inverse_depth[y, x]
            out[y, x] = min(1.0 / inverse, _FAR_M) if inverse > 0.0 else _FAR_M


@compiled
def write_instances(
    visibility: Visibility,
    instance: NDArray[np.int32],
    numbers: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """Write each pixel's instance, (H, W) int32; -1 where none is."""
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            triangle = visibility.triangle[y, x]
            out[y, x] = numbers[instance[triangle]] if triangle >= 0 else -1


@compiled
def write_normals(
    visibility: Visibility,
    triangles: ScreenTriangles,
    surface: NDArray[np.float32],
    turns: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Write each pixel's normal, (H, W, 3) float32, world frame; 0 where nothing is.

    Args:
        visibility: Who is seen where.
        triangles: Projected triangles.
        surface: (T, 8) of the triangle table.
        turns: (I, 3, 3) the columns are the axes of each instance in the world.
        out: Filled completely.
    """
    height, width, _ = out.shape
    for y in range(height):
        last = -1
        nx, ny, nz = 0.0, 0.0, 0.0
        for x in range(width):
            triangle = visibility.triangle[y, x]
            if triangle != last:
                last = triangle
                nx, ny, nz = 0.0, 0.0, 0.0
                if triangle >= 0:
                    turn = turns[triangles.instance[triangle]]
                    source = triangles.source[triangle]
                    a, b, c = surface[source, 0], surface[source, 1], surface[source, 2]
                    nx = turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * c
                    ny = turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * c
                    nz = turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * c
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = nx, ny, nz


@compiled
def add_noise(
    image: NDArray[np.uint8],
    noise: NDArray[np.float32],
    starts: NDArray[np.int64],
    levels: float,
) -> None:
    """Add noise to the colours of an image.

    Args:
        image: (H, W, 4) uint8, changed in place; the fourth channel stays.
        noise: (M,) float32 standard normal numbers, M a power of two.
        starts: (H,) where each row begins to read them.
        levels: Standard deviation, 8-bit levels.
    """
    height, width, _ = image.shape
    mask = noise.shape[0] - 1
    for y in range(height):
        place = starts[y]
        for x in range(width):
            for channel in range(3):
                value = image[y, x, channel] + levels * noise[place & mask] + 0.5
                image[y, x, channel] = int(max(0.0, min(value, 255.0)))
                place += 1


@compiled
def paint_sky(
    density: NDArray[np.float32],
    colours: NDArray[np.float64],
    cloudiness: float,
    fog_depth: float,
    out: NDArray[np.int64],
) -> None:
    """Paint the sky texture.

    Args:
        density: (S, S) cloud density 0..1.
        colours: (6, 3) zenith, horizon, glow, cloud, fog (0..1) and the direction to the sun.
        cloudiness: Share of sky under clouds, 0..1.
        fog_depth: Optical depth of the fog straight up.
        out: (S, S) output in lanes of 16 bits.
    """
    size = out.shape[0]
    # Fractal noise is nearly normal (mean 0.5, deviation about 0.12).
    threshold = 0.78 - 0.6 * cloudiness
    for row in range(size):
        for column in range(size):
            across = (column + 0.5) / size * 2.0 - 1.0
            down = (row + 0.5) / size * 2.0 - 1.0
            x = 0.5 * (across + down)
            y = 0.5 * (across - down)
            z = max(0.0, 1.0 - abs(x) - abs(y))
            length = math.sqrt(x * x + y * y + z * z)
            x, y, z = x / length, y / length, z / length
            overhead = math.sqrt(z)
            towards = max(0.0, x * colours[5, 0] + y * colours[5, 1] + z * colours[5, 2])
            near_sun = towards**8 * 0.3 + towards**120 * 0.5
            disc = min(1.0, max(0.0, (towards - 0.99985) * 12000.0))
            thickness = (density[row, column] - threshold) / 0.16
            thickness = max(0.0, min(1.0, thickness)) * min(1.0, z * 7.0)
            cover = thickness * thickness * (3.0 - 2.0 * thickness) * 0.92
            rim = 1.0 - 0.22 * thickness * (1.0 - near_sun)
            clear_air = math.exp(-fog_depth / max(z, 0.04))
            packed = 0
            for channel in range(3):
                value = colours[1, channel] + (colours[0, channel] - colours[1, channel]) * overhead
                value += colours[2, channel] * near_sun * (1.0 - 0.6 * cover)
                value += (colours[3, channel] * rim - value) * cover
                value += colours[2, channel] * disc * 2.0 * (1.0 - cover)
                value = colours[4, channel] + (value - colours[4, channel]) * clear_air
                packed |= int(max(0.0, min(value, 1.0)) * 255.0 + 0.5) << (16 * channel)
            out[row, column] = packed
