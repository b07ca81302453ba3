"""A kernel machine on a network's features, of the kinds that infinitely deep networks turn into.

The features of a trained, frozen network, less their mean, are put on the unit sphere and compared
with those of up to 10,000 training images (Radhakrishnan, Belkin and Uhler 2023, arXiv 2204.14126).
Without the mean taken off all cosines lie near 1, where deep maps magnify rounding. Five ways to
answer from the comparison, of which the validation images choose one:

- ``majority_vote``, ``nearest_neighbour`` and ``singular`` are the three limits of infinite depth:
  the training images vote with the kernel as weight, nothing is solved;
- ``ridge`` solves the regression on the labels exactly, with a kernel of finite depth;
- ``correction`` solves for what the network's own linear head gets wrong, label minus probability
  (one step of gradient boosting), and adds a multiple of that to its logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bicameral.errors import ConfigError
from models.calibration import fit_temperature, negative_log_likelihood
from models.heads.kernels import (
    Kernel,
    PowerMap,
    network_gaussian_process,
    singular_kernel,
)

Mode = Literal["majority_vote", "nearest_neighbour", "singular", "ridge", "correction"]

#: More are refused: the system is solved exactly, in time n^3 and memory n^2.
MAX_POINTS = 10_000
#: Kernel and ridge are chosen with so many points, the mode with all of them.
_POINTS_TO_CHOOSE = 2_000
#: Bytes of the solver for each pair of points: kernel, and its factor twice while it is made.
_BYTES_PER_PAIR = 8 + 8 + 8

#: Layers of a singular kernel.
_DEPTH = 12
#: Smaller ones make coefficients so large that their sum in float32 is as wrong.
_RIDGES = (30.0, 100.0, 300.0)
_STEPS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
#: Smallest share of the votes that a class is given, so that the logarithm exists.
_MIN_SHARE = 1e-4
#: Rows at a time: so many times 10,000 cosines still fit a cache.
_ROWS = 64

#: Kernels of finite depth that a system is solved with. Both are 0 at cosine 0. Those of ReLU
#: networks are not: all 10,000 terms count, of both signs, and float32's sum is wrong by over 1e-4.
SOLVED_KERNELS: dict[str, Kernel] = {
    "power_0.5_3": network_gaussian_process(PowerMap(a=0.5, m=3), 1),
    "power_0.25_3": network_gaussian_process(PowerMap(a=0.25, m=3), 1),
}

#: Kernels of infinite depth whose values are weights of votes.
SINGULAR_KERNELS: dict[str, Kernel] = {
    f"power_{slope}_3": singular_kernel(PowerMap(a=slope, m=3), _DEPTH)
    for slope in (0.25, 0.1, 0.05)
}


def _constant(z: Tensor) -> Tensor:
    """The limit of a map with k(0) > 0: every point has the same weight."""
    return z * 0.0 + 1.0


_KERNELS: dict[Mode, dict[str, Kernel]] = {
    "majority_vote": {"": _constant},
    "nearest_neighbour": {"": _constant},
    "singular": SINGULAR_KERNELS,
    "ridge": SOLVED_KERNELS,
    "correction": SOLVED_KERNELS,
}

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the frozen network says of some images.

    Attributes:
        features: (N, D) float32.
        logits: (N, C) float32 of its linear head, divided by its temperature.
        labels: (N,) int64, the true classes.
    """

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]

    def select(self, index: NDArray[np.integer]) -> Answers:
        """Copy some of the rows."""
        return Answers(
            features=self.features[index], logits=self.logits[index], labels=self.labels[index]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A head that has been fitted, and how it did on the validation images.

    Attributes:
        mode: How it answers.
        kernel: Name of its kernel; empty where the mode has none.
        ridge: What was added to the diagonal; 0 where nothing was solved.
        points: Training images that it compares with.
        accuracy: On the validation images, 0..1.
        nll: Negative log likelihood there in nats, after temperature scaling.
        head: What maps features and linear logits to logits.
    """

    mode: Mode
    kernel: str
    ridge: float
    points: int
    accuracy: float
    nll: float
    head: KernelHead


def fit_heads(train: Answers, validation: Answers, progress: Progress) -> list[Choice]:
    """Fit the best head of every mode.

    Args:
        train: Rows to compare with, at most `MAX_POINTS`; every class is among them.
        validation: Decides kernel, ridge and step.
        progress: Called before each part of the work.

    Returns:
        One choice for each mode, with all points, by ascending validation loss.

    Raises:
        ConfigError: If there are too many points to solve exactly.
    """
    require_solvable(len(train.labels))
    few = train.select(spread_over_classes(train.labels, _POINTS_TO_CHOOSE, seed=0))
    progress("votes")
    fitted = [
        _judged("majority_vote", "", train, validation),
        _judged("nearest_neighbour", "", train, validation),
    ]
    singular = min(
        (_judged("singular", name, few, validation) for name in SINGULAR_KERNELS), key=_loss
    )
    fitted.append(_judged("singular", singular.kernel, train, validation))
    tried: list[Choice] = []
    for kernel in SOLVED_KERNELS:
        progress(f"systems with {kernel}")
        tried += _solved(kernel, _RIDGES, few, validation)
    modes: tuple[Mode, ...] = ("ridge", "correction")
    best = [min((one for one in tried if one.mode == mode), key=_loss) for mode in modes]
    for kernel in SOLVED_KERNELS:
        wanted = {(one.mode, one.ridge) for one in best if one.kernel == kernel}
        progress(f"{len(wanted)} systems with {kernel} on {len(train.labels)} points")
        ridges = tuple(sorted({ridge for _, ridge in wanted}))
        with_all = _solved(kernel, ridges, train, validation) if ridges else []
        fitted += [one for one in with_all if (one.mode, one.ridge) in wanted]
    return sorted(fitted, key=_loss)


def fit_steps() -> int:
    """Return how often `fit_heads` reports progress."""
    return 1 + 2 * len(SOLVED_KERNELS)


def require_solvable(points: int) -> None:
    """Refuse what cannot be solved exactly.

    Raises:
        ConfigError: If there are more than `MAX_POINTS` points; tells the memory it would take.
    """
    if points > MAX_POINTS:
        gib = _BYTES_PER_PAIR * points**2 / 2**30
        raise ConfigError(
            f"a kernel head of {points} points is solved exactly and would need {gib:.1f} GiB; "
            f"at most {MAX_POINTS} points are taken "
            f"({_BYTES_PER_PAIR * MAX_POINTS**2 / 2**30:.1f} GiB): choose some of the images"
        )


def spread_over_classes(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Draw up to `count` positions, the classes taking turns; returned sorted by class."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        turn[of_class] = np.arange(len(of_class))
    drawn = np.lexsort((labels, turn))[:count]
    return drawn[np.lexsort((drawn, labels[drawn]))]


class KernelHead(nn.Module):
    """Features and linear logits of images to logits, by comparison with training images."""

    mean: Tensor
    points: Tensor
    coefficients: Tensor

    def __init__(self, mode: Mode, kernel: str, train: Answers) -> None:
        """Keep the training images; whoever solves a system sets the coefficients and the step.

        Args:
            mode: How to answer.
            kernel: Name of the kernel.
            train: What to compare with.
        """
        super().__init__()
        classes = train.logits.shape[1]
        self.register_buffer("mean", torch.from_numpy(train.features).mean(dim=0))
        if mode == "nearest_neighbour":
            # As many rows for each class, so that the maximum over a class is one reduction.
            train = train.select(_padded_classes(train.labels, classes))
        self.mode, self.classes, self.step = mode, classes, 1.0
        self.kernel = _KERNELS[mode][kernel]
        self.register_buffer("points", _unit(torch.from_numpy(train.features) - self.mean))
        votes = functional.one_hot(torch.from_numpy(train.labels), classes)
        self.register_buffer("coefficients", votes.to(torch.float32))

    def forward(self, features: Tensor, linear_logits: Tensor) -> Tensor:
        """Map features (N, D) and calibrated linear logits (N, C) to logits (N, C)."""
        cosines = self._cosines(features)
        if self.mode == "nearest_neighbour":
            return cosines.reshape(-1, self.classes, self.points.shape[0] // self.classes).amax(2)
        if self.mode == "correction":
            return linear_logits + self.step * (self.kernel(cosines) @ self.coefficients)
        if self.mode == "ridge":
            return self.kernel(cosines) @ self.coefficients
        # Who lies on the other half of the sphere does not vote: a vote is not negative.
        weights = self.kernel(cosines.clamp(min=0.0))
        votes = weights @ self.coefficients
        shares = votes / weights.sum(dim=1, keepdim=True).clamp(min=_MIN_SHARE)
        return torch.log(shares.clamp(_MIN_SHARE, 1.0))

    @torch.inference_mode()
    def weights(self, answers: Answers) -> Tensor:
        """Return the kernel's values (N, n) between images and points."""
        features = torch.from_numpy(answers.features)
        parts = [features[k : k + _ROWS] for k in range(0, len(features), _ROWS)]
        return torch.cat([self.kernel(self._cosines(part)) for part in parts])

    @torch.inference_mode()
    def gram(self) -> Tensor:
        """Return the kernel's values (n, n) float64 between points, made some rows at a time."""
        points = self.points.double()
        gram = torch.empty(len(points), len(points), dtype=torch.float64)
        for k in range(0, len(points), _ROWS):
            cosines = points[k : k + _ROWS] @ points.T
            gram[k : k + _ROWS] = self.kernel(cosines.clamp(-1.0, 1.0))
        return gram

    def _cosines(self, features: Tensor) -> Tensor:
        """Compare images with points: (N, D) to (N, n); a deep map explodes beyond 1."""
        return (_unit(features - self.mean) @ self.points.T).clamp(-1.0, 1.0)

    @torch.inference_mode()
    def logits(self, answers: Answers) -> NDArray[np.float32]:
        """Return logits (N, C), some rows at a time to spare memory."""
        parts = [
            self(
                torch.from_numpy(answers.features[k : k + _ROWS]),
                torch.from_numpy(answers.logits[k : k + _ROWS]),
            ).numpy()
            for k in range(0, len(answers.labels), _ROWS)
        ]
        return np.concatenate(parts)


@torch.inference_mode()
def _solved(
    kernel: str, ridges: tuple[float, ...], train: Answers, validation: Answers
) -> list[Choice]:
    """Fit both modes that solve a system, for each ridge.

    What they share, the kernel's values and the factors, is computed once; in float64, because the
    smallest eigenvalues are many orders below the largest.
    """
    ridge_head = KernelHead("ridge", kernel, train)
    classes = ridge_head.classes
    labels = ridge_head.coefficients.double()
    targets = torch.cat(
        [labels - labels.mean(dim=0), labels - torch.softmax(torch.from_numpy(train.logits), 1)],
        dim=1,
    )
    gram = ridge_head.gram()
    across = ridge_head.weights(validation)
    choices, added = [], 0.0
    for ridge in ridges:
        gram.diagonal().add_(ridge - added)
        added = ridge
        solution = torch.cholesky_solve(targets, torch.linalg.cholesky(gram)).float()
        scores: NDArray[np.float32] = (across @ solution).numpy()
        fitted = KernelHead("ridge", kernel, train)
        fitted.coefficients = solution[:, :classes].contiguous()
        choices.append(_judge(fitted, kernel, ridge, validation, scores[:, :classes]))
        fitted = KernelHead("correction", kernel, train)
        fitted.coefficients = solution[:, classes:].contiguous()
        fitted.step = _best_step(scores[:, classes:], validation)
        logits = validation.logits + np.float32(fitted.step) * scores[:, classes:]
        choices.append(_judge(fitted, kernel, ridge, validation, logits))
    return choices


def _best_step(correction: NDArray[np.float32], validation: Answers) -> float:
    """Return the multiple of a correction (N, C) with the smallest calibrated validation loss."""

    def loss(step: float) -> float:
        logits = validation.logits + step * correction
        temperature = fit_temperature(logits, validation.labels)
        return negative_log_likelihood(logits, validation.labels, temperature)

    return min(_STEPS, key=loss)


def _judged(mode: Mode, kernel: str, train: Answers, validation: Answers) -> Choice:
    head = KernelHead(mode, kernel, train)
    return _judge(head, kernel, 0.0, validation, head.logits(validation))


def _judge(
    head: KernelHead,
    kernel: str,
    ridge: float,
    validation: Answers,
    logits: NDArray[np.float32],
) -> Choice:
    temperature = fit_temperature(logits, validation.labels)
    return Choice(
        mode=head.mode,
        kernel=kernel,
        ridge=ridge,
        points=len(head.points),
        accuracy=float(np.mean(logits.argmax(axis=1) == validation.labels)),
        nll=negative_log_likelihood(logits, validation.labels, temperature),
        head=head,
    )


def _loss(choice: Choice) -> float:
    return choice.nll


def _unit(features: Tensor) -> Tensor:
    norm = features.square().sum(dim=1, keepdim=True).sqrt()
    return features / norm.clamp(min=1e-12)


def _padded_classes(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return rows sorted by class, a class with fewer rows than the largest repeating its own."""
    of_class = [np.flatnonzero(labels == label) for label in range(classes)]
    longest = max(map(len, of_class))
    return np.concatenate([np.resize(rows, longest) for rows in of_class])
