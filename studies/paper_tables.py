"""What decides whether the claim of a paper holds, and what its row in the table of papers says.

Needs no torch, as pages do not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bicameral.statistics import Estimate
from bicameral.tables import Entry, estimate_cell, percent, percent_cell, points_cell
from studies.measurements import Measured, markdown, read_measurements
from studies.study import DATA

#: What the table of papers says: what was found, and the verdict.
Finding = tuple[str, str]

_ROBUSTNESS = DATA / "fashion_mnist" / "zoo" / "robustness.csv"
#: The same of the network that ships and its twins.
ATTACKED = DATA / "fashion_mnist" / "zoo" / "robustness_shipped.csv"

#: Quantities of the study of robustness, and the conditions that decide.
RIGHT, AHEAD = "accuracy", "minus plain"
CLEAN, OWN, OTHERS = "clean", "PGD 0.05", "transfer 0.05"

#: By how many points a network must be ahead of the plain one to count as robust, and how many
#: points of clean accuracy that may cost.
_MORE, _LESS = 0.10, 0.03


def robust(measured: Measured, name: str) -> bool:
    """Return whether a network stands attacks of radius .05 better than the plain one.

    That is by ten points at least, of its own gradient and of another network's, and of clean
    images three points worse at most.
    """

    def ahead(condition: str) -> float:
        return measured[name, condition, AHEAD].value or 0.0

    return min(ahead(OWN), ahead(OTHERS)) >= _MORE and ahead(CLEAN) >= -_LESS


#: Quantity of the study of two streams that decides, and by how many points it must be ahead.
SUM_AHEAD = "minus side by side"
_SUM_MORE = 0.05


def sum_is_worth_it(measured: Measured) -> bool:
    """Return whether the bilinear sum of two streams is ahead by five points at every size."""
    ahead = [one.value or 0.0 for (*_, quantity), one in measured.items() if quantity == SUM_AHEAD]
    return min(ahead) >= _SUM_MORE


def _final_mlp() -> Finding:
    measured = read_measurements(DATA / "fashion_mnist" / "zoo" / "final_mlp.csv")
    said = []
    for (name, size, quantity), one in measured.items():
        if quantity == SUM_AHEAD:
            cell, count = points_cell(one, 1), measured[name, size, "parameters"].value
            said.append(f"{cell.text} points {cell.small} with {count:g} weights")
            seeds = one.seeds
    found = (
        "equals its equation (`pytest tests/studies/test_final_mlp.py`); bilinear sum minus "
        f"streams side by side on a planted product: {', '.join(said)}, n = {seeds} seeds. "
        "`python -m studies final_mlp`"
    )
    return found, "holds" if sum_is_worth_it(measured) else "does not hold"


def _robustness(record: Path, cell: Callable[[Estimate], Entry]) -> str:
    """Return the accuracy of each network under each attack."""
    measured = read_measurements(record)
    names = list(dict.fromkeys(key[0] for key in measured if key[2] == RIGHT))
    conditions = list(dict.fromkeys(key[1] for key in measured if key[2] == RIGHT))

    def spread(name: str, quantity: str, form: Callable[[float], str]) -> str:
        values = sorted(
            one.value or 0.0
            for key, one in measured.items()
            if key[0].startswith(f"{name} seed") and key[2] == quantity
        )
        low, high = form(values[0]), form(values[-1])
        return low if low == high else f"{low} .. {high}"

    rows = [
        (
            f"`{name}`",
            *(cell(measured[name, condition, RIGHT]) for condition in conditions),
            spread(name, "zero gradients", lambda share: percent(share, 1)),
            spread(name, "logit scale", lambda value: f"{value:.1f}"),
        )
        for name in names
    ]
    return markdown(("accuracy %", *conditions, "zero gradients %", "spread of the logits"), rows)


def _of_robustness() -> Finding:
    measured = read_measurements(_ROBUSTNESS)

    def ahead(name: str, condition: str) -> str:
        one: Estimate = measured[name, condition, AHEAD]
        cell = points_cell(one, 1)
        return f"{cell.text} {cell.small}"

    def said(name: str) -> str:
        return f"clean {ahead(name, CLEAN)}, PGD {ahead(name, OWN)}, transfer {ahead(name, OTHERS)}"

    seeds = measured["han", CLEAN, RIGHT].seeds
    found = (
        f"points above the plain network: HAN {said('han')}; bidirectional "
        f"{said('bidirectional')}; PGD training {said('pgd_trained')}; n = {seeds} "
        "trainings of 1,000 steps of 100 images, where the paper's logs show little before 50,000 "
        "steps. `python -m studies robustness`"
    )
    return found, "holds" if robust(measured, "han") else "does not hold"


#: Quantity of the study of mixers: how many more images it answers rightly than the other, a share.
MORE_RIGHT = "difference"
CONVIT = "convit"


def clears(measured: Measured, name: str) -> bool:
    """Return whether a mixer is surely better than ConViT."""
    return (measured[name, CONVIT, MORE_RIGHT].low or -1.0) > 0.0


def _of_mixer(name: str) -> Finding:
    measured = read_measurements(DATA / "fashion_mnist" / "zoo" / "token_mixing.csv")

    def ahead(other: str) -> str:
        cell = points_cell(measured[name, other, MORE_RIGHT], 1)
        return f"{cell.text} points {cell.small}"

    def macs(of: str) -> str:
        return f"{(measured[of, '', 'MACs'].value or 0.0) / 1e6:.1f} M"

    found = (
        f"`{name}` ({macs(name)} multiply-accumulates) minus ConViT ({macs(CONVIT)}): "
        f"{ahead(CONVIT)}, minus its twin with attention: {ahead('dense_vit')}; n = 1 short "
        "training, so no entry. `python -m studies token_mixing`"
    )
    return found, "holds in part" if clears(measured, name) else "does not hold"


#: Of the study of picture sizes: the ways to train, and the quantities that decide. `RIGHT`, too.
KNOB, PLAIN_KNOB = "norm preserving", "default hypernetwork"
SHARED, ALONE = "one set of weights", "one size alone"
LOSS = "training loss"
_SIZE_LESS = 0.005


def knob_is_worth_it(measured: Measured) -> str:
    """Return the verdict on weights that follow the size of the picture.

    It holds if their loss is below the default's at every learning rate, and at every size they
    are at most half a point below a network for it alone, and better than shared weights.
    """
    losses = {key: one.value or 0.0 for key, one in measured.items() if key[2] == LOSS}
    lower = [
        losses[KNOB, rate, LOSS] < loss
        for (name, rate, _), loss in losses.items()
        if name == PLAIN_KNOB
    ]
    near = [one >= -_SIZE_LESS for one in _ahead(measured, KNOB, ALONE)]
    better = [one > 0.0 for one in _ahead(measured, KNOB, SHARED)]
    if all(lower + near + better):
        return "holds"
    return "holds in part" if any(map(all, (lower, near, better))) else "does not hold"


def _ahead(measured: Measured, name: str, other: str) -> list[float]:
    """Return at each size by which share of the images a way is more often right than another."""
    return [
        one.value or 0.0
        for (subject, _, quantity), one in measured.items()
        if (subject, quantity) == (name, f"minus {other}")
    ]


def _of_sizes() -> Finding:
    measured = read_measurements(DATA / "fashion_mnist" / "zoo" / "picture_sizes.csv")

    def losses(way: str) -> str:
        values = [one.value or 0.0 for key, one in measured.items() if key[::2] == (way, LOSS)]
        return ", ".join(f"{value:.2f}" for value in values)

    def ahead(way: str, other: str) -> str:
        return ", ".join(f"{100 * one:+.1f}" for one in _ahead(measured, way, other))

    sure = sum(
        (one.low or 0.0) > 0.0
        for key, one in measured.items()
        if key[::2] == (KNOB, f"minus {SHARED}")
    )
    found = (
        f"loss after 400 steps at rates .001, .01, .03: {losses(KNOB)} against {losses(PLAIN_KNOB)}"
        f" of the default and {losses(SHARED)} of one set of weights. Points at 8, 13, 18, 23, 28 "
        f"px, each at its best rate: minus one set of weights {ahead(KNOB, SHARED)}, clear of 0 at "
        f"{sure} of 5; minus a network for that size alone {ahead(KNOB, ALONE)}, where one set of "
        f"weights is {ahead(SHARED, ALONE)}; n = 3 short trainings; it stays a study. A graph of "
        "one size equals the pair (`pytest tests/studies/test_picture_sizes.py`). "
        "`python -m studies picture_sizes`"
    )
    return found, knob_is_worth_it(measured)


def _sequence_lengths() -> str:
    """Return how often each mixer names pictures rightly, by the number of patches."""
    measured = read_measurements(DATA / "papers" / "sequence_length.csv")
    keys = [key for key in measured if key[2] == RIGHT]
    lengths = list(dict.fromkeys(length for _, length, _ in keys))

    def cell(kind: str, length: str) -> Entry:
        return estimate_cell(measured[kind, length, RIGHT].scaled(100.0, "%"), 1)

    kinds = dict.fromkeys(kind for kind, *_ in keys)
    rows = [(f"`{kind}`", *(cell(kind, length) for length in lengths)) for kind in kinds]
    return markdown(("accuracy %", *lengths), rows)


#: By the name that stands in the mark of a page.
TABLES: dict[str, Callable[[], str]] = {
    "sequence_lengths": _sequence_lengths,
    "zoo.robustness": partial(_robustness, _ROBUSTNESS, lambda one: percent(one.value, 1)),
    "zoo.attacked": partial(_robustness, ATTACKED, lambda one: percent_cell(one, 1)),
}

#: By what the row is about.
FINDINGS: dict[str, Callable[[], Finding]] = {
    "FinalMLP": _final_mlp,
    "HAN, bidirectional learning": _of_robustness,
    "MIP hypernetwork": _of_sizes,
    "Grassmann mixing of images": partial(_of_mixer, "grassmann_vit"),
    "Dual-Stream block": partial(_of_mixer, "dual_stream_vit"),
}
