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
from sim.pocket.camera.shadow_kernels import SunShadows, evenly_lit, shadow_place, sunlit_share
from sim.pocket.camera.textures import TexturePyramid
from sim.pocket.compiled import compiled_lean, inlined_part

#: Entries per metre of the table of air transmission.
TRANSMISSION_STEPS_PER_M = 4.0
#: Perspective, air and the sky are worked out this often; a straight line is drawn between.
_SPAN_PX = 8
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


class _Row(NamedTuple):
    """A row of the picture: rays of it are these plus steps to the right.

    Attributes:
        x: Of the ray in the middle, world frame, as y and z; one metre long ahead.
        square: Its length squared.
    """

    x: float
    y: float
    z: float
    square: float


class _Span(NamedTuple):
    """A few neighbouring pixels of one surface; exact at both ends and straight between.

    Attributes:
        size: Texels along the side of the texture at its mip level.
        base: Where that level of it begins.
        air: Share of the light that passes the air.
        sunlit: How much of the sun reaches all pixels alike; -1 if that differs.
        u: Place in the texture at the first pixel, texels; `v` likewise.
        across: Place in the map of shadows at the first pixel, texels; `down` likewise.
        height: Over the map of shadows at the first pixel, its steps.
        u_step: From a pixel to the next one; the others likewise.
    """

    size: int
    base: int
    air: float
    sunlit: float
    u: float
    v: float
    across: float
    down: float
    height: float
    u_step: float
    v_step: float
    across_step: float
    down_step: float
    height_step: float


@compiled_lean
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
    rights: NDArray[np.float64],
    out: NDArray[np.uint32],
    first_row: int,
    end_row: int,
) -> None:
    """Colour the pixels of some rows of the visibility buffer.

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
        rights: (W,) how far to the right each column lies, by the depth.
        out: (H, W) uint32 output, bytes B, G, R, A.
        first_row: Of the rows.
        end_row: The row after the last one.
    """
    height, width = out.shape
    for y in range(first_row, end_row):
        ray_up = (0.5 * height - (y + 0.5)) / focal_px
        row = _Row(
            camera[1, 0] + ray_up * camera[3, 0],
            camera[1, 1] + ray_up * camera[3, 1],
            camera[1, 2] + ray_up * camera[3, 2],
            1.0 + ray_up * ray_up,
        )
        owner = visibility.triangle[y]
        occluded = False
        for x in range(width):
            occluded |= occlusion[y, x] != 0
        start = 0
        while start < width:
            triangle = owner[start]
            end = start + 1
            while end < width and owner[end] == triangle:
                end += 1
            if triangle < 0:
                _shade_sky(light.sky, row, camera, rights, start, end, out[y])
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
            row_u = plane[3] + plane[5] * (y + 0.5)
            row_v = plane[6] + plane[8] * (y + 0.5)
            while start < end:
                last = min(start + _SPAN_PX, end) - 1
                span = _begin_span(
                    visibility.inverse_depth[y], (row_u, plane[4], row_v, plane[7]), density,
                    pyramid, layer, row, camera, rights, light, shadows, surface, start, last,
                )  # fmt: skip
                covered = False
                if occluded:
                    for x in range(start, last + 1):
                        covered |= occlusion[y, x] != 0
                if covered or span.sunlit < 0.0:
                    _shade_span(
                        surface, span, pyramid, light, shadows, occlusion[y], start, last, out[y]
                    )
                else:
                    _shade_even_span(surface, span, pyramid, light, start, last, out[y])
                start = last + 1


@inlined_part
def _begin_span(
    inverse_depth: NDArray[np.float32],
    texture: tuple[float, float, float, float],
    density: float,
    pyramid: TexturePyramid,
    layer: int,
    row: _Row,
    camera: NDArray[np.float64],
    rights: NDArray[np.float64],
    light: Light,
    shadows: SunShadows,
    surface: _Surface,
    first: int,
    last: int,
) -> _Span:
    """Find out where both ends of a span lie; `texture` is u, v / depth at column 0 and slopes."""
    depth, right = 1.0 / inverse_depth[first], rights[first]
    end_depth, end_right, part = depth, right, 1.0
    if last > first:
        end_depth, end_right = 1.0 / inverse_depth[last], rights[last]
        part = 1.0 / (last - first)
    middle_depth = 0.5 * (depth + end_depth)
    middle_right = 0.5 * (right + end_right)
    level = mip_level(
        density * middle_depth * middle_depth * middle_depth, pyramid.starts.shape[0] - 1
    )
    distance = middle_depth * math.sqrt(row.square + middle_right * middle_right)
    air = light.transmission[
        min(int(distance * TRANSMISSION_STEPS_PER_M), light.transmission.shape[0] - 1)
    ]
    # The size is a power of two: to multiply by it early or late gives the same bits.
    size = pyramid.size >> level
    u = (texture[0] + texture[1] * (first + 0.5)) * depth * size
    v = (texture[2] + texture[3] * (first + 0.5)) * depth * size
    end_u, end_v = u, v
    if last > first:
        end_u = (texture[0] + texture[1] * (last + 0.5)) * end_depth * size
        end_v = (texture[2] + texture[3] * (last + 0.5)) * end_depth * size
    sunlit, across, down, height = 1.0, 0.0, 0.0, 0.0
    end_across, end_down, end_height = 0.0, 0.0, 0.0
    if surface.shadowed:
        across, down, height = shadow_place(
            shadows,
            camera[0, 0] + depth * (row.x + right * camera[2, 0]),
            camera[0, 1] + depth * (row.y + right * camera[2, 1]),
            camera[0, 2] + depth * (row.z + right * camera[2, 2]),
            surface.bias,
        )
        end_across, end_down, end_height = across, down, height
        if last > first:
            end_across, end_down, end_height = shadow_place(
                shadows,
                camera[0, 0] + end_depth * (row.x + end_right * camera[2, 0]),
                camera[0, 1] + end_depth * (row.y + end_right * camera[2, 1]),
                camera[0, 2] + end_depth * (row.z + end_right * camera[2, 2]),
                surface.bias,
            )
        sunlit = evenly_lit(shadows, across, down, height, end_across, end_down, end_height)
    return _Span(
        size,
        pyramid.starts[level] + layer * size * size,
        air,
        sunlit,
        u,
        v,
        across,
        down,
        height,
        (end_u - u) * part,
        (end_v - v) * part,
        (end_across - across) * part,
        (end_down - down) * part,
        (end_height - height) * part,
    )


