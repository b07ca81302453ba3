"""What decides on what changes or explains a training, and what the rows of the table say.

Needs no torch, as pages do not.
"""

from __future__ import annotations

from collections.abc import Callable

from bicameral.tables import percent
from studies.measurements import read_measurements
from studies.paper_tables import Finding
from studies.study import DATA

_NOT = "does not hold"


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


#: By what the row is about.
FINDINGS: dict[str, Callable[[], Finding]] = {
    "neural collapse, `diagnose`": _of_collapse,
    "opposing outliers": _of_opposing,
}
