"""How well classes are learned from a few examples that the network has never seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.memory_state import MemoryState
from edge.read_out import mix, read_out
from models.classifiers.dataset import ImageDataset, LabelledImages
from models.zoo.frozen_features import FrozenAnswers, frozen_answers, load_feature_network
from models.zoo.held_out import FeatureTraining, train_features
from models.zoo.memory_fitting import draw_examples, fitted_state
from models.zoo.projection import ProjectionTraining, learn_projection
from models.zoo.read_out import SHOTS

#: 97.5 % quantiles of Student's t by degrees of freedom, for as many networks less one.
_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}

_VALIDATION = 3_000
_LEARNED_FROM = 6_000
#: Images of each new class among which examples are drawn.
_CANDIDATES = 500

#: What is compared, by name: the read-out; the same with equal weights, which is the mean of a
#: class; and with shifts that were learned on the classes that the network knows.
METHODS = ("read-out", "class means", "read-out with learned shifts")

#: The first of these, where one of the examples of each class shows another class. Only of the
#: largest number of examples: of 16 it is one in 16, 6 %.
WRONG = "read-out, one wrong example"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningPlan:
    """What is trained and drawn.

    Attributes:
        architecture: Of the networks.
        epochs: Of their training.
        held_out: Labels that they do not see.
        seeds: Of their trainings.
        shots: Numbers of examples of each new class.
        draws: Handfuls of examples for each network and number.
        output: Folder of the networks.
        command: Command line, for their sidecars.
    """

    architecture: str = "squeeze16"
    epochs: int = 6
    held_out: tuple[int, ...] = (6, 7, 8, 9)
    seeds: tuple[int, ...] = (0, 1, 2)
    shots: tuple[int, ...] = (1, 4, 16)
    draws: int = 10
    output: Path
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedAccuracy:
    """Accuracy on test images after classes were learned, means over networks and draws, 0..1.

    Attributes:
        method: One of `METHODS`, or `WRONG`.
        shots: Examples of each new class.
        new_only: Among the new classes alone.
        new_only_ci95: Interval of its mean over networks (Student's t).
        new_only_draws: 5 % and 95 % quantiles over single draws: what one handful may give.
        all_classes: Among all classes, images of all.
        all_classes_ci95: Interval of its mean.
        known_images: Among all classes, images of those that the network knew.
        new_images: Among all classes, images of the new ones.
    """

    method: str
    shots: int
    new_only: float
    new_only_ci95: tuple[float, float]
    new_only_draws: tuple[float, float]
    all_classes: float
    all_classes_ci95: tuple[float, float]
    known_images: float
    new_images: float


def study_learning(
    plan: LearningPlan, dataset: ImageDataset, progress: Progress
) -> tuple[LearnedAccuracy, ...]:
    """Train the networks, or go on with killed trainings, and measure.

    Args:
        plan: What to train and draw.
        dataset: All classes; examples are training images, test images only judge.
        progress: Called with steps done, steps in all, and what is going on.
    """
    found: dict[tuple[str, int], list[NDArray[np.float64]]] = {}
    for number, seed in enumerate(plan.seeds):
        folder = plan.output / f"held-out-{'-'.join(map(str, plan.held_out))}-s{seed}"

        def show(note: str, number: int = number) -> None:
            progress(number, len(plan.seeds), note)

        path = train_features(
            FeatureTraining(
                architecture=plan.architecture,
                held_out=plan.held_out,
                seed=seed,
                epochs=plan.epochs,
                output=folder,
                command=plan.command,
            ),
            dataset,
            lambda step: show(f"network, step {step.step} of {step.steps}"),
        )
        for key, accuracies in _measure(path, plan, dataset, seed, show).items():
            found.setdefault(key, []).append(accuracies)
    progress(len(plan.seeds), len(plan.seeds), "learned")
    return tuple(
        _summary(method, shots, np.stack(values)) for (method, shots), values in found.items()
    )


def _measure(
    path: Path, plan: LearningPlan, dataset: ImageDataset, seed: int, show: Callable[[str], None]
) -> dict[tuple[str, int], NDArray[np.float64]]:
    """Return the four accuracies of each draw (draws, 4), by method and number of examples."""
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

    show("features")
    examples = drawn(dataset.train, SHOTS, 0)
    others = drawn(dataset.train, _LEARNED_FROM // known, 0)
    validation = drawn(dataset.validation, _VALIDATION // known, 0)
    candidates = drawn(dataset.train, 0, _CANDIDATES)
    test = answers(dataset.test, np.arange(len(dataset.test)))
    states = _states(tuple(dataset.labels[k] for k in order), examples, validation, others)
    found: dict[tuple[str, int], list[list[float]]] = {}
    for draw in range(plan.draws):
        show(f"draw {draw + 1} of {plan.draws}")
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
    examples: FrozenAnswers,
    validation: FrozenAnswers,
    others: FrozenAnswers,
) -> dict[str, MemoryState]:
    plain = fitted_state(labels, examples, validation)
    projection = learn_projection(
        ProjectionTraining(scale=plain.settings.scale), plain.static_slots, others
    )
    learned = fitted_state(labels, examples, validation, projection)
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


def _summary(method: str, shots: int, values: NDArray[np.float64]) -> LearnedAccuracy:
    """Summarise accuracies (networks, draws, 4)."""
    means = values.mean(axis=1)

    def interval(column: int) -> tuple[float, float]:
        networks = len(means)
        middle = float(means[:, column].mean())
        if networks < 2:
            return (middle, middle)
        half = _T[networks - 1] * float(means[:, column].std(ddof=1)) / np.sqrt(networks)
        return (round(max(middle - half, 0.0), 4), round(min(middle + half, 1.0), 4))

    low, high = np.quantile(values[..., 0], (0.05, 0.95))
    new_only, everything, old, new = (round(float(value), 4) for value in means.mean(axis=0))
    return LearnedAccuracy(
        method=method,
        shots=shots,
        new_only=new_only,
        new_only_ci95=interval(0),
        new_only_draws=(round(float(low), 4), round(float(high), 4)),
        all_classes=everything,
        all_classes_ci95=interval(1),
        known_images=old,
        new_images=new,
    )
