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
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bicameral.errors import unknown_name
from bicameral.files import write_text_atomic
from bicameral.tables import estimate_cell, integer, markdown_table
from studies import choice_tables, cost_tables, paper_tables, read_out_tables, zoo_tables
from studies.measurements import Cells, Of, markdown, pivot, read_measurements
from studies.paper_runs import verdict_table
from studies.paper_variant import paper_variant_table
from studies.study import DATA

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

#: What honest clients asked for while a server was attacked, and how its memory is called.
_ASKED, _GROWTH = ("health", "picture", "control"), ("growth", "growth that stayed")


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


def _drive(agent: str, weather: str, of: Of) -> Cells:
    """Return what an agent with a correction did in a weather."""
    figures = (estimate_cell(of(metric), digits) for metric, _, digits in _DRIVING)
    return agent, weather, of("success").n, *figures


def _among_others() -> str:
    from studies.among_others import read_drives, table_of

    return markdown_table(table_of(read_drives()))


def _among(driver: str, what: str) -> str:
    """Tell one figure of a driver among others, over all towns."""
    from studies.among_others import read_drives, table_of

    table = table_of(read_drives())
    heads = [column.label for column in table.columns]
    found = (dict(zip(heads, map(str, row.cells), strict=True)) for row in table.rows)
    return next(of[what] for of in found if (of["town"], of["driver"]) == ("all", driver))


def _lamp_pixels() -> str:
    from studies.lamp_pixels import read_lamps, table_of_lamps  # it needs the carla wheel

    return markdown_table(table_of_lamps(read_lamps()))


def _pace(what: str) -> str:
    from studies.pace_sight import (
        TRAINED_TOWN,
        read_sights,
        table_of_lights,
        table_of_stops,
        untrained,
    )

    seen = read_sights()
    if what == "far_lights":
        return markdown_table(table_of_lights([one for one in seen if one.town == TRAINED_TOWN]))
    make = {"lights": table_of_lights, "stops": table_of_stops}[what]
    return markdown_table(make(untrained(seen)))


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


def _attack(server: str, attack: str, of: Of) -> Cells:
    """Return what others waited for, and what memory grew by, while a server was attacked."""
    waits = (f"{1e3 * (of(f'p99 of {asked}').value or 0.0):.0f}" for asked in _ASKED)
    sizes = (f"{2.0**-20 * (of(name).value or 0.0):.0f}" for name in _GROWTH)
    return attack, *waits, *sizes


def _soak() -> str:
    """Tell what happened in an hour of mixed traffic."""
    found = read_measurements(DATA / "serving" / "serve_soak.csv")
    answers = sum(one.value or 0.0 for (*_, what), one in found.items() if what == "right answers")
    rows: list[Cells] = [("right answers", f"{answers:,.0f}")]
    for (subject, _, what), one in found.items():
        if subject == "all":
            rows.append((what, f"{one.value or 0.0:,.0f}{' s' if one.unit == 's' else ''}"))
        elif one.unit == "MiB/h":
            rows.append((f"{what}, {subject}, MiB/h", estimate_cell(one, 2)))
    return markdown(("in an hour", "found"), rows)


def _overload(name: str) -> str:
    """Tell what became of requests when there were ten times too many."""
    from studies.serve_overload import ALL, RATIO, REFUSALS  # it needs the server

    of = read_measurements(DATA / "serving" / "serve_overload.csv")
    if name == "ratio":
        return str(estimate_cell(of[*ALL, RATIO], 1))
    if name == "refusals":
        return f"{1e3 * (of[*ALL, REFUSALS].value or 0.0):.0f} ms"
    return integer(of[*ALL, name].value or 0.0)


def _path(name: str) -> str:
    """Show what the study of corrections on the path recorded."""
    from studies.path_tables import PATH_TABLES  # it needs the carla wheel

    return PATH_TABLES[name]()


