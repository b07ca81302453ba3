"""The software rasteriser: a visibility buffer first, then only what the camera asked for."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import KeysView, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import unknown_name
from sim.pocket.camera.buffers import (
    screen_triangles,
    triangle_table,
    visibility_buffer,
)
from sim.pocket.camera.channel_kernels import (
    SKY_TAG,
    write_depth,
    write_normals,
    write_numbers,
)
from sim.pocket.camera.geometry_kernels import cull_tiles, make_workbench, project_triangles
from sim.pocket.camera.lamps import DARK, LampMap
from sim.pocket.camera.lens_kernels import add_noise, draw_drops
from sim.pocket.camera.lighting import CLEAR_NOON, Lighting, lighting_from_weather
from sim.pocket.camera.raster_kernels import rasterise
from sim.pocket.camera.row_bands import RowBands
from sim.pocket.camera.shading_kernels import TRANSMISSION_STEPS_PER_M, Light, shade
from sim.pocket.camera.shadow_kernels import SunShadows, cast_box_shadows
from sim.pocket.camera.shadows import bake_sun_shadows
from sim.pocket.camera.sky import bake_sky, transmission_table
from sim.pocket.camera.textures import TexturePyramid, texture_pyramid
from sim.pocket.camera.view import CameraView, Channels, Frame, Instance
from sim.pocket.geometry import known_rotation_matrix
from sim.pocket.scene.mesh import Mesh
from sim.pocket.scene.textures import light_windows

if TYPE_CHECKING:
    from sim.pocket.scene.build import Scene

#: Static tiles and instances farther than this are not drawn.
FAR_M = 600.0
#: An instance whose bounding sphere is smaller than this is not drawn.
_SMALLEST_RADIUS_PX = 0.6
#: Shadows of instances farther than this are not worth their pixels.
_SHADOW_RANGE_M = 70.0
#: A mesh that begins below this height stands on the ground and shades it.
_FOOT_M = 0.4
#: Boxes that throw shadows are at least this thick from the middle.
_THINNEST_BOX_M = 0.02
_FIRST_CAPACITY = 1 << 15
_UNTURNED = np.eye(3)
#: Colour of lamps beside the light of a night without them.
_LAMPLIGHT = (1.25, 1.0, 0.6)
#: Strokes in a picture of 448 x 448 in the heaviest rain, their length, and what they hide.
_MOST_DROPS = 700.0
_DROP_ROWS = (0.02, 0.05)
_DROP_SHARE = 0.22
_NOISE_SEED = 20
_NOISE_SAMPLES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTimings:
    """Seconds of the calling thread's processor time that the last frame took, by stage."""

    transform_s: float
    raster_s: float
    shade_s: float


class _MeshEntry:
    """Where a registered mesh is in the triangle table, and its box in its own frame.

    `shading_half_extent` is that of the box as it throws a shadow, which is never too thin to.
    """

    def __init__(self, mesh: Mesh, first: int) -> None:
        points = mesh.positions.astype(np.float64)
        low, high = points.min(axis=0), points.max(axis=0)
        self.first = first
        self.end = first + len(mesh.triangles)
        self.centre = 0.5 * (low + high)
        self.shading_half_extent = np.maximum(0.5 * (high - low), _THINNEST_BOX_M)
        self.radius_m = float(np.sqrt((points * points).sum(axis=1)).max())
        self.stands_on_ground = bool(low[2] < _FOOT_M)


