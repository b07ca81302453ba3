"""Builds the report of a cascade: one HTML file that holds everything it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bicameral.files import write_bytes_atomic
from models.cascade.policy_grid import CostName
from models.cascade.report.confidence import (
    reliability_figures,
    risk_coverage_figure,
    usage_figure,
)
from models.cascade.report.headline import headline
from models.cascade.report.matrix_figures import (
    MAX_MATRIX_CLASSES,
    complementarity_figure,
    confusion_figures,
    confusion_tables,
)
from models.cascade.report.pareto import pareto_figure
from models.cascade.report.quantities import (
    COST_TITLES,
    integer,
    percent,
    points,
)
from models.cascade.report.rendering import render_page
from models.cascade.report.stream_section import stream_section
from models.cascade.report.tables import (
    calibration_table,
    choice_table,
    comparison_table,
    pool_table,
)
from models.cascade.report.thumbnails import change_table, changes_note, galleries
from models.cascade.report.wording import LEVEL_WORDS, chosen
from models.cascade.results import CascadeEvaluation
from models.cascade.streams_results import StreamMeasurements
from models.classifiers.dataset import LabelledImages

#: How to read confusions drawn as matrices, and listed.
_CONFUSION_NOTES = {
    True: "Rows are true classes, columns answers; green cells are right, red ones wrong.",
    False: "The classes are too many for a matrix: these are the most frequent confusions.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """Where an evaluation came from.

    Attributes:
        command: The command that made it.
        created_at: When, e.g. ISO 8601.
        host: The processor that CPU times were measured on; None if unknown.
        versions: Versions of the software, by name.
    """

    command: str
    created_at: str
    host: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def write_report(
    path: Path,
    evaluation: CascadeEvaluation,
    images: LabelledImages,
    *,
    context: ReportContext,
    measured: StreamMeasurements | None = None,
) -> None:
    """Write the report as one self-contained HTML file, whole or not at all.

    Args:
        path: Destination.
        evaluation: What to report.
        images: The test images of its data set, in their order.
        context: Where it came from.
        measured: Measurements of streams and of the memory; None: there are none.

    Raises:
        DataError: If the images or the measurements are of another data set than the evaluation.
        OSError: If the file cannot be written.
    """
    values = _decision(evaluation, context) | _evidence(evaluation, images)
    page = render_page(
        "report.html",
        **values,
        streams=stream_section(evaluation, measured or StreamMeasurements()),
        provenance=_provenance(evaluation, context),
        versions=sorted(context.versions.items()),
        command=context.command,
    )
    # Class names come from folders, whose names need not be valid Unicode.
    write_bytes_atomic(path, page.encode("utf-8", "replace"))


def _decision(evaluation: CascadeEvaluation, context: ReportContext) -> dict[str, Any]:
    """Return what to decide by: the headline, the plots of cost, the choices."""
    judged = [choice for choice in evaluation.choices if choice.comparisons]
    other: CostName = "cpu_us" if evaluation.cost == "macs" else "macs"
    return {
        "headline": headline(evaluation, context.host),
        "notes": evaluation.notes,
        "level": LEVEL_WORDS,
        "pareto": pareto_figure(evaluation, "test", evaluation.cost),
        "folded_pareto": [
            figure
            for figure in (
                pareto_figure(evaluation, "validation", evaluation.cost),
                pareto_figure(evaluation, "test", other),
            )
            if figure is not None
        ],
        "choices": choice_table(evaluation),
        "comparisons": [
            (choice.name == evaluation.detail.choice, comparison_table(evaluation, choice))
            for choice in judged
        ],
    }


def _evidence(evaluation: CascadeEvaluation, images: LabelledImages) -> dict[str, Any]:
    """Return what the figures rest on: networks, confidences, changed images, confusions."""
    as_matrices = len(evaluation.labels) <= MAX_MATRIX_CLASSES
    return {
        "pool": pool_table(evaluation),
        "complementarity": complementarity_figure(evaluation),
        "complementarity_note": (
            f"On the test images the chosen pair's complementarity is "
            f"{percent(evaluation.detail.complementarity_test.mean)} % and its oracle accuracy "
            f"{percent(evaluation.detail.oracle_accuracy_test.mean)} %."
        ),
        "reliability": reliability_figures(evaluation),
        "calibration": calibration_table(evaluation),
        "risk_coverage": risk_coverage_figure(evaluation),
        "usage": usage_figure(evaluation),
        "changes_note": changes_note(evaluation),
        "changes": change_table(evaluation),
        "galleries": galleries(evaluation, images),
        "confusion_note": _CONFUSION_NOTES[as_matrices],
        "confusions": confusion_figures(evaluation) if as_matrices else (),
        "confusion_tables": () if as_matrices else confusion_tables(evaluation),
        "shipped_seed": evaluation.detail.shipped_seed,
    }


def _provenance(evaluation: CascadeEvaluation, context: ReportContext) -> list[tuple[str, str]]:
    ships = chosen(evaluation)
    optimism, allowance = ships.choice.optimism, ships.choice.allowance
    return [
        ("data set", evaluation.dataset),
        ("sha256 of data set and split", evaluation.dataset_sha256),
        ("validation images", integer(evaluation.n_validation)),
        ("test images", integer(evaluation.n_test)),
        ("classes", integer(len(evaluation.labels))),
        ("seeds that decided", ", ".join(map(str, evaluation.selection_seeds))),
        ("policies compared", integer(evaluation.policies)),
        ("cost that decided", COST_TITLES[evaluation.cost]),
        ("largest share for B", f"{percent(evaluation.max_usage, 0)} %"),
        (
            "optimism of choosing",
            f"{points(optimism.expected)} points expected on the validation images "
            f"({points(optimism.half_gap)} ± {percent(optimism.standard_error)} between halves, "
            f"{optimism.splits} of {optimism.splits_tried} splits; the most frequent pair won "
            f"{percent(optimism.same_pair, 0)} % of them)",
        ),
        ("allowed for it", f"{points(allowance)} points" if allowance else "nothing"),
        (
            "intervals",
            f"{LEVEL_WORDS}, {integer(ships.accuracy.replicates)} replicates of a "
            "paired bootstrap over images and seeds",
        ),
        ("CPU times measured on", context.host or "not recorded"),
        ("made at", context.created_at),
        ("schema of the record", str(evaluation.schema)),
    ]
