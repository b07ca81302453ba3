"""From a sidecar's block ``memory`` to a result memory."""

from __future__ import annotations

from bicameral.protocols import ResultMemory
from edge.cascade_sidecar import CascadeMemory
from edge.memory.local import LocalMemory
from edge.memory.redis_memory import RedisMemory, RedisServer
from edge.memory.settings import MemorySettings


def memory_from_spec(spec: CascadeMemory, *, server: RedisServer | None = None) -> ResultMemory:
    """Make the empty memory that a sidecar asks for, or connect to a shared one.

    Args:
        spec: The sidecar's block ``memory``.
        server: The server that several processes share; None: a memory of this process.

    Raises:
        MissingExtraError: If a server is given and the package ``redis`` is not installed.
    """
    settings = MemorySettings(**spec.model_dump())
    return LocalMemory(settings) if server is None else RedisMemory(settings, server)
