"""The tables of `docs/path-fusion.md`, from the committed record of the drives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from bicameral.tables import Table, markdown_table
from studies.path_analysis import (
    NOTHING_YET,
    Drives,
    comparison_table,
    condition_table,
    describe_claim,
    system_table,
)
from studies.path_drives import read_drives
from studies.path_plan import FOLDER, StudyPlan, read_plan
from studies.path_towns import recorded_tables

_RECORD = FOLDER / "path_fusion.csv"


@cache
def _recorded() -> tuple[Drives, StudyPlan]:
    plan = read_plan()
    return Drives(read_drives(_RECORD) if _RECORD.exists() else (), plan), plan


def _systems(stage: int) -> str:
    drives, plan = _recorded()
    return _shown(system_table(drives, plan.stages[stage].systems, ""))


def _towns(number: int) -> str:
    tables = recorded_tables()
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


PATH_TABLES: dict[str, Callable[[], str]] = {
    "systems": lambda: _systems(0),
    "more": lambda: _systems(1),
    "main": lambda: _systems(2),
    "navigation": lambda: _systems(3),
    "towns": lambda: _towns(0),
    "hard": lambda: _towns(1),
    "comparisons": _comparisons,
    "conditions": _conditions,
    "claim": _claim,
    "rules": _rules,
}
