"""The flags by which a user picks a point of the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from models.cascade.selection import Requirement


def requirement_from_flags(
    min_accuracy: float | None, max_cost: float | None, cost: Literal["macs", "cpu_us"]
) -> Requirement | None:
    """Return what the user asked for, or None for the default.

    Args:
        min_accuracy: Validation accuracy to reach, 0..1.
        max_cost: Cost to stay under: millions of multiply-accumulates, or microseconds.
        cost: Which of the two.

    Raises:
        ConfigError: If both are given, or a value is out of range.
    """
    from bicameral.errors import ConfigError
    from models.cascade.selection import MaxCost, MinAccuracy

    if min_accuracy is not None and max_cost is not None:
        raise ConfigError("give --min-accuracy or --max-cost, not both")
    if min_accuracy is not None:
        if not 0.0 < min_accuracy <= 1.0:
            raise ConfigError(f"--min-accuracy is {min_accuracy}, expected 0..1")
        return MinAccuracy(accuracy=min_accuracy)
    if max_cost is not None:
        if not max_cost > 0.0:
            raise ConfigError(f"--max-cost is {max_cost}, expected more than 0")
        return MaxCost(cost=max_cost * 1e6 if cost == "macs" else max_cost)
    return None
