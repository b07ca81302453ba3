"""The models of a server: found in folders, loaded, replaced and unloaded while others answer.

A model that cannot be loaded stays in the index with its reason and concerns nobody else. A model
is warm before the first request can reach it, and is closed after the last one has left it. Names
from requests are only ever compared with those that were found: no path is made of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bicameral.errors import BicameralError, unknown_name
from server.errors import RequestError
from server.serving.footprint import return_free_memory
from server.serving.lessons import Lesson
from server.serving.loaded_models import LoadedModel, LoadedModels
from server.serving.loading import load_served_model
from server.serving.model_folder import (
    revision_of,
    scan_folders,
    version_order,
)
from server.serving.model_slot import NOT_LOADED, READY, IndexEntry, ModelSlot
from server.serving.served_model import MemoryFigures, ModelVersion, ServedModel, ServingParts

_log = logging.getLogger(__name__)

#: Characters of a name, see `server.serving.model_folder`.
_LONGEST_NAME = 128


class ModelRepository:
    """Finds, loads and hands out models.

    Loading, unloading and refreshing happen one after the other, on one event loop; everything
    else may be called from any thread.
    """

    def __init__(
        self, folders: Sequence[Path], parts: ServingParts, *, drain_s: float = 10.0
    ) -> None:
        """Remember where to look; `start` looks.

        Args:
            folders: Folders of models, see `server.serving.model_folder`.
            parts: What all models share.
            drain_s: How long unloading waits for the requests that use a model.
        """
        self._folders = tuple(folders)
        self._parts = parts
        self._drain_s = drain_s
        self._slots: dict[str, dict[str, ModelSlot]] = {}
        #: What each version shall know beside its files whenever it is loaded.
        self._lessons: dict[ModelVersion, tuple[Lesson, ...]] = {}
        self._loaded = LoadedModels()
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started = False

    @property
    def ready(self) -> bool:
        """Whether the start is over and at least one model answers."""
        return self._started and len(self._loaded) > 0

    async def start(self) -> None:
        """Load the highest version of every model; of one that is broken, the next lower one.

        Raises:
            ConfigError: If a folder cannot be read.
        """
        await self.refresh()
        self._started = True

    def get(self, name: str, version: str | None = None) -> ServedModel:
        """Return a loaded model, for a look at it; whoever runs it takes a `lease`.

        Args:
            name: Its name.
            version: Its version; None: the highest one that is loaded.

        Raises:
            RequestError: 404 with the known names or versions; 503 if it is not loaded.
        """
        loaded = self._loaded.get(name, version)
        if loaded is None:
            raise self._missing(name, version)
        return loaded.model

    def lease(self, name: str, version: str | None = None) -> LoadedModel:
        """Return a context manager that gives the model, and keeps it loaded meanwhile.

        Args and errors are those of `get`.
        """
        lease = self._loaded.lease(name, version)
        if lease is None:
            raise self._missing(name, version)
        return lease

    def models(self) -> list[ServedModel]:
        """Return all loaded models."""
        return [loaded.model for loaded in self._loaded.all()]

    def versions(self, name: str) -> list[str]:
        """Return the loaded versions of a model, the highest one last."""
        return self._loaded.versions(name)

    def memory(self, name: str, version: str | None = None) -> MemoryFigures:
        """Return what a loaded model takes; args and errors are those of `get`."""
        loaded = self._loaded.get(name, version)
        if loaded is None:
            raise self._missing(name, version)
        return loaded.memory

    def index(self) -> list[IndexEntry]:
        """Return everything that was found, sorted by name and version."""
        return [
            IndexEntry(name=name, version=version, state=slot.status[0], reason=slot.status[1])
            for name, slots in sorted(self._slots.items())
            for version, slot in sorted(slots.items(), key=lambda item: version_order(item[0]))
        ]

    async def load(self, name: str, version: str | None = None) -> None:
        """Load a model, or load it again if its files have changed; other versions stay.

        It goes on if the caller is cancelled.

        Args:
            name: Its name.
            version: Its version; None: the highest one that was found.

        Raises:
            RequestError: 404 with the known names or versions; 400 with the reason if it cannot be
                loaded. What was loaded before then stays.
        """
        await self._apart(partial(self._load_by_request, name, version))

    async def unload(self, name: str, version: str | None = None) -> None:
        """Let no further request reach a model, wait for those that use it, and free its memory.

        It goes on if the caller is cancelled. Nothing happens if it is not loaded.

        Args:
            name: Its name.
            version: Its version; None: all.

        Raises:
            RequestError: 404 with the known names or versions.
        """
        await self._apart(partial(self._unload_by_request, name, version))

    async def teach(self, model: ModelVersion, lessons: Sequence[Lesson]) -> None:
        """Let a version know these lessons and no others, now and whenever it is loaded again.

        It goes on if the caller is cancelled. Until it knows them, it answers as before.

        Raises:
            RequestError: 400 with the reason if it cannot learn them; it stays as it was.
        """
        await self._apart(partial(self._teach, model, tuple(lessons)))

    async def refresh(self) -> None:
        """Look into the folders and follow what has changed there.

        New models are loaded, and new versions that are higher than what is loaded take their
        place; changed files replace what was loaded from them; what was removed is unloaded. A
        model that was unloaded by request, and a lower version, stay as they are. Whatever cannot
        be loaded is reported in the index and tried again when its files have changed.

        After the start, files that changed are followed at the first look at which they are the
        same as at the look before.

        Raises:
            ConfigError: If a folder cannot be read.
        """
        await self._apart(self._follow_folders)

    async def close(self) -> None:
        """Unload everything."""
        for model in self.models():
            await self.unload(model.name, model.version)
        self._parts.decoder.close()

    async def _apart(self, change: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Make a change in a task of its own, so that no disconnecting client breaks it off."""

        async def one_by_one() -> None:
            async with self._changing:
                await change()

        task = asyncio.create_task(one_by_one())
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # or asyncio complains where the caller has gone

    async def _load_by_request(self, name: str, version: str | None) -> None:
        await self._scan()
        slots = self._known(name, version)
        chosen = max(slots, key=version_order) if version is None else version
        slot = slots[chosen]
        slot.withdrawn = False
        if not await self._load(slot, retry=True):
            raise RequestError(
                400, f"cannot load model {name!r} version {chosen!r}: {slot.status[1]}"
            )

    async def _unload_by_request(self, name: str, version: str | None) -> None:
        slots = self._known(name, version)
        for chosen in list(slots) if version is None else [version]:
            slots[chosen].withdrawn = True
            await self._retire(name, chosen, "unloaded by request")

    async def _teach(self, model: ModelVersion, lessons: tuple[Lesson, ...]) -> None:
        before = self._lessons.get(model, ())
        self._lessons[model] = lessons
        slot = self._slots.get(model.name, {}).get(model.version)
        loaded = self._loaded.get(model.name, model.version) is not None
        if slot is None or not loaded or slot.taught == lessons:
            return
        seen, failed, status = slot.seen, slot.failed, slot.status
        if not await self._load(slot, retry=True):
            reason = slot.status[1]
            self._lessons[model] = before
            slot.seen, slot.failed, slot.status = seen, failed, status
            raise RequestError(400, reason)

    async def _follow_folders(self) -> None:
        found = await self._scan()
        present: dict[str, dict[str, ModelSlot]] = {}
        for name, slots in self._slots.items():
            here = {version: slot for version, slot in slots.items() if (name, version) in found}
            whole = {slot.found.path for slot in here.values() if slot.found.problem is None}
            gone: dict[str, ModelSlot] = {}
            for version in self._loaded.versions(name):
                slot = slots[version]
                if version in here:
                    await self._load(slot, retry=False)
                elif slot.found.path in whole or await asyncio.to_thread(slot.look):
                    gone[version] = slot
            await self._follow_versions(name, here, gone)
            await self._leave(name, gone)
            for slot in here.values():
                if slot.seen is None and slot.glimpsed is None:
                    slot.seen = await asyncio.to_thread(revision_of, slot.found.path)
            here |= {version: slots[version] for version in self._loaded.versions(name)}
            if here:
                present[name] = here
        self._slots = present

    async def _follow_versions(
        self, name: str, slots: Mapping[str, ModelSlot], gone: Collection[str]
    ) -> None:
        """Load the highest version that is new or has changed, in place of a lower one.

        If none is loaded, because it is the start or because it is gone, any version will do.
        """
        served = [version for version in self._loaded.versions(name) if version not in gone]
        if not served and any(slot.withdrawn for slot in slots.values()):
            return
        for version in sorted(slots, key=version_order, reverse=True):
            if served and version_order(version) <= version_order(served[-1]):
                return
            slot = slots[version]
            if slot.withdrawn or (served and not await _changed(slot)):
                continue
            if await self._load(slot, retry=False):
                if served:
                    await self._retire(name, served[-1], f"replaced by version {version}")
                return

    async def _leave(self, name: str, gone: Mapping[str, ModelSlot]) -> None:
        """Unload what is no longer in the folders.

        Where a sidecar was overwritten by one that does not work (yet), the old model goes on.
        """
        for version, slot in gone.items():
            others = [other for other in self._loaded.versions(name) if other not in gone]
            if others:
                await self._retire(name, version, f"replaced by version {others[-1]}")
            elif slot.found.path.exists():
                reason = f"{slot.found.path} holds something else now, which does not work yet"
                slot.status = ("READY", reason)
            else:
                await self._retire(name, version, "its files were removed")

    async def _scan(self) -> set[tuple[str, str]]:
        """Look into the folders; return names and versions of what lies there."""
        models = await asyncio.to_thread(scan_folders, self._folders)
        slots: dict[str, dict[str, ModelSlot]] = {}
        for model in models:
            slot = self._slots.get(model.name, {}).get(model.version) or ModelSlot(model)
            if model.problem is not None:
                slot.status = (slot.status[0], model.problem)
            elif slot.found.problem is not None:  # and now it is mended
                slot.status = READY if slot.status[0] == "READY" else NOT_LOADED
            slot.found = model
            slots.setdefault(model.name, {})[model.version] = slot
        for loaded in self.models():  # its files may be gone
            known = slots.setdefault(loaded.name, {})
            known.setdefault(loaded.version, self._slots[loaded.name][loaded.version])
        self._slots = slots
        return {(model.name, model.version) for model in models}

    async def _load(self, slot: ModelSlot, *, retry: bool) -> bool:
        """Load a version, or load it again if its files have changed.

        Args:
            slot: The version.
            retry: Try again what failed with the same files.

        Returns:
            Whether what its files hold now is loaded.
        """
        found = slot.found
        if found.problem is not None:
            return False
        loaded = self._loaded.get(found.name, found.version) is not None
        revision = await asyncio.to_thread(revision_of, found.path)
        if revision == slot.seen and slot.failed and not retry:
            return False
        served_as = ModelVersion(name=found.name, version=found.version)
        lessons = self._lessons.get(served_as, ())
        if revision == slot.seen and loaded and not slot.failed and lessons == slot.taught:
            slot.status = READY
            return True
        if self._started and not retry and not await asyncio.to_thread(slot.look):
            return False
        slot.seen, slot.failed = revision, False
        if not loaded:
            slot.status = ("LOADING", "")
        try:
            model, memory = await asyncio.to_thread(
                load_served_model,
                found.path,
                served_as,
                self._parts,
                lessons,
            )
        except Exception as error:  # whatever is wrong with it, the others go on
            expected = isinstance(error, BicameralError)
            _log.warning("cannot load %s: %s", found.path, error, exc_info=not expected)
            slot.failed = True
            slot.status = ("READY" if loaded else "UNAVAILABLE", str(error) or repr(error))
            return False
        replaced = self._loaded.put(LoadedModel(model, memory))
        slot.status, slot.taught = READY, lessons
        _log.info("loaded %s version %s from %s", found.name, found.version, found.path)
        if replaced is not None:
            await self._free(replaced)
        return True

    async def _retire(self, name: str, version: str, reason: str) -> None:
        """Unload a version, if it is loaded."""
        removed = self._loaded.remove(name, version)
        if removed is None:
            return
        slot = self._slots[name][version]
        slot.status = ("UNAVAILABLE", "being unloaded")
        await self._free(removed)
        slot.status = ("UNAVAILABLE", reason)
        _log.info("unloaded %s version %s: %s", name, version, reason)

    async def _free(self, removed: LoadedModel) -> None:
        if not await self._loaded.idle(removed, self._drain_s):
            _log.warning(
                "model %s version %s is closed with %d requests that did not end within %g s",
                removed.model.name,
                removed.model.version,
                removed.leases,
                self._drain_s,
            )
        removed.model.close()
        await asyncio.to_thread(return_free_memory)

    def _known(self, name: str, version: str | None) -> dict[str, ModelSlot]:
        """Return the versions of a model.

        Raises:
            RequestError: 404 if there is no model of that name, or not that version.
        """
        slots = self._slots.get(name)
        if slots is None:
            raise _not_found("model", name, self._slots)
        if version is not None and version not in slots:
            raise _not_found(f"version of model {name!r}", version, slots)
        return slots

    def _missing(self, name: str, version: str | None) -> RequestError:
        """Return the error for a model that is not loaded."""
        try:
            slots = self._known(name, version)
        except RequestError as error:
            return error
        asked = slots.values() if version is None else [slots[version]]
        if any(slot.status[0] == "LOADING" for slot in asked):
            return RequestError(503, f"model {name!r} is being loaded", {"Retry-After": "1"})
        return RequestError(503, f"model {name!r} is not loaded; the repository's index tells why")


async def _changed(slot: ModelSlot) -> bool:
    """Return whether a version is new, or its files are others than when it was last seen."""
    return await asyncio.to_thread(revision_of, slot.found.path) != slot.seen


def _not_found(kind: str, name: str, known: Iterable[str]) -> RequestError:
    # Cut off, for looking for a similar name takes long for a long one.
    return RequestError(404, str(unknown_name(kind, name[:_LONGEST_NAME], known)))
