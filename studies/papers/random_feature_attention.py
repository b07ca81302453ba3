"""Attention with frozen random scores, of which only the values are learned (2307.11353).

A target looks at a query q and n keys k, all unit vectors: mean over the keys of (q' k)^2 - 1/d. It
is learned by ridge regression on features of three kinds:

* random attention: mean over the keys of relu(q' W_m k) k, with M frozen Gaussian matrices W_m;
* biased random attention: the same with W_m around c I, so that scores begin as q' k;
* a random two-layer ReLU network on query and keys written one after the other.

Attention treats keys alike, which the plain network has to learn from data; and the bias looks
where most targets of attention lie, at q' k. Queries and keys have a constant entry appended, which
is what biases of W and of the values are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.charts import Axis, Chart, Ink, Series, draw_chart
from bicameral.statistics import mean
from studies.claims import Claim, Paper
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of

_WIDTH, _KEYS = 5, 16
_BIAS = 3.0
_MATRICES = 300
_SAMPLES = (250, 500, 1_000)
_HELD = 500
_RIDGES = (1e-4, 1e-2, 1.0, 100.0)
_KINDS: dict[str, Ink] = {
    "biased random attention": "a",
    "random attention": "b",
    "random network": "soft",
}

Array = NDArray[np.float64]


def draw_samples(count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw queries (N, d), keys (N, n, d) and targets (N,)."""
    queries = rng.standard_normal((count, _WIDTH))
    keys = rng.standard_normal((count, _KEYS, _WIDTH))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    keys /= np.linalg.norm(keys, axis=2, keepdims=True)
    products = np.einsum("nd,ntd->nt", queries, keys)
    return queries, keys, np.square(products).mean(axis=1) - 1.0 / _WIDTH


def attention_features(queries: Array, keys: Array, bias: float, rng: np.random.Generator) -> Array:
    """Return (N, M (d + 1)) features of attention with frozen scores."""
    matrices = rng.standard_normal((_MATRICES, _WIDTH + 1, _WIDTH + 1))
    matrices[:, range(_WIDTH), range(_WIDTH)] += bias
    asked, offered = (np.concatenate([x, np.ones((*x.shape[:-1], 1))], -1) for x in (queries, keys))
    found = np.empty((len(queries), _MATRICES, _WIDTH + 1))
    for number, matrix in enumerate(matrices):
        scores = np.maximum(np.einsum("nd,ntd->nt", asked @ matrix, offered), 0.0)
        found[:, number] = np.einsum("nt,ntd->nd", scores, offered) / _KEYS
    return found.reshape(len(queries), -1)


def network_features(queries: Array, keys: Array, rng: np.random.Generator) -> Array:
    """Return as many features of a random ReLU layer on everything one after the other."""
    flat = np.concatenate([queries, keys.reshape(len(keys), -1), np.ones((len(keys), 1))], axis=1)
    weights = rng.standard_normal((flat.shape[1], _MATRICES * (_WIDTH + 1)))
    return np.asarray(np.maximum(flat @ weights / np.sqrt(_KEYS + 2.0), 0.0))


def ridge_error(features: Array, targets: Array, samples: int) -> float:
    """Learn from the first samples, choose the ridge on held ones, and return the error on others.

    Args:
        features: (N, D); the last two parts, of `_HELD` each, are held for choice and test.
        targets: (N,).
        samples: How many to learn from.

    Returns:
        Squared error on the test part by the variance of the targets there.
    """
    chosen, test = slice(-2 * _HELD, -_HELD), slice(-_HELD, None)
    x = features / features[:samples].std()
    gram = x[:samples] @ x[:samples].T
    cross = [x[part] @ x[:samples].T for part in (chosen, test)]
    begin = targets[:samples].mean()
    errors = []
    for ridge in _RIDGES:
        weights = np.linalg.solve(gram + ridge * np.eye(samples), targets[:samples] - begin)
        errors.append(
            [
                float(np.square(begin + one @ weights - targets[part]).mean())
                for one, part in zip(cross, (chosen, test), strict=True)
            ]
        )
    return min(errors)[1] / float(targets[test].var())


def measure(quick: bool) -> Findings:
    """Learn the target from more and more samples by each kind of features."""
    seeds, amounts = (2, _SAMPLES[:1]) if quick else (5, _SAMPLES)
    errors: dict[str, list[list[float]]] = {name: [] for name in _KINDS}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        queries, keys, targets = draw_samples(amounts[-1] + 2 * _HELD, rng)
        of_kind = {
            "biased random attention": attention_features(queries, keys, _BIAS, rng),
            "random attention": attention_features(queries, keys, 0.0, rng),
            "random network": network_features(queries, keys, rng),
        }
        for name, features in of_kind.items():
            errors[name].append([ridge_error(features, targets, n) for n in amounts])
    found = {name: np.array(of) for name, of in errors.items()}  # (seeds, amounts)
    measured: Measured = {
        (name, f"{n} samples", "squared error by variance"): mean(of[:, place])
        for name, of in found.items()
        for place, n in enumerate(amounts)
    }
    chart = Chart(
        title="Error of ridge regression on random features",
        x=Axis(label="samples", log=True),
        y=Axis(label="squared error by variance of the target", low=0.0),
        series=[
            Series(
                name=name,
                x=amounts,
                y=found[name].mean(axis=0),
                ink=ink,
                line="-",
                intervals=[mean(found[name][:, place]) for place in range(len(amounts))],
            )
            for name, ink in _KINDS.items()
        ],
    )
    biased, plain, network = found.values()
    return Findings(
        claims={
            "attention": mean((plain / network).max(axis=1)),
            "bias": mean((biased / plain).max(axis=1)),
            "learns": mean(biased[:, -1]),
        },
        figure=draw_chart(chart),
        measured=measured,
    )


STUDY = study_of(
    Paper(
        title="What can a single attention layer learn? A study through the random features lens",
        arxiv="2307.11353",
        claims={
            "attention": Claim(
                text="Random attention needs fewer samples than a random network: ratio of "
                "errors, the worst of 250 to 1,000 samples",
                relation="at most",
                threshold=1.0,
                published="fewer samples",
            ),
            "bias": Claim(
                text="Scores around c q' k are better still: ratio of errors to random attention, "
                "the worst of 250 to 1,000 samples",
                relation="at most",
                threshold=1.0,
                published="fewer samples",
            ),
            "learns": Claim(
                text="Biased random attention learns the target: squared error by variance from "
                "1,000 samples",
                relation="at most",
                threshold=0.5,
                published="learns it",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="Attention with frozen random scores learns a function of a query and its keys from "
    "fewer samples than a random network, and with scores around q' k from fewer still.",
    setting="One thread of a shared AMD EPYC; n = 5 draws (seeds 0 to 4) of 5-dimensional tokens, "
    "16 keys, 1,800 features; 20 CPU-seconds.",
)
