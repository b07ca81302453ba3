"""The shipped cascade on streams in which images come again, without a memory and with several.

A network gives equal frames equal answers, so every frame is classified once. On each stream only
the memory is run, image by image: instead of probabilities it remembers the number of the frame, so
that a hit tells whose answer it serves. That is what the cascade with this memory does at batch 1.
CPU time is taken on the same streams of fewer originals, all systems in turns, one thread, batch 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ClassifierSession, ResultMemory
from bicameral.statistics import Estimate, median, share
from bicameral.types import Prediction
from edge.cascade import CascadeClassifier
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from models.cascade.deployed import Deployed, load_deployed
from models.data.dataset import LabelledImages
from models.data.sources import load_dataset
from models.measurement.streams import (
    PUBLISHED_SHARES,
    Stream,
    appended_stream,
    sample_images,
)
from models.measurement.workload import TimedSystem, time_systems
from studies.changed_frames import (
    JITTER_CHANGES,
    SHIFT_CHANGES,
    VIDEO_CHANGES,
    Change,
    video_stream,
)
from studies.measurements import print_measurements, write_measurements
from studies.paper_keys import open_memory
from studies.study import Study

SEED = 0
#: Originals of the streams, those that are timed, and passes over each.
IMAGES, TIMED, ROUNDS = 2000, 300, 3
#: Frames that the reference judges of a stream with changed frames; it judges all originals.
REFERENCE_FRAMES = 1000
#: Every so-manieth image is shown to the reference when time is taken: it costs the most by far,
#: and the same for every image.
REFERENCE_EVERY = 10
_BATCH = 100
#: As much of the cost without may a memory cost, and above this share of hits it must save.
MOST, MANY = 1.1, 0.3
#: What is printed; the record holds more.
SHOWN = (
    "accuracy",
    "share_b",
    "macs_ratio",
    "cpu_ratio",
    "cpu_us",
    "cpu_by_pair",
    "hit_rate",
    "repeat_hit_rate",
    "other_answer",
    "other_class",
)

Row = tuple[str, str, str, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Answers for M frames: class (-1: not shown), confidence, and the stage, from 0; all (M,)."""

    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    stage: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A stream of N images as a system served it.

    Attributes:
        source: (N,) int64, frame whose answer was served: the own one where it was computed.
        computed: (N,) bool, whether the networks were asked, A first.
        answers: What they answer for each frame.
    """

    source: NDArray[np.int64]
    computed: NDArray[np.bool_]
    answers: Answers


def build_streams(images: LabelledImages, seed: int) -> list[tuple[Stream, Mapping[str, Change]]]:
    """Make all streams of the same originals, with the changes that their frames went through."""
    streams: list[tuple[Stream, Mapping[str, Change]]] = [
        (appended_stream(images, part, seed), {}) for part in PUBLISHED_SHARES
    ]
    for stream, _ in streams[1:]:
        order = np.random.default_rng([seed, 1]).permutation(stream.order)
        name = stream.name.replace("appended", "interleaved")
        streams.append((replace(stream, name=name, order=order), {}))
    videos = {
        "video": VIDEO_CHANGES,
        "video with jitter": JITTER_CHANGES,
        "video with shifts": SHIFT_CHANGES,
    }
    for name, changes in videos.items():
        streams.append((video_stream(name, images, changes, seed), changes))
    return streams


def memory_systems(memory: MemorySettings, stream: Stream) -> dict[str, Callable[[], LocalMemory]]:
    """Return what opens the memories to compare on a stream, by the system's name.

    All but the paper's are those that are deployed: they stop looking for near duplicates where
    there are few. The paper's memory forgets nothing and holds everything, sure or not.
    """
    papers = replace(
        memory,
        key="dhash_unverified",
        store_min_confidence=0.0,
        max_entries=len(stream.frames),
        max_age_s=None,
    )
    return {
        "pair+exact memory": partial(LocalMemory, replace(memory, key="exact")),
        "pair+memory": partial(LocalMemory, memory),
        "pair+memory of all": partial(LocalMemory, replace(memory, store_min_confidence=0.0)),
        "pair+paper memory": partial(open_memory, papers),
    }


def answer(session: ClassifierSession, stream: Stream, shown: NDArray[np.int64]) -> Answers:
    """Classify some of a stream's frames."""
    count = len(stream.frames)
    answers = Answers(
        predicted=np.full(count, -1, np.int64),
        confidence=np.zeros(count, np.float32),
        stage=np.zeros(count, np.int64),
    )
    for start in range(0, len(shown), _BATCH):
        rows = shown[start : start + _BATCH]
        found = session.predict(stream.frames.images[rows])
        answers.predicted[rows] = found.probabilities.argmax(axis=1)
        answers.confidence[rows] = found.confidence
        if isinstance(session, CascadeClassifier):
            places = [session.stages.index(trace.stage) for trace in found.trace or ()]
            answers.stage[rows] = places
    return answers


