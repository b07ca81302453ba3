"""The models of a worker: found in folders, loaded, replaced and unloaded while others answer.

What a worker is asked to load, unload, teach or forget it does itself first, so that a broken model
is an answer and nothing more, and leaves a note or a lesson beside the model. The other workers,
replicas on a shared volume, and whoever takes a dead one's place follow when they look next.

A model that cannot be loaded stays in the index with its reason and concerns nobody else. A model
is warm before the first request can reach it, and is closed after the last one has left it. Names
from requests are only ever compared with those that were found: no path is made of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import unknown_name
from server.errors import RequestError
from server.serving.cascade_model import CascadeModel, ServedMemory
from server.serving.lessons import Lesson
from server.serving.loaded_models import LoadedModels
from server.serving.model_folder import (
    scan_folders,
    version_order,
)
from server.serving.model_loader import ModelLoader
from server.serving.model_slot import NOT_LOADED, READY, IndexEntry, ModelSlot
from server.serving.notes import Notes
from server.serving.served_model import MemoryFigures, ModelVersion, ServedModel, ServingParts
from server.serving.teaching import Teaching
from server.serving.version_rules import VersionRules

_log = logging.getLogger(__name__)

_UNLOADED = "unloaded by request"

#: Characters of a name, see `server.serving.model_folder`.
_LONGEST_NAME = 128


class ModelRepository:
    """Finds, loads and hands out models.

    Loading, unloading and refreshing happen one after the other, on one event loop; everything
    else may be called from any thread.

    Attributes:
        get: `LoadedModels.get`; raises `RequestError` 404 with the known names or versions, 503 if
            the model is not loaded.
        lease: `LoadedModels.lease`; raises the same.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        parts: ServingParts,
        *,
        notes: Path | None = None,
    ) -> None:
        """Remember where to look; `start` looks.

        Args:
            folders: Folders of models, see `server.serving.model_folder`.
            parts: What all models share.
            notes: The folder that all workers of this server share; None: there is one.
        """
        self._folders = tuple(folders)
        self._parts = parts
        self._notes = Notes(notes)
        self._slots: dict[str, dict[str, ModelSlot]] = {}
        self._loaded = LoadedModels(self._missing)
        self.get, self.lease = self._loaded.get, self._loaded.lease
        self._loader = ModelLoader(self._loaded, parts)
        self._teaching = Teaching(self._loader, parts.settings.learning)
        self._rules = VersionRules(self._loader, self._notes)
        #: When memories were cleared, as far as this worker has followed.
        self._cleared_ns: dict[str, int] = {}
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    def why_not_ready(self) -> str | None:
        """Return why this worker should get no requests; None: the start is over, models answer."""
        if not self._loader.started:
            return "the models are being loaded"
        return None if len(self._loaded) else "no model is loaded"

    async def start(self) -> None:
        """Load the highest version of every model; of one that is broken, the next lower one.

        Raises:
            ConfigError: If a folder cannot be read.
        """
        await self.refresh()
        self._loader.started = True

    def models(self) -> list[ServedModel]:
        """Return all loaded models."""
        return [loaded.model for loaded in self._loaded.all()]

    def versions(self, name: str) -> list[str]:
        """Return the loaded versions of a model, the highest one last."""
        return self._loaded.versions(name)

    def memory(self, name: str, version: str | None = None) -> MemoryFigures:
        """Return what a loaded model takes; args and errors are those of `get`."""
        loaded = self._loaded.find(name, version)
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

    async def teach(self, name: str, label: str, images: NDArray[np.uint8]) -> None:
        """Teach the served version of a model a class, or more of one; others follow.

        It goes on if the caller is cancelled. Until it knows them, it answers as before. What was
        learned stays when the model is unloaded and the server ends.

        Args:
            name: Its name.
            label: The class.
            images: Canonical images (N, height, width, C) uint8, N at least 1.

        Raises:
            RequestError: 404 and 503 as `get`; 400 if it cannot learn them; 409 if its folder
                cannot be written; 413 if there is no room for them.
        """

        async def teach() -> None:
            version = self.get(name).version
            slot = self._slots[name][version]
            await self._teaching.teach(slot, self._all_slots(), label, images)

        await self._apart(teach)

    async def forget(self, name: str, label: str | None = None) -> None:
        """Let all versions of a model forget what they were taught; others follow.

        It goes on if the caller is cancelled.

        Args:
            name: Its name.
            label: The class; None: all.

        Raises:
            RequestError: 404 and 503 as `get`; 409 if its folder cannot be written.
        """

        async def forget() -> None:
            self.get(name)
            for slot in self._slots[name].values():
                await self._teaching.forget(slot, label)

        await self._apart(forget)

    def lessons(self, model: ModelVersion) -> tuple[Lesson, ...]:
        """Return what a version was taught at run time, in order, as far as it knows by now."""
        slot = self._slots.get(model.name, {}).get(model.version)
        return () if slot is None else slot.taught

    async def clear_memory(self, name: str) -> None:
        """Forget what the memories of a cascade hold, all versions of it; other workers follow.

        It goes on if the caller is cancelled.

        Raises:
            RequestError: 404 and 503 as `get`; 400 if it has no memory.
            MachineError: If the memory is on a server that does not answer.
        """

        async def clear() -> None:
            self.get(name)
            memories = self._memories(name)
            if not memories:
                raise RequestError(400, f"model {name!r} has no result memory")
            for memory in memories:
                await memory.clear(None)
            await asyncio.to_thread(self._notes.note_clear, name)
            self._cleared_ns[name] = self._notes.cleared_ns(name)

        await self._apart(clear)

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

    async def follow(self) -> None:
        """Follow what other workers and replicas were asked, but no other change in the folders."""
        await self._apart(self._follow_others)

    async def close(self) -> None:
        """Unload everything here; the other workers stay as they are."""
        await self._apart(self._unload_all)
        self._parts.decoder.work.close()

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
        await self._follow_others()  # what was asked before comes first
        slots = self._known(name, version)
        chosen = max(slots, key=version_order) if version is None else version
        slot = slots[chosen]
        if not await self._loader.load(slot, retry=True):
            raise RequestError(
                400, f"cannot load model {name!r} version {chosen!r}: {slot.status[1]}"
            )
        await self._rules.order(slot, "load")

    async def _unload_by_request(self, name: str, version: str | None) -> None:
        await self._follow_others()
        slots = self._known(name, version)
        for chosen in list(slots) if version is None else [version]:
            await self._rules.order(slots[chosen], "unload")
            await self._loader.unload(slots[chosen], _UNLOADED)

    async def _unload_all(self) -> None:
        for model in self.models():
            await self._loader.unload(self._slots[model.name][model.version], "the server ends")

    async def _follow_others(self) -> None:
        await self._scan()
        await self._read_notes()
        await self._follow_orders()

    async def _read_notes(self) -> None:
        """Learn what this worker or another one was asked, and forget what shall be forgotten."""
        slots = self._all_slots()
        orders = await asyncio.to_thread(
            lambda: [self._notes.ordered(slot.found) for slot in slots]
        )
        for slot, order in zip(slots, orders, strict=True):
            slot.ordered = order
        for name in self._slots:
            cleared_ns = self._notes.cleared_ns(name)
            if cleared_ns != self._cleared_ns.get(name, 0):
                self._cleared_ns[name] = cleared_ns
                for memory in self._memories(name):
                    # One on a server was cleared, for all, by the worker that was asked.
                    if not memory.remote:
                        await memory.clear(None)

    async def _follow_orders(self) -> None:
        """Load, teach and unload what was asked for; in this order, so that something answers."""
        for slot in self._all_slots():
            if self._has(slot) and not slot.withdrawn:
                await self._teaching.follow(slot)
            elif slot.ordered == "load":
                # Nobody is just writing it: whoever was asked has loaded it.
                await asyncio.to_thread(slot.look)
                await self._loader.load(slot, retry=False)
        for slot in self._all_slots():
            if slot.withdrawn and self._has(slot):
                await self._loader.unload(slot, _UNLOADED)

    def _all_slots(self) -> list[ModelSlot]:
        return [slot for slots in self._slots.values() for slot in slots.values()]

    def _has(self, slot: ModelSlot) -> bool:
        return self._loaded.find(slot.found.name, slot.found.version) is not None

    async def _follow_folders(self) -> None:
        found = await self._scan()
        await self._read_notes()
        present = {
            name: await self._rules.follow(
                slots, {version for other, version in found if other == name}
            )
            for name, slots in self._slots.items()
        }
        self._slots = {name: slots for name, slots in present.items() if slots}
        await self._follow_orders()

    async def _scan(self) -> set[tuple[str, str]]:
        """Look into the folders; return names and versions of what lies there."""
        models = await asyncio.to_thread(scan_folders, self._folders)
        slots: dict[str, dict[str, ModelSlot]] = {}
        for model in models:
            slot = self._slots.get(model.name, {}).get(model.version) or ModelSlot(model)
            if model.problem is not None:
                if model.problem != slot.status[1]:  # told once
                    _log.warning("%s cannot be loaded: %s", model.path, model.problem)
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

    def _memories(self, name: str) -> list[ServedMemory]:
        return [
            model.memory
            for model in self.models()
            if model.name == name and isinstance(model, CascadeModel) and model.memory is not None
        ]

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


def _not_found(kind: str, name: str, known: Iterable[str]) -> RequestError:
    # Cut off, for looking for a similar name takes long for a long one.
    return RequestError(404, str(unknown_name(kind, name[:_LONGEST_NAME], known)))
