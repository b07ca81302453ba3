"""A result memory that also finds images displaced by one pixel: tried, and too dear to be used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bicameral.types import Prediction
from edge.memory.local import LocalMemory
from edge.memory.verification import choose

#: (rows, columns) by which the asked image is displaced, nearest first.
DISPLACEMENTS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))

Displacement = tuple[int, int]


class AligningMemory(LocalMemory):
    """A verified memory that also tries the image displaced in the eight directions.

    The tolerance holds for the displaced image, without the rows and columns that have no
    counterpart.
    """

    def lookup(self, namespace: str, images: NDArray[np.uint8]) -> list[Prediction | None]:
        """Return what is known of each image (H, W, C) uint8, as it is or displaced."""
        found = super().lookup(namespace, images)
        for displacement in DISPLACEMENTS:
            missed = [index for index, answer in enumerate(found) if answer is None]
            if not missed:
                break
            probes = self._scheme.probes(displaced(images[missed], displacement))
            for index, keys in zip(missed, probes, strict=True):
                found[index] = self._recall_displaced(namespace, keys, images[index], displacement)
        return found

    def _recall_displaced(
        self,
        namespace: str,
        keys: Sequence[bytes],
        image: NDArray[np.uint8],
        displacement: Displacement,
    ) -> Prediction | None:
        down, right = displacement
        asked = image[_remaining(down), _remaining(right)]
        with self._lock:
            candidates = self._entries.under(namespace, keys)
            stored = [
                None if entry.image is None else entry.image[_remaining(-down), _remaining(-right)]
                for entry in candidates
            ]
            chosen, counts = choose(asked, stored, self._scheme, self.settings)
            self._counts.update(counts)
            if chosen is None:
                return None
            self._entries.touch(candidates[chosen])
            return candidates[chosen].answer()


def displaced(images: NDArray[np.uint8], displacement: Displacement) -> NDArray[np.uint8]:
    """Move images (N, H, W, C) down and right by one pixel at most, repeating their edges."""
    down, right = displacement
    rows = np.clip(np.arange(images.shape[1]) - down, 0, images.shape[1] - 1)
    columns = np.clip(np.arange(images.shape[2]) - right, 0, images.shape[2] - 1)
    return np.ascontiguousarray(images[:, rows][:, :, columns])


def _remaining(offset: int) -> slice:
    """Return which rows or columns stay in the frame when an image is moved by `offset`."""
    return slice(max(-offset, 0), -offset if offset > 0 else None)
