"""Linear attention as a memory of conditioned pairs: how many it holds (2508.08289).

A head adds up v k' for pairs of a unit key k (conditional stimulus) and a value v of unit variance
(unconditional stimulus), Hebb's rule, and reads S q. Random keys interfere: the read-out of a
stored pair has the mean squared error

    (n - 1) / d_k

per entry with n pairs in keys of d_k entries, so that the pairs within a bounded error grow like
d_k. The delta rule of Rescorla and Wagner stores only what is not yet predicted, S += (v - S k) k'.
Reads in a chain, each of the answer before, add up their errors; heads with keys of their own
average them out.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.charts import Axis, Chart, Series, draw_chart
from bicameral.statistics import Estimate, mean, slope
from studies.claims import Claim, Paper
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of

_WIDTHS = (32, 64, 128, 256)
_LOADS = (0.25, 0.5, 1.0, 2.0)
_VALUES = 32
#: The error per entry up to which a memory counts as holding its pairs: signs are right 92 % then.
_BOUND = 0.5
_SWEEPS = 20
_DEPTHS = (1, 2, 4, 8)
_HEADS = (1, 2, 4, 8)

Array = NDArray[np.float64]


def pairs(n: int, width: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw n unit keys (n, width) and values (n, V) of unit variance."""
    keys = rng.standard_normal((n, width))
    return keys / np.linalg.norm(keys, axis=1, keepdims=True), rng.standard_normal((n, _VALUES))


def hebbian_error(n: int, width: int, rng: np.random.Generator, heads: int = 1) -> float:
    """Return the mean squared error per entry of reading n stored pairs, averaged over heads."""
    values = rng.standard_normal((n, _VALUES))
    read = np.zeros_like(values)
    for _ in range(heads):
        keys, _ = pairs(n, width, rng)
        read += keys @ (keys.T @ values) / heads
    return float(np.square(read - values).mean())


def delta_error(n: int, width: int, rng: np.random.Generator) -> float:
    """Return the same after the delta rule went over the pairs a number of times."""
    keys, values = pairs(n, width, rng)
    memory = np.zeros((width, _VALUES))
    for _ in range(_SWEEPS):
        for key, value in zip(keys, values, strict=True):
            memory += np.outer(key, value - key @ memory)
    return float(np.square(keys @ memory - values).mean())


def chain_error(n: int, width: int, depth: int, rng: np.random.Generator) -> float:
    """Return the error per entry, times the width, at the end of a chain of associations.

    Each layer stores which unit vector follows which; a read is of the answer before.
    """
    chain = [pairs(n, width, rng)[0] for _ in range(depth + 1)]
    state = chain[0]
    for keys, following in pairwise(chain):
        state = state @ keys.T @ following
    return float(np.square(state - chain[-1]).mean() * width)


