"""What studies write and print: tables with a measurement a row, with intervals where they are."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bicameral.errors import DataError
from bicameral.files import write_text_atomic
from bicameral.statistics import Estimate
from bicameral.tables import (
    DASH,
    Cell,
    Entry,
    csv_text,
    markdown_table,
    print_table,
    table_of,
)

_HEADER = ("subject", "condition", "quantity", "unit", "value", "low", "high", "n", "seeds")

_Kind = TypeVar("_Kind")

#: Estimates by subject (what was measured), condition (under what) and quantity.
Measured = dict[tuple[str, str, str], Estimate]

Cells = Sequence[Entry]

#: Returns an estimate of a row's subject: of a quantity, under the row's condition or another.
Of = Callable[..., Estimate]


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


def print_measurements(
    measured: Measured, quantities: Sequence[str] = (), *, title: str = ""
) -> None:
    """Print a row for each subject and condition, and a column for each quantity, or for some."""
    names = quantities or tuple(dict.fromkeys(quantity for _, _, quantity in measured))
    places = dict.fromkeys((s, c) for s, c, quantity in measured if quantity in names)
    units = {quantity: one.unit for (*_, quantity), one in measured.items()}
    heads = [name if units[name] == "1" else f"{name}, {units[name]}" for name in names]
    rows: list[tuple[Entry, ...]] = [
        (*place, *(_cell(measured.get((*place, name))) for name in names)) for place in places
    ]
    print_table(table_of(title, ("", "", *heads), rows, words=2))


def _cell(one: Estimate | None) -> Cell:
    if one is None or one.value is None:
        return Cell(text=DASH)
    whole = one.low is not None and one.high is not None
    return Cell(text=f"{one.value:.4g}", small=f"[{one.low:.4g}, {one.high:.4g}]" if whole else "")


def write_rows(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], *, words: int = 1
) -> None:
    """Write any other table as CSV, whole or not at all, and print it.

    Args:
        path: The file; the printed table has its name.
        header: Names of the columns.
        rows: Their values; None stands for nothing.
        words: As many of the first columns hold words.
    """
    write_text_atomic(path, csv_text(header, rows))
    shown = [[None if one is None else str(one) for one in each] for each in rows]
    print_table(table_of(path.stem, header, shown, words=words))


def markdown(heads: Sequence[str], rows: Iterable[Sequence[Entry]], words: int = 1) -> str:
    """Return rows under their headings for a page; the first few columns hold words."""
    return markdown_table(table_of("", heads, rows, words=words))


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


def pivot(
    path: Path, marker: str, heads: Sequence[str], cells: Callable[[str, str, Of], Cells]
) -> str:
    """Return, for a page, a row for each subject and condition of which a quantity was measured.

    Args:
        path: A table of measurements.
        marker: The quantity.
        heads: Headings.
        cells: Makes the cells of a row from subject, condition, and what looks up an estimate.
    """
    measured = read_measurements(path)
    rows = []
    for subject, condition, quantity in measured:
        if quantity == marker:

            def of(name: str, under: str = condition, subject: str = subject) -> Estimate:
                return measured[subject, under, name]

            rows.append(cells(subject, condition, of))
    return markdown(heads, rows)


def write_records(path: Path, records: Iterable[Any], kind: type) -> None:
    """Write dataclasses of one kind as CSV, a row each, whole or not at all."""
    write_text_atomic(path, csv_text([one.name for one in fields(kind)], map(astuple, records)))


def read_records(path: Path, kind: type[_Kind]) -> tuple[_Kind, ...]:
    """Read what `write_records` wrote: dataclasses of texts, whole numbers and numbers.

    Raises:
        DataError: If the file is none.
    """
    convert = {"str": str, "int": int, "float": float}
    types = {one.name: convert[str(one.type)] for one in fields(kind)}  # type: ignore[arg-type]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                {name: of(row[name]) for name, of in types.items()} for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is no record of this kind: {error!r}") from error
    return tuple(kind(**row) for row in rows)


def _number(text: str) -> float | None:
    return float(text) if text else None
