"""The dynamic memory while it is filled: images of which the answer was sure, 50 per class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.learning.read_out import Projection, Slots, entropy_nats, read_out, unit_rows
from edge.learning.state import DYNAMIC_SLOTS, MemoryState, Remembered


class DynamicMemory:
    """Changes in place, so that an image costs no copy of the memory; not thread-safe.

    Of each class it holds the images with the lowest entropy of all that were offered. When the
    class is full, a new one replaces the one with the highest entropy if its own is lower.
    """

    def __init__(self, state: MemoryState) -> None:
        """Begin with a state's dynamic memory; its examples are further slots."""
        self._state = state
        classes, width = len(state.labels), state.width
        self._features = np.zeros((classes, DYNAMIC_SLOTS, width), np.float32)
        self._entropies = np.full((classes, DYNAMIC_SLOTS), np.inf)
        self._counts = np.zeros(classes, np.int64)
        self._projection = None
        if state.projection is not None:
            self._projection = state.projection.for_classes(classes)
        static = state.static_slots
        empty = np.zeros((classes, DYNAMIC_SLOTS, width), np.float32)
        self._slots = Slots(
            keys=np.concatenate([empty, static.keys], axis=1),
            values=np.concatenate([empty, static.values], axis=1),
            filled=np.concatenate([empty[..., 0], static.filled], axis=1),
            query=static.query,
            output=static.output,
        )
        self._changed = False
        for feature, label, entropy in zip(
            state.dynamic.features, state.dynamic.classes, state.entropies, strict=True
        ):
            self._place(int(label), int(self._counts[label]), feature, float(entropy))

    def offer(self, feature: NDArray[np.float32], answer: NDArray[np.float64]) -> bool:
        """Keep an image if its answer is sure enough; return whether it was kept.

        Args:
            feature: (D,) of unit length.
            answer: (C,) probabilities; the most probable class is taken for the truth.
        """
        label = int(answer.argmax())
        if answer[label] < self._state.settings.min_confidence:
            return False
        entropy = float(entropy_nats(answer))
        place = int(self._counts[label])
        if place == DYNAMIC_SLOTS:
            place = int(self._entropies[label].argmax())
            if entropy >= self._entropies[label, place]:
                return False
        self._place(label, place, feature, entropy)
        self._changed = True
        return True

    def read(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities (N, C) for unit features (N, D)."""
        settings = self._state.settings
        return read_out(features, self._slots, beta=settings.beta, scale=settings.scale)

    def state(self) -> MemoryState:
        """Return everything that is remembered now, as a value."""
        if self._changed:
            held = np.arange(DYNAMIC_SLOTS) < self._counts[:, None]
            self._state = replace(
                self._state,
                dynamic=Remembered(
                    features=self._features[held],
                    classes=np.repeat(np.arange(len(self._counts)), self._counts),
                ),
                entropies=self._entropies[held],
            )
            self._changed = False
        return self._state

    def _place(self, label: int, place: int, feature: NDArray[np.float32], entropy: float) -> None:
        self._counts[label] = max(self._counts[label], place + 1)
        self._features[label, place] = feature
        self._entropies[label, place] = entropy
        self._slots.filled[label, place] = 1.0
        self._slots.keys[label, place] = _shifted(feature, self._projection, "key", label)
        self._slots.values[label, place] = _shifted(feature, self._projection, "value", label)


def _shifted(
    feature: NDArray[np.float32], projection: Projection | None, name: str, label: int
) -> NDArray[np.float32]:
    if projection is None:
        return feature
    shift: NDArray[np.float32] = getattr(projection, name)[label]
    return unit_rows(feature + shift)
