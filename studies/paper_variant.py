"""The paper's variant, trained on the path networks' data, beside the paper's own figures.

The records are what `bicameral assess` writes; `docs/models.md` says with which commands.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studies.measurements import markdown

_FOLDER = Path(__file__).parent / "driving"
_COLUMNS = (
    ("own_towns", "clear", "its own towns, clear"),
    ("own_towns", "low_sun", "its own towns, low sun"),
    ("foreign_towns", "clear", "Town01 and Millbrook, clear"),
)
#: Name in the record, what it is, digits, and the paper's own figure.
_ROWS = (
    ("frames", "frames", 0, "not reported"),
    ("steering_mae", "steering error (mean absolute, raw steer)", 4, "not reported"),
    ("zero_steering_mae", "... of always steering straight", 4, ""),
    ("accuracy", "class accuracy", 3, "0.7633"),
    ("majority_accuracy", "... of always answering the commonest class", 3, "not reported"),
    ("macro_recall", "macro recall", 3, "0.64"),
    ("within_one_class", "within one class", 3, "0.92"),
    ("ece_before", "expected calibration error, raw", 3, "not reported"),
    ("ece_after", "... calibrated", 3, "not reported"),
)


def paper_variant_table() -> str:
    """Return the table as Markdown."""
    found = [_metrics(name)[weather] for name, weather, _ in _COLUMNS]
    rows = [
        (label, *(f"{metrics[key]:.{digits}f}" for metrics in found), paper)
        for key, label, digits, paper in _ROWS
    ]
    return markdown(("", *(label for *_, label in _COLUMNS), "the paper's own"), rows)


def _metrics(name: str) -> dict[str, dict[str, Any]]:
    record = json.loads((_FOLDER / f"paper_variant_{name}.json").read_text("utf-8"))
    metrics: dict[str, dict[str, Any]] = record["metrics"]
    return metrics
