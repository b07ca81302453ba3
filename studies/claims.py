"""What papers claim, as figures with bounds, and the verdict on what was found of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bicameral.statistics import Estimate

Verdict = Literal["holds", "holds in part", "does not hold", "not tested here"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A figure that a paper's claim comes down to, and the bound that decides.

    Attributes:
        text: The claim, and what was measured of it.
        relation: On which side of the threshold the figure has to lie, both inclusive.
        threshold: The bound, set before the full run.
        published: What the paper reports; empty if it gives no figure that can be compared.
        untested: Why it is not tested here; empty if it is.
    """

    text: str
    relation: Literal["at least", "at most"] = "at least"
    threshold: float = 0.0
    published: str = ""
    untested: str = ""

    def verdict(self, found: Estimate | None) -> Verdict:
        """Judge what was found; it holds in part where the interval crosses the threshold."""
        if found is None or found.value is None:
            return "not tested here"
        if not self._met(found.value):
            return "does not hold"
        ends = (found.low, found.high)
        surely = all(end is None or self._met(end) for end in ends)
        return "holds" if surely else "holds in part"

    def _met(self, value: float) -> bool:
        return value >= self.threshold if self.relation == "at least" else value <= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A paper whose claims a study repeats.

    Attributes:
        title: Of the paper.
        arxiv: Its number.
        claims: By the name that the record has for the figure.
        record: The CSV file that the full run wrote, beside the study; its figure is beside it.
    """

    title: str
    arxiv: str
    claims: dict[str, Claim]
    record: Path