@inlined_part
def _shade_span(
    surface: _Surface,
    span: _Span,
    pyramid: TexturePyramid,
    light: Light,
    shadows: SunShadows,
    occlusion: NDArray[np.uint8],
    first: int,
    last: int,
    out: NDArray[np.uint32],
) -> None:
    """Colour the pixels of a span on which a shadow may fall."""
    # A lamp shines through fog farther than what it lights.
    seen = span.air + surface.glow * (math.sqrt(span.air) - span.air)
    veil = 1.0 - seen
    fog_r = light.colours[3, 0] * veil
    fog_g = light.colours[3, 1] * veil
    fog_b = light.colours[3, 2] * veil
    flat_r, flat_g, flat_b = surface.flat_r * seen, surface.flat_g * seen, surface.flat_b * seen
    lit_r, lit_g, lit_b = surface.lit_r * seen, surface.lit_g * seen, surface.lit_b * seen
    lamp_r, lamp_g, lamp_b = surface.lamp_r * seen, surface.lamp_g * seen, surface.lamp_b * seen
    u, v, across, down, height = span.u, span.v, span.across, span.down, span.height
    for x in range(first, last + 1):
        colour = _texel_colour(pyramid, span.base, span.size, u, v)
        shade_code = occlusion[x]
        open_sky = 1.0 - (shade_code & 127) * (1.0 / 127.0)
        sunlit = 1.0
        if surface.shadowed:
            sunlit = 0.0 if shade_code > 127 else sunlit_share(shadows, across, down, height)
        u, v = u + span.u_step, v + span.v_step
        across, down = across + span.across_step, down + span.down_step
        height += span.height_step
        red = flat_r * open_sky + lit_r * sunlit + lamp_r
        green = flat_g * open_sky + lit_g * sunlit + lamp_g
        blue = flat_b * open_sky + lit_b * sunlit + lamp_b
        out[x] = _pixel(colour, red, green, blue, fog_r, fog_g, fog_b)


@inlined_part
def _shade_even_span(
    surface: _Surface,
    span: _Span,
    pyramid: TexturePyramid,
    light: Light,
    first: int,
    last: int,
    out: NDArray[np.uint32],
) -> None:
    """Colour the pixels of a span that all get the same light; as `_shade_span` does."""
    seen = span.air + surface.glow * (math.sqrt(span.air) - span.air)
    veil = 1.0 - seen
    fog_r = light.colours[3, 0] * veil
    fog_g = light.colours[3, 1] * veil
    fog_b = light.colours[3, 2] * veil
    red = surface.flat_r * seen + surface.lit_r * seen * span.sunlit + surface.lamp_r * seen
    green = surface.flat_g * seen + surface.lit_g * seen * span.sunlit + surface.lamp_g * seen
    blue = surface.flat_b * seen + surface.lit_b * seen * span.sunlit + surface.lamp_b * seen
    u, v = span.u, span.v
    for x in range(first, last + 1):
        colour = _texel_colour(pyramid, span.base, span.size, u, v)
        u, v = u + span.u_step, v + span.v_step
        out[x] = _pixel(colour, red, green, blue, fog_r, fog_g, fog_b)


@inlined_part
def _pixel(
    colour: int, red: float, green: float, blue: float, fog_r: float, fog_g: float, fog_b: float
) -> int:
    """Light a texel and veil it; packed B, G, R, A."""
    return (
        _OPAQUE
        | int(min(red * (colour & _LANE) + fog_r, 255.0)) << 16
        | int(min(green * (colour >> 16 & _LANE) + fog_g, 255.0)) << 8
        | int(min(blue * (colour >> 32) + fog_b, 255.0))
    )


