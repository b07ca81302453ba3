"""What a dynamic memory does on streams that change, that are poisoned, and in other orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.classifier import FeatureClassifier
from edge.memory_state import MemoryState
from edge.read_out import entropy_nats, mix, read_out
from models.classifiers.dataset import ImageDataset, LabelledImages
from models.data.corruptions import corrupt
from models.zoo.frozen_features import FrozenAnswers, frozen_answers, joined
from models.zoo.memory_fitting import StreamAnswers, replay

#: Streams of test images by name: corruption and level of each of their equal parts. None of them
#: is the one on which the weights were chosen.
STREAMS: dict[str, tuple[tuple[str, int] | None, ...]] = {
    "as they are": (None,),
    "noise 25": (("noise", 1),),
    "contrast 0.75": (("contrast", 1),),
    "turned by 15°": (("rotation", 1),),
    "turned by 30°": (("rotation", 2),),
    "shifted by 2 px": (("shift", 1),),
    "turned further and further (0, 5, 15, 30°)": (
        None,
        ("rotation", 0),
        ("rotation", 1),
        ("rotation", 2),
    ),
}

#: Streams that are also poisoned.
_POISONED = ("as they are", "contrast 0.75", "turned by 15°")

_CONFIDENCE_BOUND = 0.9
#: Pictures of the attacker for each genuine one: 5 % of the stream.
_TO_GENUINE = 0.05 / 0.95
_ATTACKERS_PICTURES = 2_000

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedAccuracy:
    """Two ways on the same images; means over orders, 0..1.

    Attributes:
        before: Accuracy of the first way.
        after: Accuracy of the second way.
        difference: After less before.
        ci95: Interval of the difference, over images.
        n: Number of images.
    """

    before: float
    after: float
    difference: float
    ci95: tuple[float, float]
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamResult:
    """One stream in several random orders.

    Attributes:
        stream: Its name.
        network: Accuracy of the network alone.
        memories: Without, and with the dynamic memory.
        dynamic_alone: Accuracy of what is read out of the dynamic memory alone.
        orders: Accuracy with the dynamic memory in each order.
        bounded: Accuracy where only answers of a confidence of 0.9 enter the memory (first order).
    """

    stream: str
    network: float
    memories: PairedAccuracy
    dynamic_alone: float
    orders: tuple[float, ...]
    bounded: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoisonResult:
    """A stream, a share of which somebody made to mislead the memory.

    Attributes:
        stream: Its name.
        attack: ``distinct`` pictures, or few of them ``repeated``.
        share: Share of the attacker's pictures in the stream.
        genuine: Accuracy on the other images, with an honest stream and with the poisoned one.
        against_static: The same images without the dynamic memory, and with the poisoned one.
        slots_taken: Share of the dynamic memory that the attacker's pictures hold in the end.
    """

    stream: str
    attack: str
    share: float
    genuine: PairedAccuracy
    against_static: PairedAccuracy
    slots_taken: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderResult:
    """The same images in other orders, with the dynamic memory.

    Attributes:
        stream: Its name.
        random: Smallest and largest accuracy over random orders.
        sorted_by_class: Accuracy where one class comes after the other.
        changed_answers: Share of images whose class differs between two random orders.
        same_slots: Share of the dynamic memory that two random orders end with alike.
    """

    stream: str
    random: tuple[float, float]
    sorted_by_class: float
    changed_answers: float
    same_slots: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStudy:
    """Everything that was measured."""

    streams: tuple[StreamResult, ...]
    poison: tuple[PoisonResult, ...]
    orders: tuple[OrderResult, ...]


def study_streams(
    network: FeatureClassifier,
    state: MemoryState,
    dataset: ImageDataset,
    *,
    orders: int,
    progress: Progress,
) -> StreamStudy:
    """Replay streams of test images.

    Args:
        network: Gives probabilities and features.
        state: Its memory, of which nothing was seen yet.
        dataset: Test images make the streams; the attacker has training images.
        orders: Random orders of each stream.
        progress: Called with steps done, steps in all, and what is going on.
    """
    streams: list[StreamResult] = []
    poison: list[PoisonResult] = []
    sequences: list[OrderResult] = []
    attacks = _attacks(network, state, dataset.train, round(len(dataset.test) * _TO_GENUINE))
    for number, name in enumerate(STREAMS):
        progress(number, len(STREAMS), name)
        parts = _stream(network, dataset.test, STREAMS[name])
        shuffled = [_shuffled(parts, seed) for seed in range(orders)]
        stream = joined(*parts)
        results = [_unshuffled(replay(state, stream.select(order)), order) for order in shuffled]
        streams.append(_stream_result(name, state, stream, results, shuffled[0]))
        if len(parts) == 1:
            sequences.append(_order_result(name, state, stream, results, shuffled))
        if name in _POISONED:
            poison += [
                _poison_result((name, kind), state, stream, attack, results[0])
                for kind, attack in attacks.items()
            ]
    progress(len(STREAMS), len(STREAMS), "replayed")
    return StreamStudy(streams=tuple(streams), poison=tuple(poison), orders=tuple(sequences))


def _stream(
    network: FeatureClassifier, images: LabelledImages, changes: tuple[tuple[str, int] | None, ...]
) -> list[FrozenAnswers]:
    order = np.random.default_rng(0).permutation(len(images))
    parts = []
    for change, chosen in zip(changes, np.array_split(order, len(changes)), strict=True):
        part = images.select(chosen)
        pixels = part.images if change is None else corrupt(part.images, *change)
        parts.append(frozen_answers(network, pixels, part.labels))
    return parts


def _shuffled(parts: list[FrozenAnswers], seed: int) -> NDArray[np.int64]:
    """Return an order in which the parts keep their places."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *(len(part) for part in parts)])
    return np.concatenate(
        [start + rng.permutation(len(part)) for start, part in zip(starts, parts, strict=False)]
    )


