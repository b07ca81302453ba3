"""Keys of the result memory: how often they answer for an image never seen, and what they cost.

In a stream of images that all differ, every hit is one of another image; what harm it does depends
on whether that one is of the same class. Costs stand beside network A, which a hit saves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ClassifierSession
from bicameral.statistics import Estimate, median, share
from bicameral.types import Prediction
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from models.cascade.deployed import load_deployed
from models.data.dataset import LabelledImages
from models.data.sources import load_dataset
from studies.measurements import Measured, print_measurements, write_measurements
from studies.paper_keys import any_scheme, open_memory
from studies.study import Study

#: Images per round and rounds of the costs, everything in turns.
IMAGES, ROUNDS = 256, 7
BATCHES = (1, 32)

Images = NDArray[np.uint8]
Row = tuple[str, str, str, Estimate]


def compared_memories(memory: MemorySettings) -> dict[str, MemorySettings]:
    """Return the sidecar's memory with every key, by a title."""
    verified = f"dhash_verified (tolerance {memory.tolerance_mae_u8:g})"
    keys = {"exact": "exact", verified: "dhash_verified", "dhash_unverified": "dhash_unverified"}
    return {title: replace(memory, key=key) for title, key in keys.items()}


def count_false_hits(images: LabelledImages, settings: MemorySettings) -> tuple[int, int]:
    """Look up every image, and store those that were not found with their true class as answer.

    That is what a memory before a faultless classifier would do: a key's first image answers for
    all that follow.

    Args:
        images: Distinct images, in the order of the stream.
        settings: The memory; it starts empty and is as large as the stream.

    Returns:
        Hits, and of these the ones of an image of another true class.
    """
    memory = open_memory(replace(settings, max_entries=len(images)))
    answers = np.eye(int(images.labels.max()) + 1, dtype=np.float32)
    sure = np.ones(1, np.float32)
    hits = other_class = 0
    for index, label in enumerate(images.labels):
        image = images.images[index : index + 1]
        (found,) = memory.lookup("stream", image)
        if found is None:
            result = Prediction(probabilities=answers[label : label + 1], confidence=sure)
            memory.store("stream", image, result)
        else:
            hits += 1
            other_class += bool(found.probabilities.argmax() != label)
    return hits, other_class


def measure_costs(
    known: Images, unknown: Images, memory: LocalMemory, network: ClassifierSession, size: int
) -> Iterator[tuple[str, Estimate]]:
    """Yield CPU microseconds per image of lookups and stores, and of the network.

    Args:
        known: Images to fill the memory with.
        unknown: Images that are not among them.
        memory: An empty memory.
        network: Sees the same images.
        size: Images per call.
    """

    def answers(count: int) -> Prediction:
        ones = np.ones((count, 1), np.float32)
        return Prediction(probabilities=ones, confidence=ones[:, 0])

    memory.store("cost", known, answers(len(known)))
    actions: dict[str, tuple[Images, Callable[[Images], object]]] = {
        # The last ones, which a smaller memory still holds.
        "hit_us": (known[-len(unknown) :], lambda batch: memory.lookup("cost", batch)),
        "miss_us": (unknown, lambda batch: memory.lookup("cost", batch)),
        # In a namespace of its own, so that the unknown images stay unknown.
        "store_us": (unknown, lambda batch: memory.store("other", batch, answers(len(batch)))),
        "network_a_us": (unknown, network.predict),
    }
    times_us: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(ROUNDS):
        for name, (images, action) in actions.items():
            starts = range(0, len(images) - size + 1, size)
            begin_s = time.thread_time()
            for start in starts:
                action(images[start : start + size])
            spent_s = time.thread_time() - begin_s
            times_us[name].append(1e6 * spent_s / (len(starts) * size))
    for name, values in times_us.items():
        yield name, median(values, "us")


def run(folder: Path, quick: bool) -> int:
    """Count and time every key."""
    deployed = load_deployed("fashion_mnist_cascade")
    dataset = load_dataset("fashion-mnist")
    test = dataset.test.select(np.arange(80 if quick else len(dataset.test)))
    others = LabelledImages(
        images=np.concatenate([dataset.train.images, dataset.validation.images]),
        labels=np.concatenate([dataset.train.labels, dataset.validation.labels]),
    )
    rows: list[Row] = []
    for title, settings in compared_memories(deployed.memory).items():
        streams = {"test images": test}
        if settings.key.startswith("dhash") and not quick:
            streams["training and validation images"] = others
        for stream, images in streams.items():
            hits, other_class = count_false_hits(images, settings)
            rows.append((title, stream, "hits", share(hits, len(images))))
            rows.append((title, stream, "other_class", share(other_class, len(images))))
        half = len(test) // 2
        unknown = test.images[half : half + min(IMAGES, half)]
        for size in (1, min(BATCHES[1], len(unknown))):
            memory = open_memory(settings)
            costs = measure_costs(
                test.images[:half], unknown, memory, deployed.cascade.members[0], size
            )
            rows += [(title, f"batch {size}", name, estimate) for name, estimate in costs]
    deployed.close()
    found = {(key, on, quantity): of for key, on, quantity, of in rows}
    write_measurements(folder / "memory_keys.csv", found)
    print_measurements(found, ("hits", "other_class"), title="answers for images never seen")
    print_measurements(found, ("hit_us", "miss_us", "store_us", "network_a_us"))
    return int(not _holds(found))


def _holds(found: Measured) -> bool:
    harmless = all(
        of.value == 0.0
        for (key, _, quantity), of in found.items()
        if quantity == "other_class" and any_scheme(key.split(" ")[0]).verified
    )
    cheaper = all(
        (of.value or 0.0) < (found[key, on, "network_a_us"].value or 0.0)
        for (key, on, quantity), of in found.items()
        if quantity in ("hit_us", "miss_us")
    )
    print(f"no verified hit of another class: {harmless}; lookups cheaper than A: {cheaper}")
    return harmless and cheaper


STUDY = Study(
    claim=(
        "A key that verifies never answers for an image of another class, and a lookup costs less "
        "than network A."
    ),
    setting=(
        "AMD EPYC, two cores; 10,000 test and 60,000 other images of FashionMNIST, costs of "
        f"{IMAGES} images in {ROUNDS} rounds; no random numbers; ten minutes"
    ),
    run=run,
    needs="FashionMNIST",
)
