"""How sure a figure is: every interval of the project is computed here.

Intervals are two-sided at `LEVEL`. There is none for a single value: one drive, one image or one
training says nothing of how the next would come out.

Sources: Wilson 1927 (shares), Student 1908 (means), Agresti and Min 2005 (differences of shares),
Efron 1979 (percentile bootstrap), Davison and Hinkley 1997, 3.8 (bootstrap in two stages), Fisher
1935 (flipped signs), Holm 1979 (several tests), Hanley and McNeil 1982 (area under the ROC curve).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

#: Two-sided level of every interval.
LEVEL = 0.95

#: Percentiles between which a resampled figure lies with that probability.
_TAILS = (50.0 * (1.0 - LEVEL), 50.0 * (1.0 + LEVEL))

_MEDIAN_REPLICATES = 2000
_CLUSTER_REPLICATES = 2000
_SIGN_FLIPS = 50_000

#: Replicates at a time; the counts of so many images still fit a core's cache.
_CHUNK = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: The figure; None if there was nothing to measure.
        low: Lower end of the interval, at most `value`; None if there is no interval.
        high: Upper end of the interval, at least `value`; None if there is no interval.
        n: How many things it rests on: episodes, images, windows or trainings.
        unit: Unit of the three, ``"1"`` for a share.
        seeds: Trainings that were resampled together with the `n` images; None if it is no
            figure over trainings. With 1 the interval knows nothing of how training varies.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str = "1"
    seeds: int | None = None

    @property
    def valid(self) -> bool:
        """Whether there was anything to measure."""
        return self.value is not None

    @property
    def relative_half_width(self) -> float | None:
        """Half the interval's width by the value; None without an interval or of a value of 0."""
        if self.low is None or self.high is None or not self.value:
            return None
        return (self.high - self.low) / 2.0 / abs(self.value)

    def scaled(self, factor: float, unit: str) -> Estimate:
        """Return the same figure in another unit."""
        ends = (None if one is None else factor * one for one in (self.value, self.low, self.high))
        value, low, high = ends
        return replace(self, value=value, low=low, high=high, unit=unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How to resample.

    Attributes:
        replicates: Number of replicates.
        seed: Seed of the draws.
    """

    replicates: int = 10_000
    seed: int = 0


def share(successes: int, n: int) -> Estimate:
    """Estimate a share with Wilson's score interval, which holds at 0 and at 1 as well.

    Args:
        successes: How often it happened, 0..n.
        n: How often it could have.
    """
    if n < 2:
        return _without_interval([float(successes)] * n, "1")
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    return _estimate(successes / n, interval.low, interval.high, n=n, unit="1")


def paired_difference(gained: int, lost: int, n: int) -> Estimate:
    """Estimate the difference of two shares of the same things, such as of two models' accuracies.

    Wald's interval with half a thing added to each kind of disagreement, which holds where few
    disagree.

    Args:
        gained: Where only the second has it.
        lost: Where only the first has it.
        n: How many things there are.
    """
    if n < 2:
        return _without_interval([float(gained - lost)] * n, "1")
    from scipy.stats import norm

    more, less, all_of_them = gained + 0.5, lost + 0.5, n + 2.0
    centre = (more - less) / all_of_them
    spread = np.sqrt(more + less - (more - less) ** 2 / all_of_them) / all_of_them
    half = float(norm.ppf(0.5 + LEVEL / 2.0) * spread)
    return _estimate((gained - lost) / n, centre - half, centre + half, n=n, unit="1")


def mean(values: Sequence[float] | NDArray[np.floating], unit: str = "1") -> Estimate:
    """Estimate the mean of a few independent values, such as trainings, with Student's t.

    Args:
        values: One per training, window or drive; of paired differences it is the paired test.
        unit: Unit of the values.
    """
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return _without_interval(array, unit)
    from scipy.stats import t

    value = float(array.mean())
    error = float(array.std(ddof=1)) / np.sqrt(len(array))
    half = float(t.ppf(0.5 + LEVEL / 2.0, len(array) - 1)) * error
    return _estimate(value, value - half, value + half, n=len(array), unit=unit)


def slope(places: Sequence[float], values: Sequence[float], unit: str) -> Estimate:
    """Estimate how steep the least-squares line through points is, with Student's t.

    Args:
        places: Of three points or more, not all the same.
        values: One per place, with independent errors.
        unit: Unit of the values by that of the places.
    """
    from scipy.stats import linregress, t

    line = linregress(places, values)
    half = float(t.ppf(0.5 + LEVEL / 2.0, len(places) - 2) * line.stderr)
    value = float(line.slope)
    return _estimate(value, value - half, value + half, n=len(places), unit=unit)


def median(values: Sequence[float], unit: str = "1") -> Estimate:
    """Estimate a median with a percentile bootstrap.

    Args:
        values: One per window.
        unit: Unit of the values.
    """
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return _without_interval(array, unit)
    drawn = np.random.default_rng(0).choice(array, (_MEDIAN_REPLICATES, len(array)))
    low, high = np.percentile(np.median(drawn, axis=1), _TAILS)
    return _estimate(float(np.median(array)), low, high, n=len(array), unit=unit)


def clustered_mean(
    values: Sequence[float] | NDArray[np.floating],
    clusters: Sequence[str] | NDArray[np.str_],
    unit: str,
    *,
    seed: int,
    name: str,
) -> Estimate:
    """Estimate a mean with a percentile bootstrap over clusters.

    Episodes of one route are alike, and so are frames of one episode, so whole routes are drawn
    with replacement, each with all of its episodes. With fewer than two there is no interval.

    Args:
        values: One per episode.
        clusters: Name of the route, one per episode.
        unit: Unit of the values.
        seed: Seed of the evaluation.
        name: Name of the quantity; it is part of the seed, so that adding a metric does not change
            the intervals of the others.
    """
    if not len(values):
        return _without_interval([], unit)
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(values, np.float64))
    sizes = np.bincount(index).astype(np.float64)
    value = float(sums.sum() / sizes.sum())
    if len(names) < 2:
        return Estimate(value=value, low=None, high=None, n=len(values), unit=unit)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    drawn = rng.integers(len(names), size=(_CLUSTER_REPLICATES, len(names)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), _TAILS)
    return _estimate(value, low, high, n=len(values), unit=unit)


def nested_mean(
    values: Sequence[float], clusters: Sequence[tuple[str, str]], unit: str, *, seed: int, name: str
) -> Estimate:
    """Estimate a mean with a percentile bootstrap in two stages: towns, then routes within them.

    Towns are drawn with replacement, and within each drawn town its routes, each with all of its
    episodes. With fewer than two towns there is no interval.

    Args:
        values: One per episode.
        clusters: Names of the town and of the route, one pair per episode.
        unit: Unit of the values.
        seed: Of the resampling.
        name: Name of the quantity; it is part of the seed.
    """
    if not values:
        return _without_interval([], unit)
    sums: dict[str, dict[str, list[float]]] = {}
    for value, (town, route) in zip(values, clusters, strict=True):
        total = sums.setdefault(town, {}).setdefault(route, [0.0, 0.0])
        total[0] += value
        total[1] += 1.0
    towns = [np.array(list(routes.values())) for routes in sums.values()]
    mean_value = float(sum(values) / len(values))
    if len(towns) < 2:
        return Estimate(value=mean_value, low=None, high=None, n=len(values), unit=unit)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    totals = np.zeros((_CLUSTER_REPLICATES, 2))
    for drawn in rng.integers(len(towns), size=(len(towns), _CLUSTER_REPLICATES)):
        for number, of_town in enumerate(towns):
            here = np.flatnonzero(drawn == number)
            routes = rng.integers(len(of_town), size=(len(here), len(of_town)))
            totals[here] += of_town[routes].sum(axis=1)
    low, high = np.percentile(totals[:, 0] / totals[:, 1], _TAILS)
    return _estimate(mean_value, low, high, n=len(values), unit=unit)


def sign_flip_p(
    differences: Sequence[float], clusters: Sequence[str], *, seed: int, name: str
) -> float:
    """Return how often chance alone makes a mean difference as far from 0 as this one, two-sided.

    If nothing differed, a route's differences would be as likely with the opposite sign; the signs
    of whole routes are flipped at random, 50,000 times.

    Args:
        differences: Paired differences, one per pair; one or more.
        clusters: Name of the route, one per pair.
        seed: Of the flips.
        name: Name of the comparison; it is part of the seed.
    """
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, np.asarray(differences, np.float64), len(names))
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    signs = rng.integers(2, size=(_SIGN_FLIPS, len(names)), dtype=np.int8) * 2.0 - 1.0
    # Rounding must not make a tie with what was observed, such as its mirror image, less.
    reached = np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9 * np.abs(sums).sum()
    return float((1 + np.count_nonzero(reached)) / (1 + _SIGN_FLIPS))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all of several tests together, in the same order."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def clustered_auroc(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    clusters: NDArray[np.str_],
    *,
    seed: int,
    name: str,
) -> Estimate:
    """Estimate the area under the ROC curve with a percentile bootstrap over clusters.

    That is the chance that a positive scores higher than a negative, ties counting half. Drawing
    whole clusters draws pairs of them, so the pairs won are counted once per pair of clusters.

    Args:
        scores: (N,) one per thing, such as a frame.
        positive: (N,) which are to score high.
        clusters: (N,) names of what is drawn as a whole, such as episodes.
        seed: Of the resampling.
        name: Of the quantity; part of the seed.
    """
    names, index = np.unique(clusters, return_inverse=True)
    count = len(names)
    positives = np.bincount(index[positive], minlength=count).astype(np.float64)
    negatives = np.bincount(index[~positive], minlength=count).astype(np.float64)
    if not positives.any() or not negatives.any():
        return Estimate(value=None, low=None, high=None, n=len(scores))
    won = np.zeros((count, count))
    for place in range(count):
        others = np.sort(scores[~positive & (index == place)])
        ranks = sum(np.searchsorted(others, scores[positive], side) for side in ("left", "right"))
        won[:, place] = np.bincount(index[positive], weights=ranks / 2.0, minlength=count)
    value = float(won.sum() / positives.sum() / negatives.sum())
    if count < 2:
        return Estimate(value=value, low=None, high=None, n=len(scores))
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=_CLUSTER_REPLICATES)
    pairs = (drawn @ positives) * (drawn @ negatives)
    # A draw without positives, or without negatives, has no area.
    areas = np.einsum("ri,ij,rj->r", drawn, won, drawn, optimize=True)[pairs > 0.0]
    low, high = np.percentile(areas / pairs[pairs > 0.0], _TAILS)
    return _estimate(value, low, high, n=len(scores), unit="1")


def mean_over_images(
    values: NDArray[np.floating], resampling: Resampling | None = None
) -> Estimate:
    """Estimate the mean of a value per training and image, paired: both are resampled.

    Given the correctness of one system it is the accuracy; given the difference of two systems'
    correctness it is the paired difference of their accuracies. Three trainings are few:
    resampling them understates how much training varies, so the estimate says how many there were.

    Images with the same values for all trainings are exchangeable, so the counts of these patterns
    are drawn instead of the images: the same distribution, thousands of times faster.

    Args:
        values: (S, N) with few distinct columns, a row per training.
        resampling: How to resample.
    """
    resampling = resampling or Resampling()
    images = values.shape[1]
    patterns, counts = np.unique(values, axis=1, return_counts=True)
    rng = np.random.default_rng(resampling.seed)
    drawn = rng.multinomial(images, counts / images, size=resampling.replicates)
    return over_seeds(values.mean(axis=1), drawn @ patterns.T / images, images, rng)


def over_seeds(
    value: NDArray[np.floating],
    replicates: NDArray[np.floating],
    images: int,
    rng: np.random.Generator,
) -> Estimate:
    """Resample the trainings of figures whose images were resampled, and take the percentiles.

    Args:
        value: (S,) of each training on the images as they are.
        replicates: (R, S) of each training on each draw of the images.
        images: Number of images.
        rng: Draws the trainings; its state decides the draw.
    """
    count, seeds = replicates.shape
    mean_value = float(value.mean())
    if images < 2:
        return Estimate(value=mean_value, low=None, high=None, n=images, seeds=seeds)
    weights = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=count) / seeds
    low, high = np.percentile((replicates * weights).sum(axis=1), _TAILS)
    return replace(_estimate(mean_value, low, high, n=images, unit="1"), seeds=seeds)


def drawn_counts(images: int, resampling: Resampling) -> Iterator[NDArray[np.int16]]:
    """Yield how often each image is drawn, for figures that are no means: chunks of (R', N)."""
    rng = np.random.default_rng(resampling.seed)
    left = resampling.replicates
    while left:
        size = min(_CHUNK, left)
        counts = np.empty((size, images), np.int16)
        for row in counts:
            row[:] = np.bincount(rng.integers(images, size=images), minlength=images)
        yield counts
        left -= size


def _without_interval(values: Sequence[float] | NDArray[np.floating], unit: str) -> Estimate:
    """Return the estimate of no value or of one."""
    value = float(values[0]) if len(values) else None
    return Estimate(value=value, low=None, high=None, n=len(values), unit=unit)


def _estimate(value: float, low: float, high: float, *, n: int, unit: str) -> Estimate:
    """Return an estimate whose ends enclose its value in spite of rounding."""
    return Estimate(
        value=value, low=min(float(low), value), high=max(float(high), value), n=n, unit=unit
    )


def predicted_share(count: int, n: int, *, window: int, rare: float) -> tuple[float, float]:
    """Return between which shares a window of images lies, if they are like n others.

    It covers the draw of the window and that of the others (beta-binomial, Jeffreys' prior).

    Args:
        count: Of the n images, those that count.
        n: How many there were.
        window: Images of the window.
        rare: Share of such windows that lie outside, half of it on either side.
    """
    from scipy.stats import betabinom

    law = betabinom(window, count + 0.5, n - count + 0.5)
    low, high = law.ppf([rare / 2, 1 - rare / 2])
    return float(low) / window, float(high) / window
