"""How often a memory answers for an image that it has never seen.

In a stream of images that all differ, every hit is one of another image. What harm it does depends
on whether that one belongs to the same class.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bicameral.types import Prediction
from edge.memory.keys import key_scheme
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from models.cascade.streams_results import MemoryKeyRecord
from models.classifiers.dataset import LabelledImages


def count_false_hits(
    stream: str, images: LabelledImages, settings: MemorySettings
) -> MemoryKeyRecord:
    """Look up every image, and store those that were not found with their true class as answer.

    That is what a memory before a faultless classifier would do: a key's first image answers for
    all that follow.

    Args:
        stream: Name of the stream.
        images: Distinct images, in the order of the stream.
        settings: The memory; it starts empty and is as large as the stream.
    """
    memory = LocalMemory(replace(settings, max_entries=len(images)))
    answers = np.eye(int(images.labels.max()) + 1, dtype=np.float32)
    sure = np.ones(1, np.float32)
    hits = wrong_label_hits = 0
    busy_s = 0.0
    for index, label in enumerate(images.labels):
        image = images.images[index : index + 1]
        begin_s = time.thread_time()
        (found,) = memory.lookup(stream, image)
        busy_s += time.thread_time() - begin_s
        if found is None:
            result = Prediction(probabilities=answers[label : label + 1], confidence=sure)
            memory.store(stream, image, result)
        else:
            hits += 1
            wrong_label_hits += bool(found.probabilities.argmax() != label)
    return MemoryKeyRecord(
        key=memory_title(settings),
        stream=stream,
        n=len(images),
        hits=hits,
        wrong_label_hits=wrong_label_hits,
        lookup_us=1e6 * busy_s / len(images),
    )


def false_hit_table(
    streams: Mapping[str, LabelledImages], memories: Sequence[MemorySettings]
) -> tuple[MemoryKeyRecord, ...]:
    """Count the false hits of every memory on every stream."""
    return tuple(
        count_false_hits(name, images, settings)
        for settings in memories
        for name, images in streams.items()
    )


def memory_title(settings: MemorySettings) -> str:
    """Return the key's name, with tolerance and alignment where it is verified."""
    if not key_scheme(settings.key).verified:
        return settings.key
    aligned = ", aligned" if settings.align else ""
    return f"{settings.key} (tolerance {settings.tolerance_mae_u8:g}{aligned})"