def serve(stream: Stream, answers: Answers, memory: ResultMemory | None = None) -> Outcome:
    """Let a memory, empty at first, answer what it knows and remember what it does not."""
    source, computed = stream.order.copy(), np.ones(len(stream), np.bool_)
    # float32 holds every number below 2 ** 24, far more than there are frames.
    numbers = np.arange(len(stream.frames), dtype=np.float32)[:, None]
    for place, frame in enumerate(stream.order.tolist() if memory is not None else ()):
        rows = slice(frame, frame + 1)
        image = stream.frames.images[rows]
        (known,) = memory.lookup("stream", image)  # type: ignore[union-attr]
        if known is not None:
            source[place], computed[place] = int(known.probabilities[0, 0]), False
            continue
        result = Prediction(probabilities=numbers[rows], confidence=answers.confidence[rows])
        memory.store("stream", image, result)  # type: ignore[union-attr]
    return Outcome(source=source, computed=computed, answers=answers)


def figures(
    stream: Stream, outcome: Outcome, macs: Sequence[float], changes: Sequence[str]
) -> Iterator[tuple[str, Estimate]]:
    """Yield what became of a stream.

    Args:
        stream: The stream.
        outcome: How a system served it.
        macs: Multiply-accumulates until each stage has answered, by the reference's.
        changes: What was done to the frames after each original.
    """
    answers, labels = outcome.answers, stream.frames.labels
    predicted, hit = answers.predicted[outcome.source], ~outcome.computed
    judged = predicted >= 0
    right = predicted == labels[stream.order]
    n, stage = len(stream), np.where(outcome.computed, answers.stage[stream.order], -1)
    # The last one is what a hit costs.
    spent = np.array([*macs, 0.0])[stage].mean()
    yield "accuracy", share(int(right[judged].sum()), int(judged.sum()))
    yield "share_a", share(int(outcome.computed.sum()), n)
    yield "share_b", share(int((stage > 0).sum()), n)
    yield "macs_ratio", Estimate(value=float(spent), low=None, high=None, n=n)
    yield "hit_rate", share(int(hit.sum()), n)
    yield "repeat_hit_rate", share(int(hit[stream.repeated].sum()), int(stream.repeated.sum()))
    other_answer = predicted != answers.predicted[stream.order]
    yield "other_answer", share(int((judged & other_answer).sum()), n)
    yield "other_class", share(int((labels[outcome.source] != labels[stream.order]).sum()), n)
    variant = stream.order % stream.variants
    for number, change in enumerate(changes, start=1):
        of = variant == number
        yield f"hit_rate, {change}", share(int(hit[of].sum()), int(of.sum()))


def measure_stream(
    deployed: Deployed, stream: Stream, changes: Sequence[str], known: dict[int, dict[str, Answers]]
) -> Iterator[Row]:
    """Yield the figures of every system on one stream, but for CPU time.

    Args:
        deployed: The cascade, its reference and its memory.
        stream: The stream.
        changes: What was done to the frames after each original.
        known: Answers by frames, for streams that share them.
    """
    cascade, every = deployed.cascade, np.arange(len(stream.frames))
    large = deployed.reference.info.macs or 1
    by_stage = [(macs or 0) / large for macs in cascade.macs_by_stage().values()]
    if id(stream.frames) not in known:
        shown = every
        if stream.variants > 1 and len(every) > REFERENCE_FRAMES:
            rng = np.random.default_rng([SEED, 3])
            shown = np.sort(rng.choice(len(every), size=REFERENCE_FRAMES, replace=False))
        known[id(stream.frames)] = {
            "reference": answer(deployed.reference, stream, shown),
            "a": answer(cascade.members[0], stream, every),
            "pair": answer(cascade, stream, every),
        }
    answers = known[id(stream.frames)]
    outcomes = {name: serve(stream, of) for name, of in answers.items()}
    for name, opens in memory_systems(deployed.memory, stream).items():
        outcomes[name] = serve(stream, answers["pair"], opens())
    for name, outcome in outcomes.items():
        macs = [1.0] if name == "reference" else by_stage
        remembers = "memory" in name
        for quantity, estimate in figures(stream, outcome, macs, changes if remembers else ()):
            if remembers or quantity in ("accuracy", "share_a", "share_b", "macs_ratio"):
                yield stream.name, name, quantity, estimate


