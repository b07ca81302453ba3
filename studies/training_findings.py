"""What decides on what changes or explains a training, and what the rows of the table say.

Needs no torch, as pages do not.
"""

from __future__ import annotations

from collections.abc import Callable

from bicameral.tables import estimate_cell, percent
from studies.measurements import Measured, read_measurements
from studies.paper_tables import Finding
from studies.study import DATA

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
    "bilinear fusion in the driver": _of_fusion,
    "neural collapse, `diagnose`": _of_collapse,
    "opposing outliers": _of_opposing,
}
