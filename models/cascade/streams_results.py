"""What was measured on streams of images and of the memory's keys: plain values and their file.

Shares, rates, accuracies and ratios are 0..1 (a ratio may exceed 1), times are microseconds of CPU
time of one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bicameral.files import write_json_atomic
from edge.gating_bench import GatingCost
from models.records import read_record

SCHEMA: Literal[1] = 1

#: Name of the file in a folder of results.
STREAMS_NAME = "streams.json"

#: ``appended``: all repeats follow after all originals; ``interleaved``: they lie among them;
#: ``video``: frames follow each other with small changes of noise, shift and brightness.
Arrangement = Literal["appended", "interleaved", "video"]

#: The system that costs are relative to.
REFERENCE_SYSTEM = "reference"
#: The first network of the cascade alone.
A_SYSTEM = "a"
#: The cascade without a memory.
PAIR_SYSTEM = "pair"
#: The cascade with the memory that its sidecar describes.
MEMORY_SYSTEM = "pair+memory"
#: The same with exact keys.
EXACT_MEMORY_SYSTEM = "pair+exact memory"
#: The same as the sidecar's, but it also stores results that are not confident.
UNSURE_MEMORY_SYSTEM = "pair+memory of all"
#: The same as the sidecar's with verified keys that also try the image moved by one pixel.
ALIGNED_MEMORY_SYSTEM = "pair+aligned memory"
#: The cascade with the paper's memory: unverified dHash keys, unbounded, everything is stored.
PAPER_MEMORY_SYSTEM = "pair+paper memory"

#: Shares of the images that came a second time in the paper's streams, appended.
PUBLISHED_DUPLICATES = (0.0, 0.5, 1.0)

_DHASH_CHARGE_MAH = (53.0, 56.0, 57.0)

#: Charge in mAh for CIFAR-10's test images at these shares, on a Jetson Nano with a power meter:
#: Kinnas et al. 2024 (arXiv 2412.01039), from the data of a figure in the authors' repository's
#: history, so good to about 1 %. The paper's memory has unverified dHash keys; its figures stand
#: beside those of the sidecar's memory too.
PUBLISHED_CHARGE_MAH = {
    REFERENCE_SYSTEM: (225.0, 302.0, 396.0),
    PAIR_SYSTEM: (52.0, 80.0, 100.0),
    MEMORY_SYSTEM: _DHASH_CHARGE_MAH,
    PAPER_MEMORY_SYSTEM: _DHASH_CHARGE_MAH,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianRange:
    """A value of several rounds: their median, least and most."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """One system on one stream; every memory was empty at its beginning.

    Attributes:
        stream: Name of the stream.
        arrangement: How repeated images lie in it.
        duplicates: Repeated images by distinct images, 0 (none) or more.
        system: ``reference``, ``pair``, ``pair+memory``, or another name.
        n_images: Images of the stream, repeats included.
        accuracy: Share of right answers.
        n_judged: Images that the accuracy is of; fewer than `n_images` where the reference was
            shown a sample.
        share_a: Share of the images that A, or the single network, computed.
        share_b: Share of the images that B computed.
        macs_ratio: Multiply-accumulates by those of the reference on the same stream.
        cpu_us: CPU time per image at batch 1, the memory included; median over the rounds.
        cpu_ratio: CPU time by that of the reference in the same round of the same run.
        n_timed: Images of the stream that was timed: the same stream of fewer originals.
        hit_rate: Share of the images that the memory answered; None without a memory.
        repeat_hit_rate: Share of the repeated images that the memory answered; None without a
            memory or without repeats.
        wrong_hits: Images that the memory answered with another answer than the networks would
            have given; None without a memory.
        wrong_label_hits: Images that the memory answered for an image of another true class; None
            without a memory.
    """

    stream: str
    arrangement: Arrangement
    duplicates: float
    system: str
    n_images: int
    accuracy: float
    n_judged: int
    share_a: float
    share_b: float
    macs_ratio: float
    cpu_us: float
    cpu_ratio: MedianRange
    n_timed: int
    hit_rate: float | None
    repeat_hit_rate: float | None
    wrong_hits: int | None
    wrong_label_hits: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecord:
    """How often a memory recognised repeated frames that were changed in one way.

    Attributes:
        stream: Name of the stream.
        system: Name of the system.
        change: What was done to the frames, e.g. ``noise sd 2``.
        n: Frames with that change.
        hits: Of these, answered by the memory.
    """

    stream: str
    system: str
    change: str
    n: int
    hits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryKeyRecord:
    """One kind of key on one stream of images.

    Attributes:
        key: Name of the key, with its tolerance where it has one.
        stream: Name of the stream.
        n: Images looked up.
        hits: Images that the memory answered.
        wrong_label_hits: Hits whose stored image is of another true class.
        lookup_us: CPU time of one lookup.
    """

    key: str
    stream: str
    n: int
    hits: int
    wrong_label_hits: int
    lookup_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCost:
    """CPU microseconds per image of one thread, medians over the rounds.

    Attributes:
        key: The memory.
        batch_size: Images per call.
        entries: Entries in the memory.
        hit_us: Looking up images that it knows.
        miss_us: Looking up images that it does not know.
        store_us: Storing images.
        classifier_us: Classifying the same images; None if no classifier was given.
    """

    key: str
    batch_size: int
    entries: int
    hit_us: float
    miss_us: float
    store_us: float
    classifier_us: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSetup:
    """On what, with what and where it was measured.

    Attributes:
        model: Name of the cascade.
        model_fingerprint: Its fingerprint.
        reference: Name of the reference.
        dataset: Name of the data set.
        dataset_sha256: Its fingerprint.
        n_images: Test images that the streams are made of.
        seed: Seed of the streams.
        rounds: Rounds of the timing.
        host: The processor.
        versions: Of packages that decide answers and times.
    """

    model: str
    model_fingerprint: str
    reference: str
    dataset: str
    dataset_sha256: str
    n_images: int
    seed: int
    rounds: int
    host: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMeasurements:
    """All measurements of streams and keys; empty where there are none.

    Attributes:
        schema: Version of this record.
        setup: What was measured where; None only where nothing was.
        streams: Systems on streams.
        changes: Hits by what was changed, on streams with changed frames.
        memory: Keys on streams.
        memory_costs: What lookups and stores cost beside network A.
        gating: What the cascade adds to its networks, without a memory.
        notes: What a reader must know, in sentences.
    """

    schema: Literal[1] = SCHEMA
    setup: MeasurementSetup | None = None
    streams: tuple[StreamRecord, ...] = ()
    changes: tuple[ChangeRecord, ...] = ()
    memory: tuple[MemoryKeyRecord, ...] = ()
    memory_costs: tuple[MemoryCost, ...] = ()
    gating: tuple[GatingCost, ...] = ()
    notes: tuple[str, ...] = ()


def published_cost(system: str, duplicates: float) -> float | None:
    """Return the paper's charge relative to its large network, or None where it has no figure."""
    if system not in PUBLISHED_CHARGE_MAH or duplicates not in PUBLISHED_DUPLICATES:
        return None
    place = PUBLISHED_DUPLICATES.index(duplicates)
    return PUBLISHED_CHARGE_MAH[system][place] / PUBLISHED_CHARGE_MAH[REFERENCE_SYSTEM][place]


def write_measurements(path: Path, measurements: StreamMeasurements) -> None:
    """Write measurements as JSON, whole or not at all.

    Raises:
        OSError: If the folder cannot be written.
    """
    write_json_atomic(path, asdict(measurements))


def read_measurements(path: Path) -> StreamMeasurements:
    """Read measurements.

    Raises:
        DataError: If the file is absent or is not one of this version.
    """
    return read_record(
        path,
        StreamMeasurements,
        what=f"record of streams of schema {SCHEMA}",
        remedy="measure again with bicameral assess cascade",
    )