class Rasteriser:
    """Renders one static scene with any number of moving instances.

    The same scene, light, view, instances and noise seed give the same bytes, in every process,
    on any number of threads and whatever was rendered before.
    """

    def __init__(self, scene: Scene, textures: NDArray[np.uint8], *, threads: int = 1) -> None:
        """Take the scene and its (L, N, N, 4) uint8 textures; the light is a default noon."""
        self._bands = RowBands(threads)
        self._scene = scene
        self._tiles = np.ascontiguousarray(scene.tiles, np.float64).reshape(-1, 8)
        self._nearness = np.zeros(len(self._tiles))
        self._textures = textures
        self._pyramid = texture_pyramid(textures)
        self._lamps = LampMap(scene.lamps)
        self._meshes: dict[str, Mesh] = {}
        self._entries: dict[str, _MeshEntry] = {}
        self._table = triangle_table([scene.static])
        self._triangles = screen_triangles(_FIRST_CAPACITY)
        self._workbench = make_workbench()
        self._buffers: dict[tuple[int, int], _FrameBuffers] = {}
        self._wanted_lighting = lighting_from_weather(CLEAR_NOON)
        self._baked: _Baked | None = None
        self.timings = FrameTimings(transform_s=0.0, raster_s=0.0, shade_s=0.0)

    @property
    def mesh_keys(self) -> KeysView[str]:
        """The keys of all registered meshes."""
        return self._meshes.keys()

    def register_mesh(self, key: str, mesh: Mesh) -> None:
        """Make a mesh available to instances; registering a key again replaces its mesh."""
        self._meshes[key] = mesh
        self._entries.clear()

    def set_lighting(self, lighting: Lighting) -> None:
        """Change the light; what must be baked is baked when a colour frame is next asked for."""
        self._wanted_lighting = lighting

    def render(
        self,
        view: CameraView,
        instances: Sequence[Instance],
        *,
        noise_seed: int = 0,
        want: Channels = Channels.ALL,
    ) -> Frame:
        """Render one frame.

        Args:
            view: The camera.
            instances: What moves, in any number; the order only decides exact ties of depth.
            noise_seed: Seed of the sensor noise; equal seeds give equal noise.
            want: The channels to fill; the others come back without rows.

        Returns:
            The frame; its arrays are overwritten by the next call.

        Raises:
            UserError: if an instance names a mesh that was never registered.
        """
        began_s = time.thread_time()
        buffers = self._buffers_for(view)
        scene = self._gather(view, instances)
        count = self._project(view, scene)
        projected_s = time.thread_time()

        def rasterise_rows(first: int, end: int) -> None:
            rasterise(
                self._triangles,
                count,
                self._table.texture,
                self._table.tag,
                self._pyramid,
                buffers.visibility,
                first,
                end,
            )

        self._bands.run(rasterise_rows, view.height)
        rastered_s = time.thread_time()
        if Channels.RGB in want:
            self._colour(view, scene, buffers, instances, noise_seed)
        if Channels.SEMANTIC in want:
            write_numbers(
                buffers.visibility,
                self._triangles.source,
                self._table.tag,
                SKY_TAG,
                buffers.semantic,
            )
        if Channels.DEPTH in want:
            write_depth(buffers.visibility, buffers.depth_m)
        if Channels.INSTANCE in want:
            write_numbers(
                buffers.visibility, self._triangles.instance, scene.numbers, -1, buffers.instance
            )
        if Channels.NORMALS in want:
            write_normals(
                buffers.visibility,
                self._triangles,
                self._table.surface,
                scene.turns,
                buffers.normals,
            )
        self.timings = FrameTimings(
            transform_s=projected_s - began_s,
            raster_s=rastered_s - projected_s,
            shade_s=time.thread_time() - rastered_s,
        )
        return Frame(
            bgra=buffers.bgra[: view.height if Channels.RGB in want else 0],
            semantic=buffers.semantic[: view.height if Channels.SEMANTIC in want else 0],
            depth_m=buffers.depth_m[: view.height if Channels.DEPTH in want else 0],
            instance=buffers.instance[: view.height if Channels.INSTANCE in want else 0],
            normals=buffers.normals[: view.height if Channels.NORMALS in want else 0],
        )

    def _buffers_for(self, view: CameraView) -> _FrameBuffers:
        size = (view.height, view.width)
        if size not in self._buffers:
            self._buffers[size] = _FrameBuffers(*size)
        return self._buffers[size]

    def _index_meshes(self) -> None:
        """Lay all meshes out in one triangle table."""
        meshes = [self._scene.static, *self._meshes.values()]
        self._table = triangle_table(meshes)
        first = len(self._scene.static.triangles)
        for key, mesh in self._meshes.items():
            self._entries[key] = _MeshEntry(mesh, first)
            first += len(mesh.triangles)

    def _gather(self, view: CameraView, instances: Sequence[Instance]) -> _VisibleScene:
        """Pick the tiles and instances that may be seen, and place them before the camera."""
        if len(self._entries) != len(self._meshes):
            self._index_meshes()
        eye, axes = view.eye_m, view.axes
        slopes = (0.5 * view.width / view.focal_px, 0.5 * view.height / view.focal_px)
        cull_tiles(self._tiles, eye, axes, slopes, FAR_M, self._nearness)
        seen = np.flatnonzero(self._nearness >= 0.0)
        near_to_far = seen[np.argsort(self._nearness[seen], kind="stable")]
        ranges = np.zeros((len(near_to_far), 3), np.int64)
        ranges[:, 0] = self._tiles[near_to_far, 6]
        ranges[:, 1] = ranges[:, 0] + self._tiles[near_to_far, 7].astype(np.int64)
        numbers = self._near_instances(view, instances)
        near = [instances[number] for number in numbers]
        entries = [self._entries[instance.mesh_key] for instance in near]
        turns = np.array(
            [_UNTURNED, *(known_rotation_matrix(one.transform.rotation) for one in near)]
        )
        places = np.array([(0.0, 0.0, 0.0), *(instance.transform.location for instance in near)])
        poses = np.empty((len(turns), 3, 4))
        poses[:, :, :3] = axes @ turns
        poses[:, :, 3] = (places - eye) @ axes.T
        moving = [(entry.first, entry.end, row + 1) for row, entry in enumerate(entries)]
        return _VisibleScene(
            ranges=np.concatenate([np.array(moving, np.int64).reshape(-1, 3), ranges]),
            poses=poses,
            turns=turns,
            places=places,
            paints=np.array([(1.0, 1.0, 1.0), *(instance.paint for instance in near)]),
            entries=entries,
            numbers=np.array([-1, *numbers], np.int32),
        )

    def _near_instances(self, view: CameraView, instances: Sequence[Instance]) -> list[int]:
        """Number the instances that are not too far, too small or behind the camera."""
        eye_x, eye_y, eye_z = view.transform.location
        forward_x, forward_y, forward_z = (float(part) for part in view.axes[0])
        reach_per_radius = view.focal_px / _SMALLEST_RADIUS_PX
        near = []
        for number, instance in enumerate(instances):
            entry = self._entries.get(instance.mesh_key)
            if entry is None:
                raise unknown_name("mesh", instance.mesh_key, self._entries)
            x, y, z = instance.transform.location
            x, y, z = x - eye_x, y - eye_y, z - eye_z
            reach = min(FAR_M, reach_per_radius * entry.radius_m) + entry.radius_m
            if (
                x * x + y * y + z * z < reach * reach
                and x * forward_x + y * forward_y + z * forward_z > -entry.radius_m
            ):
                near.append(number)
        return near

    def _project(self, view: CameraView, scene: _VisibleScene) -> int:
        image = (float(view.width), float(view.height), view.focal_px)
        texels = float(self._pyramid.size**2)
        while True:
            count: int = project_triangles(
                self._table,
                scene.ranges,
                scene.poses,
                image,
                texels,
                self._workbench,
                self._triangles,
            )
            if count >= 0:
                return count
            self._triangles = screen_triangles(2 * len(self._triangles.source))

    def _colour(
        self,
        view: CameraView,
        scene: _VisibleScene,
        buffers: _FrameBuffers,
        instances: Sequence[Instance],
        noise_seed: int,
    ) -> None:
        baked = self._bake()
        light = baked.light
        if baked.lighting.lamps_on:
            light = light._replace(pools=self._lamps.pools(view, instances))
        camera = np.concatenate([view.eye_m[None], view.axes])
        sun = np.array(baked.lighting.sun_direction)
        lit = np.empty((len(scene.turns), 9))
        lit[:, 0:3] = sun @ scene.turns
        lit[:, 3:6] = scene.turns[:, 2]
        lit[:, 6:9] = scene.paints
        boxes = _shadow_boxes(scene, view.eye_m)
        towards_sun = baked.lighting.sun_direction if baked.shadows.active else (0.0, 0.0, 1.0)
        out = buffers.bgra.view("<u4").reshape(view.height, view.width)
        rights = (np.arange(view.width, dtype=np.float64) + 0.5 - 0.5 * view.width) / view.focal_px
        noise_levels = baked.lighting.noise_levels
        if noise_levels > 0.0:
            starts = np.random.default_rng(noise_seed).integers(0, _NOISE_SAMPLES, view.height)
        drops = _falling_drops(view, baked.lighting.rain, noise_seed)

        def colour_rows(first: int, end: int) -> None:
            cast_box_shadows(
                buffers.visibility,
                self._triangles,
                boxes,
                towards_sun,
                camera,
                view.focal_px,
                buffers.occlusion,
                first,
                end,
            )
            shade(
                buffers.visibility,
                self._triangles,
                self._table,
                baked.pyramid,
                lit,
                light,
                baked.shadows,
                buffers.occlusion,
                camera,
                view.focal_px,
                rights,
                out,
                first,
                end,
            )
            if len(drops):
                draw_drops(buffers.bgra, drops, baked.drop_colour, _DROP_SHARE, first, end)
            if noise_levels > 0.0:
                add_noise(buffers.bgra, _sensor_noise(), starts, noise_levels, first, end)

        self._bands.run(colour_rows, view.height)

    def _bake(self) -> _Baked:
        """Bake what the wanted light needs and has not got yet."""
        lighting = self._wanted_lighting
        baked = self._baked
        if baked is not None and baked.lighting == lighting:
            return baked
        if (
            baked is not None
            and baked.lighting.shadow_direction == lighting.shadow_direction
            and baked.lighting.casts_shadows == lighting.casts_shadows
        ):
            shadows = baked.shadows
        else:
            shadows = bake_sun_shadows(
                self._table, len(self._scene.static.triangles), self._pyramid, lighting
            )
        pyramid, gains = self._pyramid, np.ones(len(self._textures))
        if lighting.lamps_on:
            pyramid, gains = self._night_textures
        self._baked = _Baked(
            lighting=lighting,
            light=_light(lighting, gains),
            shadows=shadows,
            pyramid=pyramid,
        )
        return self._baked

    @functools.cached_property
    def _night_textures(self) -> tuple[TexturePyramid, NDArray[np.float64]]:
        lit, gains = light_windows(self._textures)
        return texture_pyramid(lit), gains


