"""Risk and coverage: how wrong a classifier is on the share of images it is surest of.

AURC is the mean, over the coverages 1/N..N/N, of the error rate on the covered images (Geifman,
Uziel and El-Yaniv 2019, arXiv 1805.08206). It is also a sum over the errors alone: an error of
rank r counts in every coverage from r on, with 1/k in that of k images, so it adds
H(N) - H(r - 1) to N times the area, H being the harmonic numbers. Images of equal confidence have
no order; each position among them counts with the group's mean error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bicameral.statistics import Estimate, Resampling, drawn_counts, over_seeds

Name = TypeVar("Name", bound=str)

#: Confidences and right answers of one system.
Ranked = tuple[NDArray[np.floating], NDArray[np.bool_]]


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


def estimate_areas(
    answers: Mapping[Name, Ranked], resampling: Resampling
) -> dict[Name, tuple[Estimate, Estimate | None]]:
    """Estimate the AURC of several systems, and that of the first one minus each other's.

    All are judged on the same draws of images and seeds. An area is no mean over images, so the
    images themselves are drawn.

    Args:
        answers: By name, how sure (S, N) a system is of each image and whether it is right, (S, N)
            bool; the same images and seeds in all.
        resampling: How to resample.

    Returns:
        By name the area, and the difference; None for the first system.
    """
    names = list(answers)
    seeds, images = answers[names[0]][1].shape
    groups = {
        name: list(map(error_groups, confidence, correct))
        for name, (confidence, correct) in answers.items()
    }

    def areas(counts: NDArray[np.int16]) -> dict[Name, NDArray[np.float64]]:
        return {
            name: np.stack([resampled_areas(one, counts) for one in of], axis=1)
            for name, of in groups.items()
        }

    as_they_are = areas(np.ones((1, images), np.int16))
    chunks = [areas(counts) for counts in drawn_counts(images, resampling)]
    drawn = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names}

    def estimate(value: NDArray[np.float64], replicates: NDArray[np.float64]) -> Estimate:
        # The same draw of seeds for all, as the images are the same.
        rng = np.random.default_rng([resampling.seed, seeds])
        return over_seeds(value, replicates, images, rng)

    first = names[0]
    return {
        name: (
            estimate(as_they_are[name][0], drawn[name]),
            None
            if name == first
            else estimate((as_they_are[first] - as_they_are[name])[0], drawn[first] - drawn[name]),
        )
        for name in names
    }


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
