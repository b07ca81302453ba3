"""What each camera makes of a rendered frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.pocket.camera.encode import depth_bgra, instance_bgra, normals_bgra, semantic_bgra
from sim.pocket.camera.optical_flow import Arrangement, arrangement_of, optical_flow
from sim.pocket.camera.view import CameraView, Channels, Frame, Instance
from sim.pocket.sensors.lens import curve_of
from sim.pocket.world.actors import Sensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A frame that was rendered for a camera.

    Attributes:
        frame: It has the channels that were asked for.
        view: From where.
        instances: What moves in it.
        now_s: Simulated time.
        noise_seed: Differs from shot to shot and from camera to camera.
    """

    frame: Frame
    view: CameraView
    instances: Sequence[Instance]
    now_s: float
    noise_seed: int


class Camera(Sensor, ABC):
    """A sensor that makes pictures of what is rendered for it.

    Attributes:
        channels: What it needs of a frame.
    """

    channels: Channels

    @abstractmethod
    def picture(self, shot: Shot) -> bytes:
        """Return what follows the header of the image; nobody writes to it later."""


class ColourCamera(Camera):
    """``sensor.camera.rgb``: colours, exposed as the attributes say."""

    channels = Channels.RGB

    def _read_attributes(self) -> None:
        self._curve = curve_of(self)

    def picture(self, shot: Shot) -> bytes:
        """Return B, G, R, A of each pixel."""
        if self._curve is None:
            return shot.frame.bgra.tobytes()
        return self._curve[shot.frame.bgra].tobytes()


class DepthCamera(Camera):
    """``sensor.camera.depth``: distances along the camera's axis."""

    channels = Channels.DEPTH

    def picture(self, shot: Shot) -> bytes:
        """Return CARLA's 24-bit code of each pixel."""
        return depth_bgra(shot.frame.depth_m).tobytes()


class SemanticCamera(Camera):
    """``sensor.camera.semantic_segmentation``: classes."""

    channels = Channels.SEMANTIC

    def picture(self, shot: Shot) -> bytes:
        """Return the class of each pixel in the red byte."""
        return semantic_bgra(shot.frame.semantic).tobytes()


class InstanceCamera(Camera):
    """``sensor.camera.instance_segmentation``: classes and actors.

    Real CARLA numbers things by the engine's own ids; these are the ids of the actors, and 0 for
    the scenery. Only the lower 16 bits find room.
    """

    channels = Channels.SEMANTIC | Channels.INSTANCE

    def picture(self, shot: Shot) -> bytes:
        """Return the class in the red byte and the actor in green and blue."""
        ids = np.array([*(item.actor_id for item in shot.instances), 0], np.uint32)
        return instance_bgra(shot.frame.semantic, ids[shot.frame.instance]).tobytes()


class NormalsCamera(Camera):
    """``sensor.camera.normals``: where surfaces face, world frame."""

    channels = Channels.NORMALS

    def picture(self, shot: Shot) -> bytes:
        """Return x, y, z in the red, green and blue byte; grey for the sky."""
        return normals_bgra(shot.frame.normals).tobytes()


class FlowCamera(Camera):
    """``sensor.camera.optical_flow``: motion since the camera's last picture.

    As in CARLA, it is measured in halves of the picture, to the right and upwards.
    """

    channels = Channels.DEPTH | Channels.INSTANCE

    _before: Arrangement | None = None

    def picture(self, shot: Shot) -> bytes:
        """Return two float32 of each pixel; nothing moves in the first picture."""
        now = arrangement_of(shot.view, shot.instances)
        before, self._before = self._before or now, now
        return optical_flow(shot.frame, shot.view, shot.instances, before).tobytes()
