"""Camera sensors: which views a tick needs, and the messages made of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.pocket.camera.lighting import lighting_from_weather
from sim.pocket.camera.rasteriser import Rasteriser
from sim.pocket.camera.view import CameraView, Channels, Instance
from sim.pocket.protocol.messages import SENSOR_TYPE_IDS, pack_image_header, pack_sensor_header
from sim.pocket.sensors.lens import ignored_by
from sim.pocket.sensors.pictures import Camera, Shot
from sim.pocket.world.actors import number_attribute
from sim.pocket.world.episode import Episode

if TYPE_CHECKING:
    from sim.pocket.world.world import World

logger = logging.getLogger(__name__)


def check_camera(sensor: Camera) -> None:
    """Refuse a camera that cannot be rendered.

    Raises:
        UserError: Its size or field of view is out of range.
    """
    _view(sensor)
    ignored = ignored_by(sensor)
    if ignored:
        logger.warning("%s: %s have no effect here", sensor.type_id, ", ".join(ignored))


def publish_images(world: World) -> None:
    """Render and send the pictures of the cameras whose turn it is and that somebody listens to.

    Cameras of one pose and size share a frame, so that an rgb, a depth and a semantic camera side
    by side cost little more than one.
    """
    episode, publisher = world.episode, world.publisher
    now_s = episode.clock.now_s
    views: dict[CameraView, list[Camera]] = {}
    for camera in episode.actors.of_class(Camera):  # type: ignore[type-abstract]
        if camera.take_turn(now_s) and publisher.has_subscribers(camera.identity.stream_id):
            views.setdefault(_view(camera), []).append(camera)
    if not views or world.settings.no_rendering_mode:
        return
    rasteriser = episode.town.rasteriser
    rasteriser.set_lighting(lighting_from_weather(world.weather))
    instances = _instances(rasteriser, episode)
    for view, cameras in views.items():
        shot = _render(world, view, instances, cameras)
        header = pack_image_header(view.width, view.height, view.fov_deg)
        for camera in cameras:
            type_id = SENSOR_TYPE_IDS[camera.type_id]
            sensor_header = pack_sensor_header(type_id, world.frame, now_s, camera.transform)
            message = (sensor_header, header, camera.picture(shot))
            publisher.publish(camera.identity.stream_id, message)


def _view(sensor: Camera) -> CameraView:
    return CameraView(
        width=int(number_attribute(sensor, "image_size_x", 800.0)),
        height=int(number_attribute(sensor, "image_size_y", 600.0)),
        fov_deg=number_attribute(sensor, "fov", 90.0),
        transform=sensor.transform,
    )


def _render(
    world: World, view: CameraView, instances: Sequence[Instance], cameras: Sequence[Camera]
) -> Shot:
    episode = world.episode
    channels = Channels(0)
    for camera in cameras:
        channels |= camera.channels
    # Counted from when the sensor was spawned: how many ticks pass between the load of a map
    # and the first actor is up to the client's polling, and no run could be repeated.
    first = cameras[0]
    age_ticks = episode.ticks - first.spawned_tick
    noise_seed = (world.seed * 1_000_003 + age_ticks) * 1_009 + first.ordinal & 0x7FFFFFFF
    rasteriser = episode.town.rasteriser
    return Shot(
        frame=rasteriser.render(view, instances, noise_seed=noise_seed, want=channels),
        view=view,
        instances=instances,
        now_s=episode.clock.now_s,
        noise_seed=noise_seed,
    )


def _instances(rasteriser: Rasteriser, episode: Episode) -> list[Instance]:
    instances = []
    for seen in episode.visible:
        if seen.instance.mesh_key not in rasteriser.mesh_keys:
            rasteriser.register_mesh(seen.instance.mesh_key, seen.make_mesh())
        instances.append(seen.instance)
    return instances
