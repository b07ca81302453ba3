"""Which versions of a model are served, as its files come, change and go."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from server.serving.model_folder import revision_of, version_order
from server.serving.model_loader import ModelLoader
from server.serving.model_slot import ModelSlot
from server.serving.notes import Notes, Order


class VersionRules:
    """Follows what lies in the folders, one model at a time."""

    def __init__(self, loader: ModelLoader, notes: Notes) -> None:
        """Prepare.

        Args:
            loader: Loads and unloads.
            notes: Where it stands what was asked of versions.
        """
        self._loader = loader
        self._loaded = loader.loaded
        self._notes = notes

    async def order(self, slot: ModelSlot, order: Order) -> None:
        """Note what was asked of a version, for this worker and the others."""
        slot.ordered = order
        await asyncio.to_thread(self._notes.order, slot.found, order)

    async def follow(
        self, slots: Mapping[str, ModelSlot], found: Collection[str]
    ) -> dict[str, ModelSlot]:
        """Load, replace and unload versions of a model.

        Args:
            slots: All versions that are known, at least one.
            found: Those that lie in the folders.

        Returns:
            The versions to go on with: those that were found or are loaded.
        """
        name = next(iter(slots.values())).found.name
        here = {version: slot for version, slot in slots.items() if version in found}
        whole = {slot.found.path for slot in here.values() if slot.found.problem is None}
        gone: list[str] = []
        for version in self._loaded.versions(name):
            slot = slots[version]
            if version in here:
                await self._loader.load(slot, retry=False)
            elif slot.found.path in whole or await asyncio.to_thread(slot.look):
                gone.append(version)
        served = [version for version in self._loaded.versions(name) if version not in gone]
        await self._load_highest(slots, here, served)
        await self._leave(slots, gone)
        for slot in here.values():
            # Not of one that lacks files: what has come since the scan would pass for old.
            new = slot.seen is None and slot.glimpsed is None
            if new and slot.found.problem is None:
                slot.seen = await asyncio.to_thread(revision_of, slot.found.path)
        return here | {version: slots[version] for version in self._loaded.versions(name)}

    async def _load_highest(
        self, slots: Mapping[str, ModelSlot], here: Mapping[str, ModelSlot], served: list[str]
    ) -> None:
        """Load the highest version that is new or has changed, in place of a lower one.

        If none is served, because it is the start or because it is gone, any version will do.
        """
        if not served and any(slot.withdrawn for slot in here.values()):
            return
        for version in sorted(here, key=version_order, reverse=True):
            if served and version_order(version) <= version_order(served[-1]):
                return
            slot = here[version]
            if slot.withdrawn or (served and not await _changed(slot)):
                continue
            if await self._loader.load(slot, retry=False):
                if any(other.withdrawn for other in here.values()):
                    # Or whoever starts later would take it for one of those that were unloaded.
                    await self.order(slot, "load")
                if served:
                    await self._replace(slots[served[-1]], version)
                return

    async def _leave(self, slots: Mapping[str, ModelSlot], gone: Collection[str]) -> None:
        """Unload what is no longer in the folders.

        Where a sidecar was overwritten by one that does not work (yet), the old model goes on.
        """
        for slot in map(slots.__getitem__, gone):
            versions = self._loaded.versions(slot.found.name)
            others = [other for other in versions if other not in gone]
            if others:
                await self._replace(slot, others[-1])
            elif slot.found.path.exists():
                reason = f"{slot.found.path} holds something else now, which does not work yet"
                slot.status = ("READY", reason)
            else:
                await self._loader.unload(slot, "its files were removed")

    async def _replace(self, slot: ModelSlot, successor: str) -> None:
        """Unload a version whose place another one has taken."""
        if slot.ordered == "load":  # that was before the successor came
            await self.order(slot, "unload")
        await self._loader.unload(slot, f"replaced by version {successor}")


async def _changed(slot: ModelSlot) -> bool:
    """Return whether a version is new, or its files are others than when it was last seen."""
    return await asyncio.to_thread(revision_of, slot.found.path) != slot.seen
