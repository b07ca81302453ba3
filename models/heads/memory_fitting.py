"""How the settings of a dual memory are chosen: on validation images, never on test images.

The authors' code tries 13 x 13 mixing weights on the test images and reports the best ("Searched
Acc"). Here the same weights are tried on validation images: the static one on the images as they
are, the dynamic one on a stream of which half the images have changed, for that is what a memory
of what was seen is for. Accuracy decides, and among equals the likelihood of the true class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.learning.dynamic_memory import DynamicMemory
from edge.learning.read_out import (
    BETA,
    MixingWeights,
    Projection,
    Slots,
    mix,
    read_out,
    read_out_scores,
)
from edge.learning.state import MemoryState, ReadOutSettings, Remembered
from models.calibration import fit_temperature
from models.heads.frozen_features import FrozenAnswers

#: The mixing weights that are tried, relative to the network's 1; those of the authors' code.
WEIGHTS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

#: The paper keeps CLIP's scale, which is also the largest that CLIP allows. Where all features
#: point in nearly the same direction, a larger one would make differences of rounding count.
_LARGEST_SCALE = 100.0

_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAnswers:
    """What was answered for a stream of N images, in its order.

    Attributes:
        static: (N, C) without the dynamic memory.
        dynamic: (N, C) read out of the dynamic memory alone.
        mixed: (N, C) of network and both memories.
        kept: What the dynamic memory holds in the end.
    """

    static: NDArray[np.float64]
    dynamic: NDArray[np.float64]
    mixed: NDArray[np.float64]
    kept: Remembered


def draw_examples(
    labels: NDArray[np.int64], shots: NDArray[np.integer], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return positions of examples: of class c `shots[c]`, or all if it has fewer."""
    drawn = []
    for label, count in enumerate(shots):
        found = np.flatnonzero(labels == label)
        drawn.append(rng.choice(found, min(int(count), len(found)), replace=False))
    return np.concatenate(drawn)


def fit_scale(validation: FrozenAnswers, slots: Slots, beta: float = BETA) -> float:
    """Return the factor of the scores with which the static memory is calibrated, at most 100."""
    scores = read_out_scores(validation.features, slots, beta=beta, scale=_LARGEST_SCALE)
    return min(_LARGEST_SCALE, _LARGEST_SCALE / fit_temperature(scores, validation.labels))


def fitted_state(
    labels: tuple[str, ...],
    examples: FrozenAnswers,
    validation: FrozenAnswers,
    projection: Projection | None = None,
) -> MemoryState:
    """Return a memory of examples whose scale and static weight validation images choose.

    The weight of the dynamic memory is that of the static one, until `with_dynamic_weight` chooses.
    """
    slots = Slots.of(examples.features, examples.labels, len(labels), projection)
    scale = fit_scale(validation, slots)
    static = read_out(validation.features, slots, beta=BETA, scale=scale)

    def mixture(weight: float) -> NDArray[np.float64]:
        weights = MixingWeights(network=1.0, static=weight, dynamic=0.0)
        return mix(validation.probabilities, static, None, weights)

    chosen = _best_weight(mixture, validation.labels)
    weights = MixingWeights(network=1.0, static=chosen, dynamic=chosen)
    settings = ReadOutSettings(weights=weights, scale=scale)
    return MemoryState(
        labels=labels,
        static=Remembered(features=examples.features, classes=examples.labels),
        dynamic=Remembered.nothing(examples.features.shape[1]),
        entropies=np.empty(0),
        settings=settings,
        projection=projection,
    )


def with_dynamic_weight(state: MemoryState, stream: FrozenAnswers) -> MemoryState:
    """Return the state with the dynamic weight that is best on a stream of validation images."""
    answers = replay(state, stream)
    slots = state.static_slots
    settings = state.settings
    static = read_out(stream.features, slots, beta=settings.beta, scale=settings.scale)

    def weights(dynamic: float) -> MixingWeights:
        return replace(settings.weights, dynamic=dynamic)

    def mixture(weight: float) -> NDArray[np.float64]:
        return mix(stream.probabilities, static, answers.dynamic, weights(weight))

    chosen = weights(_best_weight(mixture, stream.labels))
    return replace(state, settings=replace(settings, weights=chosen))


def replay(state: MemoryState, stream: FrozenAnswers) -> StreamAnswers:
    """Answer for a stream and fill the dynamic memory on the way.

    As `edge.learning.dual_memory.OnlineDualMemoryClassifier`, from features that were kept.
    """
    settings = state.settings
    static = read_out(stream.features, state.static_slots, beta=settings.beta, scale=settings.scale)
    judged = mix(stream.probabilities, static, None, settings.weights)
    memory = DynamicMemory(state)
    dynamic = np.empty_like(static)
    for row in range(len(stream)):
        memory.offer(stream.features[row], judged[row])
        dynamic[row] = memory.read(stream.features[row : row + 1])[0]
    mixed = mix(stream.probabilities, static, dynamic, settings.weights)
    return StreamAnswers(static=judged, dynamic=dynamic, mixed=mixed, kept=memory.state().dynamic)


def mean_loss(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Return the mean of -log p(true class) in nats."""
    true = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, _TINY)).mean())


def _best_weight(
    mixture: Callable[[float], NDArray[np.float64]], labels: NDArray[np.int64]
) -> float:
    def merit(weight: float) -> tuple[float, float]:
        mixed = mixture(weight)
        return float((mixed.argmax(axis=1) == labels).mean()), -mean_loss(mixed, labels)

    return max(WEIGHTS, key=merit)