def _pair(agents: str, weather: str, of: Of) -> Cells:
    """Compare two agents within pairs."""
    return (
        agents,
        weather,
        of("won").n,
        *(f"{of(name).value:.0f}" for name in ("won", "lost")),
        estimate_cell(of("cross_track_mean"), 3, signed=True),
        estimate_cell(of("steering_change"), 4, signed=True),
    )


def _bytes(kind: str, _: str, of: Of) -> Cells:
    """Return what a byte model reached, and what it costs."""
    costs = ("rate", "parameters", "CPU time of a step")
    rate, size, step = (of(name).value or 0.0 for name in costs)
    bits = estimate_cell(of("bits per byte"), 2)
    return f"`{kind}`", bits, f"{rate:g}", integer(size), f"{step:.0f}"


# The classifiers ----------------------------------------------------------------------------------


FIGURES: dict[str, Callable[[], str]] = {
    **{
        f"path.{name}": partial(_path, name)
        for name in (
            "claim",
            "beaten",
            "drives",
            "success.vision",
            "success.fusion",
            "success.towns",
            "distance.vision",
            "distance.fusion",
            "distance.constant",
        )
    },
    **{
        f"overload.{name}": partial(_overload, name)
        for name in ("ratio", "refusals", "answered", "refused")
    },
    **{
        f"among.pace_a.{name}": partial(_among, "pace_a", what)
        for name, what in (
            ("drives", "drives"),
            ("collisions", "collisions / km"),
            ("reds", "reds passed"),
        )
    },
    **{
        f"among.{driver}.score": partial(_among, driver, "driving score")
        for driver in ("pace_a", "expert", "blind")
    },
    **choice_tables.FIGURES,
    **cost_tables.FIGURES,
}

TABLES: dict[str, Callable[[], str]] = {
    "among_others": _among_others,
    "lamp_pixels": _lamp_pixels,
    "pace.lights": partial(_pace, "lights"),
    "pace.stops": partial(_pace, "stops"),
    "pace.far_lights": partial(_pace, "far_lights"),
    "drives": partial(
        pivot,
        DATA / "driving" / "ridgeway.csv",
        "success",
        ("agent / correction", "weather", "n", *(label for _, label, _ in _DRIVING)),
        _drive,
    ),
    "drives.pairs": partial(
        pivot,
        DATA / "driving" / "ridgeway_pairs.csv",
        "won",
        ("minus", "weather", "pairs", "won", "lost", "cross-track m", "steer change"),
        _pair,
    ),
    "path.confidence": partial(_path, "confidence"),
    "path.rules": partial(_path, "rules"),
    "path.systems": partial(_path, "systems"),
    "path.more": partial(_path, "more"),
    "path.main": partial(_path, "main"),
    "path.towns": partial(_path, "towns"),
    "path.hard": partial(_path, "hard"),
    "path.map_error": partial(_path, "map_error"),
    "path.navigation": partial(_path, "navigation"),
    "path.comparisons": partial(_path, "comparisons"),
    "path.conditions": partial(_path, "conditions"),
    "byte_models": partial(
        pivot,
        DATA / "papers" / "grassmann.csv",
        "bits per byte",
        ("mixer", "bits per byte", "best rate", "parameters", "CPU ms per step"),
        _bytes,
    ),
    "paper_variant": paper_variant_table,
    "papers": verdict_table,
    "serving/attacks": partial(
        pivot,
        DATA / "serving" / "serve_attacks.csv",
        "growth",
        (
            "attack", "health check, ms", "picture, ms", "other server's picture, ms", "MiB more",
            "MiB that stayed",
        ),
        _attack,
    ),
    "serving/soak": _soak,
    "pocket/coverage": _coverage,
    **choice_tables.TABLES,
    **cost_tables.TABLES,
    **zoo_tables.TABLES,
    **paper_tables.TABLES,
    **read_out_tables.TABLES,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
