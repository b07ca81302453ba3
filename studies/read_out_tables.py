"""The tables of docs/zoo/read_out.md, made from the committed records of its two studies."""

from __future__ import annotations

from collections.abc import Callable

from bicameral.tables import (
    Table,
    columns,
    markdown_table,
    percent,
    percent_cell,
    points_cell,
    row,
)
from studies.measurements import read_measurements
from studies.read_out_learning import QUANTITIES
from studies.read_out_streams import RANDOM, SORTED, TWO
from studies.zoo_tables import RECORDS


def learning() -> str:
    """Return what was learned from examples."""
    measured = read_measurements(RECORDS / "read_out_learning.csv")
    new, *others = QUANTITIES
    rows = []
    for method, condition in dict.fromkeys(key[:2] for key in measured):
        low, high = (
            percent(measured[method, condition, f"{new}, {end} % of draws"].value, 1)
            for end in (5, 95)
        )
        everything, old, of_new = (measured[method, condition, name] for name in others)
        rows.append(
            row(
                method,
                condition.split()[0],
                percent_cell(measured[method, condition, new], 1),
                f"{low}..{high}",
                percent_cell(everything, 1),
                percent(old.value, 1),
                percent(of_new.value, 1),
            )
        )
    heads = columns(
        "method", "examples of each new class", f"{new}, %", "one handful, 5..95 %",
        *(f"{name}, %" for name in others),
    )  # fmt: skip
    return markdown_table(Table(title="", columns=heads, rows=tuple(rows)))


def streams() -> str:
    """Return what the dynamic memory does on streams that change."""
    measured = read_measurements(RECORDS / "read_out_streams.csv")
    shares = ("network", "without dynamic memory", "with it")
    alone, bounded = "dynamic memory alone", "with it, only confidence >= 0.9 enters"
    names = [name for name, condition, quantity in measured if quantity == "network"]
    rows = [
        row(
            name,
            *(percent(measured[name, RANDOM, share].value, 1) for share in shares),
            points_cell(measured[name, RANDOM, "gain"]),
            *(percent(measured[name, RANDOM, share].value, 1) for share in (alone, bounded)),
        )
        for name in names
    ]
    heads = columns(
        "stream of 10,000 test images", *(f"{share}, %" for share in shares),
        "gain in points [95 %]", f"{alone}, %", f"{bounded}, %",
    )  # fmt: skip
    return markdown_table(Table(title="", columns=heads, rows=tuple(rows)))


def poison() -> str:
    """Return what an attacker does to a stream."""
    measured = read_measurements(RECORDS / "read_out_streams.csv")
    attacks = [key[:2] for key in measured if key[2] == "memory taken"]
    rows = [
        row(
            name,
            condition.split()[0],
            percent(measured[name, condition, "memory taken"].value, 0),
            points_cell(measured[name, condition, "to an honest stream"]),
            points_cell(measured[name, condition, "to no dynamic memory"]),
        )
        for name, condition in attacks
    ]
    heads = columns(
        "stream, 5 % of which are an attacker's", "attack", "memory taken, %",
        "genuine images: to an honest stream, points [95 %]",
        "to no dynamic memory, points [95 %]",
    )  # fmt: skip
    return markdown_table(Table(title="", columns=heads, rows=tuple(rows)))


def orders() -> str:
    """Return what the order of the images does."""
    measured = read_measurements(RECORDS / "read_out_streams.csv")
    rows = []
    for name in [key[0] for key in measured if key[1] == SORTED]:
        accuracies = [
            one.value or 0.0
            for (stream, condition, quantity), one in measured.items()
            if (stream, condition) == (name, RANDOM) and "in order" in quantity
        ]
        rows.append(
            row(
                name,
                f"{percent(min(accuracies))}..{percent(max(accuracies))}",
                percent(measured[name, SORTED, "with it"].value),
                percent(measured[name, TWO, "answers that differ"].value),
                percent(measured[name, TWO, "memory that is the same in the end"].value, 0),
            )
        )
    heads = columns(
        "stream", "random orders, %", "class by class, %",
        "answers that differ between two orders, %", "memory that is the same in the end, %",
    )  # fmt: skip
    return markdown_table(Table(title="", columns=heads, rows=tuple(rows)))


TABLES: dict[str, Callable[[], str]] = {
    "read_out.learning": learning,
    "read_out.streams": streams,
    "read_out.poison": poison,
    "read_out.orders": orders,
}
