"""Everything that is measured of a deployed cascade: streams, memory keys, costs, the gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.gating_bench import GatingBenchSettings, measure_gating
from edge.memory.settings import MemorySettings
from models.cascade.deployed import Deployed, require_same_task
from models.cascade.false_hits import count_false_hits
from models.cascade.memory_cost import CostSettings, measure_cost
from models.cascade.stream_bench import (
    Progress,
    StreamBenchSettings,
    measure_streams,
    sample_images,
)
from models.cascade.streams_results import (
    MeasurementSetup,
    MemoryCost,
    MemoryKeyRecord,
    StreamMeasurements,
)
from models.classifiers.dataset import ImageDataset, LabelledImages
from models.host import host_name, inference_versions

#: Images per round, where the costs of memory and gate are measured.
_COST_IMAGES = 256

_TEST_STREAM = "distinct test images"
_TRAINING_STREAM = "distinct training and validation images"


def assess_deployed(
    deployed: Deployed,
    dataset: ImageDataset,
    settings: StreamBenchSettings,
    *,
    n_images: int | None = None,
    progress: Progress = lambda done, total, note: None,
) -> StreamMeasurements:
    """Measure a cascade on the test images of a data set.

    Args:
        deployed: The cascade and its reference.
        dataset: The data set; its other images only show how often a memory's keys collide.
        settings: How much to measure.
        n_images: Test images to use, a random sample; None: all.
        progress: Is told (done, total, what is being done) while streams are measured.

    Raises:
        DataError: If the data set is of another task, has too few images, or a network's
            multiply-accumulates are unknown.
    """
    require_same_task(deployed.cascade, dataset)
    test = dataset.test
    if n_images is not None:
        test = sample_images(test, n_images, settings.seed)
    count = min(_COST_IMAGES, len(test) // 2)
    progress(0, 1, "memory keys, costs and gate")
    keys = _key_records(deployed.memory, dataset, test)
    memory_costs = _memory_costs(deployed, test, count)
    gating = measure_gating(
        deployed.cascade,
        test.images[:count],
        GatingBenchSettings(batch_sizes=(1, min(32, count))),
    )
    streams, changes = measure_streams(deployed, test, settings, progress)
    return StreamMeasurements(
        setup=MeasurementSetup(
            model=deployed.cascade.info.name,
            model_fingerprint=deployed.cascade.info.fingerprint,
            reference=deployed.reference.info.name,
            dataset=dataset.name,
            dataset_sha256=dataset.fingerprint,
            n_images=len(test),
            seed=settings.seed,
            rounds=settings.rounds,
            host=host_name(),
            versions=inference_versions(),
        ),
        streams=streams,
        changes=changes,
        memory=keys,
        memory_costs=memory_costs,
        gating=tuple(gating),
        notes=_notes(deployed, dataset, test, settings),
    )


def compared_memories(memory: MemorySettings) -> tuple[MemorySettings, ...]:
    """Return the sidecar's memory with every key: exact, verified, aligned, and the paper's."""
    keys = ("exact", "dhash_verified", "dhash_unverified", "dhash16_unverified")
    return (
        *(replace(memory, key=key) for key in keys),
        replace(memory, key="dhash_verified", align=True),
        replace(memory, key="invariants_unverified"),
    )


def _key_records(
    memory: MemorySettings, dataset: ImageDataset, test: LabelledImages
) -> tuple[MemoryKeyRecord, ...]:
    """Count false hits: of every key on the test images, of the fast ones on the others too."""
    others = LabelledImages(
        images=np.concatenate([dataset.train.images, dataset.validation.images]),
        labels=np.concatenate([dataset.train.labels, dataset.validation.labels]),
    )
    memories = compared_memories(memory)
    on_test = [count_false_hits(_TEST_STREAM, test, settings) for settings in memories]
    fast = [settings for settings in memories if settings.key.startswith("dhash")]
    on_others = [
        count_false_hits(_TRAINING_STREAM, others, settings)
        for settings in fast
        if not settings.align
    ]
    return (*on_test, *on_others)


def _memory_costs(deployed: Deployed, test: LabelledImages, count: int) -> tuple[MemoryCost, ...]:
    """Measure memories that hold half of the test images, beside network A."""
    half = len(test) // 2
    return measure_cost(
        test.select(np.arange(half)),
        test.images[half:],
        compared_memories(deployed.memory),
        classifier=deployed.cascade.a,
        settings=CostSettings(images=count, batch_sizes=(1, min(32, count))),
    )


def _notes(
    deployed: Deployed,
    dataset: ImageDataset,
    test: LabelledImages,
    settings: StreamBenchSettings,
) -> tuple[str, ...]:
    memory = deployed.memory
    notes = [
        f"Accuracies, hits and multiply-accumulates are those of streams made of {len(test)} test "
        "images; CPU time was taken on the same streams made of "
        f"{min(settings.timed_originals, len(test))} of them, at most two images of each.",
        "Where frames are changed, the reference judged a random sample of at most "
        f"{settings.reference_frames} frames.",
        f"The memory stores results of a confidence of at least {memory.store_min_confidence:g}; "
        "'pair+memory of all' stores every result.",
    ]
    if not deployed.has_memory:
        notes.append(
            f"The sidecar of {deployed.cascade.info.name!r} describes no memory; the default one "
            "stands in its place."
        )
    if deployed.sidecar.training.data.sha256 != dataset.fingerprint:
        notes.append(
            f"{deployed.cascade.info.name!r} was trained on other data, or on another split, than "
            f"this {dataset.name!r}: it may have learned from these test images."
        )
    return tuple(notes)
