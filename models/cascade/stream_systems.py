"""The systems that are compared on streams, what they cost, and their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession
from edge.cascade import CascadeClassifier
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from models.cascade.deployed import Deployed
from models.cascade.stream_replay import Outcome
from models.cascade.stream_timing import TimedSystem, median_range
from models.cascade.streams import Stream
from models.cascade.streams_results import (
    A_SYSTEM,
    ALIGNED_MEMORY_SYSTEM,
    EXACT_MEMORY_SYSTEM,
    MEMORY_SYSTEM,
    PAIR_SYSTEM,
    PAPER_MEMORY_SYSTEM,
    REFERENCE_SYSTEM,
    UNSURE_MEMORY_SYSTEM,
    ChangeRecord,
    StreamRecord,
)

#: Every so-manieth image is shown to the reference when time is taken: it costs the most by far,
#: and the same for every image.
REFERENCE_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MacsPerImage:
    """Multiply-accumulates of each network for one image."""

    a: int
    b: int
    reference: int

    @classmethod
    def of(cls, deployed: Deployed) -> MacsPerImage:
        """Read them from the sidecars.

        Raises:
            DataError: If one is unknown.
        """
        return cls(
            a=_known_macs(deployed.cascade.a),
            b=_known_macs(deployed.cascade.b),
            reference=_known_macs(deployed.reference),
        )

    def ratio(self, system: str, outcome: Outcome) -> float:
        """Return what a system computed, relative to the reference on the same stream."""
        if system == REFERENCE_SYSTEM:
            return 1.0
        spent = outcome.computed.mean() * self.a + outcome.asked_b.mean() * self.b
        return float(spent / self.reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTimes:
    """CPU times on a stream that was timed.

    Attributes:
        times_us: Per image, of every round, by system.
        n_images: Images of that stream.
    """

    times_us: Mapping[str, Sequence[float]]
    n_images: int


def memory_systems(memory: MemorySettings, stream: Stream) -> dict[str, MemorySettings]:
    """Return the memories to compare on a stream, by the system's name.

    Alignment is tried where frames move. The paper's memory forgets nothing and holds everything,
    sure or not.
    """
    systems = {
        EXACT_MEMORY_SYSTEM: replace(memory, key="exact"),
        MEMORY_SYSTEM: memory,
        UNSURE_MEMORY_SYSTEM: replace(memory, store_min_confidence=0.0),
    }
    if stream.arrangement == "video":
        systems[ALIGNED_MEMORY_SYSTEM] = replace(memory, key="dhash_verified", align=True)
    systems[PAPER_MEMORY_SYSTEM] = replace(
        memory,
        key="dhash_unverified",
        store_min_confidence=0.0,
        max_entries=len(stream.frames),
        max_age_s=None,
    )
    return systems


def timed_systems(deployed: Deployed, memories: Mapping[str, MemorySettings]) -> list[TimedSystem]:
    """Return the systems as they would be deployed, on the same networks, with empty memories."""
    cascade = deployed.cascade
    systems = [
        TimedSystem(name=REFERENCE_SYSTEM, classifier=deployed.reference, every=REFERENCE_EVERY),
        TimedSystem(name=A_SYSTEM, classifier=cascade.a),
        TimedSystem(name=PAIR_SYSTEM, classifier=cascade),
    ]
    for name, settings in memories.items():
        memory = LocalMemory(settings)
        remembering = CascadeClassifier(cascade.a, cascade.b, cascade.policy, memory=memory)
        systems.append(TimedSystem(name=name, classifier=remembering, memory=memory))
    return systems


def stream_records(
    stream: Stream, outcomes: Mapping[str, Outcome], macs: MacsPerImage, times: StreamTimes
) -> list[StreamRecord]:
    """Return one record per system."""
    return [
        _stream_record(stream, system, outcome, macs, times) for system, outcome in outcomes.items()
    ]


def change_records(stream: Stream, outcomes: Mapping[str, Outcome]) -> list[ChangeRecord]:
    """Return one record per memory and change, where frames are changed."""
    change = stream.change[stream.order]
    return [
        ChangeRecord(
            stream=stream.name,
            system=system,
            change=name,
            n=int((change == index).sum()),
            hits=int((~outcome.computed)[change == index].sum()),
        )
        for system, outcome in outcomes.items()
        if outcome.has_memory
        for index, name in enumerate(stream.changes)
        if index > 0
    ]


def _stream_record(
    stream: Stream, system: str, outcome: Outcome, macs: MacsPerImage, times: StreamTimes
) -> StreamRecord:
    labels = stream.frames.labels[stream.order]
    judged = outcome.predicted >= 0
    own_us, reference_us = times.times_us[system], times.times_us[REFERENCE_SYSTEM]
    record = StreamRecord(
        stream=stream.name,
        arrangement=stream.arrangement,
        duplicates=stream.duplicates,
        system=system,
        n_images=len(stream),
        accuracy=float((outcome.predicted == labels)[judged].mean()),
        n_judged=int(judged.sum()),
        share_a=float(outcome.computed.mean()),
        share_b=float(outcome.asked_b.mean()),
        macs_ratio=macs.ratio(system, outcome),
        cpu_us=median_range(own_us).median,
        cpu_ratio=median_range(
            [own / reference for own, reference in zip(own_us, reference_us, strict=True)]
        ),
        n_timed=times.n_images,
        hit_rate=None,
        repeat_hit_rate=None,
        wrong_hits=None,
        wrong_label_hits=None,
    )
    if not outcome.has_memory:
        return record
    hit, repeated = ~outcome.computed, stream.repeated
    return replace(
        record,
        hit_rate=float(hit.mean()),
        repeat_hit_rate=float(hit[repeated].mean()) if repeated.any() else None,
        wrong_hits=int((outcome.predicted != outcome.networks_predicted).sum()),
        wrong_label_hits=int((stream.frames.labels[outcome.source] != labels).sum()),
    )


def _known_macs(classifier: ClassifierSession) -> int:
    info = classifier.info
    if info.macs is None or info.macs < 1:
        raise DataError(
            f"the multiply-accumulates of {info.name!r} are {info.macs}, expected a "
            "number above 0 in its sidecar's block 'cost'; export it again"
        )
    return info.macs
