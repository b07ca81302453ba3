"""What a vehicle can run into, and where traffic-light heads hang."""

from __future__ import annotations

from dataclasses import dataclass

from sim.pocket.geometry import Transform, Vector3
from sim.pocket.scene.labels import CityObjectLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """An upright box, world frame: centre and half extents in metres, yaw in degrees."""

    location: Vector3
    half_extent: Vector3
    yaw_deg: float
    tag: CityObjectLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalHead:
    """A traffic-light head to draw in its state; its lamps look along the transform's x axis."""

    opendrive_id: str
    transform: Transform
