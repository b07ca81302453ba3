"""`bicameral assess caril`: score a driver on recorded data, without driving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bicameral.tables import Table
    from models.caril.offline_metrics import OfflineEvaluation, OfflineMetrics

#: How each figure of a group of frames is called and written.
_FIGURES = {
    "frames": "{m.frames}",
    "frames outside the classes' range": "{m.frames_outside}",
    "steering error (mean absolute)": "{m.steering_mae:.4f}",
    "  always straight": "{m.zero_steering_mae:.4f}",
    "class accuracy": "{m.accuracy:.3f}",
    "  always the commonest class": "{m.majority_accuracy:.3f}",
    "within one class": "{m.within_one_class:.3f}",
    "macro recall": "{m.macro_recall:.3f}",
    "calibration error, raw": "{m.ece_before:.3f}",
    "calibration error, calibrated": "{m.ece_after:.3f}",
    "mean confidence": "{m.mean_confidence:.3f}",
}


def assess_caril(
    model: Path,
    data: Path,
    *,
    split: Literal["validation", "test"] = "test",
    weathers: tuple[str, ...] = (),
    output: Path | None = None,
) -> int:
    """Print steering error, class accuracy beside its baselines, recall and calibration.

    Args:
        model: The .onnx file, its sidecar beside it.
        data: Folder written by `bicameral collect`.
        split: Which episodes to use.
        weathers: Only these weathers.
        output: JSON file to write the figures to.
    """
    from bicameral.files import write_json_atomic
    from bicameral.tables import Table, columns, print_table, row
    from models.caril.offline_metrics import evaluate_offline

    evaluation = evaluate_offline(model, data, split, weathers=weathers)
    if output is not None:
        write_json_atomic(output, evaluation.record(split))
    groups = evaluation.metrics
    print_table(
        Table(
            title=f"{model.stem} on {data} ({split})",
            columns=columns("figure", *groups),
            rows=tuple(
                row(label, *(text.format(m=metrics) for metrics in groups.values()))
                for label, text in _FIGURES.items()
            ),
        )
    )
    print_table(_class_table(groups["all"]))
    print_table(_branch_table(evaluation))
    return 0


def _class_table(metrics: OfflineMetrics) -> Table:
    from bicameral.tables import Table, columns, row

    figures = zip(metrics.class_frames, metrics.class_prior, metrics.class_recall, strict=True)
    return Table(
        title="per class, all weathers",
        columns=columns("class", "frames", "share", "recall", words=0),
        rows=tuple(
            row(index, frames, f"{prior:.3f}", "no frames" if recall is None else f"{recall:.3f}")
            for index, (frames, prior, recall) in enumerate(figures)
        ),
    )


def _branch_table(evaluation: OfflineEvaluation) -> Table:
    """Show what CARIL's correction rule would have done to these frames."""
    from agent.correction.branch_gain import measure_branches
    from agent.correction.paper import PaperRule
    from bicameral.tables import Table, columns, percent, row

    agent, answers = evaluation.model.agent, evaluation.answers
    rule = PaperRule(bin_edges=agent.bin_edges, steering_scale=agent.steering_scale)
    gains = measure_branches(rule, answers.steer, answers.logits, evaluation.frames.steer)

    def error(value: float | None) -> str | None:
        return None if value is None else f"{value:.4f}"

    return Table(
        title="CARIL's correction rule on these frames",
        columns=columns("branch", "frames", "share %", "error before", "error after"),
        rows=tuple(
            row(
                branch,
                gain.frames,
                percent(gain.share),
                error(gain.error_before),
                error(gain.error_after),
            )
            for branch, gain in gains.items()
        ),
    )
