"""Comparisons of models as tables and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.comparison import Comparison


def print_comparison(comparison: Comparison) -> None:
    """Print differences by output, agreement and accuracy, and what is outside of the tolerance."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(escape(f"A: {comparison.a}\nB: {comparison.b}\non {comparison.samples}"))
    table = Table(title="absolute differences", title_justify="left")
    for column in ("output", "max", "mean", "median", "99 %", "largest value in A"):
        table.add_column(column, justify="left" if column == "output" else "right")
    for one in comparison.outputs:
        figures = (one.largest, one.mean, one.median, one.p99, one.largest_value)
        table.add_row(escape(one.output), *(f"{figure:.3g}" for figure in figures))
    console.print(table)
    if comparison.agreement is not None:
        share = 100.0 * comparison.agreement
        console.print(f"same first class: {share:.2f} % of {comparison.count}")
    if (accuracy := comparison.accuracy) is not None:
        console.print(
            f"accuracy: A {100 * accuracy.a:.2f} %, B {100 * accuracy.b:.2f} %; B - A "
            f"{100 * accuracy.delta:+.2f} points, 95 % interval "
            rf"\[{100 * accuracy.low:+.2f}, {100 * accuracy.high:+.2f}]"
        )
    verdict = "within tolerance" if comparison.passed else "OUTSIDE of the tolerance:"
    console.print(escape("\n".join([verdict, *(f"  {one}" for one in comparison.failures)])))


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values for JSON."""
    record: dict[str, Any] = plain(asdict(comparison))
    return record | {"passed": comparison.passed}


def plain(value: Any) -> Any:
    """Replace for JSON: paths by their names, and what is no finite number by None."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.name if isinstance(value, Path) else value
