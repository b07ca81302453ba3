"""What decides whether the claim of a paper holds; needs no torch, as pages do not."""

from __future__ import annotations

from studies.measurements import Measured

#: Quantities of the study of robustness, and the conditions that decide.
RIGHT, AHEAD = "accuracy", "minus plain"
CLEAN, OWN, OTHERS = "clean", "PGD 0.05", "transfer 0.05"

#: By how many points a network must be ahead of the plain one to count as robust, and how many
#: points of clean accuracy that may cost.
_MORE, _LESS = 0.10, 0.03


def robust(measured: Measured, name: str) -> bool:
    """Return whether a network stands attacks of radius .05 better than the plain one.

    That is by ten points at least, of its own gradient and of another network's, and of clean
    images three points worse at most.
    """

    def ahead(condition: str) -> float:
        return measured[name, condition, AHEAD].value or 0.0

    return min(ahead(OWN), ahead(OTHERS)) >= _MORE and ahead(CLEAN) >= -_LESS
