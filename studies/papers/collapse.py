"""Where features and weights of a deep linear network end: neural collapse (2301.00437).

The features H (d, N) themselves are trained, together with L linear layers behind them, without
biases, on one-hot targets Y of K classes:

    |W_L ... W_1 H - Y|^2 / 2N + (lambda / 2) (|W_L|^2 + ... + |W_1|^2 + |H|^2).

With equal classes the features of a class become one point, and the points are orthogonal and
equally long. With unequal classes they stay orthogonal, and for L = 1 the features of a class of n
samples have the squared length

    h^2 = (1 - N lambda / sqrt n) / sqrt n,

so that the features of rare classes are longer, until a class of n <= (N lambda)^2 vanishes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bicameral.charts import Axis, Chart, Series, draw_chart
from bicameral.statistics import mean
from studies.claims import Claim, Paper
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of

_WIDTH = 30
_WEAK, _STRONG = 5e-4, 0.02
_EQUAL = (27,) * 5
_UNEQUAL = (60, 40, 20, 10, 5)
_DEPTHS = (1, 3)

Array = NDArray[np.float64]


def closed_form(counts: tuple[int, ...], penalty: float) -> Array:
    """Return the length of the features of each class with one layer."""
    n = np.array(counts, np.float64)
    kept = np.maximum(1.0 - sum(counts) * penalty / np.sqrt(n), 0.0)
    return np.asarray(np.sqrt(kept / np.sqrt(n)))


def trained_features(
    counts: tuple[int, ...], penalty: float, depth: int, steps: int, rng: np.random.Generator
) -> Array:
    """Minimise the loss from a random beginning and return the features (N, d), class by class."""
    total, classes = sum(counts), len(counts)
    targets = np.repeat(np.eye(classes), counts, axis=1)
    shapes = [(_WIDTH, total), *[(_WIDTH, _WIDTH)] * (depth - 1), (classes, _WIDTH)]
    ends = np.cumsum([rows * columns for rows, columns in shapes])

    def matrices(flat: Array) -> list[Array]:
        parts = np.split(flat, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def loss(flat: Array) -> tuple[float, Array]:
        layers = matrices(flat)
        outputs = [layers[0]]
        for layer in layers[1:]:
            outputs.append(layer @ outputs[-1])
        error = (outputs[-1] - targets) / total
        value = total * np.square(error).sum() / 2.0 + penalty * np.square(flat).sum() / 2.0
        slopes = []
        for layer, inputs in zip(layers[:0:-1], outputs[-2::-1], strict=True):
            slopes.append(error @ inputs.T)
            error = layer.T @ error
        slopes.append(error)
        return float(value), np.concatenate([one.ravel() for one in slopes[::-1]]) + penalty * flat

    begin = rng.standard_normal(int(ends[-1])) / np.sqrt(_WIDTH)
    options = {"maxiter": steps, "maxfun": 2 * steps, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options=options)
    return matrices(found.x)[0].T


def centres_of(features: Array, counts: tuple[int, ...]) -> Array:
    """Return the mean features of each class (K, d)."""
    return np.stack([part.mean(axis=0) for part in np.split(features, np.cumsum(counts)[:-1])])


def spread(features: Array, counts: tuple[int, ...]) -> float:
    """Return the variance within the classes by that of all features."""
    inner = features - np.repeat(centres_of(features, counts), counts, axis=0)
    return float(np.square(inner).sum() / np.square(features - features.mean(axis=0)).sum())


def largest_cosine(centres: Array) -> float:
    """Return the largest absolute cosine of the means of two classes."""
    units = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    return float(np.abs(units @ units.T - np.eye(len(units))).max())


def measure(quick: bool) -> Findings:
    """Train features of equal and of unequal classes."""
    seeds, steps = (2, 60) if quick else (10, 5_000)
    measured: Measured = {}
    spreads, cosines, differences = [], [], []
    for depth in _DEPTHS:
        for seed in range(seeds):
            features = trained_features(_EQUAL, _WEAK, depth, steps, np.random.default_rng(seed))
            centres = centres_of(features, _EQUAL)
            lengths = np.linalg.norm(centres, axis=1)
            spreads.append(spread(features, _EQUAL))
            cosines.append(largest_cosine(centres))
            differences.append(float(lengths.std() / lengths.mean()))
    theory = closed_form(_UNEQUAL, _WEAK)
    uneven = [
        trained_features(_UNEQUAL, _WEAK, 1, steps, np.random.default_rng(seed))
        for seed in range(seeds)
    ]
    lengths_of = np.array(
        [np.linalg.norm(centres_of(one, _UNEQUAL), axis=1) for one in uneven]
    )  # (seeds, K)
    rare = [
        trained_features(_UNEQUAL, _STRONG, 1, steps, np.random.default_rng(seed))
        for seed in range(seeds)
    ]
    vanished = np.array([np.linalg.norm(centres_of(one, _UNEQUAL), axis=1) for one in rare])
    for place, n in enumerate(_UNEQUAL):
        for name, of in (("weak", lengths_of), ("strong", vanished)):
            measured[f"{n} samples", f"{name} decay", "length of the features"] = mean(of[:, place])
    measured["equal classes", "", "spread of lengths"] = mean(differences)
    curve = np.geomspace(3.0, 80.0, 60)
    factors = np.maximum(
        1.0 - np.outer((_WEAK, _STRONG), 1.0 / np.sqrt(curve)) * sum(_UNEQUAL), 0.0
    )
    lines = np.sqrt(factors / np.sqrt(curve))
    chart = Chart(
        title="Length of trained features by the size of their class; lines are the closed form",
        x=Axis(label="samples of the class", log=True),
        y=Axis(label="length of the features", low=0.0),
        series=[
            Series(name="", x=curve, y=lines[0], ink="a", marker="", line="-"),
            Series(name="", x=curve, y=lines[1], ink="b", marker="", line="-"),
            Series(name="weak decay", x=_UNEQUAL, y=lengths_of.mean(axis=0), ink="a"),
            Series(name="strong decay", x=_UNEQUAL, y=vanished.mean(axis=0), ink="b"),
        ],
    )
    return Findings(
        claims={
            "spread": mean(spreads),
            "orthogonal": mean(cosines),
            "unequal": mean([largest_cosine(centres_of(one, _UNEQUAL)) for one in uneven]),
            "lengths": mean(np.abs(lengths_of / theory - 1.0).max(axis=1)),
            "vanishing": mean(vanished[:, -1] / vanished[:, 0]),
        },
        figure=draw_chart(chart),
        measured=measured,
    )


STUDY = study_of(
    Paper(
        title="Neural collapse in deep linear networks: from balanced to imbalanced data",
        arxiv="2301.00437",
        claims={
            "spread": Claim(
                text="Equal classes: the features of a class become one point; variance within by "
                "all variance, 1 and 3 layers",
                relation="at most",
                threshold=1e-3,
                published="0",
            ),
            "orthogonal": Claim(
                text="Equal classes: the means of the classes are orthogonal without biases; "
                "largest cosine, 1 and 3 layers",
                relation="at most",
                threshold=0.02,
                published="0",
            ),
            "unequal": Claim(
                text="Unequal classes: they are orthogonal, too; largest cosine",
                relation="at most",
                threshold=0.02,
                published="0",
            ),
            "lengths": Claim(
                text="Unequal classes: the lengths are those of the closed form; largest relative "
                "error",
                relation="at most",
                threshold=0.02,
                published="closed form",
            ),
            "vanishing": Claim(
                text="A class of 5 of 135 vanishes under strong decay: its length by that of the "
                "class of 60",
                relation="at most",
                threshold=0.02,
                published="0",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="Freely trained features behind linear layers end where the closed form says.",
    setting="One thread of a shared AMD EPYC; n = 10 beginnings (seeds 0 to 9), 135 samples of 5 "
    "classes in 30 dimensions; 10 CPU-seconds.",
)
