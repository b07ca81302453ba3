"""Which models answer now, and who is using them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from server.serving.model_folder import version_order
from server.serving.served_model import MemoryFigures, ServedModel


class LoadedModel:
    """A model that is in memory, and the number of requests that hold it.

    A request holds it so: ``with repository.lease(name) as model: ...``.
    """

    __slots__ = ("leases", "lock", "memory", "model", "when_idle")

    def __init__(self, model: ServedModel, memory: MemoryFigures) -> None:
        self.model = model
        self.memory = memory
        self.leases = 0
        #: Guards the number; `LoadedModels` shares its own.
        self.lock = threading.Lock()
        #: Called when the last request has left a model that was removed.
        self.when_idle: Callable[[], None] | None = None

    def __enter__(self) -> ServedModel:
        return self.model

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.leases -= 1
            when_idle = self.when_idle if self.leases == 0 else None
        if when_idle is not None:
            when_idle()


class LoadedModels:
    """The models in memory by name and version; thread-safe."""

    def __init__(self, missing: Callable[[str, str | None], Exception]) -> None:
        """Begin with none.

        Args:
            missing: Says why a name, or its version, is not there.
        """
        self._missing = missing
        self._lock = threading.Lock()
        self._by_version: dict[tuple[str, str], LoadedModel] = {}
        #: The highest version of each name.
        self._by_name: dict[str, LoadedModel] = {}

    def __len__(self) -> int:
        return len(self._by_version)

    def find(self, name: str, version: str | None) -> LoadedModel | None:
        """Return a version, or the highest one, if it is in memory."""
        if version is None:
            return self._by_name.get(name)
        return self._by_version.get((name, version))

    def get(self, name: str, version: str | None = None) -> ServedModel:
        """Return a loaded model, for a look at it; whoever runs it takes a `lease`.

        Args:
            name: Its name.
            version: Its version; None: the highest one that is loaded.

        Raises:
            Exception: What `missing` says.
        """
        loaded = self.find(name, version)
        if loaded is None:
            raise self._missing(name, version)
        return loaded.model

    def lease(self, name: str, version: str | None = None) -> LoadedModel:
        """Return a context manager that gives the model, and keeps it loaded meanwhile.

        Args and errors are those of `get`.
        """
        with self._lock:
            loaded = self.find(name, version)
            if loaded is not None:
                loaded.leases += 1
        if loaded is None:
            raise self._missing(name, version)
        return loaded

    def all(self) -> list[LoadedModel]:
        """Return everything that is in memory."""
        with self._lock:
            return list(self._by_version.values())

    def versions(self, name: str) -> list[str]:
        """Return the versions of a name that are in memory, the highest one last."""
        with self._lock:
            found = [version for other, version in self._by_version if other == name]
        return sorted(found, key=version_order)

    def put(self, loaded: LoadedModel) -> LoadedModel | None:
        """Let a model answer; return the one that it replaces."""
        with self._lock:
            loaded.lock = self._lock
            key = loaded.model.name, loaded.model.version
            replaced = self._by_version.get(key)
            self._by_version[key] = loaded
            self._find_highest(loaded.model.name)
        return replaced

    def remove(self, name: str, version: str) -> LoadedModel | None:
        """Let a model answer no further request; return it."""
        with self._lock:
            removed = self._by_version.pop((name, version), None)
            self._find_highest(name)
        return removed

    async def idle(self, removed: LoadedModel, timeout_s: float) -> bool:
        """Wait until nobody uses a removed model; return whether that came to pass in time."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        with self._lock:
            removed.when_idle = lambda: loop.call_soon_threadsafe(gone.set)  # type: ignore[assignment]
            if removed.leases == 0:
                gone.set()
        try:
            await asyncio.wait_for(gone.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _find_highest(self, name: str) -> None:
        versions = [version for other, version in self._by_version if other == name]
        if versions:
            highest = max(versions, key=version_order)
            self._by_name[name] = self._by_version[name, highest]
        else:
            self._by_name.pop(name, None)