class _FrameBuffers:
    """The arrays of one image size."""

    def __init__(self, height: int, width: int) -> None:
        self.visibility = visibility_buffer(height, width)
        self.occlusion = np.zeros((height, width), np.uint8)
        self.bgra = np.zeros((height, width, 4), np.uint8)
        self.semantic = np.zeros((height, width), np.uint8)
        self.depth_m = np.zeros((height, width), np.float32)
        self.instance = np.zeros((height, width), np.int32)
        self.normals = np.zeros((height, width, 3), np.float32)


@dataclass(frozen=True, slots=True)
class _VisibleScene:
    """What may be in the picture. Row 0 of every array of instances is the static scene.

    `numbers` is where each of them stands among all instances.
    """

    ranges: NDArray[np.int64]
    poses: NDArray[np.float64]
    turns: NDArray[np.float64]
    places: NDArray[np.float64]
    paints: NDArray[np.float64]
    entries: list[_MeshEntry]
    numbers: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Baked:
    """A light and everything that was computed from it."""

    lighting: Lighting
    light: Light
    shadows: SunShadows
    pyramid: TexturePyramid

    @property
    def drop_colour(self) -> tuple[float, float, float]:
        """Red, green and blue of the light in a falling drop, 0..255."""
        red, green, blue = (255.0 * min(1.0, 1.1 * part) for part in self.lighting.horizon)
        return red, green, blue


