"""Which sensors of the library carry data here, and what to use instead of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bicameral.errors import UserError
from sim.pocket.sensors.event_camera import EventPicture
from sim.pocket.sensors.gnss import Gnss
from sim.pocket.sensors.imu import Imu
from sim.pocket.sensors.instrument import Instrument
from sim.pocket.sensors.lidar import Lidar, SemanticLidar
from sim.pocket.sensors.obstacle import ObstacleDetector
from sim.pocket.sensors.pictures import (
    ColourPicture,
    DepthPicture,
    FlowPicture,
    InstancePicture,
    NormalsPicture,
    PictureMaker,
    SemanticPicture,
)
from sim.pocket.sensors.radar import Radar
from sim.pocket.world.actors import Sensor


class Delivered(NamedTuple):
    """A sensor that sends.

    Attributes:
        instrument: Makes its messages; None where cameras, collisions or the client do.
        pictures: Makes the pictures of a camera; None for other sensors.
        has_stream: False when the client computes the data.
    """

    instrument: Callable[[Sensor], Instrument] | None = None
    pictures: Callable[[Sensor], PictureMaker] | None = None
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
    "sensor.camera.rgb": Delivered(pictures=ColourPicture),
    "sensor.camera.depth": Delivered(pictures=DepthPicture),
    "sensor.camera.semantic_segmentation": Delivered(pictures=SemanticPicture),
    "sensor.camera.instance_segmentation": Delivered(pictures=InstancePicture),
    "sensor.camera.normals": Delivered(pictures=NormalsPicture),
    "sensor.camera.optical_flow": Delivered(pictures=FlowPicture),
    "sensor.camera.dvs": Delivered(pictures=EventPicture),
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
