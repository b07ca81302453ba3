"""The registry of the Traffic Managers, which run in client processes."""

from __future__ import annotations

from typing import Any

from sim.pocket.methods.method import Method, fires, returns
from sim.pocket.protocol.values import fields_from_wire, str_from_wire, uint_from_wire
from sim.pocket.world.world import World


def is_traffic_manager_running(world: World, _owner: object, port: Any) -> bool:
    """Say whether a Traffic Manager was announced on a port."""
    return world.traffic_managers.address(uint_from_wire(port)) is not None


def get_traffic_manager_running(world: World, _owner: object, port: Any) -> list[Any]:
    """Return (address, port) of a Traffic Manager; ("", 0) when there is none."""
    number = uint_from_wire(port)
    address = world.traffic_managers.address(number)
    return ["", 0] if address is None else [address, number]


def add_traffic_manager_running(world: World, owner: object, place: Any) -> bool:
    """Announce a Traffic Manager that lives as long as the connection."""
    address, port = fields_from_wire(place, 2)[:2]
    return world.traffic_managers.add(str_from_wire(address), uint_from_wire(port), owner)


def destroy_traffic_manager(world: World, _owner: object, port: Any) -> None:
    """Forget a Traffic Manager."""
    world.traffic_managers.remove(uint_from_wire(port))


METHODS: dict[str, Method] = {
    "is_traffic_manager_running": returns(is_traffic_manager_running),
    "get_traffic_manager_running": returns(get_traffic_manager_running),
    "add_traffic_manager_running": returns(add_traffic_manager_running),
    "destroy_traffic_manager": fires(destroy_traffic_manager),
}
