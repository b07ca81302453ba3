"""The registry of the Traffic Managers, which run in client processes."""

from __future__ import annotations

from typing import Any

from sim.pocket.methods.dispatch import Method, fires, returns
from sim.pocket.protocol.values import Uint32
from sim.pocket.world.world import World


def get_traffic_manager_running(world: World, port: Uint32) -> list[Any]:
    """Return (address, port) of a Traffic Manager; ("", 0) when there is none."""
    address = world.traffic_managers.address(port)
    return ["", 0] if address is None else [address, port]


def add_traffic_manager_running(world: World, owner: object, place: tuple[str, Uint32]) -> bool:
    """Announce a Traffic Manager that lives as long as the connection."""
    address, port = place
    return world.traffic_managers.add(address, port, owner)


METHODS: dict[str, Method] = {
    "is_traffic_manager_running": returns(
        lambda world, port: world.traffic_managers.address(port) is not None, Uint32
    ),
    "get_traffic_manager_running": returns(get_traffic_manager_running),
    "add_traffic_manager_running": returns(add_traffic_manager_running),
    "destroy_traffic_manager": fires(
        lambda world, port: world.traffic_managers.remove(port), Uint32
    ),
}
