"""The tables of `docs/path-fusion.md`, from the committed record of the drives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from bicameral.tables import Table, estimate_cell, markdown_table
from studies import path_towns
from studies.measurements import markdown, read_measurements, read_records
from studies.path_analysis import (
    NOTHING_YET,
    Drives,
    beaten,
    comparison_table,
    condition_table,
    describe_claim,
    system_table,
    whole_m,
)
from studies.path_confidence import CANDIDATES
from studies.path_drives import Drive
from studies.path_map_error import recorded_table
from studies.path_plan import FOLDER, StudyPlan, read_plan

_RECORD = FOLDER / "path_fusion.csv"
#: The stage of the plan with the systems that the claim stands on.
_MAIN = 2


@cache
def _recorded() -> tuple[Drives, StudyPlan]:
    plan = read_plan()
    return Drives(read_records(_RECORD, Drive) if _RECORD.exists() else (), plan), plan


def _systems(stage: int) -> str:
    drives, plan = _recorded()
    return _shown(system_table(drives, plan.stages[stage].systems, ""))


def _towns(number: int) -> str:
    tables = path_towns.recorded_tables()
    return _shown(tables[number] if number < len(tables) else None)


def _comparisons() -> str:
    return _shown(comparison_table(*_recorded()))


def _conditions() -> str:
    return _shown(condition_table(*_recorded()))


def _claim() -> str:
    return describe_claim(*_recorded())


def _rules() -> str:
    return "\n".join(f"* {rule}" for rule in read_plan().rules_of_analysis)


def _shown(table: Table | None) -> str:
    if table is None or not table.rows:
        return NOTHING_YET
    return f"{markdown_table(table)}\n{table.note}".strip()


def _confidence() -> str:
    """Show which number knows that the path of the first network is wrong."""
    measured = read_measurements(FOLDER / "path_confidence.csv")
    subject = read_plan().networks[0]
    shown = ("wrong", *(f"AUROC {candidate}" for candidate in CANDIDATES))
    conditions = dict.fromkeys(key[1] for key in measured if key[0] == subject)
    return markdown(
        ("place / condition", "frames", "wrong", *CANDIDATES),
        (
            (
                condition,
                measured[subject, condition, shown[0]].n,
                *(estimate_cell(measured[subject, condition, name], 2) for name in shown),
            )
            for condition in conditions
        ),
    )


def _success(system: str) -> str:
    """Say on how many drives a system succeeded, where all that the claim stands on have driven."""
    mine = _main_drives(system)
    if not mine:
        return NOTHING_YET
    return f"{sum(drive.success for drive in mine)} of {len(mine)}"


def _town_success(system: str) -> str:
    """Say on how many drives in clear weather a system succeeded, of those town by town."""
    drives = read_records(FOLDER / path_towns.RECORD, Drive)
    mine = [one for one in drives if (one.system, one.condition) == (system, "clear")]
    return f"{sum(one.success for one in mine)} of {len(mine)}"


def _distance(system: str) -> str:
    """Say how far from the lane centre a system was there."""
    mine = _main_drives(system)
    return f"{whole_m(mine).value or 0.0:.2f} m" if mine else NOTHING_YET


def _beaten() -> str:
    """Say how many of the controls the fusion beats."""
    judged = beaten(*_recorded())
    return f"{sum(judged.values())} of {len(judged)}"


def _main_drives(system: str) -> list[Drive]:
    drives, plan = _recorded()
    present = drives.systems(plan.stages[_MAIN].systems)
    return drives.of(system, drives.common(present)) if system in present else []


PATH_TABLES: dict[str, Callable[[], str]] = {
    "systems": lambda: _systems(0),
    "more": lambda: _systems(1),
    "main": lambda: _systems(_MAIN),
    "navigation": lambda: _systems(3),
    "towns": lambda: _towns(0),
    "hard": lambda: _towns(1),
    "map_error": lambda: _shown(recorded_table()),
    "comparisons": _comparisons,
    "conditions": _conditions,
    "claim": _claim,
    "beaten": _beaten,
    "drives": lambda: f"{len(read_records(_RECORD, Drive)):,}",
    "confidence": _confidence,
    "success.vision": lambda: _success("vision"),
    "success.fusion": lambda: _success("fusion"),
    "success.towns": lambda: _town_success("fusion_told"),
    "distance.vision": lambda: _distance("vision"),
    "distance.fusion": lambda: _distance("fusion"),
    "distance.constant": lambda: _distance("constant_weight"),
    "rules": _rules,
}
