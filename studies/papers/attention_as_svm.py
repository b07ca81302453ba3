"""Trained attention picks tokens as a support vector machine separates them (2308.16898).

One attention head reads n sequences of T tokens x with a query z each, f = v' X' softmax(X W z),
with v fixed. Under normalised gradient descent on the logistic loss W grows without end. Its
direction goes to that of the W of least Frobenius norm that gives the chosen token of every
sequence a margin of 1 over the others. Trained as W = K Q', it goes to small nuclear norms instead.

After a while attention is exactly 1 in float64, and the gradient noise; so a training stops when
every sequence gives its token all but 1e-9.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from bicameral.charts import Axis, Chart, Series, draw_chart
from bicameral.statistics import mean
from studies.claims import Claim, Paper
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of

_SEQUENCES, _TOKENS, _WIDTH = 4, 5, 10
_STEPS = 6_000
_RATE = 0.1
_RATE_OF_FACTORS = 0.02
_SATURATED = 1e-9
_SHOWN_EVERY = 20

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Sequences (n, T, d) of unit tokens, queries (n, d), the fixed v (d,), labels (n,) +-1."""

    tokens: Array
    queries: Array
    values: Array
    labels: Array


def draw_problem(rng: np.random.Generator) -> Problem:
    """Draw tokens of unit length; the query of a sequence is its first token."""
    tokens = rng.standard_normal((_SEQUENCES, _TOKENS, _WIDTH))
    tokens /= np.linalg.norm(tokens, axis=2, keepdims=True)
    values = rng.standard_normal(_WIDTH)
    labels = rng.choice([-1.0, 1.0], size=_SEQUENCES)
    return Problem(
        tokens=tokens,
        queries=tokens[:, 0],
        values=values / np.linalg.norm(values),
        labels=labels,
    )


def attention(problem: Problem, weights: Array) -> Array:
    """Return how every sequence spreads its attention (n, T)."""
    logits = np.einsum("ntd,de,ne->nt", problem.tokens, weights, problem.queries)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    spread: Array = shares / shares.sum(axis=1, keepdims=True)
    return spread


def gradient(problem: Problem, weights: Array) -> Array:
    """Return the gradient of the mean logistic loss with respect to W (d, d)."""
    shares = attention(problem, weights)
    scores = problem.tokens @ problem.values
    answers = (shares * scores).sum(axis=1)
    slopes = -problem.labels / (1.0 + np.exp(problem.labels * answers)) / _SEQUENCES
    by_logit = slopes[:, None] * shares * (scores - answers[:, None])
    return np.asarray(np.einsum("nt,ntd,ne->de", by_logit, problem.tokens, problem.queries))


def differences(problem: Problem, chosen: NDArray[np.int64]) -> Array:
    """Return what W is to give a margin: (n (T - 1), d * d), a row per token not chosen."""
    rows = [
        np.outer(problem.tokens[i, best] - problem.tokens[i, other], problem.queries[i]).ravel()
        for i, best in enumerate(chosen)
        for other in range(_TOKENS)
        if other != best
    ]
    return np.stack(rows)


def support_vector_machine(rows: Array) -> Array:
    """Return the smallest w with rows @ w >= 1, by Lawson and Hanson's reduction to NNLS (1974)."""
    stacked = np.vstack([rows.T, np.ones(len(rows))])
    target = np.zeros(len(stacked))
    target[-1] = 1.0
    solution, _ = nnls(stacked, target)
    rest = stacked @ solution - target
    return np.asarray(-rest[:-1] / rest[-1])


