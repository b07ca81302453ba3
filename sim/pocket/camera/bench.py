"""Measure what a camera frame costs, stage by stage; `bicameral bench sim` prints it.

Times are processor time of one thread (`time.thread_time`), the mean over frames along the town's
spawn points with 30 parked vehicles and all signal heads, after two frames that compile and warm
up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bicameral.types import AGENT_CAMERA
from sim.pocket.camera.encode import depth_bgra, semantic_bgra
from sim.pocket.camera.rasteriser import Rasteriser
from sim.pocket.camera.view import CameraView, Channels, Frame, Instance
from sim.pocket.geometry import Rotation, Transform, Vector3, compose
from sim.pocket.map_store import TownMap
from sim.pocket.scene.build import Scene, build_scene
from sim.pocket.scene.models import signal_head_mesh
from sim.pocket.scene.textures import make_textures
from sim.pocket.scene.vehicle_models import vehicle_mesh
from sim.pocket.vehicles import vehicle_model

_VEHICLE = "vehicle.tesla.model3"
_PARKED_VEHICLES = 30
_WARM_UP_FRAMES = 2
_MOUNT = Transform(
    Vector3(AGENT_CAMERA.x_m, 0.0, AGENT_CAMERA.z_m), Rotation(AGENT_CAMERA.pitch_deg, 0.0, 0.0)
)


class FrameCost(NamedTuple):
    """Mean processor time of one kind of frame, in milliseconds, by stage."""

    name: str
    transform_ms: float
    raster_ms: float
    shade_ms: float
    encode_ms: float

    @property
    def total_ms(self) -> float:
        """Everything together."""
        return self.transform_ms + self.raster_ms + self.shade_ms + self.encode_ms


class CameraKind(NamedTuple):
    """A camera to measure."""

    name: str
    width: int
    height: int
    want: Channels


_ALL_THREE = Channels.RGB | Channels.SEMANTIC | Channels.DEPTH
CAMERA_KINDS = (
    CameraKind("agent 320x160 rgb", 320, 160, Channels.RGB),
    CameraKind("448x448 rgb", 448, 448, Channels.RGB),
    CameraKind("448x448 semantic", 448, 448, Channels.SEMANTIC),
    CameraKind("448x448 depth", 448, 448, Channels.DEPTH),
    CameraKind("448x448 all three", 448, 448, _ALL_THREE),
)


def measure_camera(town: TownMap, frames: int) -> list[FrameCost]:
    """Measure every kind of camera on a town; the kinds take turns, frame by frame."""
    scene = build_scene(town.opendrive, town.carla_map, 0)
    rasteriser = Rasteriser(scene, make_textures(0))
    generator = np.random.default_rng(0)
    order = generator.permutation(len(town.spawn_points))
    instances = _furnish(rasteriser, scene, town, order[:_PARKED_VEHICLES].tolist())
    places = [
        town.spawn_points[index]
        for index in np.resize(order[::-1], frames + _WARM_UP_FRAMES).tolist()
    ]
    spent = np.zeros((len(CAMERA_KINDS), 4))
    for number, place in enumerate(places):
        for row, kind in enumerate(CAMERA_KINDS):
            cost = _one_frame(rasteriser, kind, place, instances)
            if number >= _WARM_UP_FRAMES:
                spent[row] += cost
    return [
        FrameCost(kind.name, *row)
        for kind, row in zip(CAMERA_KINDS, (spent / frames * 1e3).tolist(), strict=True)
    ]


def _furnish(
    rasteriser: Rasteriser, scene: Scene, town: TownMap, places: Sequence[int]
) -> list[Instance]:
    rasteriser.register_mesh("vehicle", vehicle_mesh(_VEHICLE, vehicle_model(_VEHICLE).half_extent))
    rasteriser.register_mesh("signal", signal_head_mesh(0))
    parked = [
        Instance(mesh_key="vehicle", transform=town.spawn_points[place], paint=(0.6, 0.1, 0.1))
        for place in places
    ]
    heads = [Instance(mesh_key="signal", transform=head.transform) for head in scene.signal_heads]
    return [*parked, *heads]


def _one_frame(
    rasteriser: Rasteriser, kind: CameraKind, place: Transform, instances: Sequence[Instance]
) -> tuple[float, float, float, float]:
    view = CameraView(
        width=kind.width,
        height=kind.height,
        fov_deg=AGENT_CAMERA.fov_deg,
        transform=compose(place, _MOUNT),
    )
    began_s = time.thread_time()
    frame = rasteriser.render(view, instances, want=kind.want)
    rendered_s = time.thread_time()
    _encode(frame, kind.want)
    encoded_s = time.thread_time() - rendered_s
    stages = rasteriser.timings
    transform_s = rendered_s - began_s - stages.raster_s - stages.shade_s
    return transform_s, stages.raster_s, stages.shade_s, encoded_s


def _encode(frame: Frame, want: Channels) -> None:
    if Channels.RGB in want:
        frame.bgra.tobytes()
    if Channels.SEMANTIC in want:
        semantic_bgra(frame.semantic)
    if Channels.DEPTH in want:
        depth_bgra(frame.depth_m)
