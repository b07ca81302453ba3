"""What `bicameral assess read-out` measured, as the Markdown tables of docs/zoo/read_out.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def read_out_tables(record: Mapping[str, Any]) -> str:
    """Return the tables.

    Args:
        record: Content of read_out.json.
    """
    sections = (
        (_LEARNED, (_learned(one) for one in record["learned"])),
        (_STREAMS, (_stream(one) for one in record["streams"])),
        (_POISON, (_poisoned(one) for one in record["poison"])),
        (_ORDERS, (_ordered(one) for one in record["orders"])),
    )
    return "\n".join(_table(heads, rows) for heads, rows in sections)


_LEARNED = (
    "method",
    "examples of each new class",
    "new classes only, %",
    "one handful, 5..95 %",
    "all ten classes, %",
    "images of known classes, %",
    "images of new classes, %",
)
_STREAMS = (
    "stream of 10,000 test images",
    "network, %",
    "without dynamic memory, %",
    "with it, %",
    "gain in points [95 %]",
    "dynamic memory alone, %",
    "with it, only confidence >= 0.9 enters, %",
)
_POISON = (
    "stream, 5 % of which are an attacker's",
    "attack",
    "memory taken, %",
    "genuine images: to an honest stream, points [95 %]",
    "to no dynamic memory, points [95 %]",
)
_ORDERS = (
    "stream",
    "random orders, %",
    "class by class, %",
    "answers that differ between two orders, %",
    "memory that is the same in the end, %",
)


def _table(heads: Iterable[str], rows: Iterable[list[str]]) -> str:
    names = list(heads)
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _learned(one: Mapping[str, Any]) -> list[str]:
    return [
        one["method"],
        str(one["shots"]),
        f"{_percent(one['new_only'])} {_range(one['new_only_ci95'])}",
        "..".join(map(_percent, one["new_only_draws"])),
        f"{_percent(one['all_classes'])} {_range(one['all_classes_ci95'])}",
        _percent(one["known_images"]),
        _percent(one["new_images"]),
    ]


def _stream(one: Mapping[str, Any]) -> list[str]:
    paired = one["memories"]
    figures = (one["network"], paired["before"], paired["after"])
    return [
        one["stream"],
        *map(_percent, figures),
        _gain(paired),
        _percent(one["dynamic_alone"]),
        _percent(one["bounded"]),
    ]


def _poisoned(one: Mapping[str, Any]) -> list[str]:
    return [
        one["stream"],
        one["attack"],
        f"{100 * one['slots_taken']:.0f}",
        _gain(one["genuine"]),
        _gain(one["against_static"]),
    ]


def _ordered(one: Mapping[str, Any]) -> list[str]:
    return [
        one["stream"],
        "..".join(f"{100 * value:.2f}" for value in one["random"]),
        f"{100 * one['sorted_by_class']:.2f}",
        f"{100 * one['changed_answers']:.2f}",
        f"{100 * one['same_slots']:.0f}",
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _range(interval: Iterable[float]) -> str:
    return f"[{', '.join(map(_percent, interval))}]"


def _gain(paired: Mapping[str, Any]) -> str:
    low, high = (100 * value for value in paired["ci95"])
    return f"{100 * paired['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
