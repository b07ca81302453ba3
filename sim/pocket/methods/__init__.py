"""The RPC methods by subject.

To add a method, write a function in the module of its subject and name it in that module's
``METHODS`` with `returns` (it answers a value), `completes` (awaited, no value), `fires` (fire and
forget) or `answers_bare`. The function takes the arguments of the call as what its annotations say.
An expression needs no function: it stands in the line, with the kinds of its arguments behind it;
see `dispatch`.
"""

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
from sim.pocket.methods.dispatch import Method

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
