"""Writes figures into README and docs from committed records: `python -m studies.figures`.

A Markdown file marks what is filled in, and the marks do not show when it is read:

* ``<!-- figure: NAME -->92 %<!-- end -->`` within a sentence: what `FIGURES` gives for the name;
* ``<!-- figures: NAME -->`` ... ``<!-- end of figures -->`` around a table: what `TABLES` gives, or
  the CSV file of that path as it is.

With `--check` nothing is written, and a difference is an error; the tests run that.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from bicameral.errors import DataError, unknown_name
from bicameral.files import write_text_atomic
from bicameral.statistics import Estimate
from bicameral.tables import Cell, Entry, estimate_cell, markdown_table
from studies import choice_tables, cost_tables, read_out_tables, zoo_tables
from studies.measurements import markdown, read_measurements
from studies.paper_variant import paper_variant_table

ROOT = Path(__file__).parents[1]

_INLINE = re.compile(r"(<!-- figure: (\S+) -->)(.*?)(<!-- end -->)", re.DOTALL)
_BLOCK = re.compile(r"(<!-- figures: (\S+) -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)

#: Metrics of the driving study as columns: name in the record, heading, digits.
_DRIVING = (
    ("success", "success %", 0),
    ("route_completion", "completion %", 1),
    ("cross_track_mean", "cross-track m", 3),
    ("steering_change", "steer change", 4),
    ("share_asked_b", "B asked %", 1),
    ("inference_mean", "networks ms", 2),
)


def documents() -> list[Path]:
    """Return every Markdown file that people read."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text: str) -> str:
    """Return a document with every marked figure as the records have it."""
    text = _BLOCK.sub(lambda m: m[1] + _table(m[2]).strip() + "\n" + m[4], text)
    return _INLINE.sub(lambda m: m[1] + _figure(m[2]) + m[4], text)


