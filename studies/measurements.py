"""The tidy table that studies write: a measurement a row, with its interval where it has one."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from bicameral.errors import DataError
from bicameral.files import write_text_atomic
from bicameral.statistics import Estimate
from bicameral.tables import csv_text

_HEADER = ("subject", "condition", "quantity", "unit", "value", "low", "high", "n", "seeds")

#: Estimates by subject (what was measured), condition (under what) and quantity.
Measured = dict[tuple[str, str, str], Estimate]


def single(value: float | np.floating, unit: str = "1", n: int = 1) -> Estimate:
    """Return a figure without interval, such as a count or a quantile."""
    return Estimate(value=float(value), low=None, high=None, n=n, unit=unit)


def write_measurements(path: Path, measured: Measured) -> None:
    """Write a table as CSV, whole or not at all."""
    rows = [
        (*key, one.unit, one.value, one.low, one.high, one.n, one.seeds)
        for key, one in measured.items()
    ]
    write_text_atomic(path, csv_text(_HEADER, rows))


def read_measurements(path: Path) -> Measured:
    """Read a table that `write_measurements` wrote.

    Raises:
        DataError: If the file is absent or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {
                (row["subject"], row["condition"], row["quantity"]): Estimate(
                    value=_number(row["value"]),
                    low=_number(row["low"]),
                    high=_number(row["high"]),
                    n=int(row["n"]),
                    unit=row["unit"],
                    seeds=int(row["seeds"]) if row["seeds"] else None,
                )
                for row in csv.DictReader(file)
            }
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} is no table of measurements: {error!r}; run the study that writes it"
        ) from error


def _number(text: str) -> float | None:
    return float(text) if text else None