def _unshuffled(answers: StreamAnswers, order: NDArray[np.int64]) -> StreamAnswers:
    back = np.argsort(order)
    return replace(
        answers,
        static=answers.static[back],
        dynamic=answers.dynamic[back],
        mixed=answers.mixed[back],
    )


def _right(probabilities: NDArray[np.floating], stream: FrozenAnswers) -> NDArray[np.float64]:
    return np.asarray(probabilities.argmax(axis=1) == stream.labels, np.float64)


def _accuracy(probabilities: NDArray[np.floating], stream: FrozenAnswers) -> float:
    return round(float(_right(probabilities, stream).mean()), 4)


def _paired(before: NDArray[np.float64], after: NDArray[np.float64]) -> PairedAccuracy:
    gain = after - before
    half = 1.96 * float(gain.std(ddof=1)) / np.sqrt(len(gain))
    middle = float(gain.mean())
    return PairedAccuracy(
        before=round(float(before.mean()), 4),
        after=round(float(after.mean()), 4),
        difference=round(middle, 4),
        ci95=(round(middle - half, 4), round(middle + half, 4)),
        n=len(gain),
    )


def _stream_result(
    name: str,
    state: MemoryState,
    stream: FrozenAnswers,
    results: list[StreamAnswers],
    order: NDArray[np.int64],
) -> StreamResult:
    mixed = np.mean([_right(answers.mixed, stream) for answers in results], axis=0)
    bound = replace(state.settings, min_confidence=_CONFIDENCE_BOUND)
    bounded = replay(replace(state, settings=bound), stream.select(order))
    return StreamResult(
        stream=name,
        network=_accuracy(stream.probabilities, stream),
        memories=_paired(_right(results[0].static, stream), mixed),
        dynamic_alone=_accuracy(results[0].dynamic, stream),
        orders=tuple(_accuracy(answers.mixed, stream) for answers in results),
        bounded=_accuracy(bounded.mixed, stream.select(order)),
    )


def _order_result(
    name: str,
    state: MemoryState,
    stream: FrozenAnswers,
    results: list[StreamAnswers],
    orders: list[NDArray[np.int64]],
) -> OrderResult:
    by_class = np.argsort(stream.labels, kind="stable")
    in_turn = replay(state, stream.select(by_class))
    accuracies = [_accuracy(answers.mixed, stream) for answers in results]
    first, second = results[0], results[1 % len(results)]
    changed = first.mixed.argmax(axis=1) != second.mixed.argmax(axis=1)
    kept = [{row.tobytes() for row in answers.kept.features} for answers in (first, second)]
    return OrderResult(
        stream=name,
        random=(min(accuracies), max(accuracies)),
        sorted_by_class=_accuracy(in_turn.mixed, stream.select(by_class)),
        changed_answers=round(float(changed.mean()), 4),
        same_slots=round(len(kept[0] & kept[1]) / max(len(kept[0]), 1), 4),
    )


def _attacks(
    network: FeatureClassifier, state: MemoryState, images: LabelledImages, count: int
) -> dict[str, FrozenAnswers]:
    """Return pictures that are surely taken for something else, by kind of attack.

    The attacker only asks the classifier: training pictures are turned upside down or to the side,
    inverted, or laid over each other (80 % of one, whose class counts as the true one, below
    another one), and those are kept that get another class than their own: the surest ones, or of
    each class the surest one again and again.
    """
    part = images.select(np.random.default_rng(1).permutation(len(images))[:_ATTACKERS_PICTURES])
    changed = [
        np.rot90(part.images, 1, (1, 2)),
        np.rot90(part.images, 2, (1, 2)),
        255 - part.images,
        np.maximum((0.8 * part.images).astype(np.uint8), np.roll(part.images, 1, axis=0)),
    ]
    tried = joined(
        *(frozen_answers(network, np.ascontiguousarray(one), part.labels) for one in changed)
    )
    settings = state.settings
    static = read_out(tried.features, state.static_slots, beta=settings.beta, scale=settings.scale)
    judged = mix(tried.probabilities, static, None, settings.weights)
    taken_for = judged.argmax(axis=1)
    mistaken = np.flatnonzero(taken_for != tried.labels)
    surest = mistaken[np.argsort(entropy_nats(judged[mistaken]), kind="stable")]
    _, first = np.unique(taken_for[surest], return_index=True)
    return {
        "distinct": tried.select(surest[:count]),
        "repeated": tried.select(np.resize(surest[first], count)),
    }


def _poison_result(
    title: tuple[str, str],
    state: MemoryState,
    stream: FrozenAnswers,
    attack: FrozenAnswers,
    honest: StreamAnswers,
) -> PoisonResult:
    """Mix an attack into a stream whose order, without it, is that of the honest answers."""
    rng = np.random.default_rng(2)
    places = np.concatenate(
        [np.argsort(_shuffled([stream], 0)) / len(stream), rng.random(len(attack))]
    )
    order = np.argsort(places, kind="stable")
    poisoned = _unshuffled(replay(state, joined(stream, attack).select(order)), order)
    genuine = _right(poisoned.mixed[: len(stream)], stream)
    theirs = {row.tobytes() for row in attack.features}
    kept = [row.tobytes() in theirs for row in poisoned.kept.features]
    return PoisonResult(
        stream=title[0],
        attack=title[1],
        share=round(len(attack) / (len(attack) + len(stream)), 4),
        genuine=_paired(_right(honest.mixed, stream), genuine),
        against_static=_paired(_right(honest.static, stream), genuine),
        slots_taken=round(float(np.mean(kept)), 4),
    )
