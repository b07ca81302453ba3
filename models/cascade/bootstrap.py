"""Paired bootstrap over images and seeds.

A replicate draws as many images as there are, once for all systems and seeds, and as many seeds as
there are, each with replacement. So both sources of luck, the test images and the training, enter
the interval, and systems are compared on the same draw. Three seeds are few: resampling them
understates how much training varies, which is why every interval carries the number of seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cascade.risk_coverage import (
    area_under_risk_coverage,
    error_groups,
    resampled_areas,
)

#: Two-sided level of every interval.
LEVEL = 0.95

#: Replicates at a time; the counts of so many still fit a core's cache.
_CHUNK = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How to resample.

    Attributes:
        replicates: Number of replicates.
        seed: Seed of the draws.
    """

    replicates: int = 10_000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its 95 % percentile interval.

    Attributes:
        value: On the images as they are, mean over the seeds.
        low: Lower end.
        high: Upper end.
        n_images: Images resampled.
        n_seeds: Seeds resampled; with 1 the interval knows nothing of how training varies.
        replicates: Number of replicates.
    """

    value: float
    low: float
    high: float
    n_images: int
    n_seeds: int
    replicates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedAnswers:
    """What the area under the risk-coverage curve needs of one system.

    Attributes:
        confidence: (S, N), high = sure.
        correct: (S, N) bool.
    """

    confidence: NDArray[np.floating]
    correct: NDArray[np.bool_]


def mean_interval(values: NDArray[np.floating], resampling: Resampling) -> Interval:
    """Estimate the mean of a value per seed and image.

    Given the correctness of one system it is the accuracy; given the difference of two systems'
    correctness it is the paired difference of their accuracies.

    Images with the same values for all seeds are exchangeable, so the counts of these patterns
    are drawn instead of the images: the same distribution, thousands of times faster.

    Args:
        values: (S, N) with few distinct columns.
        resampling: How to resample.
    """
    images = values.shape[1]
    patterns, counts = np.unique(values, axis=1, return_counts=True)
    rng = np.random.default_rng(resampling.seed)
    drawn = rng.multinomial(images, counts / images, size=resampling.replicates)
    by_seed = drawn @ patterns.T / images
    return _interval(values.mean(axis=1), by_seed, images, rng)


def aurc_intervals(
    answers: Mapping[str, RankedAnswers], resampling: Resampling
) -> dict[tuple[str, str | None], Interval]:
    """Estimate the area under the risk-coverage curve of several systems, and the differences.

    Args:
        answers: By name; the same images and seeds in all.
        resampling: How to resample.

    Returns:
        Under (name, None) each area; under (first, other) the area of the first system of the
        mapping minus another's.
    """
    names = list(answers)
    seeds, images = answers[names[0]].correct.shape
    areas = {
        name: np.array(
            [
                area_under_risk_coverage(confidence, correct)
                for confidence, correct in zip(of.confidence, of.correct, strict=True)
            ]
        )
        for name, of in answers.items()
    }
    replicates = _resampled_areas(answers, resampling)

    def interval(value: NDArray[np.float64], by_seed: NDArray[np.float64]) -> Interval:
        # The same draw of seeds for all, as the images are the same.
        rng = np.random.default_rng([resampling.seed, seeds])
        return _interval(value, by_seed, images, rng)

    result: dict[tuple[str, str | None], Interval] = {
        (name, None): interval(areas[name], replicates[name]) for name in names
    }
    for other in names[1:]:
        result[names[0], other] = interval(
            areas[names[0]] - areas[other], replicates[names[0]] - replicates[other]
        )
    return result


def _interval(
    value: NDArray[np.float64],
    by_seed: NDArray[np.float64],
    images: int,
    rng: np.random.Generator,
) -> Interval:
    """Resample the seeds of replicates (R, S) and take the percentiles."""
    replicates, seeds = by_seed.shape
    weights = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=replicates) / seeds
    tail = 100.0 * (1.0 - LEVEL) / 2.0
    low, high = np.percentile((by_seed * weights).sum(axis=1), [tail, 100.0 - tail])
    return Interval(
        value=float(value.mean()),
        low=float(low),
        high=float(high),
        n_images=images,
        n_seeds=seeds,
        replicates=replicates,
    )


def _resampled_areas(
    answers: Mapping[str, RankedAnswers], resampling: Resampling
) -> dict[str, NDArray[np.float64]]:
    """Return the areas (R, S) of every system on the same draws of the images."""
    seeds, images = next(iter(answers.values())).correct.shape
    groups = {
        name: [error_groups(of.confidence[s], of.correct[s]) for s in range(seeds)]
        for name, of in answers.items()
    }
    areas = {name: np.empty((resampling.replicates, seeds)) for name in answers}
    begin = 0
    for counts in _drawn_counts(images, resampling):
        end = begin + len(counts)
        for name, of_seeds in groups.items():
            for s, of_seed in enumerate(of_seeds):
                areas[name][begin:end, s] = resampled_areas(of_seed, counts)
        begin = end
    return areas


def _drawn_counts(images: int, resampling: Resampling) -> Iterator[NDArray[np.int16]]:
    """Yield how often each image is drawn, (replicates of the chunk, N)."""
    rng = np.random.default_rng(resampling.seed)
    left = resampling.replicates
    while left:
        size = min(_CHUNK, left)
        counts = np.empty((size, images), np.int16)
        for row in counts:
            row[:] = np.bincount(rng.integers(images, size=images), minlength=images)
        yield counts
        left -= size
