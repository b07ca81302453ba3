"""How the command line shows an evaluated cascade: the pool, the choices, what ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from bicameral.tables import Row, Table
    from models.cascade.results import CascadeEvaluation, ChoiceRecord


def print_evaluation(evaluation: CascadeEvaluation) -> None:
    """Print the pool, the choices beside the reference, and the notes; the report has the rest."""
    from bicameral.tables import print_table

    print_table(_pool_table(evaluation))
    print_table(_choice_table(evaluation))
    for note in evaluation.notes:
        Console().print(f"- {note}", highlight=False)


def _pool_table(evaluation: CascadeEvaluation) -> Table:
    from bicameral.tables import Table, columns, integer, magnitude, microseconds, row
    from models.cascade.report_tables import spread_cell

    return Table(
        title=f"networks on {integer(evaluation.n_test)} test images of {evaluation.dataset}",
        columns=columns(
            "network",
            "parameters",
            "MACs",
            "CPU µs",
            "accuracy %",
            "ECE %",
            "calibrated %",
            "seeds",
        ),
        rows=tuple(
            row(
                network.architecture,
                integer(network.parameters),
                magnitude(network.macs),
                microseconds(network.cpu_us),
                spread_cell(network.test_accuracy),
                spread_cell(network.test_ece_before).text,
                spread_cell(network.test_ece_after).text,
                len(network.test_accuracy.seeds),
                marked=network.architecture == evaluation.reference,
            )
            for network in evaluation.networks
        ),
    )


def _choice_table(evaluation: CascadeEvaluation) -> Table:
    from bicameral.tables import Table, columns

    return Table(
        title="cascades, chosen on validation, judged on test; the marked one ships",
        columns=columns(
            "choice", "A → B", "B sees %", "MACs", "of reference", "accuracy %", "minus", words=2
        ),
        rows=tuple(_choice_row(evaluation, choice) for choice in evaluation.choices),
        note="of reference, minus: multiply-accumulates and accuracy beside the reference's (bold "
        "above), the difference in points with its 95 % interval",
    )


def _choice_row(evaluation: CascadeEvaluation, choice: ChoiceRecord) -> Row:
    from bicameral.tables import Cell, magnitude, percent, points_cell, ratio, row
    from models.cascade.report_tables import spread_cell
    from models.cascade.wording import system_title

    system = choice.system
    if system is None:
        return row(choice.name, Cell(text="cannot be met", span=6))
    reference = next(one for one in choice.comparisons if one.against == "reference")
    return row(
        choice.name,
        system_title(system),
        percent(system.test.usage.mean, 1),
        magnitude(system.test.expected_macs),
        ratio(reference.macs_ratio),
        spread_cell(system.test.accuracy),
        points_cell(reference.accuracy_difference),
        marked=choice.name == evaluation.detail.choice,
    )
