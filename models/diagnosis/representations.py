"""Are two networks the same inside? Convergent learning (1511.07543), and linear CKA (1905.00414).

Units are compared by what they say of the same pictures. Half of the pictures decides which unit
of B stands for which of A, one to one (Hungarian matching); the other half says how well, so that
the figure is none of luck. A network whose weights are shuffled shows what the pictures alone
make alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bicameral.charts import HeatMap, draw_heat_map
from bicameral.page import Section
from bicameral.statistics import Estimate, mean
from bicameral.tables import estimate_cell, percent, table_of
from edge.samples import Samples
from models.diagnosis.finding import Finding
from models.diagnosis.graph import OpenGraph, short_name, spread

#: Layers of each network on the map of two.
_LAYERS = 8

#: A matched unit that correlates more than this on other pictures has a partner.
PARTNER = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """One layer against another.

    Attributes:
        correlation: Mean over matched units, on pictures that did not decide the matching.
        partners: Share of the smaller layer's units with a correlation above `PARTNER`.
        pairs: (M, 2): units of A and of B that belong together.
    """

    correlation: Estimate
    partners: float
    pairs: NDArray[np.int64]


def match_units(a: NDArray[np.float64], b: NDArray[np.float64]) -> Matching:
    """Match the units of two layers (N, U) and (N, V), each to one other at most.

    Units that say the same of all pictures are left out.
    """
    a_index, b_index = (np.flatnonzero(one.std(axis=0) > 1e-9) for one in (a, b))
    rows, columns = linear_sum_assignment(-_correlations(a[::2, a_index], b[::2, b_index]))
    found = _correlations(a[1::2, a_index], b[1::2, b_index])[rows, columns]
    return Matching(
        correlation=mean(found),
        partners=float((found > PARTNER).mean()) if len(found) else 0.0,
        pairs=np.stack([a_index[rows], b_index[columns]], axis=1),
    )


def similarity(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return linear CKA of two layers (N, U) and (N, V), 0..1.

    It is the same for every rotation and every common scale of the units: 1 says that the two know
    the same, not that their units are the same.
    """
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    shared = float(np.square(a.T @ b).sum())
    own = float(np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    return shared / own if own > 0.0 else 0.0


def _correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    standard = []
    for one in (a, b):
        centred = one - one.mean(axis=0)
        standard.append(centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-12))
    return np.asarray(standard[0].T @ standard[1])


def study_likeness(a: OpenGraph, b: OpenGraph, samples: Samples) -> Finding:
    """Compare two networks layer by layer, beside one with shuffled weights."""
    layers = [spread(graph.layers(), _LAYERS) for graph in (a, b)]
    of_a, of_b, control = (
        list(graph.read_units(samples, names).values())
        for graph, names in ((a, layers[0]), (b, layers[1]), (b.shuffled(), layers[1]))
    )
    alike = np.array([[similarity(one, other) for other in of_b] for one in of_a])
    rows, cells = [], []
    for number, values in enumerate(of_a):
        best = int(alike[number].argmax())
        found, by_chance = (match_units(values, one[best]) for one in (of_b, control))
        cells.append((alike[number, best], similarity(values, control[best]), found))
        rows.append(
            (
                short_name(layers[0][number]),
                short_name(layers[1][best]),
                f"{alike[number, best]:.2f}",
                f"{cells[-1][1]:.2f}",
                estimate_cell(found.correlation, 2),
                estimate_cell(by_chance.correlation, 2),
                percent(found.partners, 0),
            )
        )
    heads = (
        f"layer of {a.name}", f"most similar layer of {b.name}", "CKA|1: they know the same",
        "with shuffled weights", "matched r|mean correlation of matched units on other pictures",
        "with shuffled weights", f"partners %|matched units with r above {PARTNER:g}",
    )  # fmt: skip
    table = table_of("layer by layer", heads, rows, words=2)
    picture = draw_heat_map(
        HeatMap(
            title=f"how alike the layers of {a.name} and {b.name} are (CKA)",
            rows=[short_name(name) for name in layers[0]],
            columns=[short_name(name) for name in layers[1]],
            values=alike,
            texts=[[f"{value:.2f}" for value in row] for row in alike],
            limits=(0.0, 1.0),
        ),
        caption=f"Rows: {a.name}, columns: {b.name}. Linear CKA of what the units say on the "
        "whole, means over the places of a layer.",
    )
    (first, _, _), (last, chance, _) = cells[0], cells[-1]
    least = min(range(len(cells)), key=lambda number: cells[number][0])
    return Finding(
        sentence=f"{a.name} and {b.name}: CKA {first:.2f} in the first layer, {last:.2f} in the "
        f"last ({chance:.2f} with shuffled weights), least in {short_name(layers[0][least])} "
        f"({cells[least][0]:.2f}, {cells[least][1]:.2f}), where "
        f"{percent(cells[least][2].partners, 0)} % of the units have a partner in the other."
        + _agreement(a, b, samples),
        section=Section(title="How alike they are", blocks=[picture, table]),
    )


def _agreement(a: OpenGraph, b: OpenGraph, samples: Samples) -> str:
    """Say how often two classifiers answer alike, and how often both are wrong."""
    names = a.output("logits"), b.output("logits")
    if None in names or a.sidecar.labels != b.sidecar.labels:
        return ""
    logits = [
        graph.read(samples, [str(name)])[str(name)]
        for graph, name in zip((a, b), names, strict=True)
    ]
    answers = [one.argmax(axis=-1) for one in logits]
    text = f" They answer alike for {percent(float((answers[0] == answers[1]).mean()), 1)} %"
    if samples.labels is None or answers[0].ndim != 1:
        return text + "."
    wrong = [one != samples.labels for one in answers]
    both, expected = (wrong[0] & wrong[1]).mean(), wrong[0].mean() * wrong[1].mean()
    return (
        f"{text}, and both are wrong for {percent(float(both), 1)} % "
        f"({percent(float(expected), 1)} % if their mistakes were independent)."
    )
