"""Brings single versions into memory and out of it, while others answer."""

from __future__ import annotations

import asyncio
import logging

from bicameral.errors import BicameralError
from server.serving.footprint import return_free_memory
from server.serving.lessons import lesson_files, read_lessons
from server.serving.loaded_models import LoadedModel, LoadedModels
from server.serving.loading import load_served_model
from server.serving.model_folder import revision_of
from server.serving.model_slot import READY, ModelSlot
from server.serving.served_model import ServingParts

_log = logging.getLogger(__name__)


class ModelLoader:
    """Loads and unloads; one version at a time, on one event loop.

    Attributes:
        loaded: What is in memory.
        started: Whether the start is over, after which files are only followed when they are the
            same at two looks.
    """

    def __init__(self, loaded: LoadedModels, parts: ServingParts, drain_s: float) -> None:
        """Begin with nothing.

        Args:
            loaded: Where models are put.
            parts: What all models share.
            drain_s: How long unloading waits for the requests that use a model.
        """
        self.loaded = loaded
        self.started = False
        self._parts = parts
        self._drain_s = drain_s

    async def load(self, slot: ModelSlot, *, retry: bool) -> bool:
        """Load a version, or again if its files or what it was taught have changed.

        Args:
            slot: The version.
            retry: Try again what failed with the same files.

        Returns:
            Whether what its files hold now is loaded.
        """
        found = slot.found
        if found.problem is not None:
            return False
        loaded = self.loaded.find(found.name, found.version) is not None
        revision = await asyncio.to_thread(revision_of, found.path)
        lessons = await asyncio.to_thread(lesson_files, found.path, slot.version)
        unchanged = revision == slot.seen and lessons == slot.lessons
        if unchanged and slot.failed and not retry:
            return False
        if unchanged and loaded and not slot.failed:
            slot.status = READY
            return True
        if self.started and not retry and not await asyncio.to_thread(slot.look):
            return False
        slot.seen, slot.lessons, slot.failed = revision, lessons, False
        if not loaded:
            slot.status = ("LOADING", "")
        try:
            taught = await asyncio.to_thread(read_lessons, lessons, slot.version)
            model, memory = await asyncio.to_thread(
                load_served_model, found.path, slot.version, self._parts, taught
            )
        except Exception as error:  # whatever is wrong with it, the others go on
            expected = isinstance(error, BicameralError)
            _log.warning("cannot load %s: %s", found.path, error, exc_info=not expected)
            slot.failed = True
            slot.status = ("READY" if loaded else "UNAVAILABLE", str(error) or repr(error))
            return False
        replaced = self.loaded.put(LoadedModel(model, memory))
        slot.status, slot.taught = READY, taught
        _log.info("loaded %s version %s from %s", found.name, found.version, found.path)
        if replaced is not None:
            await self._free(replaced)
        return True

    async def unload(self, slot: ModelSlot, reason: str) -> None:
        """Unload a version, if it is loaded.

        Args:
            slot: The version.
            reason: For the index.
        """
        name, version = slot.found.name, slot.found.version
        removed = self.loaded.remove(name, version)
        if removed is None:
            return
        slot.status = ("UNAVAILABLE", "being unloaded")
        await self._free(removed)
        slot.status = ("UNAVAILABLE", reason)
        _log.info("unloaded %s version %s: %s", name, version, reason)

    async def _free(self, removed: LoadedModel) -> None:
        if not await self.loaded.idle(removed, self._drain_s):
            _log.warning(
                "model %s version %s is closed with %d requests that did not end within %g s",
                removed.model.name,
                removed.model.version,
                removed.leases,
                self._drain_s,
            )
        removed.model.close()
        await asyncio.to_thread(return_free_memory)
