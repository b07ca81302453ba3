"""The tables and figures of the cascade's choice and of its overheads, made from records."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from bicameral.statistics import Estimate
from bicameral.tables import (
    Entry,
    estimate_cell,
    integer,
    percent,
    percent_cell,
    points,
    points_cell,
)
from studies.measurements import Measured, markdown, read_measurements
from studies.study import DATA

#: What the present search finds with the stored answers, and what an earlier one found: the shipped
#: pair.
_SYSTEMS, _SHIPPED = "systems.csv", "choice.csv"

#: Opponents of a choice in the order of the table, and what they are called there.
_OPPONENTS = {
    "best_single_at_cost": "the best single network of no more cost ({})",
    "reference": "the reference",
    "a": "A alone",
    "b": "B alone",
    "mixture_at_cost": "a random mixture of two single networks at this cost",
    "best_pair_at_cost": "the best pair of no more cost ({} → {})",
    "big_little_at_cost": "big-little ({} → reference) at this cost",
    "paper_threshold": "the paper's threshold search on the same pair",
    "paper_choice": "what the paper's search finds among all pairs ({} → {})",
    "paper_pair": "the paper's most complementary pair of this pool ({} → {})",
}


@cache
def _read(name: str) -> Measured:
    return read_measurements(DATA / "fashion_mnist" / name)


def _subjects(quantity: str, record: str) -> list[str]:
    return [subject for subject, _, name in _read(record) if name == quantity]


def _condition(subject: str, record: str) -> str:
    return next(condition for one, condition, _ in _read(record) if one == subject)


def _of(subject: str, quantity: str, record: str = _SHIPPED) -> Estimate:
    """Return a figure of a network, a choice or an opponent."""
    return _read(record)[subject, _condition(subject, record), quantity]


def _value(subject: str, quantity: str, record: str = _SHIPPED) -> float:
    return _of(subject, quantity, record).value or 0.0


def _accuracy(subject: str) -> str:
    """Write a test accuracy, with its standard deviation where there are several seeds."""
    mean, deviation = _of(subject, "test_accuracy", _SYSTEMS), ""
    if mean.seeds != 1:
        deviation = f" ± {percent(_value(subject, 'test_accuracy_std', _SYSTEMS))}"
    return percent(mean.value) + deviation


def _titled(subject: str, name: str) -> str:
    """Name something, and say of how many seeds it is if there are several."""
    seeds = _of(subject, "test_accuracy", _SYSTEMS).seeds
    return name if seeds == 1 else f"{name}, {seeds} seeds"


def _quoted(title: str) -> list[str]:
    return [f"`{name}`" for name in title.split(" → ")]


def pool_table() -> str:
    """Return all networks of the pool, cheapest first."""
    rows = []
    for subject in _subjects("parameters", _SYSTEMS):
        name = _titled(subject, f"`{subject}`")
        if _condition(subject, _SYSTEMS) == "reference":
            name += " (reference)"
        value = partial(_value, subject, record=_SYSTEMS)
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
    for subject in _subjects("minus_reference", _SYSTEMS)[1:]:
        value = partial(_value, subject, record=_SYSTEMS)
        system = _quoted(_condition(subject, _SYSTEMS))
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
                points_cell(_of(subject, "minus_single", _SYSTEMS)),
                points_cell(_of(subject, "minus_reference", _SYSTEMS)),
                percent(value("halves_agree"), 0),
                percent(value("regret")),
            )
        )
    heads = ("choice", "networks", "B / C see %", "M MACs", "% of the reference's MACs")
    judged = ("test %", "minus the best single network of no more cost", "minus the reference")
    stable = ("both halves choose the same %", "regret")
    return markdown((*heads, "and of its CPU time", *judged, *stable), rows)


def opponents_table(record: str) -> str:
    """Return how a choice compares with what it must beat."""
    rows = []
    for subject, name in _OPPONENTS.items():
        if subject not in _subjects("difference", record):
            continue
        difference = _of(subject, "difference", record)
        rows.append(
            (
                name.format(*_quoted(_condition(subject, record))),
                points_cell(difference),
                difference.seeds,
                f"{_value(subject, 'compared_macs', record):.2f} times",
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


def _shipped(part: str, quantity: str) -> Estimate:
    return _read(_SHIPPED)["shipped", part, quantity]


def _by_training(part: str, quantity: str) -> list[float]:
    """Return the values of all seeds."""
    return [
        of.value or 0.0
        for (subject, condition, name), of in _read(_SHIPPED).items()
        if (subject, name) == ("shipped", quantity) and condition.startswith(f"{part}, seed")
    ]


def _below() -> str:
    """Say how far the shipped seed is below the reference."""
    gap = _of("requested", "minus_reference")
    low, high, value = (f"{-100.0 * (end or 0.0):.2f}" for end in (gap.high, gap.low, gap.value))
    return f"{value} points [{low}, {high}]"


def _mean_below() -> str:
    gap = _value("wide_residual32", "test_accuracy") - _value("requested", "test_accuracy")
    return percent(gap)


def _gains() -> str:
    """Say what each training of the cascade gains over A alone."""
    found = []
    for subject in ("requested", "a"):
        title = _condition(subject, _SHIPPED)
        found.append(
            [
                of.value or 0.0
                for (one, condition, name), of in _read(_SHIPPED).items()
                if (one, name) == (subject, "test_accuracy") and condition.startswith(f"{title}, s")
            ]
        )
    return ", ".join(points(own - alone) for own, alone in zip(*found, strict=True))


def _area(part: str) -> str:
    return f"{_shipped(part, 'aurc').value:.5f}"


def _area_difference(part: str) -> str:
    gap = _shipped(part, "cascade_minus_this")
    ends = (gap.value or 0.0, gap.low or 0.0, gap.high or 0.0)
    value, low, high = (f"{end:+.5f}" for end in ends)
    return f"{value} [{low}, {high}]"


def _errors(part: str) -> str:
    """Write the calibration errors of all trainings, before and after."""
    before, after = (
        ", ".join(f"{value:.3f}" for value in _by_training(part, name))
        for name in ("ece_before", "ece_after")
    )
    return f"{before} → {after}"


def _counted(name: str) -> str:
    mean, deviation = (_shipped("cascade", key).value for key in (name, f"{name}_std"))
    return f"{mean:.0f} ± {deviation:.0f}"


def _memory_us(key: str, quantity: str) -> str:
    return f"{_read('memory_keys.csv')[key, 'batch 1', quantity].value:.0f}"


def _gate(batch: int) -> str:
    measured = _read("gate_cost.csv")
    gate, ratio = (
        measured["fashion_mnist_cascade", f"batch {batch}", name] for name in ("gate_us", "ratio")
    )
    return f"{gate.value:.0f} µs at batch {batch} ({percent(ratio.value, 0)} %"


def _call(batch: int) -> str:
    measured = _read("gate_cost.csv")["fashion_mnist_cascade", f"batch {batch}", "call_by_hand"]
    return estimate_cell(measured, 2).text


def _repeats(system: str) -> str:
    return f"{percent(_read('streams.csv')[system, 'video', 'repeat_hit_rate'].value, 1)} %"


FIGURES: dict[str, Callable[[], str]] = {
    "cascade.below": _below,
    "cascade.below.mean": _mean_below,
    "cascade.usage": lambda: f"{percent(_value('requested', 'usage'), 1)} %",
    "cascade.gains": _gains,
    "cascade.asked": partial(_counted, "asked"),
    "cascade.rescued": partial(_counted, "rescued"),
    "cascade.broken": partial(_counted, "broken"),
    "cascade.oracle": lambda: f"{percent_cell(_shipped('cascade', 'oracle_accuracy'))} %",
    **{f"aurc.{part}": partial(_area, part) for part in ("cascade", "a", "b", "reference")},
    **{f"aurc.minus.{part}": partial(_area_difference, part) for part in ("a", "b")},
    **{f"ece.{part}": partial(_errors, part) for part in ("cascade", "a", "b")},
    "gate.1": partial(_gate, 1),
    "gate.32": partial(_gate, 32),
    "call.1": partial(_call, 1),
    "call.32": partial(_call, 32),
    **{
        f"memory.{short}.{name}": partial(_memory_us, key, f"{name}_us")
        for short, key in (("verified", "dhash_verified (tolerance 4)"), ("exact", "exact"))
        for name in ("miss", "hit", "store")
    },
    "video.verified": partial(_repeats, "pair+memory"),
    "video.paper": partial(_repeats, "pair+paper memory"),
}

TABLES: dict[str, Callable[[], str]] = {
    "pool": pool_table,
    "choices": choices_table,
    "opponents": partial(opponents_table, _SHIPPED),
    "opponents.tenth": partial(opponents_table, _SYSTEMS),
    "changes": changes_table,
}
