"""The registry through which clients find each other's Traffic Managers."""

from __future__ import annotations

from typing import NamedTuple


class _Entry(NamedTuple):
    address: str
    owner: object


class TrafficManagerRegistry:
    """Traffic Managers by port; each belongs to the connection that announced it."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}

    def add(self, address: str, port: int, owner: object) -> bool:
        """Announce a Traffic Manager; False when the port is taken."""
        if port in self._entries:
            return False
        self._entries[port] = _Entry(address, owner)
        return True

    def address(self, port: int) -> str | None:
        """Return where the Traffic Manager of a port runs, or None."""
        entry = self._entries.get(port)
        return None if entry is None else entry.address

    def count(self, owner: object) -> int:
        """Return how many a connection has announced."""
        return len(self.ports(owner))

    def ports(self, owner: object) -> list[int]:
        """Return the ports of those that a connection has announced."""
        return [port for port, entry in self._entries.items() if entry.owner is owner]

    def remove(self, port: int) -> bool:
        """Forget a Traffic Manager; False when there is none."""
        return self._entries.pop(port, None) is not None

    def forget(self, owner: object) -> None:
        """Forget all Traffic Managers of a connection that has closed.

        Otherwise the next client would talk to a dead port.
        """
        self._entries = {
            port: entry for port, entry in self._entries.items() if entry.owner is not owner
        }
