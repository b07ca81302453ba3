"""What decides whether the claim of a paper holds, and what its row in the table of papers says.

Needs no torch, as pages do not.
"""

from __future__ import annotations

from collections.abc import Callable

from bicameral.tables import points_cell
from studies.measurements import Measured, read_measurements
from studies.study import DATA

#: What the table of papers says: what was found, and the verdict.
Finding = tuple[str, str]

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


#: By what the row is about.
FINDINGS: dict[str, Callable[[], Finding]] = {"FinalMLP": _final_mlp}
