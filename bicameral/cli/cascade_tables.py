"""How the command line shows an evaluated cascade: the pool, the choices, what ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from models.cascade.results import CascadeEvaluation, ChoiceRecord, Spread, SystemRecord


def print_evaluation(evaluation: CascadeEvaluation) -> None:
    """Print the table of the pool, the presets beside their opponents, and the notes."""
    # The tables need some width; where output goes to a file there is enough.
    console = Console(width=None if Console().is_terminal else 130)
    console.print(_pool_table(evaluation))
    console.print(_choice_table(evaluation))
    for note in evaluation.notes:
        console.print(f"- {note}", highlight=False)


def _pool_table(evaluation: CascadeEvaluation) -> Table:
    table = Table(
        title=f"networks on {evaluation.n_test} test images of {evaluation.dataset}",
        title_justify="left",
    )
    table.add_column("network")
    for column in ("parameters", "M MACs", "CPU µs", "accuracy %", "ECE", "calibrated", "seeds"):
        table.add_column(column, justify="right")
    for network in evaluation.networks:
        table.add_row(
            network.architecture + (" *" if network.architecture == evaluation.reference else ""),
            f"{network.parameters:,}",
            f"{network.macs / 1e6:.2f}",
            "-" if network.cpu_us is None else f"{network.cpu_us:.0f}",
            _percent(network.test_accuracy),
            f"{network.test_ece_before.mean:.3f}",
            f"{network.test_ece_after.mean:.3f}",
            str(len(network.test_accuracy.seeds)),
        )
    table.caption = "* the reference"
    return table


def _choice_table(evaluation: CascadeEvaluation) -> Table:
    reference = next(
        network for network in evaluation.networks if network.architecture == evaluation.reference
    )
    table = Table(title="cascades, chosen on validation, judged on test", title_justify="left")
    table.add_column("choice")
    table.add_column("A -> B")
    for column in ("B sees %", "M MACs", "of the reference %", "accuracy %", "minus reference"):
        table.add_column(column, justify="right")
    for choice in evaluation.choices:
        if choice.system is None:
            table.add_row(choice.name, "cannot be met")
            continue
        table.add_row(
            choice.name + (" (ships)" if choice.name == evaluation.detail.choice else ""),
            f"{choice.system.a} -> {choice.system.b}",
            f"{100 * choice.system.test.usage.mean:.1f}",
            f"{choice.system.test.expected_macs / 1e6:.2f}",
            f"{100 * choice.system.test.expected_macs / reference.macs:.1f}",
            _percent(choice.system.test.accuracy),
            _difference(choice, choice.system),
        )
    return table


def _difference(choice: ChoiceRecord, system: SystemRecord) -> str:
    """Show the paired difference to the reference in points, with its 95 % interval."""
    for comparison in choice.comparisons:
        if comparison.against == "reference" and system.b is not None:
            gap = comparison.accuracy_difference
            return f"{100 * gap.value:+.2f} [{100 * gap.low:+.2f}, {100 * gap.high:+.2f}]"
    return "-"


def _percent(spread: Spread) -> str:
    text = f"{100 * spread.mean:.2f}"
    return text if spread.std is None else f"{text} ± {100 * spread.std:.2f}"
