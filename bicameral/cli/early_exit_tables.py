"""How the command line shows an early exit: what each stage answers, and what stopping saves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from models.cascade.early_exit_results import EarlyExitResults


def print_early_exit(results: EarlyExitResults) -> None:
    """Print both tables."""
    # The tables need some width; where output goes to a file there is enough.
    console = Console(width=None if Console().is_terminal else 110)
    console.print(_stage_table(results))
    console.print(_exit_table(results))


def _stage_table(results: EarlyExitResults) -> Table:
    table = _table(
        f"{results.model} on {results.n_test} test images: all stop after the same stage"
    )
    for column in ("stage", "M MACs", "validation %", "test %", "ECE", "mean confidence %"):
        table.add_column(column, justify="right")
    for record in results.stages:
        table.add_row(
            str(record.stage),
            f"{record.total_macs / 1e6:.2f}",
            f"{100 * record.validation_accuracy:.2f}",
            f"{100 * record.test_accuracy:.2f}",
            f"{record.test_ece:.4f}",
            f"{100 * record.test_confidence:.1f}",
        )
    return table


def _exit_table(results: EarlyExitResults) -> Table:
    choice = results.choice
    table = _table(f"each stops where its {choice.score} reaches a threshold ({choice.combine})")
    for column in ("threshold", "stages", "M MACs", "validation %", "test %", "CPU µs", "of all"):
        table.add_column(column, justify="right")
    for record in results.exits:
        table.add_row(
            f"{record.threshold:.4f}{' *' if record is choice else ''}",
            f"{record.test_stages:.2f}",
            f"{record.test_macs / 1e6:.2f}",
            f"{100 * record.validation_accuracy:.2f}",
            f"{100 * record.test_accuracy:.2f}",
            f"{record.cpu_us.median:.0f}",
            f"{100 * record.cpu_us.median / results.whole_cpu_us.median:.0f} %",
        )
    table.caption = (
        f"* chosen on {results.n_validation} validation images: the fewest multiply-accumulates "
        f"that lose at most {100 * results.max_loss:g} points against the best stage; CPU: one "
        f"thread, batch 1, median of {results.rounds} rounds in turns on {results.host}; the graph "
        f"of all stages takes {results.whole_cpu_us.median:.0f} µs"
    )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE)
