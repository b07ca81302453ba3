"""Teaches models at run time, and lets them forget."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.errors import RequestError
from server.limits import LearningLimits
from server.serving.lessons import (
    Lesson,
    lesson_files,
    read_lessons,
    remove_lessons,
    require_room,
    write_lesson,
)
from server.serving.model_loader import ModelLoader
from server.serving.model_slot import ModelSlot


class Teaching:
    """Changes what versions were taught; a lesson is a file beside the model."""

    def __init__(self, loader: ModelLoader, limits: LearningLimits) -> None:
        """Prepare.

        Args:
            loader: Loads models again, with what they were taught.
            limits: What they may be taught.
        """
        self._loader = loader
        self._limits = limits

    async def teach(
        self,
        slot: ModelSlot,
        everything: Iterable[ModelSlot],
        label: str,
        images: NDArray[np.uint8],
    ) -> None:
        """Write a lesson, and let a loaded version know it.

        Args:
            slot: The version.
            everything: All versions of all models, which have the room together.
            label: The class.
            images: Canonical images (N, height, width, C) uint8.

        Raises:
            RequestError: 400 if it cannot learn them, and then stays as it was; 409 if its folder
                cannot be written; 413 if there is no room for them.
        """
        lesson = Lesson(
            of=slot.version,
            label=label,
            count=len(images),
            size_bytes=images.nbytes,
            path=Path(),
        )
        await self.follow(slot)
        known = [lesson for other in everything for lesson in other.taught]
        require_room(known, lesson, self._limits)
        seen, files, failed, status = slot.seen, slot.lessons, slot.failed, slot.status
        file = await asyncio.to_thread(write_lesson, slot.found.path, slot.version, label, images)
        if not await self._loader.load(slot, retry=True):
            reason = slot.status[1]
            await asyncio.to_thread(file.unlink, missing_ok=True)
            slot.seen, slot.lessons, slot.failed, slot.status = seen, files, failed, status
            raise RequestError(400, reason)

    async def forget(self, slot: ModelSlot, label: str | None) -> None:
        """Remove lessons, and let a version forget them if it is loaded.

        Args:
            slot: The version.
            label: Their class; None: all.

        Raises:
            RequestError: 409 if its folder cannot be written.
        """
        path = slot.found.path
        files = await asyncio.to_thread(lesson_files, path, slot.version)
        lessons = await asyncio.to_thread(read_lessons, files, slot.version)
        forgotten = [lesson for lesson in lessons if label in (None, lesson.label)]
        await asyncio.to_thread(remove_lessons, forgotten, path)
        await self.follow(slot)

    async def follow(self, slot: ModelSlot) -> None:
        """Let a version know what it was taught by now, and no more, if it is loaded."""
        if self._loader.loaded.find(slot.found.name, slot.found.version) is None:
            return
        files = await asyncio.to_thread(lesson_files, slot.found.path, slot.version)
        if files != slot.lessons:
            await self._loader.load(slot, retry=False)
