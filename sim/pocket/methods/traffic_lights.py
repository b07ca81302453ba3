"""States and times of traffic lights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.pocket.methods.dispatch import Method, completes, fires, returns
from sim.pocket.protocol.values import BoundingBox, Uint32
from sim.pocket.traffic_lights import LightState, TrafficLights
from sim.pocket.world.actors import TrafficLightActor
from sim.pocket.world.level_boxes import light_boxes
from sim.pocket.world.world import World


def _of_light(how: Callable[..., None], *kinds: Any) -> Method:
    """Declare a method that hands a light, and more, on to the lights of the episode."""

    def hand_on(world: World, actor: TrafficLightActor, *values: Any) -> None:
        how(world.episode.lights, actor.opendrive_id, *values)

    hand_on.__doc__ = how.__doc__
    return fires(hand_on, TrafficLightActor, *kinds)


def _setting_time(state: LightState) -> Method:
    """Declare the method that sets how long lights show a state."""

    def set_time(lights: TrafficLights, opendrive_id: str, seconds: float) -> None:
        """Set how long a light, and those that are green with it, show the state, s."""
        lights.set_time(opendrive_id, state, seconds)

    return _of_light(set_time, float)


def get_group_traffic_lights(world: World, actor: TrafficLightActor) -> list[int]:
    """Return the actor ids of the lights that switch together with one."""
    ids = world.episode.light_actor_ids
    return [ids[member] for member in actor.light.group]


def get_light_boxes(world: World, actor: TrafficLightActor) -> list[BoundingBox]:
    """Return the boxes of the light's heads, world frame."""
    return light_boxes(world.episode.town.scene, actor)


METHODS: dict[str, Method] = {
    "set_traffic_light_state": _of_light(TrafficLights.set_state, Uint32),
    "set_traffic_light_green_time": _setting_time(LightState.GREEN),
    "set_traffic_light_yellow_time": _setting_time(LightState.YELLOW),
    "set_traffic_light_red_time": _setting_time(LightState.RED),
    "freeze_traffic_light": _of_light(TrafficLights.freeze, bool),
    "freeze_all_traffic_lights": fires(
        lambda world, frozen: world.episode.lights.freeze_all(frozen), bool
    ),
    "reset_traffic_light_group": _of_light(TrafficLights.reset_group),
    "reset_all_traffic_lights": completes(lambda world: world.episode.lights.reset_all()),
    "get_group_traffic_lights": returns(get_group_traffic_lights),
    "get_light_boxes": returns(get_light_boxes),
}
