"""The tables and figures of the cascade's costs, made from committed records."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache

from bicameral.statistics import Estimate
from bicameral.tables import (
    estimate_cell,
    microseconds,
    percent,
)
from models.measurement.streams import published_cost
from studies.measurements import markdown, read_measurements
from studies.study import DATA

FOLDER = DATA / "fashion_mnist"

#: What `bicameral measure` wrote beside its record.
MEASURED = FOLDER / "measure.csv"

_CASCADE = "fashion_mnist_cascade"


@cache
def _measured() -> dict[tuple[str, str, str], Estimate]:
    """Return the figures by stream, model and quantity."""
    return {
        (one["again"], one["model"], one["quantity"]): Estimate(
            value=float(one["value"]) if one["value"] else None,
            low=float(one["low"]) if one["low"] else None,
            high=float(one["high"]) if one["high"] else None,
            n=int(one["n"]),
            unit=one["unit"],
        )
        for one in csv.DictReader(MEASURED.read_text("utf-8").splitlines())
    }


def cpu_share() -> str:
    """Return the cascade's CPU time by the reference's where no image comes again."""
    return f"{percent(_measured()['0.0', _CASCADE, 'cpu_ratio'].value, 0)} %"


def measure_table() -> str:
    """Return what the four models cost on the three streams."""
    measured = _measured()
    places = dict.fromkeys((again, model) for again, model, _ in measured)
    first = next(iter(places))[1]

    def cells(again: str, model: str) -> list[str]:
        def of(quantity: str) -> Estimate:
            return measured[again, model, quantity]

        return [
            f"{100 * float(again):g} % again",
            f"`{model.removeprefix('fashion_mnist_')}`",
            percent(of("accuracy").value),
            percent(of("macs_ratio").value, 1),
            microseconds(1e6 * (of("cpu_s").value or 0.0)),
            "100" if model == first else str(estimate_cell(of("cpu_ratio"), 1, factor=100.0)),
            "–" if model == first else percent(of("session_difference").value, 1),
        ]

    heads = (
        "stream",
        "model",
        "accuracy %",
        "MACs %",
        "CPU µs",
        "CPU %",
        "sessions differ by %",
    )
    return markdown(heads, (cells(again, model) for again, model in places), words=2)


def streams_table() -> str:
    """Return what pair and memories cost on the streams of exact repeats, beside the paper's."""
    measured = read_measurements(FOLDER / "streams.csv")

    def share(system: str, stream: str, quantity: str) -> str:
        return percent(measured[system, stream, quantity].value, 1)

    rows = []
    for stream in dict.fromkeys(stream for _, stream, _ in measured if "%" in stream):
        duplicates = float(stream.split(" ")[0]) / 100.0
        papers = [
            percent(published_cost(system, duplicates), 1) if "appended" in stream else "–"
            for system in ("pair", "pair+memory")
        ]
        rows.append(
            (
                stream,
                share("pair", stream, "macs_ratio"),
                share("pair", stream, "cpu_ratio"),
                papers[0],
                share("pair+memory", stream, "macs_ratio"),
                share("pair+memory", stream, "cpu_ratio"),
                share("pair+exact memory", stream, "cpu_ratio"),
                papers[1],
            )
        )
    heads = (
        "repeats", "pair: MACs %", "CPU %", "paper's pair %", "pair + memory: MACs %", "CPU %",
        "+ exact memory: CPU %", "paper's with memory %",
    )  # fmt: skip
    return markdown(heads, rows)


FIGURES: dict[str, Callable[[], str]] = {"cascade.cpu": cpu_share}

TABLES: dict[str, Callable[[], str]] = {"measure": measure_table, "streams": streams_table}
