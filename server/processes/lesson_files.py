"""The examples that models were taught, as files that all processes of a server can read."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.files import write_bytes_atomic
from server.serving.lessons import Lesson
from server.serving.served_model import ModelVersion


class LessonFiles:
    """A folder of examples; it lives as long as the server's run folder."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it need not exist yet."""
        self._folder = folder

    def write(self, model: ModelVersion, label: str, images: NDArray[np.uint8]) -> Lesson:
        """Write examples under a name that nobody else uses.

        Args:
            model: Which version is to learn them.
            label: Their class.
            images: Canonical images (N, height, width, C) uint8.

        Raises:
            OSError: If the folder cannot be written.
        """
        file = io.BytesIO()
        np.save(file, images, allow_pickle=False)
        path = self._folder / f"{os.getpid()}-{uuid.uuid4().hex}.npy"
        write_bytes_atomic(path, file.getvalue(), mode=0o600)
        return Lesson(
            model=model.name,
            version=model.version,
            label=label,
            count=len(images),
            size_bytes=images.nbytes,
            examples=path,
        )

    def remove(self, lessons: Iterable[Lesson]) -> None:
        """Remove examples that nobody shall learn any more."""
        for lesson in lessons:
            lesson.examples.unlink(missing_ok=True)
