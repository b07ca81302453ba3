"""What decides on classifiers that choose, complete or align, and what their rows say.

Needs no torch, as pages do not.
"""

from __future__ import annotations

from collections.abc import Callable

from bicameral.tables import percent, points_cell
from studies.measurements import Measured, read_measurements
from studies.paper_tables import Finding
from studies.study import DATA

_ZOO = DATA / "fashion_mnist" / "zoo"
_NOT = "does not hold"

#: Of the study of shares of heads: which is the whole, what is subtracted, and what heads answer.
ALL_HEADS, MINUS_ALL, LOAD = "all heads", "minus all heads", "load"
_FEW_LESS, _IDLE, _FULL = -0.005, 0.15, 0.85


def few_heads_suffice(measured: Measured) -> str:
    """Return the verdict on heads that patches choose.

    It holds if every share of them is surely at most half a point less accurate and no head has
    less than .15 or more than .85 of the patches; in part, if that is so of a mean, or of the load.
    """
    less = [one for key, one in measured.items() if key[2] == MINUS_ALL]
    loads = [
        one.value or 0.0 for key, one in measured.items() if key[2] == LOAD and "seed" in key[1]
    ]
    even = min(loads) >= _IDLE and max(loads) <= _FULL
    if even and all((one.low or -1.0) >= _FEW_LESS for one in less):
        return "holds"
    near = any((one.value or 0.0) >= _FEW_LESS for one in less)
    return "holds in part" if near or even else _NOT


def _of_heads() -> Finding:
    measured = read_measurements(_ZOO / "head_shares.csv")
    said = []
    for (share, _, quantity), one in measured.items():
        if quantity == MINUS_ALL:
            loads = [
                each.value or 0.0
                for key, each in measured.items()
                if key[0] == share and key[2] == LOAD
            ]
            macs = (
                f"{(measured[share, '', f'MACs as {name}'].value or 0.0) / 1e6:.2f}"
                for name in ("executed", "active")
            )
            cell = points_cell(one)
            said.append(
                f"{share} of the heads: {cell.text} points {cell.small}, load {min(loads):.2f} to "
                f"{max(loads):.2f}, M multiply-accumulates {' as executed, '.join(macs)} as active"
            )
    whole = (measured[ALL_HEADS, "", "MACs as executed"].value or 0.0) / 1e6
    longer = points_cell(
        read_measurements(_ZOO / "routing.csv")[
            "moh_vit against dense_vit", "test images", "difference"
        ]
    )
    found = (
        f"{'; '.join(said)}; with all {whole:.2f}; n = {measured[ALL_HEADS, '', 'accuracy'].seeds} "
        "seeds of 300 steps (`python -m studies head_shares`). After 4 epochs 67 %: "
        f"{longer.text} points {longer.small}, n = 1 (`python -m studies routing`). Not with three "
        "seeds at the 12 epochs of the entry: nine trainings of a quarter of an hour"
    )
    return found, few_heads_suffice(measured)


def _of_union() -> Finding:
    measured = read_measurements(_ZOO / "routing.csv")
    subject = "uoe_vit against dense_vit"
    difference = measured[subject, "test images", "difference"]
    cell = points_cell(difference)
    macs = [(measured[name, "", "MACs"].value or 0.0) / 1e6 for name in subject.split(" against ")]
    slower = [
        f"{1.0 / (one.value or 1.0):.1f}"
        for key, one in measured.items()
        if key[0] == subject and key[2] == "ratio"
    ]
    found = (
        "rows independent (`pytest tests/unit/classifiers/test_every_mixer.py`); "
        f"{cell.text} points {cell.small}, n = 1 of 4 epochs; {macs[0]:.2f} M "
        f"multiply-accumulates instead of {macs[1]:.2f}, but {slower[0]} times the CPU time at "
        f"batch 1 and {slower[1]} at 32. `python -m studies routing`. Not at the 12 epochs of the "
        "entry, nor with three seeds"
    )
    surely = (difference.low or -1.0) >= -0.01
    near = (difference.value or 0.0) >= -0.01
    return found, "holds" if surely else "holds in part" if near else _NOT


def _of_boltzmann() -> Finding:
    measured = read_measurements(_ZOO / "missing_pixels.csv")
    name, control = "monotone_boltzmann", "squeeze16_masked"
    conditions = [key[1] for key in measured if key[::2] == (name, "accuracy")]

    def right(of: str) -> str:
        return ", ".join(percent(measured[of, one, "accuracy"].value, 1) for one in conditions)

    def ahead(condition: str) -> str:
        cell = points_cell(measured[f"{name} against {control}", condition, "difference"], 1)
        return f"{cell.text} points {cell.small}"

    def off(of: str) -> str:
        values = [
            one.value or 0.0
            for key, one in measured.items()
            if key[::2] == (of, "error of the filled pixels")
        ]
        return f"{min(values):.0f} to {max(values):.0f}"

    found = (
        f"{right(name)} % with {', '.join(conditions)} of the pixels against {right(control)} % of "
        f"the one trained with masks; {ahead('40 %')} at 40 %, {ahead('20 %')} at 20 %; n = 1, 312 "
        f"steps, {measured[name, '100 %', 'accuracy'].n:,} test images (`python -m studies "
        f"missing_pixels`). Filled pixels are off by {off(name)} levels of 255, neighbours by "
        f"{off('mean of the 3x3 neighbours')}: no weights ship. One fixed point: two starts end "
        "within 1e-3, the free energy never rises, a 17th step changes less than 1e-3 (`pytest "
        "tests/unit/classifiers/test_monotone_boltzmann.py`)"
    )
    better = all(
        (measured[f"{name} against {control}", one, "difference"].low or 0.0) > 0.0
        for one in ("40 %", "20 %")
    )
    return found, "holds" if better else _NOT


def _of_alignment() -> Finding:
    measured = read_measurements(_ZOO / "aligned_features.csv")
    triplets = "triplets of held-out classes"

    def agreement(way: str) -> float:
        return measured[way, triplets, "agreement"].value or 0.0

    def right(way: str) -> list[float]:
        return [one.value or 0.0 for key, one in measured.items() if key[::2] == (way, "accuracy")]

    def said(way: str) -> str:
        return ", ".join(percent(one, 1) for one in right(way))

    found = (
        "judgments from a taxonomy, not from people: held-out classes agree "
        f"{percent(agreement('aligned'), 1)} % after the map and "
        f"{percent(agreement('raw features'), 1)} % before, so 10 points cannot be gained; "
        f"read-out of held-out classes from 1, 4, 16 examples {said('aligned')} % against "
        f"{said('raw features')} %; without the term for neighbours "
        f"{said('aligned without neighbours')} %. The base network had seen all classes; no head "
        "was built. `python -m studies aligned_features`"
    )
    more = agreement("aligned") - agreement("raw features") >= 0.1
    kept = all(a >= b for a, b in zip(right("aligned"), right("raw features"), strict=True))
    return found, "holds" if more and kept else "holds in part" if more or kept else _NOT


#: By what the row is about.
FINDINGS: dict[str, Callable[[], Finding]] = {
    "monotone deep Boltzmann machine, [`monotone_boltzmann`](monotone_boltzmann.md)": _of_boltzmann,
    "MoH, [`moh_vit`](moh_vit.md)": _of_heads,
    "union of experts, [`uoe_vit`](uoe_vit.md)": _of_union,
    "human-aligned read-out": _of_alignment,
}
