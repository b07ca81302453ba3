"""Risk and coverage: how wrong a classifier is on the share of images it is surest of.

AURC is the mean, over the coverages 1/N..N/N, of the error rate on the covered images (Geifman,
Uziel and El-Yaniv 2019, arXiv 1805.08206). It is also a sum over the errors alone: an error of
rank r counts in every coverage from r on, with 1/k in that of k images, so it adds
H(N) - H(r - 1) to N times the area, H being the harmonic numbers. Images of equal confidence have
no order; each position among them counts with the group's mean error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroups:
    """The groups of equally confident images that hold an error, surest first.

    Attributes:
        order: (N,) int64, the images, descending by confidence.
        starts: (E,) int64, first position of each group in that order.
        ends: (E,) int64, the position after its last.
        errors: (W,) int64, the images that are wrong, in that order.
        group_of_error: (W,) int64, index of their group, ascending.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    errors: NDArray[np.int64]
    group_of_error: NDArray[np.int64]


def error_groups(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> ErrorGroups:
    """Sort images by confidence (N,) and find where the errors among them lie."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    begins = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    finishes = np.concatenate((begins[1:], [len(order)]))
    places = np.flatnonzero(~correct[order])
    holding, group_of_error = np.unique(
        np.searchsorted(begins, places, side="right") - 1, return_inverse=True
    )
    return ErrorGroups(
        order=order,
        starts=begins[holding],
        ends=finishes[holding],
        errors=order[places],
        group_of_error=group_of_error,
    )


def area_under_risk_coverage(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> float:
    """Return the AURC, 0 (no error) .. 1 (all wrong).

    Args:
        confidence: (N,), high = sure.
        correct: (N,).
    """
    once = np.ones((1, len(correct)), np.int16)
    return float(resampled_areas(error_groups(confidence, correct), once)[0])


def resampled_areas(groups: ErrorGroups, counts: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the AURC (R,) of resampled images.

    The draws of an image stand side by side in the order, so a group of images occupies as many
    ranks as it was drawn, after as many as lie before it.

    Args:
        groups: Where the errors lie.
        counts: (R, N), how often each image was drawn; every row sums to N.
    """
    n = len(groups.order)
    if not len(groups.errors):
        return np.zeros(len(counts))
    edges = np.unique(np.concatenate(([0], groups.starts, groups.ends)))
    edges = edges[edges < n]
    # Along rows: numpy sums segments of neighbours seven times faster than segments of columns.
    segments = np.add.reduceat(counts.take(groups.order, axis=1), edges, axis=1, dtype=np.int32)
    places = np.searchsorted(edges, groups.starts)
    size, last = segments[:, places], np.cumsum(segments, axis=1)[:, places]
    first_error = np.searchsorted(groups.group_of_error, np.arange(len(places)))
    wrong = counts.take(groups.errors, axis=1)
    wrong = np.add.reduceat(wrong, first_error, axis=1, dtype=np.int32)
    harmonic = np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1, n + 1))))
    summed = np.concatenate(([0.0], np.cumsum(harmonic[:n])))
    weight = size * harmonic[n] - (summed[last] - summed[last - size])
    return np.asarray((wrong / np.maximum(size, 1) * weight).sum(axis=1) / n)


def risk_coverage_curve(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], points: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coverages and the risks at them, for a plot; both (min(points, N),), ascending.

    Within a group of equal confidence the errors are spread evenly, as in the area.
    """
    n = len(correct)
    order = np.argsort(-confidence, kind="stable")
    _, group, size = np.unique(-confidence[order], return_inverse=True, return_counts=True)
    wrong = np.bincount(group, weights=~correct[order])
    risk = np.cumsum((wrong / size)[group]) / np.arange(1, n + 1)
    counts = np.unique(np.linspace(1, n, min(points, n)).astype(np.int64))
    return counts / n, risk[counts - 1]
