"""The tables and figures of the cascade's choice and of its overheads, made from records."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from bicameral.statistics import Estimate
from bicameral.tables import (
    Cell,
    Entry,
    estimate_cell,
    integer,
    percent,
    percent_cell,
    points_cell,
)
from studies.measurements import Measured, markdown, read_measurements
from studies.study import DATA

#: What the search finds with the stored answers, and what the shipped cascade is worth.
_SYSTEMS, _SHIPPED = "systems.csv", "shipped.csv"

#: Opponents of a choice in the order of the table, and what they are called there.
_OPPONENTS = {
    "best_single_at_cost": "the best single network of no more cost ({})",
    "reference": "the reference",
    "a": "A alone",
    "b": "B alone",
    "mixture_at_cost": "a random mixture of two single networks at this cost",
    "best_pair_at_cost": "the best pair of no more cost ({} → {})",
    "paper_threshold": "the paper's threshold search on the same pair",
    "paper_choice": "what the paper's search finds among all pairs ({} → {})",
    "paper_pair": "the paper's most complementary pair of this pool ({} → {})",
}


@cache
def _read(name: str) -> Measured:
    return read_measurements(DATA / "fashion_mnist" / name)


def _subjects(quantity: str) -> list[str]:
    return [subject for subject, _, name in _read(_SYSTEMS) if name == quantity]


def _condition(subject: str) -> str:
    return next(condition for one, condition, _ in _read(_SYSTEMS) if one == subject)


def _of(subject: str, quantity: str) -> Estimate:
    """Return a figure of a network, a choice or an opponent."""
    return _read(_SYSTEMS)[subject, _condition(subject), quantity]


def _value(subject: str, quantity: str) -> float:
    return _of(subject, quantity).value or 0.0


def _accuracy(subject: str) -> str:
    """Write a test accuracy, with its standard deviation where there are several seeds."""
    mean, deviation = _of(subject, "test_accuracy"), ""
    if mean.seeds != 1:
        deviation = f" ± {percent(_value(subject, 'test_accuracy_std'))}"
    return percent(mean.value) + deviation


def _titled(subject: str, name: str) -> str:
    """Name something, and say of how many seeds it is if there are several."""
    seeds = _of(subject, "test_accuracy").seeds
    return name if seeds == 1 else f"{name}, {seeds} seeds"


def _quoted(title: str) -> list[str]:
    return [f"`{name}`" for name in title.split(" → ")]


def pool_table() -> str:
    """Return all networks of the pool, cheapest first."""
    rows = []
    for subject in _subjects("parameters"):
        name = _titled(subject, f"`{subject}`")
        if _condition(subject) == "reference":
            name += " (reference)"
        value = partial(_value, subject)
        rows.append(
            (
                name,
                integer(value("parameters")),
                f"{value('macs') / 1e6:.2f}",
                f"{value('cpu_us'):.0f}",
                percent(value("validation_accuracy")),
                _accuracy(subject),
                f"{value('test_ece_before'):.3f}",
                f"{value('test_ece_after'):.3f}",
            )
        )
    heads = ("network", "parameters", "M MACs", "CPU µs", "validation %", "test %", "ECE")
    return markdown((*heads, "calibrated"), rows)


def choices_table() -> str:
    """Return what every preset chooses; what was requested is one of them, too."""
    rows = []
    for subject in _subjects("minus_reference")[1:]:
        value = partial(_value, subject)
        system = _quoted(_condition(subject))
        asked = ("usage", "usage_c")[: len(system) - 1]
        rows.append(
            (
                _titled(subject, subject),
                " → ".join(system),
                " / ".join(percent(value(name), 1) for name in asked),
                f"{value('macs') / 1e6:.2f}",
                percent(value("macs_ratio"), 1),
                percent(value("cpu_ratio"), 1),
                _accuracy(subject),
                points_cell(_of(subject, "minus_single")),
                points_cell(_of(subject, "minus_reference")),
                percent(value("halves_agree"), 0),
                percent(value("regret")),
            )
        )
    heads = ("choice", "networks", "B / C see %", "M MACs", "% of the reference's MACs")
    judged = ("test %", "minus the best single network of no more cost", "minus the reference")
    stable = ("both halves choose the same %", "regret")
    return markdown((*heads, "and of its CPU time", *judged, *stable), rows)


def opponents_table() -> str:
    """Return how a choice compares with what it must beat."""
    rows = []
    for subject, name in _OPPONENTS.items():
        if subject not in _subjects("difference"):
            continue
        difference = _of(subject, "difference")
        rows.append(
            (
                name.format(*_quoted(_condition(subject))),
                points_cell(difference),
                difference.seeds,
                f"{_value(subject, 'compared_macs'):.2f} times",
            )
        )
    return markdown(("against", "points", "n of trainings", "its M MACs compared"), rows)


def changes_table() -> str:
    """Return what the shipped cascade does with changed pictures, beside A and the reference."""
    measured = _read("cascade_changes.csv")
    shares = sorted({name for *_, name in measured if name.startswith("share_")})
    rows: list[tuple[Entry, ...]] = []
    for change in dict.fromkeys(condition for _, condition, _ in measured):
        of = [(one, change) for one in ("cascade", "A alone", "reference")]
        errors = [f"{measured[*one, 'ece'].value:.3f}" for one in of]
        rows.append(
            (
                change,
                *(percent(measured[*one, "accuracy"].value, 1) for one in of),
                points_cell(measured["cascade", change, "minus A alone"]),
                " / ".join(percent(measured["cascade", change, name].value, 1) for name in shares),
                " / ".join(errors),
            )
        )
    seen = " / ".join(name[-1].upper() for name in shares) + " sees %"
    heads = ("change", "cascade %", "A alone %", "reference %", "cascade minus A", seen)
    return markdown((*heads, "ECE: cascade / A / reference"), rows)


def _of_shipped(system: str, quantity: str, seed: int | None = None) -> Cell:
    """Write a figure of all trainings of the shipped cascade on test images, or of one."""
    on = "test" if seed is None else f"test, seed {seed}"
    of = _read(_SHIPPED)[system, on, quantity]
    return (points_cell if quantity.startswith("minus") else percent_cell)(of)


def shipped_table() -> str:
    """Return what the trainings of the shipped cascade reach, and what they cost."""
    rows: list[tuple[Entry, ...]] = []
    measured = _read(_SHIPPED)
    for on in dict.fromkeys(on for _, on, _ in measured if on.startswith("test, seed")):
        seed = int(on.removeprefix("test, seed "))
        rows.append(
            (
                f"seed {seed}" + (", which ships" if seed == 0 else ""),
                percent(measured["cascade", f"validation, seed {seed}", "accuracy"].value),
                _of_shipped("cascade", "accuracy", seed),
                percent(measured["cascade", on, "share_b"].value),
                percent(measured["cascade", on, "macs_ratio"].value, 1),
                f"{measured['cascade', on, 'ece'].value:.3f}",
            )
        )
    heads = ("training of A", "validation %", "test %", "B sees %")
    return markdown((*heads, "% of the reference's MACs", "ECE"), rows)


def _percent(cell: Cell) -> str:
    return f"{cell.text} % {cell.small}"


def _macs(seed: int) -> str:
    return percent(_read(_SHIPPED)["cascade", f"test, seed {seed}", "macs_ratio"].value, 1)


def _memory_us(key: str, quantity: str) -> str:
    return f"{_read('memory_keys.csv')[key, 'batch 1', quantity].value:.0f}"


def _gate(batch: int) -> str:
    measured = _read("gate_cost.csv")
    gate, ratio = (
        measured["fashion_mnist_cascade", f"batch {batch}", name] for name in ("gate_us", "ratio")
    )
    return f"{gate.value:.0f} µs at batch {batch} ({percent(ratio.value, 0)} %"


def _call(batch: int, by: str) -> str:
    measured = _read("gate_cost.csv")["fashion_mnist_cascade", f"batch {batch}", f"call_by_{by}"]
    return estimate_cell(measured, 2).text


def _repeats(system: str) -> str:
    return f"{percent(_read('streams.csv')[system, 'video', 'repeat_hit_rate'].value, 1)} %"


def _memory_cost(stream: str) -> str:
    return estimate_cell(_read("streams.csv")["pair+memory", stream, "cpu_by_pair"], 2).text


FIGURES: dict[str, Callable[[], str]] = {
    "cascade.accuracy": lambda: _percent(_of_shipped("cascade", "accuracy", 0)),
    "cascade.macs": lambda: f"{_macs(0)} %",
    "reference.accuracy": lambda: _percent(_of_shipped("reference", "accuracy")),
    "shipped.accuracy": lambda: _percent(_of_shipped("cascade", "accuracy")),
    "shipped.a.accuracy": lambda: _percent(_of_shipped("a", "accuracy")),
    "shipped.minus_a": lambda: str(_of_shipped("cascade", "minus_a")),
    "shipped.minus_reference": lambda: str(_of_shipped("cascade", "minus_reference")),
    "gate.1": partial(_gate, 1),
    "gate.32": partial(_gate, 32),
    "call.1": partial(_call, 1, "hand"),
    "call.32": partial(_call, 32, "hand"),
    "call.runs.1": partial(_call, 1, "runs"),
    "call.runs.32": partial(_call, 32, "runs"),
    **{
        f"memory.{short}.{name}": partial(_memory_us, key, f"{name}_us")
        for short, key in (("verified", "dhash_verified (tolerance 4)"), ("exact", "exact"))
        for name in ("miss", "hit", "store")
    },
    **{
        f"memory.cost.{short}": partial(_memory_cost, stream)
        for short, stream in (
            ("none", "0 % appended"),
            ("half", "50 % appended"),
            ("all", "100 % appended"),
            ("video", "video"),
            ("jitter", "video with jitter"),
            ("shifts", "video with shifts"),
        )
    },
    "video.verified": partial(_repeats, "pair+memory"),
    "video.paper": partial(_repeats, "pair+paper memory"),
}

TABLES: dict[str, Callable[[], str]] = {
    "pool": pool_table,
    "choices": choices_table,
    "opponents.tenth": opponents_table,
    "shipped": shipped_table,
    "changes": changes_table,
}
