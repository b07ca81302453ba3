"""Neural collapse: how the classes lie in the features before the last layer (2301.00437).

Where a training has collapsed, the features of a class lie at one point (NC1), the centres of the
classes are equally long and equally far from each other (NC2), the rows of the last layer point at
them (NC3), and the nearest centre gives the network's answer (NC4). A rare class suffers in one of
two ways: its features lie among those of another class, which only other features mend; or they
lie apart, but the last layer does not answer with it, which a shift of the logits mends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOO_FEW = "too few to say"

#: Of a class with fewer samples nothing is said.
_ENOUGH = 30
#: A class that neither network nor nearest centre names for more of its samples lies among others.
_LOST = 0.5
#: So much more often the nearest centre names an unheard class than the last layer does.
_UNHEARD = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassGeometry:
    """How one class lies.

    Attributes:
        number: The class.
        n: Its samples.
        recall: Share of them that the network answers right.
        centre_recall: Share of them whose nearest centre is that of their class, each left out of
            its own class's centre.
        length: Distance of its centre from the middle of all, by the mean over the classes.
        neighbour: The class whose centre is nearest.
        separation: Distance to it by the standard deviation of both along that line.
    """

    number: int
    n: int
    recall: float
    centre_recall: float
    length: float
    neighbour: int
    separation: float

    @property
    def fate(self) -> str:
        """What became of a class that is not answered as it could be; empty if nothing did."""
        if self.n < _ENOUGH:
            return TOO_FEW
        if self.centre_recall - self.recall > _UNHEARD:
            return "is not heard"
        return "lies among others" if max(self.centre_recall, self.recall) < _LOST else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collapse:
    """How far a network has collapsed.

    Attributes:
        within: NC1, tr(S_W pinv(S_B)) / K: spread within classes by that between; 0 if collapsed.
        cosine: NC2, mean cosine of two centres as seen from the middle; -1/(K-1) if collapsed.
        cosine_spread: NC2, their standard deviation; 0 if collapsed.
        length_spread: NC2, standard deviation of the centres' lengths by their mean.
        alignment: NC3, mean cosine of a class's centre and its row of the last layer; 1 if
            collapsed, None without a last layer.
        agreement: NC4, share of the samples whose nearest centre is the network's answer.
        classes: Every class that has two samples.
    """

    within: float
    cosine: float
    cosine_spread: float
    length_spread: float
    alignment: float | None
    agreement: float
    classes: tuple[ClassGeometry, ...]

    @property
    def ideal_cosine(self) -> float:
        """The cosine of two centres in a collapsed network."""
        return -1.0 / (len(self.classes) - 1)


def measure_collapse(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    answers: NDArray[np.int64],
    weights: NDArray[np.floating] | None = None,
) -> Collapse | None:
    """Measure how classes lie; None if fewer than two of them have two samples.

    Args:
        features: (N, D).
        labels: (N,) true classes.
        answers: (N,) classes that the network answers.
        weights: (K, D) of the last layer, or None.
    """
    present = np.flatnonzero(np.bincount(labels) >= 2)
    if len(present) < 2:
        return None
    known = np.isin(labels, present)
    features, labels, answers = features[known], labels[known], answers[known]
    centres = np.stack([features[labels == one].mean(axis=0) for one in present])
    row = np.searchsorted(present, labels)
    rays = centres - centres.mean(axis=0)
    lengths = np.linalg.norm(rays, axis=1)
    units = rays / np.maximum(lengths, 1e-12)[:, None]
    cosines = (units @ units.T)[~np.eye(len(present), dtype=bool)]
    nearest = _distances(features, row, centres).argmin(axis=1)
    neighbours, separations = _neighbours(features, row, centres)
    inner = features - centres[row]
    within = inner.T @ inner / len(inner)
    between = rays.T @ rays / len(rays)
    return Collapse(
        within=float(np.trace(within @ np.linalg.pinv(between, hermitian=True)) / len(present)),
        cosine=float(cosines.mean()),
        cosine_spread=float(cosines.std()),
        length_spread=float(lengths.std() / lengths.mean()),
        alignment=None if weights is None else _alignment(units, weights[present]),
        agreement=float((present[nearest] == answers).mean()),
        classes=tuple(
            ClassGeometry(
                number=int(one),
                n=int((labels == one).sum()),
                recall=float((answers[labels == one] == one).mean()),
                centre_recall=float((nearest[labels == one] == k).mean()),
                length=float(lengths[k] / lengths.mean()),
                neighbour=int(present[neighbours[k]]),
                separation=separations[k],
            )
            for k, one in enumerate(present)
        ),
    )


def _neighbours(
    features: NDArray[np.float64], row: NDArray[np.int64], centres: NDArray[np.float64]
) -> tuple[NDArray[np.int64], list[float]]:
    """Return for every centre (K, D) the nearest other one, and how far apart the two classes are.

    Args:
        features: (N, D).
        row: (N,) which centre each belongs to.
        centres: The means of the features of each class.
    """
    away = np.linalg.norm(centres[:, None] - centres, axis=2)
    np.fill_diagonal(away, np.inf)
    nearest = away.argmin(axis=1)
    separations = []
    for one, other in enumerate(nearest):
        line = (centres[other] - centres[one]) / max(away[one, other], 1e-12)
        spreads = [(features[row == each] @ line).var(ddof=1) for each in (one, other)]
        deviation = max(float(np.sqrt(np.mean(spreads))), 1e-12)
        separations.append(float(away[one, other]) / deviation)
    return nearest, separations


def _alignment(units: NDArray[np.float64], weights: NDArray[np.floating]) -> float:
    rows = weights - weights.mean(axis=0)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return float((rows * units).sum(axis=1).mean())


def _distances(
    features: NDArray[np.float64], row: NDArray[np.int64], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return squared distances (N, K) to the centres, without a sample's own part in its own.

    Without sample x, the centre c of n samples is (n c - x) / (n - 1), n / (n - 1) times as far.
    """
    squares: NDArray[np.float64] = (
        np.square(features).sum(axis=1)[:, None]
        + np.square(centres).sum(axis=1)
        - 2.0 * features @ centres.T
    )
    n = np.bincount(row)[row]
    squares[np.arange(len(row)), row] *= np.square(n / (n - 1.0))
    return squares
