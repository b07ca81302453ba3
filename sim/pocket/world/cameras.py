"""Camera sensors: which views a tick needs, and the messages made of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bicameral.errors import UserError
from sim.pocket.camera.lighting import lighting_from_weather
from sim.pocket.camera.rasteriser import Rasteriser
from sim.pocket.camera.view import CameraView, Channels, Instance
from sim.pocket.geometry import Transform
from sim.pocket.protocol.messages import SENSOR_TYPE_IDS, pack_image_header, pack_sensor_header
from sim.pocket.sensors.lens import ignored_by
from sim.pocket.sensors.pictures import Camera, Shot
from sim.pocket.world.actors import number_attribute
from sim.pocket.world.episode import Episode
from sim.pocket.world.publisher import Publisher

_LARGEST_SIDE_PX = 4096

logger = logging.getLogger(__name__)


class _Optics(NamedTuple):
    width: int
    height: int
    fov_deg: float


def check_camera(sensor: Camera) -> None:
    """Refuse a camera that cannot be rendered.

    Raises:
        UserError: Its size or field of view is out of range.
    """
    optics = _optics(sensor)
    if not (1 <= optics.width <= _LARGEST_SIDE_PX and 1 <= optics.height <= _LARGEST_SIDE_PX):
        raise UserError(
            f"a camera of {optics.width}x{optics.height} pixels cannot be rendered; "
            f"width and height must be 1..{_LARGEST_SIDE_PX}"
        )
    if not 1e-3 <= optics.fov_deg <= 179.0:
        raise UserError(
            f"a camera with fov {optics.fov_deg} degrees cannot be rendered; it must be 0.001..179"
        )
    ignored = ignored_by(sensor)
    if ignored:
        logger.warning("%s: %s have no effect here", sensor.type_id, ", ".join(ignored))


def _optics(sensor: Camera) -> _Optics:
    return _Optics(
        int(number_attribute(sensor, "image_size_x", 800.0)),
        int(number_attribute(sensor, "image_size_y", 600.0)),
        number_attribute(sensor, "fov", 90.0),
    )


class Cameras:
    """Renders what the subscribed cameras of an episode see.

    Cameras of one pose and size share a frame, so that an rgb, a depth and a semantic camera side
    by side cost little more than one.

    Args:
        seed: Seed of the image noise.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._registered: tuple[Rasteriser, set[str]] | None = None
        self._lit: tuple[Rasteriser, tuple[float, ...]] | None = None

    def publish(
        self,
        episode: Episode,
        due: Iterable[Camera],
        *,
        frame: int,
        weather: tuple[float, ...],
        publisher: Publisher,
    ) -> None:
        """Render and send the images of the cameras that are due.

        Args:
            episode: The world as it stands at this tick.
            due: Camera sensors with subscribers.
            frame: Number of the tick.
            weather: 14 numbers in the wire's order.
            publisher: Carries the messages.
        """
        views: dict[tuple[_Optics, Transform], list[Camera]] = {}
        for camera in due:
            views.setdefault((_optics(camera), camera.transform), []).append(camera)
        rasteriser = self._prepared(episode, weather)
        instances = self._instances(rasteriser, episode)
        for (optics, transform), cameras in views.items():
            view = CameraView(
                width=optics.width,
                height=optics.height,
                fov_deg=optics.fov_deg,
                transform=transform,
            )
            shot = self._render(rasteriser, view, instances, cameras, episode)
            header = pack_image_header(*optics)
            for camera in cameras:
                message = (
                    pack_sensor_header(
                        SENSOR_TYPE_IDS[camera.type_id],
                        frame,
                        episode.clock.now_s,
                        camera.transform,
                    ),
                    header,
                    camera.picture(shot),
                )
                publisher.publish(camera.identity.stream_id, message)

    def _render(
        self,
        rasteriser: Rasteriser,
        view: CameraView,
        instances: Sequence[Instance],
        cameras: Sequence[Camera],
        episode: Episode,
    ) -> Shot:
        channels = Channels(0)
        for camera in cameras:
            channels |= camera.channels
        # Counted from when the sensor was spawned: how many ticks pass between the load of a map
        # and the first actor is up to the client's polling, and no run could be repeated.
        first = cameras[0]
        age_ticks = episode.ticks - first.spawned_tick
        noise_seed = (self._seed * 1_000_003 + age_ticks) * 1_009 + first.ordinal & 0x7FFFFFFF
        frame = rasteriser.render(view, instances, noise_seed=noise_seed, want=channels)
        return Shot(
            frame=frame,
            view=view,
            instances=instances,
            now_s=episode.clock.now_s,
            noise_seed=noise_seed,
        )

    def _prepared(self, episode: Episode, weather: tuple[float, ...]) -> Rasteriser:
        rasteriser = episode.town.rasteriser
        if self._lit != (rasteriser, weather):
            rasteriser.set_lighting(lighting_from_weather(weather))
            self._lit = (rasteriser, weather)
        if self._registered is None or self._registered[0] is not rasteriser:
            self._registered = (rasteriser, set())
        return rasteriser

    def _instances(self, rasteriser: Rasteriser, episode: Episode) -> list[Instance]:
        registered = self._registered[1] if self._registered is not None else set()
        instances = []
        for seen in episode.visible:
            instance = seen.instance
            if instance.mesh_key not in registered:
                rasteriser.register_mesh(instance.mesh_key, seen.make_mesh())
                registered.add(instance.mesh_key)
            instances.append(instance)
        return instances
