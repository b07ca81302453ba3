"""Deferred shading: from the visibility buffer to colours."""

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
from sim.pocket.camera.lamp_kernels import LampPools, lamplight_at
from sim.pocket.camera.raster_kernels import mip_level
from sim.pocket.camera.shadow_kernels import SunShadows, evenly_lit, shadow_place, sunlit_share
from sim.pocket.camera.sky_kernels import OPAQUE, SPAN_PX, Row, shade_sky
from sim.pocket.camera.textures import TexturePyramid
from sim.pocket.compiled import compiled_lean, inlined_part

#: Entries per metre of the table of air transmission.
TRANSMISSION_STEPS_PER_M = 4.0
_ROAD_TAG = 1
_LANE = 0xFFFF


class Light(NamedTuple):
    """Light and air for one frame.

    Attributes:
        colours: (6, 3) float64: sun, light from above, light from below (factors), fog and what
            wet ground mirrors (0..255), lamplight (beside the light from above).
        transmission: (M,) float32; share of light that passes 0, 1/4, 2/4, ... metres of air.
        sky: (S, S) int64; see `sky.bake_sky`.
        road_gain: Factor on the colour of roads.
        road_sheen: How much of the sky a wet road mirrors to who looks along it.
        layer_gains: (L,) float64; factor on the colour of what has a texture.
        pools: Light of the lamps near the camera.
    """

    colours: NDArray[np.float64]
    transmission: NDArray[np.float32]
    sky: NDArray[np.int64]
    road_gain: float
    road_sheen: float
    layer_gains: NDArray[np.float64]
    pools: LampPools


class _Surface(NamedTuple):
    """What light makes of a surface: by the open sky, by the sun, by itself; shadows and sheen."""

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
    sheen: float


class _Seen(NamedTuple):
    """What of the light of a surface arrives at the lens, and the light of the air before it."""

    flat_r: float
    flat_g: float
    flat_b: float
    lit_r: float
    lit_g: float
    lit_b: float
    lamp_r: float
    lamp_g: float
    lamp_b: float
    fog_r: float
    fog_g: float
    fog_b: float


class _Span(NamedTuple):
    """A few neighbouring pixels of one surface; exact at both ends and straight between.

    Attributes:
        size: Texels along the side of the texture at its mip level.
        base: Where that level of it begins.
        air: Share of the light that passes the air.
        sunlit: How much of the sun reaches all pixels alike; -1 if that differs.
        u: Place in the texture at the first pixel, texels; `v` likewise.
        lamplight: Light of lamps; see `lamp_kernels.lamplight_at`.
        mirrored: Share of the light that is the sky's in the wet surface.
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
    lamplight: float
    mirrored: float


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
        row = Row(
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
                shade_sky(light.sky, row, camera, rights, start, end, out[y])
                start = end
                continue
            source = triangles.source[triangle]
            number = triangles.instance[triangle]
            on_road = table.tag[source] == _ROAD_TAG
            layer = table.texture[source]
            gain = light.road_gain if on_road else light.layer_gains[layer]
            sheen = light.road_sheen if on_road else 0.0
            surface = _light_surface(
                table.surface, source, gain, sheen, instances, number, light.colours, shadows
            )
            density = triangles.density[triangle]
            plane = triangles.planes[triangle]
            row_u = plane[3] + plane[5] * (y + 0.5)
            row_v = plane[6] + plane[8] * (y + 0.5)
            while start < end:
                last = min(start + SPAN_PX, end) - 1
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
    row: Row,
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
    ray_z = row.z + middle_right * camera[2, 2]
    lamplight, mirrored = 0.0, 0.0
    if light.pools.active:
        lamplight = lamplight_at(
            light.pools,
            camera[0, 0] + middle_depth * (row.x + middle_right * camera[2, 0]),
            camera[0, 1] + middle_depth * (row.y + middle_right * camera[2, 1]),
            camera[0, 2] + middle_depth * ray_z,
        )
    if surface.sheen > 0.0:
        grazing = 1.0 - min(1.0, abs(ray_z) * middle_depth / distance)
        mirrored = surface.sheen * grazing * grazing * grazing * grazing
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
        lamplight,
        mirrored,
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
    seen = _through_air(surface, span, light)
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
        red = seen.flat_r * open_sky + seen.lit_r * sunlit + seen.lamp_r
        green = seen.flat_g * open_sky + seen.lit_g * sunlit + seen.lamp_g
        blue = seen.flat_b * open_sky + seen.lit_b * sunlit + seen.lamp_b
        out[x] = _pixel(colour, red, green, blue, seen)


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
    seen = _through_air(surface, span, light)
    red = seen.flat_r + seen.lit_r * span.sunlit + seen.lamp_r
    green = seen.flat_g + seen.lit_g * span.sunlit + seen.lamp_g
    blue = seen.flat_b + seen.lit_b * span.sunlit + seen.lamp_b
    u, v = span.u, span.v
    for x in range(first, last + 1):
        colour = _texel_colour(pyramid, span.base, span.size, u, v)
        u, v = u + span.u_step, v + span.v_step
        out[x] = _pixel(colour, red, green, blue, seen)


@inlined_part
def _through_air(surface: _Surface, span: _Span, light: Light) -> _Seen:
    """Find out what of a surface's light arrives, and what the air adds."""
    # A lamp shines through fog farther than what it lights.
    passed = span.air + surface.glow * (math.sqrt(span.air) - span.air)
    veil = 1.0 - passed
    mirrored = passed * span.mirrored
    passed -= mirrored
    colours = light.colours
    return _Seen(
        surface.flat_r * passed * (1.0 + span.lamplight * colours[5, 0]),
        surface.flat_g * passed * (1.0 + span.lamplight * colours[5, 1]),
        surface.flat_b * passed * (1.0 + span.lamplight * colours[5, 2]),
        surface.lit_r * passed,
        surface.lit_g * passed,
        surface.lit_b * passed,
        surface.lamp_r * passed,
        surface.lamp_g * passed,
        surface.lamp_b * passed,
        colours[3, 0] * veil + colours[4, 0] * mirrored,
        colours[3, 1] * veil + colours[4, 1] * mirrored,
        colours[3, 2] * veil + colours[4, 2] * mirrored,
    )


@inlined_part
def _pixel(colour: int, red: float, green: float, blue: float, seen: _Seen) -> int:
    """Light a texel and veil it; packed B, G, R, A."""
    return (
        OPAQUE
        | int(min(red * (colour & _LANE) + seen.fog_r, 255.0)) << 16
        | int(min(green * (colour >> 16 & _LANE) + seen.fog_g, 255.0)) << 8
        | int(min(blue * (colour >> 32) + seen.fog_b, 255.0))
    )


@inlined_part
def _light_surface(
    surface: NDArray[np.float32],
    source: int,
    gain: float,
    sheen: float,
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
        sheen,
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
