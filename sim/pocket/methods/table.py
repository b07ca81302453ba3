"""All methods of the server by name."""

from __future__ import annotations

from sim.pocket.methods import (
    actors,
    batch,
    environment,
    episode,
    motion,
    recorder,
    sensors,
    traffic_lights,
    traffic_manager,
    vehicles,
    walkers,
)
from sim.pocket.methods.method import Method

METHODS: dict[str, Method] = {
    **episode.METHODS,
    **environment.METHODS,
    **actors.METHODS,
    **motion.METHODS,
    **vehicles.METHODS,
    **walkers.METHODS,
    **traffic_lights.METHODS,
    **sensors.METHODS,
    **traffic_manager.METHODS,
    **batch.METHODS,
    **recorder.METHODS,
}
