"""Which sensors of the library carry data here, and what to use instead of the others."""

from __future__ import annotations

from typing import NamedTuple

from bicameral.errors import UserError
from sim.pocket.sensors.event_camera import EventCamera
from sim.pocket.sensors.gnss import Gnss
from sim.pocket.sensors.imu import Imu
from sim.pocket.sensors.lidar import Lidar, SemanticLidar
from sim.pocket.sensors.obstacle import ObstacleDetector
from sim.pocket.sensors.pictures import (
    ColourCamera,
    DepthCamera,
    FlowCamera,
    InstanceCamera,
    NormalsCamera,
    SemanticCamera,
)
from sim.pocket.sensors.radar import Radar
from sim.pocket.world.actors import Sensor


class Delivered(NamedTuple):
    """A sensor that sends.

    Attributes:
        kind: Its class; a plain `Sensor` where collisions or the client make its messages.
        has_stream: False when the client computes the data.
    """

    kind: type[Sensor] = Sensor
    has_stream: bool = True


class Refused(NamedTuple):
    """A sensor that cannot be spawned; it stays in the library, where scripts look it up.

    Attributes:
        instead: What to do, the end of a sentence.
    """

    instead: str


_NO_RADIO = "there is no vehicle-to-everything radio; read the other actors' states"

#: Every sensor of the library.
OFFER: dict[str, Delivered | Refused] = {
    "sensor.camera.rgb": Delivered(ColourCamera),
    "sensor.camera.depth": Delivered(DepthCamera),
    "sensor.camera.semantic_segmentation": Delivered(SemanticCamera),
    "sensor.camera.instance_segmentation": Delivered(InstanceCamera),
    "sensor.camera.normals": Delivered(NormalsCamera),
    "sensor.camera.optical_flow": Delivered(FlowCamera),
    "sensor.camera.dvs": Delivered(EventCamera),
    "sensor.other.collision": Delivered(),
    "sensor.other.lane_invasion": Delivered(has_stream=False),
    "sensor.other.gnss": Delivered(Gnss),
    "sensor.other.imu": Delivered(Imu),
    "sensor.other.radar": Delivered(Radar),
    "sensor.other.obstacle": Delivered(ObstacleDetector),
    "sensor.lidar.ray_cast": Delivered(Lidar),
    "sensor.lidar.ray_cast_semantic": Delivered(SemanticLidar),
    "sensor.camera.cosmos_visualization": Refused("use sensor.camera.semantic_segmentation"),
    "sensor.other.rss": Refused("the official client's wheel is built without RSS"),
    "sensor.other.v2x": Refused(_NO_RADIO),
    "sensor.other.v2x_custom": Refused(_NO_RADIO),
}


def delivered(type_id: str) -> Delivered:
    """Return how a sensor gets its data.

    Raises:
        UserError: It has none here; better said when it is spawned than waited for.
    """
    offer = OFFER[type_id]
    if isinstance(offer, Refused):
        raise UserError(
            f"the pocket simulator does not simulate {type_id}, so it cannot be spawned: "
            f"{offer.instead}"
        )
    return offer
