"""How quantities are written: one way each, so that a figure looks the same wherever it stands."""

from __future__ import annotations

import math

from models.cascade.bootstrap import Interval
from models.cascade.policy_grid import CostName
from models.cascade.results import SplitRecord, Spread

#: Stands where there was nothing to measure.
DASH = "–"

#: Names of the measures of cost.
COST_TITLES: dict[CostName, str] = {
    "macs": "multiply-accumulates",
    "cpu_us": "CPU time",
}

#: Names of the record that are one word.
_HYPHENATED = {"big_little": "big-little", "post_check": "post-check"}

_PREFIXES = ("", "k", "M", "G", "T")


def percent(share: float, digits: int = 2) -> str:
    """Write a share 0..1 in percent, without the sign."""
    return f"{100.0 * share:.{digits}f}"


def points(difference: float, digits: int = 2) -> str:
    """Write a difference of two shares in percentage points, with its sign."""
    text = f"{100.0 * difference:+.{digits}f}"
    return text[1:] if float(text) == 0.0 else text


def integer(value: float) -> str:
    """Write a count with separated thousands."""
    return f"{value:,.0f}"


def magnitude(value: float) -> str:
    """Write a positive number with three digits and a prefix of a thousand: 2.36 M."""
    rounded = float(f"{value:.3g}")
    if rounded < 1.0:
        return f"{rounded:g}"
    exponent = min(math.floor(math.log10(rounded)) // 3, len(_PREFIXES) - 1)
    return f"{rounded / 1000.0**exponent:.3g} {_PREFIXES[exponent]}".strip()


def microseconds(value: float | None) -> str:
    """Write a time in microseconds with about three digits, or a dash."""
    if value is None:
        return DASH
    return f"{value:.1f}" if value < 100.0 else f"{value:,.0f}"


def ratio(value: float | None) -> str:
    """Write a ratio in percent, with the sign, or a dash."""
    if value is None:
        return DASH
    return f"{100.0 * value:.{1 if value < 1.0 else 0}f} %"


def percent_interval(interval: Interval) -> str:
    """Write the ends of an interval of shares in percent."""
    return f"[{percent(interval.low)}, {percent(interval.high)}]"


def points_interval(interval: Interval) -> str:
    """Write the ends of an interval of differences in percentage points."""
    return f"[{points(interval.low)}, {points(interval.high)}]"


def range_text(low: str, high: str) -> str:
    """Write a range of two written values."""
    return low if low == high else f"{low} to {high}"


def spread_percent(spread: Spread, digits: int = 2) -> tuple[str, str]:
    """Write the mean of shares in percent, and the standard deviation if there is one."""
    deviation = "" if spread.std is None else f"± {percent(spread.std, digits)}"
    return percent(spread.mean, digits), deviation


def seeds_text(count: int) -> str:
    """Write a number of seeds."""
    return "1 seed" if count == 1 else f"{count} seeds"


def expected_cost(split: SplitRecord, cost: CostName) -> float | None:
    """Return a system's expected cost per image in the wanted measure, None if not measured."""
    return split.expected_macs if cost == "macs" else split.expected_cpu_us


def cost_text(value: float | None, cost: CostName) -> str:
    """Write a cost with its unit, or a dash."""
    if value is None:
        return DASH
    return f"{magnitude(value)} MACs" if cost == "macs" else f"{microseconds(value)} µs"


def readable(name: str) -> str:
    """Turn a name of the record into words."""
    for written, word in _HYPHENATED.items():
        name = name.replace(written, word)
    return name.replace("_", " ")


def shortened(text: str, limit: int) -> str:
    """Cut a name that is too long for its place."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
