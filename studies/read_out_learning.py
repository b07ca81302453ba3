"""How well classes are learned from a few examples that the network has never seen.

Networks are trained on six classes of FashionMNIST; the other four are then learned from handfuls
of examples, in three ways: the read-out; the same with equal weights, which is the mean of a class;
and with shifts that were learned on the classes that the network knows. And the read-out where one
of the examples of each class shows another class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.statistics import Estimate, mean
from edge.learning.read_out import mix, read_out
from edge.learning.state import MemoryState
from models.data.dataset import ImageDataset, LabelledImages
from models.heads.frozen_features import FrozenAnswers, frozen_answers, load_feature_network
from models.heads.memory_fitting import draw_examples, fitted_state
from models.heads.projection import ProjectionTraining, learn_projection
from models.heads.read_out import SHOTS
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, single, write_measurements
from studies.networks import NetworkTraining, train_classifier
from studies.study import Study

METHODS = ("read-out", "class means", "read-out with learned shifts")

#: Only of the largest number of examples: of 16 it is one in 16, 6 %.
WRONG = "read-out, one wrong example"

#: What is measured of every handful, in this order: accuracy among the new classes alone; among all
#: classes, on images of all, of those that the network knew, and of the new ones.
QUANTITIES = (
    "new classes only", "all classes", "images of known classes", "images of new classes",
)  # fmt: skip

_VALIDATION = 3_000
_LEARNED_FROM = 6_000
#: Images of each new class among which examples are drawn.
_CANDIDATES = 500

#: Accuracies (draws, 4) by method and number of examples.
Draws = dict[tuple[str, int], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningPlan:
    """What is trained and drawn.

    Attributes:
        epochs: Of the networks' training.
        held_out: Labels that they do not see.
        seeds: Of their trainings.
        shots: Numbers of examples of each new class.
        draws: Handfuls of examples for each network and number.
    """

    epochs: int = 6
    held_out: tuple[int, ...] = (6, 7, 8, 9)
    seeds: tuple[int, ...] = (0, 1, 2)
    shots: tuple[int, ...] = (1, 4, 16)
    draws: int = 10


def run(folder: Path, quick: bool) -> int:
    """Train the networks and learn the other classes."""
    plan = LearningPlan(epochs=1, seeds=(0,), shots=(1, 4), draws=2) if quick else LearningPlan()
    measured = study_learning(plan, fashion_mnist(400 if quick else None), folder)
    write_measurements(folder / "read_out_learning.csv", measured)
    most = examples(plan.shots[-1])
    own, means = (measured[one, most, QUANTITIES[0]].value or 0.0 for one in METHODS[:2])
    print(f"new classes from {most} each: {own:.1%}, by class means {means:.1%}")
    return 0 if own > means else 1


STUDY = Study(
    claim="From 16 examples of each new class, the read-out tells new classes apart better than "
    "the means of the classes do.",
    setting="One thread of a shared AMD EPYC; n = 3 networks (squeeze16, seeds 0, 1, 2, 6 epochs) "
    "with 10 handfuls each, 10,000 test images; 10 CPU-minutes.",
    run=run,
    needs=NEEDS,
)


def examples(shots: int) -> str:
    """Name the condition of so many examples of each new class."""
    return f"{shots} example{'s' if shots > 1 else ''}"


def study_learning(plan: LearningPlan, dataset: ImageDataset, folder: Path) -> Measured:
    """Train the networks, or go on with killed trainings, and measure.

    Args:
        plan: What to train and draw.
        dataset: All classes; examples are training images, test images only judge.
        folder: Gets the networks.
    """
    found: dict[tuple[str, int], list[NDArray[np.float64]]] = {}
    seen = without_classes(dataset, plan.held_out)
    for seed in plan.seeds:
        training = NetworkTraining(
            architecture="squeeze16",
            seed=seed,
            output=folder / f"held-out-{'-'.join(map(str, plan.held_out))}-s{seed}",
            epochs=plan.epochs,
        )
        for key, accuracies in _measure(
            train_classifier(training, seen), plan, dataset, seed
        ).items():
            found.setdefault(key, []).append(accuracies)
    measured: Measured = {}
    for (method, shots), values in found.items():
        measured |= summary(method, shots, np.stack(values))
    return measured


def summary(method: str, shots: int, values: NDArray[np.float64]) -> Measured:
    """Summarise accuracies (networks, draws, 4): means over draws, intervals over networks.

    The quantiles over single draws say what one handful may give.
    """
    key = (method, examples(shots))
    low, high = np.quantile(values[..., 0], (0.05, 0.95))
    count = values[..., 0].size
    measured: Measured = {
        (*key, quantity): _share(mean(values[..., place].mean(axis=1)))
        for place, quantity in enumerate(QUANTITIES)
    }
    return measured | {
        (*key, f"{QUANTITIES[0]}, 5 % of draws"): single(low, n=count),
        (*key, f"{QUANTITIES[0]}, 95 % of draws"): single(high, n=count),
    }


def _share(estimate: Estimate) -> Estimate:
    """Cut an interval to what a share can be."""
    if estimate.low is None or estimate.high is None:
        return estimate
    return replace(estimate, low=max(estimate.low, 0.0), high=min(estimate.high, 1.0))


def without_classes(dataset: ImageDataset, held_out: tuple[int, ...]) -> ImageDataset:
    """Return the images of the other classes, which are numbered anew in their order."""
    kept = [label for label in range(len(dataset.labels)) if label not in held_out]
    numbers = np.full(len(dataset.labels), -1, np.int64)
    numbers[kept] = np.arange(len(kept))

    def part(images: LabelledImages) -> LabelledImages:
        chosen = images.select(np.isin(images.labels, kept))
        return replace(chosen, labels=numbers[chosen.labels])

    return ImageDataset(
        name=dataset.name,
        labels=tuple(dataset.labels[label] for label in kept),
        color=dataset.color,
        train=part(dataset.train),
        validation=part(dataset.validation),
        test=part(dataset.test),
        mirror_allowed=dataset.mirror_allowed,
    )


def _measure(path: Path, plan: LearningPlan, dataset: ImageDataset, seed: int) -> Draws:
    """Measure every handful for one network."""
    network = load_feature_network(path)
    rng = np.random.default_rng(seed)
    order = [label for label in range(len(dataset.labels)) if label not in plan.held_out]
    numbers = np.argsort([*order, *plan.held_out])  # new classes come last
    known = len(order)

    def answers(images: LabelledImages, chosen: NDArray[np.integer]) -> FrozenAnswers:
        part = images.select(chosen)
        return frozen_answers(network, part.images, numbers[part.labels])

    def drawn(images: LabelledImages, old: int, new: int) -> FrozenAnswers:
        counts = np.full(len(numbers), old)
        counts[list(plan.held_out)] = new
        return answers(images, draw_examples(images.labels, counts, rng))

    memorised = drawn(dataset.train, SHOTS, 0)
    others = drawn(dataset.train, _LEARNED_FROM // known, 0)
    validation = drawn(dataset.validation, _VALIDATION // known, 0)
    candidates = drawn(dataset.train, 0, _CANDIDATES)
    test = answers(dataset.test, np.arange(len(dataset.test)))
    states = _states(tuple(dataset.labels[k] for k in order), memorised, validation, others)
    found: dict[tuple[str, int], list[list[float]]] = {}
    for _ in range(plan.draws):
        for shots in plan.shots:
            counts = np.array([0] * known + [shots] * len(plan.held_out))
            handful = candidates.select(draw_examples(candidates.labels, counts, rng))
            trials = [(method, state, handful) for method, state in states.items()]
            if shots == max(plan.shots) > 1:
                trials.append((WRONG, states[METHODS[0]], _with_a_wrong_example(handful)))
            for method, state, given in trials:
                taught = _taught(state, given, [dataset.labels[label] for label in plan.held_out])
                found.setdefault((method, shots), []).append(_accuracies(taught, test, known))
    return {key: np.array(values) for key, values in found.items()}


def _taught(state: MemoryState, handful: FrozenAnswers, new: Sequence[str]) -> MemoryState:
    """Teach the new classes, which follow those of the state in their numbers."""
    known = len(state.labels)
    for number, label in enumerate(new):
        state = state.with_examples(handful.features[handful.labels == known + number], label)
    return state


def _with_a_wrong_example(handful: FrozenAnswers) -> FrozenAnswers:
    """Say of the last example of each class that it shows the next class."""
    labels = handful.labels.copy()
    classes = np.unique(labels)
    last = [int(np.flatnonzero(handful.labels == label)[-1]) for label in classes]
    labels[last] = np.roll(classes, -1)
    return replace(handful, labels=labels)


def _states(
    labels: tuple[str, ...],
    memorised: FrozenAnswers,
    validation: FrozenAnswers,
    others: FrozenAnswers,
) -> dict[str, MemoryState]:
    plain = fitted_state(labels, memorised, validation)
    projection = learn_projection(
        ProjectionTraining(scale=plain.settings.scale), plain.static_slots, others
    )
    learned = fitted_state(labels, memorised, validation, projection)
    means = replace(plain, settings=replace(plain.settings, beta=0.0))
    return dict(zip(METHODS, (plain, means, learned), strict=True))


def _accuracies(state: MemoryState, test: FrozenAnswers, known: int) -> list[float]:
    settings = state.settings
    static = read_out(test.features, state.static_slots, beta=settings.beta, scale=settings.scale)
    mixed = mix(test.probabilities, static, None, settings.weights)
    new = test.labels >= known
    right = mixed.argmax(axis=1) == test.labels
    among_new = static[new][:, known:].argmax(axis=1) + known == test.labels[new]
    return [float(part.mean()) for part in (among_new, right, right[~new], right[new])]