def _cosine(one: Array, other: Array) -> float:
    return float(one.ravel() @ other.ravel() / np.linalg.norm(one) / np.linalg.norm(other))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained W, seen every few steps until it saturated."""

    history: list[Array]
    saturated: bool

    @property
    def weights(self) -> Array:
        """The last one."""
        return self.history[-1]


def train(problem: Problem, steps: int, rng: np.random.Generator, *, factors: bool) -> Trained:
    """Descend by the normalised gradient, of W or of its factors K and Q."""
    scale = 0.01
    keys, queries = (scale * rng.standard_normal((_WIDTH, _WIDTH)) for _ in range(2))
    weights = keys @ queries.T if factors else np.zeros((_WIDTH, _WIDTH))
    history = []
    for step in range(steps):
        slope = gradient(problem, weights)
        if factors:
            by_keys, by_queries = slope @ queries, slope.T @ keys
            size = np.hypot(np.linalg.norm(by_keys), np.linalg.norm(by_queries))
            keys = keys - _RATE_OF_FACTORS * by_keys / size
            queries = queries - _RATE_OF_FACTORS * by_queries / size
            weights = keys @ queries.T
        else:
            weights = weights - _RATE * slope / np.linalg.norm(slope)
        if step % _SHOWN_EVERY == 0:
            history.append(weights)
            if (1.0 - attention(problem, weights).max(axis=1)).max() < _SATURATED:
                return Trained(history=history, saturated=True)
    return Trained(history=history, saturated=False)


def _at_margin_one(problem: Problem, weights: Array) -> Array:
    chosen = attention(problem, weights).argmax(axis=1)
    return np.asarray(weights / (differences(problem, chosen) @ weights.ravel()).min())


def measure(quick: bool) -> Findings:
    """Train W and K Q' on a number of problems, and compare them with the machine."""
    seeds, steps = (2, 400) if quick else (20, _STEPS)
    cosines, curves, nuclear, frobenius, saturated = [], [], [], [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        problem = draw_problem(rng)
        plain = train(problem, steps, rng, factors=False)
        chosen = attention(problem, plain.weights).argmax(axis=1)
        machine = support_vector_machine(differences(problem, chosen))
        curves.append([_cosine(one, machine) for one in plain.history])
        cosines.append(curves[-1][-1])
        factored = train(problem, steps, rng, factors=True)
        saturated += [plain.saturated, factored.saturated]
        ends = [_at_margin_one(problem, one.weights) for one in (plain, factored)]
        of_weights, of_factors = (float(np.linalg.norm(one, "nuc")) for one in ends)
        nuclear.append(of_factors / of_weights)
        of_weights, of_factors = (float(np.linalg.norm(one)) for one in ends)
        frobenius.append(of_factors / of_weights)
    length = min(map(len, curves))
    shown = [mean([curve[place] for curve in curves]) for place in range(length)]
    steps_shown = [1.0 + _SHOWN_EVERY * place for place in range(length)]
    measured: Measured = {
        ("W", f"step {step:.0f}", "cosine"): one
        for step, one in zip(steps_shown, shown, strict=True)
    }
    measured["both", "", "share that saturated"] = mean(np.array(saturated, np.float64))
    chart = Chart(
        title="Direction of trained attention and of the support vector machine",
        x=Axis(label="step", log=True),
        y=Axis(label="cosine", high=1.0),
        series=[
            Series(
                name="mean over problems, until the first has saturated",
                x=steps_shown,
                y=[one.value or 0.0 for one in shown],
                ink="a",
                line="-",
                intervals=shown,
            )
        ],
    )
    return Findings(
        claims={
            "direction": mean(cosines),
            "nuclear": mean(nuclear),
            "frobenius": mean(frobenius),
        },
        figure=draw_chart(chart),
        measured=measured,
    )


STUDY = study_of(
    Paper(
        title="Transformers as support vector machines",
        arxiv="2308.16898",
        claims={
            "direction": Claim(
                text="The direction of W goes to that of the machine: cosine when the attention "
                "has saturated",
                threshold=0.99,
                published="1 in the limit",
            ),
            "nuclear": Claim(
                text="Trained as K Q' it has the smaller nuclear norm at margin 1: ratio to that "
                "of W",
                relation="at most",
                threshold=0.99,
                published="smallest in the limit",
            ),
            "frobenius": Claim(
                text="Trained as K Q' it has the larger Frobenius norm at margin 1: ratio to that "
                "of W",
                threshold=1.0,
                published="W has the smallest in the limit",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="Attention trained by gradient descent has the direction of a hard-margin support vector "
    "machine.",
    setting="One thread of a shared AMD EPYC; n = 20 problems (seeds 0 to 19) of 4 sequences of 5 "
    "tokens of 10 entries; 10 CPU-seconds.",
)
