"""From a sidecar's block ``memory``, or from settings, to a result memory."""

from __future__ import annotations

import logging

from bicameral.protocols import ResultMemory
from edge.memory.keys import key_scheme
from edge.memory.local import LocalMemory
from edge.memory.redis_memory import RedisMemory, RedisServer
from edge.memory.settings import MemorySettings
from edge.sidecar import CascadeMemory, TaskSpec

_log = logging.getLogger(__name__)


def settings_from_spec(spec: CascadeMemory) -> MemorySettings:
    """Return the settings that a sidecar asks for."""
    return MemorySettings(
        key=spec.key,
        tolerance_mae_u8=spec.tolerance_mae_u8,
        max_entries=spec.max_entries,
        max_age_s=spec.max_age_s,
        store_min_confidence=spec.store_min_confidence,
    )


def memory_from_spec(
    spec: CascadeMemory, *, task: TaskSpec | None = None, server: RedisServer | None = None
) -> ResultMemory:
    """Make the memory that a sidecar asks for; arguments as for `memory_from_settings`."""
    return memory_from_settings(settings_from_spec(spec), task=task, server=server)


def memory_from_settings(
    settings: MemorySettings, *, task: TaskSpec | None = None, server: RedisServer | None = None
) -> ResultMemory:
    """Make an empty memory, or connect to a shared one.

    Args:
        settings: What to remember, and when to recognise it.
        task: The sidecar's block ``task``. A warning is logged if orientation matters to it and
            the key cannot see orientation.
        server: The server that several processes share; None: a memory of this process.

    Raises:
        UserError: If there is no key of that name.
        MissingExtraError: If a server is given and the package ``redis`` is not installed.
    """
    scheme = key_scheme(settings.key)
    if task is not None and task.orientation_sensitive and scheme.orientation_blind:
        _log.warning(
            "the memory key %r cannot tell an image from its rotations and mirror images, but the "
            "task is orientation-sensitive: it will answer with labels of other orientations; use "
            "'exact' or 'dhash_verified'",
            scheme.name,
        )
    return LocalMemory(settings) if server is None else RedisMemory(settings, server)