def main(arguments: list[str] | None = None) -> int:
    """Fill in or check every document; return 1 if one differs from the records."""
    parser = argparse.ArgumentParser(prog="python -m studies.figures", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check = parser.parse_args(arguments).check
    different = 0
    for path in documents():
        text = path.read_text("utf-8")
        wanted = filled(text)
        if wanted != text:
            different += 1
            sys.stdout.write(f"{path.relative_to(ROOT)} {'differs' if check else 'written'}\n")
            if not check:
                write_text_atomic(path, wanted)
    return int(check and different > 0)


def _figure(name: str) -> str:
    if name not in FIGURES:
        raise unknown_name("figure", name, FIGURES)
    return FIGURES[name]()


def _table(name: str) -> str:
    if name in TABLES:
        return TABLES[name]()
    path = ROOT / name
    if path.suffix != ".csv" or not path.exists():
        raise unknown_name("table or CSV file", name, TABLES)
    header, *rows = csv.reader(path.read_text("utf-8").splitlines())
    return markdown(header, rows)


# The driving study --------------------------------------------------------------------------------


@cache
def _records(name: str) -> tuple[Mapping[str, str], ...]:
    with (ROOT / "studies" / name).open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def _only(name: str, **wanted: str) -> Mapping[str, str]:
    """Return the one record with these values."""
    found = [one for one in _records(name) if wanted.items() <= one.items()]
    if len(found) != 1:
        raise DataError(f"studies/{name} has {len(found)} records with {wanted}, expected one")
    return found[0]


def _cell(record: Mapping[str, str], digits: int, *, signed: bool = False) -> Cell:
    low, high = record["low"], record["high"]
    estimate = Estimate(
        value=float(record["value"]),
        low=float(low) if low else None,
        high=float(high) if high else None,
        n=int(record.get("n") or record["pairs"]),
    )
    return estimate_cell(estimate, digits, signed=signed)


def _drives(weathers: tuple[str, ...]) -> str:
    """Compare agents, corrections and weathers."""
    groups = dict.fromkeys(
        (one["agent"], one["correction"], one["weather"], one["n"])
        for one in _records("driving/ridgeway.csv")
        if one["weather"] in weathers
    )
    rows: list[tuple[Entry, ...]] = []
    for agent, correction, weather, n in groups:
        wanted = {"agent": agent, "correction": correction, "weather": weather}
        cells = [
            _cell(_only("driving/ridgeway.csv", metric=metric, **wanted), digits)
            for metric, _, digits in _DRIVING
        ]
        rows.append((f"{agent} / {correction}", weather, n, *cells))
    heads = ("agent / correction", "weather", "n", *(label for _, label, _ in _DRIVING))
    return markdown(heads, rows)


def _among_others() -> str:
    from studies.among_others import read_drives, table_of

    return markdown_table(table_of(read_drives()))


def _coverage() -> str:
    """Tell what the methods and sensors of the pocket simulator do, as its own tables say."""
    from sim.pocket import methods  # it needs the carla wheel
    from sim.pocket.methods.limits import REFUSED, WITHOUT_EFFECT
    from sim.pocket.sensors.offer import OFFER, Refused

    subjects = {
        module.__name__.rpartition(".")[2].replace("_", " "): module.METHODS
        for module in vars(methods).values()
        if hasattr(module, "METHODS")
    }
    order = {name: place for place, name in enumerate(methods.METHODS)}
    subjects = dict(sorted(subjects.items(), key=lambda one: order[next(iter(one[1]))]))
    refused = {*REFUSED, *(name for name, one in OFFER.items() if isinstance(one, Refused))}
    rows = []
    for subject, names in {**subjects, "sensor": OFFER}.items():
        listed = [[f"`{name}`" for name in names if name in of] for of in (WITHOUT_EFFECT, refused)]
        acting = len(names) - sum(map(len, listed))
        rows.append((subject, acting, *map(", ".join, listed)))
    return markdown(("subject", "act or answer", "no effect", "refused"), rows, words=4)


def _attacks() -> str:
    """Tell what others waited for, and what memory grew by, while a server was attacked."""
    found = read_measurements(ROOT / "studies" / "serving" / "serve_attacks.csv")
    shown = (
        ("p99 of health", 1e3), ("p99 of picture", 1e3), ("p99 of control", 1e3),
        ("growth", 2.0**-20), ("growth that stayed", 2.0**-20),
    )  # fmt: skip
    places = dict.fromkeys((subject, condition) for subject, condition, _ in found)
    rows = [
        (
            place[1],
            *(f"{(found[(*place, name)].value or 0.0) * factor:.0f}" for name, factor in shown),
        )
        for place in places
    ]
    waited = ("health check, ms", "picture, ms", "other server's picture, ms")
    return markdown(("attack", *waited, "MiB more", "MiB that stayed"), rows)


def _path(name: str) -> str:
    """Show what the study of corrections on the path recorded."""
    from studies.path_tables import PATH_TABLES  # it needs the carla wheel

    return PATH_TABLES[name]()


def _pairs() -> str:
    """Compare agents within pairs."""
    name = "driving/ridgeway_pairs.csv"
    keys = ("agent", "correction", "minus_agent", "minus_correction", "weather", "pairs")
    rows = []
    for values in dict.fromkeys(tuple(one[key] for key in keys) for one in _records(name)):
        agent, correction, other, other_correction, weather, pairs = values
        wanted = dict(zip(keys, values, strict=True))
        rows.append(
            (
                f"{agent} / {correction} − {other} / {other_correction}",
                weather,
                pairs,
                _only(name, metric="won", **wanted)["value"],
                _only(name, metric="lost", **wanted)["value"],
                _cell(_only(name, metric="cross_track_mean", **wanted), 3, signed=True),
                _cell(_only(name, metric="steering_change", **wanted), 4, signed=True),
            )
        )
    heads = ("minus", "weather", "pairs", "won", "lost", "cross-track m", "steer change")
    return markdown(heads, rows)


# The classifiers ----------------------------------------------------------------------------------


@cache
def _zoo() -> dict[str, dict[str, Any]]:
    """Return the measurement of every classifier by its name."""
    path = ROOT / "studies" / "fashion_mnist" / "zoo" / "evaluation.json"
    return {one["name"]: one for one in json.loads(path.read_text("utf-8"))["entries"]}


def _accuracy(name: str) -> str:
    found = _zoo()[name]["accuracy"]
    return f"{100 * found['value']:.2f} % [{100 * found['low']:.2f}, {100 * found['high']:.2f}]"


def _macs_share() -> str:
    return f"{100 * _zoo()['cascade']['macs'] / _zoo()['wide_residual32']['macs']:.1f} %"


FIGURES: dict[str, Callable[[], str]] = {
    **{
        f"path.{name}": partial(_path, name)
        for name in (
            "claim",
            "success.vision",
            "success.fusion",
            "distance.vision",
            "distance.fusion",
            "distance.constant",
        )
    },
    "cascade.accuracy": partial(_accuracy, "cascade"),
    "reference.accuracy": partial(_accuracy, "wide_residual32"),
    "cascade.macs": _macs_share,
    **choice_tables.FIGURES,
    **cost_tables.FIGURES,
}

TABLES: dict[str, Callable[[], str]] = {
    "among_others": _among_others,
    "drives": partial(_drives, ("clear", "fog", "night", "all")),
    "drives.pairs": _pairs,
    "path.confidence": partial(_path, "confidence"),
    "path.rules": partial(_path, "rules"),
    "path.systems": partial(_path, "systems"),
    "path.more": partial(_path, "more"),
    "path.main": partial(_path, "main"),
    "path.towns": partial(_path, "towns"),
    "path.hard": partial(_path, "hard"),
    "path.navigation": partial(_path, "navigation"),
    "path.comparisons": partial(_path, "comparisons"),
    "path.conditions": partial(_path, "conditions"),
    "paper_variant": paper_variant_table,
    "serving/attacks": _attacks,
    "pocket/coverage": _coverage,
    **choice_tables.TABLES,
    **cost_tables.TABLES,
    **zoo_tables.TABLES,
    **read_out_tables.TABLES,
}


if __name__ == "__main__":
    sys.exit(main())
