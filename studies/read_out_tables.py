"""The tables of docs/zoo/read_out.md, made from committed records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bicameral.tables import estimate_cell, percent, percent_cell, points_cell
from studies.measurements import Cells, Of, pivot
from studies.study import DATA
from studies.zoo_tables import RECORDS

#: What was measured of every handful of examples: accuracy among the new classes alone; among all
#: classes, on images of all, of those that the network knew, and of the new ones.
QUANTITIES = (
    "new classes only", "all classes", "images of known classes", "images of new classes",
)  # fmt: skip

#: Conditions: a stream in several random orders, one of which is shown; two orders compared.
RANDOM, TWO = "random orders", "two random orders"


def _learning(method: str, condition: str, of: Of) -> Cells:
    """Return what was learned from so many examples."""
    new, everything, known, of_new = QUANTITIES
    low, high = (percent(of(f"{new}, {end} % of draws").value, 1) for end in (5, 95))
    return (
        method,
        condition.split()[0],
        percent_cell(of(new), 1),
        f"{low}..{high}",
        percent_cell(of(everything), 1),
        percent(of(known).value, 1),
        percent(of(of_new).value, 1),
    )


def _stream(stream: str, condition: str, of: Of) -> Cells:
    """Return what the dynamic memory does on a stream."""
    return (
        stream,
        *(percent(of(name).value, 1) for name in ("network", "without dynamic memory", "with it")),
        points_cell(of("gain")),
        percent(of("dynamic memory alone").value, 1),
        percent(of("with it, only confidence >= 0.9 enters").value, 1),
    )


def _poison(stream: str, condition: str, of: Of) -> Cells:
    """Return what an attacker does to a stream."""
    return (
        stream,
        condition.split()[0],
        percent(of("memory taken").value, 0),
        points_cell(of("to an honest stream")),
        points_cell(of("to no dynamic memory")),
    )


def _activation(name: str, condition: str, of: Of) -> Cells:
    """Return how well new classes are told apart by hidden units of a kind."""
    return name, percent_cell(of("accuracy"), 1)


def _capacity(_: str, condition: str, of: Of) -> Cells:
    """Return how many pairs a memory that adds them up holds."""
    return condition.removeprefix("d_k = "), estimate_cell(of("pairs held"), 0)


def _order(stream: str, condition: str, of: Of) -> Cells:
    """Return what the order of the images does."""
    accuracies = [of(f"with it in order {number}", RANDOM).value or 0.0 for number in range(3)]
    return (
        stream,
        f"{percent(min(accuracies))}..{percent(max(accuracies))}",
        percent(of("with it", "class by class").value),
        percent(of("answers that differ", TWO).value),
        percent(of("memory that is the same in the end", TWO).value, 0),
    )


#: By the name that stands in the mark of a page.
TABLES: dict[str, Callable[[], str]] = {
    "read_out.capacity": partial(
        pivot,
        DATA / "papers" / "conditioning.csv",
        "pairs held",
        ("numbers of a key", "pairs that are held"),
        _capacity,
    ),
    "read_out.activations": partial(
        pivot,
        DATA / "papers" / "geometry.csv",
        "accuracy",
        ("hidden units", "pictures of five new classes that are named rightly, %"),
        _activation,
    ),
    "read_out.learning": partial(
        pivot,
        RECORDS / "read_out_learning.csv",
        QUANTITIES[0],
        (
            "method", "examples of each new class", f"{QUANTITIES[0]}, %", "one handful, 5..95 %",
            *(f"{name}, %" for name in QUANTITIES[1:]),
        ),
        _learning,
    ),
    "read_out.streams": partial(
        pivot,
        RECORDS / "read_out_streams.csv",
        "network",
        (
            "stream of 10,000 test images", "network, %", "without dynamic memory, %", "with it, %",
            "gain in points [95 %]", "dynamic memory alone, %",
            "with it, only confidence >= 0.9 enters, %",
        ),
        _stream,
    ),
    "read_out.poison": partial(
        pivot,
        RECORDS / "read_out_streams.csv",
        "memory taken",
        (
            "stream, 5 % of which are an attacker's", "attack", "memory taken, %",
            "genuine images: to an honest stream, points [95 %]",
            "to no dynamic memory, points [95 %]",
        ),
        _poison,
    ),
    "read_out.orders": partial(
        pivot,
        RECORDS / "read_out_streams.csv",
        "answers that differ",
        (
            "stream", "random orders, %", "class by class, %",
            "answers that differ between two orders, %", "memory that is the same in the end, %",
        ),
        _order,
    ),
}  # fmt: skip