def time_stream(deployed: Deployed, stream: Stream, rounds: int) -> Iterator[Row]:
    """Yield the CPU time of every system on one stream, as it would be deployed."""
    cascade = deployed.cascade
    systems = [
        TimedSystem(name="reference", classifier=deployed.reference, every=REFERENCE_EVERY),
        TimedSystem(name="a", classifier=cascade.members[0]),
        TimedSystem(name="pair", classifier=cascade),
    ]
    for name, opens in memory_systems(deployed.memory, stream).items():
        memory = opens()
        remembering = CascadeClassifier(cascade.members, cascade.policy, memory=memory)
        systems.append(TimedSystem(name=name, classifier=remembering, memory=memory))
    times = time_systems(stream, systems, rounds, lambda done, total, note: None)
    for name, times_us in times.items():
        pairs = zip(times_us, times["reference"], strict=True)
        yield stream.name, name, "cpu_us", median(times_us, "us")
        yield stream.name, name, "cpu_ratio", median([own / by for own, by in pairs])
        pairs = zip(times_us, times["pair"], strict=True)
        yield stream.name, name, "cpu_by_pair", median([own / by for own, by in pairs])


def run(folder: Path, quick: bool) -> int:
    """Measure all systems on all streams."""
    deployed = load_deployed("fashion_mnist_cascade")
    test = load_dataset("fashion-mnist").test
    images = sample_images(test, 24 if quick else IMAGES, SEED)
    timed = sample_images(images, 5 if quick else TIMED, SEED)
    rows: list[Row] = []
    known: dict[int, dict[str, Answers]] = {}
    streams = build_streams(images, SEED)
    for (stream, changes), (short, _) in zip(streams, build_streams(timed, SEED), strict=True):
        rows += measure_stream(deployed, stream, list(changes), known)
        # Of streams with many frames of each original, the beginning is long enough.
        cut = replace(short, order=short.order[: 2 * len(timed)])
        rows += time_stream(deployed, cut, 1 if quick else ROUNDS)
    deployed.close()
    found = {(system, stream, quantity): of for stream, system, quantity, of in rows}
    write_measurements(folder / "streams.csv", found)
    print_measurements(found, SHOWN)
    verified = ("pair+memory", "pair+exact memory")
    wrong = [of.value for (system, _, quantity), of in found.items()
             if quantity == "other_class" and system in verified]  # fmt: skip
    dear = [of.value or 0.0 for (system, _, quantity), of in found.items()
            if quantity == "cpu_ratio" and system == "pair"]  # fmt: skip
    of_memory = {stream: (found["pair+memory", stream, "cpu_by_pair"].value or 9.0,
                          found["pair+memory", stream, "hit_rate"].value or 0.0)
                 for system, stream, quantity in found
                 if (system, quantity) == ("pair+memory", "cpu_by_pair")}  # fmt: skip
    pays = all(cost <= (1.0 if hits > MANY else MOST) for cost, hits in of_memory.values())
    print(f"verified hits of another class: {sum(value or 0.0 for value in wrong)}")
    print(f"the pair's CPU time by the reference's: {min(dear):.3f} to {max(dear):.3f}")
    print(f"with a memory by without, and hits: {of_memory}")
    return int(any(wrong) or max(dear) > 0.25 or not pays)


STUDY = Study(
    claim=(
        "On every stream the cascade takes at most a quarter of the large network's CPU time; a "
        "memory adds at most a tenth to that, saves where it knows 30 % of the images, and never "
        "answers with an image of another class if it verifies."
    ),
    setting=(
        f"AMD EPYC, two cores; {IMAGES:,} test images of FashionMNIST, CPU time of {TIMED} of "
        f"them in {ROUNDS} rounds; seed {SEED}; three minutes"
    ),
    run=run,
    needs="FashionMNIST",
)