@inlined_part
def _shade_sky(
    sky: NDArray[np.int64],
    row: _Row,
    camera: NDArray[np.float64],
    rights: NDArray[np.float64],
    start: int,
    end: int,
    out: NDArray[np.uint32],
) -> None:
    """Colour a run of pixels in which nothing is."""
    while start < end:
        last = min(start + _SPAN_PX, end) - 1
        right = rights[start]
        across, down = _sky_place(
            sky,
            row.x + right * camera[2, 0],
            row.y + right * camera[2, 1],
            row.z + right * camera[2, 2],
        )
        right = rights[last]
        end_across, end_down = _sky_place(
            sky,
            row.x + right * camera[2, 0],
            row.y + right * camera[2, 1],
            row.z + right * camera[2, 2],
        )
        part = 1.0 / max(1, last - start)
        across_step, down_step = (end_across - across) * part, (end_down - down) * part
        for x in range(start, last + 1):
            out[x] = _sky_colour(sky, across, down)
            across, down = across + across_step, down + down_step
        start = last + 1


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


@inlined_part
def _texel_colour(pyramid: TexturePyramid, base: int, size: int, u: float, v: float) -> int:
    """Interpolate bilinearly; the result is 256 times the colour, in lanes of 16 bits."""
    across = u - 0.5
    down = v - 0.5
    column = math.floor(across)
    row = math.floor(down)
    right = int((across - column) * 16.0)
    below = int((down - row) * 16.0)
    left_column = column & (size - 1)
    right_column = (column + 1) & (size - 1)
    upper = base + (row & (size - 1)) * size
    lower = base + ((row + 1) & (size - 1)) * size
    texels = pyramid.texels
    # Unsigned, for they are never negative: numba would look for that at every access.
    return int(
        texels[np.uint64(upper + left_column)] * ((16 - right) * (16 - below))
        + texels[np.uint64(upper + right_column)] * (right * (16 - below))
        + texels[np.uint64(lower + left_column)] * ((16 - right) * below)
        + texels[np.uint64(lower + right_column)] * (right * below)
    )


@inlined_part
def _sky_place(sky: NDArray[np.int64], x: float, y: float, z: float) -> tuple[float, float]:
    """Return where in the picture of the sky a direction (not normalised) lies."""
    z = max(z, 0.0)
    scale = 1.0 / (abs(x) + abs(y) + z)
    across = max(0.0, ((x + y) * scale * 0.5 + 0.5) * sky.shape[0] - 0.5)
    down = max(0.0, ((x - y) * scale * 0.5 + 0.5) * sky.shape[0] - 0.5)
    return across, down


@inlined_part
def _sky_colour(sky: NDArray[np.int64], across: float, down: float) -> int:
    """Interpolate the picture of the sky; packed B, G, R, A."""
    last = sky.shape[0] - 1
    column = min(int(across), last)
    row = min(int(down), last)
    right = min(int((across - column) * 16.0), 16)
    below = min(int((down - row) * 16.0), 16)
    next_column = min(column + 1, last)
    next_row = min(row + 1, last)
    upper, lower = np.uint64(row), np.uint64(next_row)
    left, beside = np.uint64(column), np.uint64(next_column)
    mixed = (
        sky[upper, left] * ((16 - right) * (16 - below))
        + sky[upper, beside] * (right * (16 - below))
        + sky[lower, left] * ((16 - right) * below)
        + sky[lower, beside] * (right * below)
    )
    red, green, blue = mixed >> 8 & 0xFF, mixed >> 24 & 0xFF, mixed >> 40
    return int(_OPAQUE | red << 16 | green << 8 | blue)


@compiled_lean
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


@compiled_lean
def write_depth(visibility: Visibility, out: NDArray[np.float32]) -> None:
    """Write each pixel's depth in metres, (H, W) float32, at most 1000."""
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            inverse = visibility.inverse_depth[y, x]
            out[y, x] = min(1.0 / inverse, _FAR_M) if inverse > 0.0 else _FAR_M


@compiled_lean
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


@compiled_lean
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


@compiled_lean
def add_noise(
    image: NDArray[np.uint8],
    noise: NDArray[np.float32],
    starts: NDArray[np.int64],
    levels: float,
    first_row: int,
    end_row: int,
) -> None:
    """Add noise to the colours of some rows of an image.

    Args:
        image: (H, W, 4) uint8, changed in place; the fourth channel stays.
        noise: (M,) float32 standard normal numbers, M a power of two.
        starts: (H,) where each row begins to read them.
        levels: Standard deviation, 8-bit levels.
        first_row: Of the rows.
        end_row: The row after the last one.
    """
    width = image.shape[1]
    mask = noise.shape[0] - 1
    for y in range(first_row, end_row):
        place = starts[y]
        for x in range(width):
            for channel in range(3):
                value = image[y, x, channel] + levels * noise[place & mask] + 0.5
                image[y, x, channel] = int(max(0.0, min(value, 255.0)))
                place += 1


@compiled_lean
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