def capacity(width: int, rng: np.random.Generator) -> int:
    """Return with how many pairs the error first exceeds the bound."""
    n = 2
    while hebbian_error(n, width, rng) <= _BOUND:
        n += max(1, width // 32)
    return n


def measure(quick: bool) -> Findings:
    """Fill memories of several widths with more and more pairs."""
    runs, widths = (3, _WIDTHS[:2]) if quick else (20, _WIDTHS)
    rng = np.random.default_rng(0)
    measured: Measured = {}
    departures: list[float] = []
    for width in widths:
        for load in _LOADS:
            n = round(load * width)
            found = mean([hebbian_error(n, width, rng) for _ in range(runs)])
            measured["Hebb's rule", f"d_k = {width}, n / d_k = {load}", "squared error"] = found
            departures.append((found.value or 0.0) * width / (n - 1) - 1.0)
    delta_width = widths[1]
    gains = []
    for load in _LOADS:
        n = round(load * delta_width)
        errors = mean([delta_error(n, delta_width, rng) for _ in range(runs)])
        key = (f"d_k = {delta_width}, n / d_k = {load}", "squared error")
        measured["delta rule", *key] = errors
        if load == 1.0:
            hebbian = measured["Hebb's rule", *key].value or 0.0
            gains = [hebbian / (one or np.inf) for one in (errors.high, errors.value, errors.low)]
    for depth in _DEPTHS:
        errors = mean([chain_error(16, 64, depth, rng) for _ in range(runs)])
        measured["chain of reads", f"16 pairs, d_k = 64, {depth} layers", "squared error"] = errors
    shares = []
    for heads in _HEADS:
        errors = mean([hebbian_error(64, 64, rng, heads) for _ in range(runs)])
        measured["averaged heads", f"64 pairs, d_k = 64, {heads} heads", "squared error"] = errors
        shares.append((errors.value or 0.0) * heads * 64 / 63 - 1.0)
    held = [[capacity(width, rng) for _ in range(runs)] for width in widths]
    for width, counts in zip(widths, held, strict=True):
        measured["Hebb's rule", f"d_k = {width}", "pairs held"] = mean(counts, "pairs")
    growth = slope(np.repeat(np.log(widths), runs).tolist(), np.log(np.ravel(held)).tolist(), "1")
    return Findings(
        claims={
            "law": mean(np.abs(departures)),
            "growth": growth,
            "delta rule": Estimate(low=gains[0], value=gains[1], high=gains[2], n=runs),
            "heads": mean(np.abs(shares)),
        },
        figure=draw_chart(_chart(measured, widths, delta_width)),
        measured=measured,
    )


def _chart(measured: Measured, widths: tuple[int, ...], delta_width: int) -> Chart:
    def points(rule: str, width: int) -> list[Estimate]:
        keys = (f"d_k = {width}, n / d_k = {load}" for load in _LOADS)
        return [measured[rule, key, "squared error"] for key in keys]

    def heights(of: list[Estimate]) -> list[float]:
        return [one.value or 0.0 for one in of]

    widest, delta = points("Hebb's rule", widths[-1]), points("delta rule", delta_width)
    theory = [load - 1.0 / widths[-1] for load in _LOADS]
    return Chart(
        title="Error of reading stored pairs, by how full the memory is",
        x=Axis(label="pairs per entry of a key, n / d_k"),
        y=Axis(label="mean squared error per entry of a value", low=0.0),
        series=[
            Series(name="(n - 1) / d_k", x=_LOADS, y=theory, ink="soft", marker="", line="--"),
            Series(
                name=f"Hebb's rule, d_k = {widths[-1]}",
                x=_LOADS,
                y=heights(widest),
                ink="a",
                intervals=widest,
            ),
            Series(
                name=f"delta rule, d_k = {delta_width}",
                x=_LOADS,
                y=heights(delta),
                ink="b",
                line="-",
                intervals=delta,
            ),
        ],
    )


STUDY = study_of(
    Paper(
        title="Understanding transformers through the lens of Pavlovian conditioning",
        arxiv="2508.08289",
        claims={
            "law": Claim(
                text="The error of a read is (n-1)/d_k: mean distance from it, relative, over four "
                "widths and four loads",
                relation="at most",
                threshold=0.05,
            ),
            "growth": Claim(
                text="Pairs held before the squared error exceeds 0.5 grow no faster than the root "
                "of d_k: exponent",
                relation="at most",
                threshold=0.55,
                published="O(sqrt d_k) in the abstract",
            ),
            "delta rule": Claim(
                text="A rule that learns from its error stores better: error of Hebb's rule by "
                "that of the delta rule, n = d_k = 64",
                threshold=2.0,
                published="better, no figure",
            ),
            "heads": Claim(
                text="H heads with keys of their own divide the error by H: mean distance from it, "
                "relative",
                relation="at most",
                threshold=0.05,
                published="redundancy helps",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="Linear attention reads stored pairs with the error (n - 1) / d_k, so it holds about as "
    "many as keys have entries.",
    setting="One thread of a shared AMD EPYC; n = 20 memories for each width and load; "
    "10 CPU-seconds.",
)
