"""How sure a mean or a rate is."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Two-sided level of every interval.
LEVEL = 0.95

RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean or a rate over episodes with its 95 % interval.

    Attributes:
        value: The mean; NaN when not valid.
        low: Lower end; NaN when there is no interval.
        high: Upper end; NaN when there is no interval.
        n: Number of episodes with a value.
        unit: Unit of all three.
        valid: False if no episode had a value.
    """

    value: float
    low: float
    high: float
    n: int
    unit: str
    valid: bool


def bootstrap_mean(
    values: Sequence[float], clusters: Sequence[str], unit: str, *, seed: int, name: str
) -> Estimate:
    """Estimate a mean with a percentile bootstrap over clusters.

    Episodes of one route are alike, so whole routes are drawn with replacement, each with all of
    its episodes. With fewer than two routes there is no interval.

    Args:
        values: One per episode.
        clusters: Name of the route, one per episode.
        unit: Unit of the values.
        seed: Seed of the evaluation.
        name: Name of the quantity; it is part of the seed, so that adding a metric does not change
            the intervals of the others.
    """
    if not values:
        return Estimate(value=math.nan, low=math.nan, high=math.nan, n=0, unit=unit, valid=False)
    names = sorted(set(clusters))
    sums = np.array(
        [sum(v for v, c in zip(values, clusters, strict=True) if c == k) for k in names]
    )
    sizes = np.array([sum(c == k for c in clusters) for k in names], dtype=np.float64)
    mean = float(sums.sum() / sizes.sum())
    low = high = math.nan
    if len(names) > 1:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        drawn = rng.integers(len(names), size=(RESAMPLES, len(names)))
        means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
        tail = 100.0 * (1.0 - LEVEL) / 2.0
        low, high = (float(end) for end in np.percentile(means, [tail, 100.0 - tail]))
    return Estimate(value=mean, low=low, high=high, n=len(values), unit=unit, valid=True)


def wilson_rate(successes: int, n: int) -> Estimate:
    """Estimate a rate with Wilson's score interval (1927), which holds at 0 and at 1 as well.

    Args:
        successes: How often it happened.
        n: How often it could have.
    """
    if n == 0:
        return Estimate(value=math.nan, low=math.nan, high=math.nan, n=0, unit="1", valid=False)
    interval = stats.binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(
        value=successes / n,
        low=float(interval.low),
        high=float(interval.high),
        n=n,
        unit="1",
        valid=True,
    )
