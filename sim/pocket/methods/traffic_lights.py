"""States and times of traffic lights."""

from __future__ import annotations

from sim.pocket.methods.dispatch import Method, completes, fires, returns
from sim.pocket.protocol.values import BoundingBox, Uint32
from sim.pocket.traffic_lights import LightState
from sim.pocket.world.actors import TrafficLightActor
from sim.pocket.world.level_boxes import light_boxes
from sim.pocket.world.world import World


def set_traffic_light_state(world: World, actor: TrafficLightActor, state: Uint32) -> None:
    """Switch a light: red 0, yellow 1, green 2, off 3."""
    world.episode.lights.set_state(actor.opendrive_id, state)


def _setting_time(state: LightState) -> Method:
    """Declare the method that sets how long lights show a state."""

    def set_time(world: World, actor: TrafficLightActor, seconds: float) -> None:
        """Set how long a light, and those that are green with it, show the state, s."""
        world.episode.lights.set_time(actor.opendrive_id, state, seconds)

    return fires(set_time)


def freeze_traffic_light(world: World, actor: TrafficLightActor, frozen: bool) -> None:
    """Hold a light and its group in their states, or let them go on."""
    world.episode.lights.freeze(actor.opendrive_id, frozen)


def freeze_all_traffic_lights(world: World, frozen: bool) -> None:
    """Hold all lights in their states, or let them go on."""
    world.episode.lights.freeze_all(frozen)


def reset_traffic_light_group(world: World, actor: TrafficLightActor) -> None:
    """Begin the cycle of a light's group anew."""
    world.episode.lights.reset_group(actor.opendrive_id)


def reset_all_traffic_lights(world: World) -> None:
    """Begin the cycles of all groups anew."""
    world.episode.lights.reset_all()


def get_group_traffic_lights(world: World, actor: TrafficLightActor) -> list[int]:
    """Return the actor ids of the lights that switch together with one."""
    ids = world.episode.light_actor_ids
    return [ids[member] for member in actor.light.group]


def get_light_boxes(world: World, actor: TrafficLightActor) -> list[BoundingBox]:
    """Return the boxes of the light's heads, world frame."""
    return light_boxes(world.episode.town.scene, actor)


METHODS: dict[str, Method] = {
    "set_traffic_light_state": fires(set_traffic_light_state),
    "set_traffic_light_green_time": _setting_time(LightState.GREEN),
    "set_traffic_light_yellow_time": _setting_time(LightState.YELLOW),
    "set_traffic_light_red_time": _setting_time(LightState.RED),
    "freeze_traffic_light": fires(freeze_traffic_light),
    "freeze_all_traffic_lights": fires(freeze_all_traffic_lights),
    "reset_traffic_light_group": fires(reset_traffic_light_group),
    "reset_all_traffic_lights": completes(reset_all_traffic_lights),
    "get_group_traffic_lights": returns(get_group_traffic_lights),
    "get_light_boxes": returns(get_light_boxes),
}
