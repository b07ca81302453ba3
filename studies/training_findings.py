"""What decides on what changes or explains a training, and what the rows of the table say.

Needs no torch, as pages do not.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from bicameral.tables import estimate_cell, percent, points_cell
from studies.measurements import Measured, read_measurements
from studies.paper_tables import Finding
from studies.study import DATA

_ZOO = DATA / "fashion_mnist" / "zoo"
_NOT = "does not hold"

#: Of the study of fusions in the driver: what was measured on recorded frames, what by driving,
#: and the difference.
STEERED, DROVE = "recorded frames", "driven"
SUM_MINUS_FILM = "bilinear minus film"


def sum_drives_better(measured: Measured) -> str:
    """Return the verdict on the bilinear sum in the driver.

    It holds if it drives surely nearer to the lane centre over the whole route, and in part if it
    only steers recorded frames surely better.
    """

    def surely_less(condition: str, quantity: str) -> bool:
        high = measured[SUM_MINUS_FILM, condition, quantity].high
        return high is not None and high < 0.0

    if surely_less(DROVE, "whole_m"):
        return "holds"
    return "holds in part" if surely_less(STEERED, "steering MAE") else "does not hold"


def _of_fusion() -> Finding:
    measured = read_measurements(DATA / "driving" / "driver_fusion.csv")

    def said(way: str, condition: str, quantity: str, digits: int) -> str:
        cell = estimate_cell(measured[way, condition, quantity], digits)
        return f"{cell.text} {cell.small}".strip()

    def both(condition: str, quantity: str, digits: int) -> str:
        sides = (said(way, condition, quantity, digits) for way in ("bilinear", "film"))
        less = said(SUM_MINUS_FILM, condition, quantity, digits)
        return f"{' against '.join(sides)} (difference {less})"

    counts = (measured[way, STEERED, "parameters"].value for way in ("bilinear", "film"))
    pairs = measured[SUM_MINUS_FILM, DROVE, "whole_m"].n
    weights, others = (f"{count or 0.0:,.0f}" for count in counts)
    found = (
        f"{weights} weights against {others} on the frozen trunk of `caril_a`, n = "
        f"{measured[SUM_MINUS_FILM, STEERED, 'steering MAE'].n} seeds. On frames of Ridgeway: "
        f"steering error {both(STEERED, 'steering MAE', 4)}, always straight "
        f"{said('always straight', STEERED, 'steering MAE', 4)}; macro recall "
        f"{both(STEERED, 'macro recall', 3)}. {pairs} pairs of drives there: success "
        f"{both(DROVE, 'success', 2)}, metres to the lane centre over the whole route "
        f"{both(DROVE, 'whole_m', 2)}. FiLM stays, and there is no option. "
        "`python -m studies driver_fusion`"
    )
    return found, sum_drives_better(measured)


def _of_opposing() -> Finding:
    measured = read_measurements(DATA / "papers" / "edge_of_stability.csv")
    claims = {key[2]: one.value or 0.0 for key, one in measured.items() if key[0] == "claim"}
    planted = [
        f"{one.value or 0.0:.2f} ({name})"
        for (name, _, quantity), one in measured.items()
        if quantity == "planted share of the groups found first"
    ]
    seeds = measured["claim", "", "planted"].n
    found = (
        f"sharpness within {percent(claims['edge'])} % of 2 / rate. The groups found first are "
        f"{percent(claims['natural'], 0)} % tops, which one mistakes for each other; planted "
        f"pairs are a share of {', '.join(planted)}, n = {seeds} seeds: they are found only where "
        "no classes oppose each other more, so training has no watcher. "
        "`python -m studies edge_of_stability`"
    )
    holds = claims["natural"] >= 0.8, claims["planted"] >= 0.8
    return found, "holds" if all(holds) else "holds in part" if any(holds) else "does not hold"


#: Of the study of activations in 8 bits: what is measured, and of what.
PEAK, LEAST, LESS = "most memory held", "most memory held before", "accuracy lost or gained"
SAVING, SAVING_MINUS = "8 bits", "8 bits beside plain"
_PEAK_LESS, _ACCURACY_LESS = 0.25, -0.003


def saves_memory(measured: Measured) -> str:
    """Return the verdict: a quarter less memory for each network, and surely .3 points at most."""
    smaller = [
        (one.value or 0.0) >= _PEAK_LESS
        for key, one in measured.items()
        if key[1:] == (SAVING_MINUS, PEAK)
    ]
    near = [(one.low or -1.0) >= _ACCURACY_LESS for key, one in measured.items() if key[2] == LESS]
    return "holds" if all(smaller + near) else "holds in part" if any(smaller + near) else _NOT


def _of_memory() -> Finding:
    measured = read_measurements(_ZOO / "memory_saving.csv")
    peaks = [
        f"`{name}` {measured[name, 'plain', PEAK].value:.0f} to "
        f"{measured[name, SAVING, PEAK].value:.0f} MiB ({percent(one.value, 0)} % less)"
        for (name, condition, quantity), one in measured.items()
        if (condition, quantity) == (SAVING_MINUS, PEAK)
    ]
    trained = next(key[0] for key in measured if key[2] == LESS)
    less = measured[trained, SAVING_MINUS, LESS]
    cell = points_cell(less)
    ratio = estimate_cell(measured[trained, SAVING_MINUS, "ratio of CPU times"], 1)
    found = (
        "26 % of the saved bytes (`dense_vit`, `convit`), 31 % (`squeeze16`), loss equal to the "
        "bit, cosine of the gradients above .9999 (`pytest "
        "tests/unit/classifiers/test_memory_saving.py`). Most memory of a process at batch 512: "
        f"{', '.join(peaks)}; `{trained}`: {cell.text} points {cell.small}, {ratio.text} times the "
        f"CPU time, n = {less.seeds} seeds. `python -m studies memory_saving`"
    )
    return found, saves_memory(measured)


def _of_collapse() -> Finding:
    measured = read_measurements(DATA / "papers" / "collapse.csv")
    claims = {key[2]: one.value or 0.0 for key, one in measured.items() if key[0] == "claim"}
    found = (
        f"unequal classes: lengths within {claims['lengths']:.0e} of the closed form and cosines "
        f"within {claims['unequal']:.0e} of 0, the smallest class gone under strong decay; equal "
        f"classes: cosines within {claims['orthogonal']:.0e} of 0 (`python -m studies collapse`). "
        "[Steering classes](../models.md#inside-them): neither network has collapsed, and one "
        "class of `caril_a` is not heard (`bicameral diagnose caril_a caril_b --data ridgeway`)"
    )
    near = all(claims[name] <= 0.02 for name in ("lengths", "unequal", "orthogonal"))
    return found, "holds" if near else _NOT


#: Of the study of likeness: how well units match, and of which pairs, the likest first.
ALIKE, CKA = "matched correlation", "linear CKA"
KINDS = ("two trainings of a network", "two networks", "a network that has learned nothing")


def converges(measured: Measured) -> str:
    """Return the verdict on the order of the pairs: sure, only of the means, or another one."""
    found = [measured[kind, "", ALIKE] for kind in KINDS]
    pairs = list(pairwise(found))
    if all((a.low or 0.0) > (b.high or 0.0) for a, b in pairs):
        return "holds"
    return "holds in part" if any((a.value or 0.0) > (b.value or 0.0) for a, b in pairs) else _NOT


def _of_likeness() -> Finding:
    measured = read_measurements(_ZOO / "likeness.csv")
    said = []
    for kind in KINDS:
        match, same = (estimate_cell(measured[kind, "", name], 2) for name in (ALIKE, CKA))
        count = measured[kind, "", ALIKE].n
        said.append(f"{kind} {match.text} {match.small}, {same.text} {same.small}, n = {count}")
    found = (
        "units in another order: all matched, r = 1 (`pytest tests/unit/diagnosis`); units before "
        f"the last layer, mean correlation of matched ones, linear CKA, pairs: {'; '.join(said)}. "
        "Two networks match no worse: the 64 units of the one choose among the 128 of the "
        "other, which favours them; two trainings know more of the same. Pairs share networks, so "
        "intervals are too narrow. `python -m studies likeness`. [All that ship](#alike-inside), "
        "and [layer by layer](../models.md#inside-them) `bicameral diagnose "
        "fashion_mnist_cascade`; sparse prediction was not built"
    )
    return found, converges(measured)


#: By what the row is about.
FINDINGS: dict[str, Callable[[], Finding]] = {
    "bilinear fusion in the driver": _of_fusion,
    "Mesa, `--memory-saving`": _of_memory,
    "convergent learning, `diagnose A B`": _of_likeness,
    "neural collapse, `diagnose`": _of_collapse,
    "opposing outliers": _of_opposing,
}
