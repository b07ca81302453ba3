"""What a dynamic memory does on streams that change, that are poisoned, and in other orders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.statistics import Estimate, mean
from edge.classifier import FeatureClassifier
from edge.learning.dual_memory import DualMemoryClassifier
from edge.learning.read_out import entropy_nats, mix, read_out
from edge.learning.state import MemoryState
from edge.loading import load_classifier
from edge.shipped import shipped_model
from models.data.corruptions import corrupt
from models.data.dataset import ImageDataset, LabelledImages
from models.heads.frozen_features import FrozenAnswers, frozen_answers, joined
from models.heads.memory_fitting import StreamAnswers, replay
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, single, write_measurements
from studies.study import Study

_MODEL = "fashion_mnist_read_out"

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

_CLEARLY_CHANGED = ("noise 25", "contrast 0.75", "turned by 30°")

#: Conditions: a stream in several random orders; one class after the other; two orders compared.
RANDOM, SORTED, TWO = "random orders", "class by class", "two random orders"

_CONFIDENCE_BOUND = 0.9
#: Pictures of the attacker for each genuine one: 5 % of the stream.
_TO_GENUINE = 0.05 / 0.95
_ATTACKERS_PICTURES = 2_000


def run(folder: Path, quick: bool) -> int:
    """Replay the streams with the memory that ships."""
    classifier = load_classifier(shipped_model(_MODEL))
    assert isinstance(classifier, DualMemoryClassifier)  # noqa: S101 - its sidecar says so
    dataset = fashion_mnist(200 if quick else None)
    measured = study_streams(
        classifier.network, classifier.state, dataset, orders=2 if quick else 3
    )
    write_measurements(folder / "read_out_streams.csv", measured)
    gains = {name: measured[name, RANDOM, "gain"] for name in STREAMS}
    changed = [one for name, one in gains.items() if name in _CLEARLY_CHANGED]
    return 0 if all((one.low or 0.0) > 0.0 for one in changed) else 1


STUDY = Study(
    claim="Where the images of a stream have changed (noise, contrast, a turn by 30°), the dynamic "
    "memory gains accuracy.",
    setting="The shipped read_out, n = 1 training; all 10,000 test images as each stream, 3 random "
    "orders (seeds 0, 1, 2); 3 CPU-minutes.",
    run=run,
    needs=NEEDS,
)


def study_streams(
    network: FeatureClassifier, state: MemoryState, dataset: ImageDataset, *, orders: int
) -> Measured:
    """Replay streams of test images.

    Args:
        network: Gives probabilities and features.
        state: Its memory, of which nothing was seen yet.
        dataset: Test images make the streams; the attacker has training images.
        orders: Random orders of each stream.

    Returns:
        By stream and condition. Accuracies in `RANDOM` orders are means over the orders, but for
        the bound on the confidence, which was tried in the first; differences are paired by image.
    """
    measured: Measured = {}
    attacks = _attacks(network, state, dataset.train, round(len(dataset.test) * _TO_GENUINE))
    for name, changes in STREAMS.items():
        parts = _stream(network, dataset.test, changes)
        shuffled = [_shuffled(parts, seed) for seed in range(orders)]
        stream = joined(*parts)
        results = [_unshuffled(replay(state, stream.select(order)), order) for order in shuffled]
        measured |= _in_random_orders(name, state, stream, results, shuffled[0])
        if len(parts) == 1:
            measured |= _in_other_orders(name, state, stream, results)
        if name in _POISONED:
            for kind, attack in attacks.items():
                measured |= _poisoned((name, f"{kind} attack"), state, stream, attack, results[0])
    return measured


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


def _accuracy(probabilities: NDArray[np.floating], stream: FrozenAnswers) -> Estimate:
    return single(_right(probabilities, stream).mean(), n=len(stream))


def _in_random_orders(
    name: str,
    state: MemoryState,
    stream: FrozenAnswers,
    results: list[StreamAnswers],
    order: NDArray[np.int64],
) -> Measured:
    key = (name, RANDOM)
    without = _right(results[0].static, stream)
    mixed = np.mean([_right(answers.mixed, stream) for answers in results], axis=0)
    bound = replace(state.settings, min_confidence=_CONFIDENCE_BOUND)
    bounded = replay(replace(state, settings=bound), stream.select(order))
    measured: Measured = {
        (*key, "network"): _accuracy(stream.probabilities, stream),
        (*key, "without dynamic memory"): single(without.mean(), n=len(stream)),
        (*key, "with it"): single(mixed.mean(), n=len(stream)),
        (*key, "gain"): mean(mixed - without),
        (*key, "dynamic memory alone"): _accuracy(results[0].dynamic, stream),
    }
    for number, answers in enumerate(results):
        measured[*key, f"with it in order {number}"] = _accuracy(answers.mixed, stream)
    return measured | {
        (*key, "with it, only confidence >= 0.9 enters"): _accuracy(
            bounded.mixed, stream.select(order)
        )
    }


def _in_other_orders(
    name: str, state: MemoryState, stream: FrozenAnswers, results: list[StreamAnswers]
) -> Measured:
    by_class = np.argsort(stream.labels, kind="stable")
    in_turn = replay(state, stream.select(by_class))
    first, second = results[0], results[1]
    changed = first.mixed.argmax(axis=1) != second.mixed.argmax(axis=1)
    kept = [{row.tobytes() for row in answers.kept.features} for answers in (first, second)]
    same = len(kept[0] & kept[1]) / max(len(kept[0]), 1)
    return {
        (name, SORTED, "with it"): _accuracy(in_turn.mixed, stream.select(by_class)),
        (name, TWO, "answers that differ"): single(changed.mean(), n=len(stream)),
        (name, TWO, "memory that is the same in the end"): single(same),
    }


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


def _poisoned(
    key: tuple[str, str],
    state: MemoryState,
    stream: FrozenAnswers,
    attack: FrozenAnswers,
    honest: StreamAnswers,
) -> Measured:
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
    return {
        (*key, "share of the attacker"): single(len(attack) / (len(attack) + len(stream))),
        (*key, "memory taken"): single(np.mean(kept)),
        (*key, "to an honest stream"): mean(genuine - _right(honest.mixed, stream)),
        (*key, "to no dynamic memory"): mean(genuine - _right(honest.static, stream)),
    }
