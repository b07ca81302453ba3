"""A number that cannot lose its unit, and says why when there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What was measured, or why nothing was.

    A value that cannot be trusted is kept, so that it can be looked at, but is not `valid`.

    Attributes:
        value: In `unit`; None where there is nothing to measure, which is not 0.
        unit: SI unit.
        valid: Whether the value may be used.
        reason: Why not; empty where it is valid.
    """

    value: float | None
    unit: str
    valid: bool
    reason: str

    def __post_init__(self) -> None:
        if self.valid != (self.value is not None and not self.reason):
            raise ValueError(f"a quantity is valid with a value and without a reason: {self}")


def measured(value: float, unit: str, *, faults: tuple[str, ...] = ()) -> Quantity:
    """Return a value that is valid unless something speaks against it."""
    return Quantity(value=value, unit=unit, valid=not faults, reason="; ".join(faults))


def nothing(unit: str, reason: str) -> Quantity:
    """Return the absence of a value."""
    return Quantity(value=None, unit=unit, valid=False, reason=reason)