def _shadow_boxes(scene: _VisibleScene, eye: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B, 16) boxes of the instances whose shadows are worth drawing."""
    near = [
        (row, entry)
        for row, (entry, place) in enumerate(
            zip(scene.entries, scene.places[1:].tolist(), strict=True), start=1
        )
        if entry.stands_on_ground and math.dist(place, eye) < _SHADOW_RANGE_M
    ]
    boxes = np.empty((len(near), 16))
    for box, (row, entry) in zip(boxes, near, strict=True):
        turn = scene.turns[row]
        box[0] = row
        box[1:4] = scene.places[row] + turn @ entry.centre
        box[4:13] = turn.T.ravel()
        box[13:16] = entry.shading_half_extent
    return boxes


def _light(lighting: Lighting, gains: NDArray[np.float64]) -> Light:
    fog = tuple(255.0 * part for part in lighting.fog)
    mirrored = tuple(255.0 * part for part in lighting.horizon)
    steps = int(FAR_M * 1.5 * TRANSMISSION_STEPS_PER_M)
    return Light(
        colours=np.array([lighting.sun, lighting.sky, lighting.ground, fog, mirrored, _LAMPLIGHT]),
        transmission=transmission_table(lighting, 1.0 / TRANSMISSION_STEPS_PER_M, steps),
        sky=bake_sky(lighting),
        road_gain=lighting.road_gain,
        road_sheen=lighting.road_sheen,
        layer_gains=gains,
        pools=DARK,
    )


@functools.cache
def _sensor_noise() -> NDArray[np.float32]:
    return np.random.default_rng(_NOISE_SEED).standard_normal(_NOISE_SAMPLES, np.float32)


def _falling_drops(view: CameraView, rain: float, seed: int) -> NDArray[np.float64]:
    """(N, 4) strokes of a picture; see `draw_drops`."""
    count = int(_MOST_DROPS * rain * view.width * view.height / 448**2)
    if count == 0:
        return np.empty((0, 4))
    chance = np.random.default_rng((seed, 1))
    slant = chance.normal(0.05, 0.03, count)
    rows = view.height * chance.uniform(*_DROP_ROWS, count)
    places = chance.uniform((0.0, -_DROP_ROWS[1]), 1.0, (count, 2)) * (view.width, view.height)
    return np.column_stack([places, slant, np.maximum(rows, 2.0)])
