"""`bicameral assess`: score trained networks on recorded data, without driving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table


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
    from rich.console import Console
    from rich.table import Table

    from models.caril.offline_metrics import OfflineMetrics, evaluate_offline

    groups = evaluate_offline(model, (data,), split, weathers=weathers, output=output)
    table = Table(title=f"{model.stem} on {data} ({split})", title_justify="left")
    table.add_column("figure")
    for group in groups:
        table.add_column(group, justify="right")

    def row(label: str, text: str, metrics: list[OfflineMetrics]) -> None:
        table.add_row(label, *(text.format(m=m) for m in metrics))

    metrics = list(groups.values())
    row("frames", "{m.frames}", metrics)
    row("frames outside the classes' range", "{m.frames_outside}", metrics)
    row("steering error (mean absolute)", "{m.steering_mae:.4f}", metrics)
    row("  always straight", "{m.zero_steering_mae:.4f}", metrics)
    row("class accuracy", "{m.accuracy:.3f}", metrics)
    row("  always the commonest class", "{m.majority_accuracy:.3f}", metrics)
    row("within one class", "{m.within_one_class:.3f}", metrics)
    row("macro recall", "{m.macro_recall:.3f}", metrics)
    row("calibration error, raw", "{m.ece_before:.3f}", metrics)
    row("calibration error, calibrated", "{m.ece_after:.3f}", metrics)
    row("mean confidence", "{m.mean_confidence:.3f}", metrics)
    Console().print(table)
    classes = Table(title="per class, all weathers", title_justify="left")
    for column in ("class", "frames", "share", "recall"):
        classes.add_column(column, justify="right")
    every = groups["all"]
    for index, count in enumerate(every.class_frames):
        recall = every.class_recall[index]
        classes.add_row(
            str(index),
            str(count),
            f"{every.class_prior[index]:.3f}",
            "no frames" if recall is None else f"{recall:.3f}",
        )
    Console().print(classes)
    Console().print(_branch_table(model, data, split, weathers))
    return 0


def _branch_table(
    model: Path, data: Path, split: Literal["validation", "test"], weathers: tuple[str, ...]
) -> Table:
    """Show what CARIL's correction rule would have done to these frames."""
    from rich.table import Table

    from agent.correction.branch_gain import measure_branches
    from agent.correction.paper import PaperRule
    from edge.dual_head import DualHeadModel
    from models.caril.dataset import load_frames
    from models.caril.offline_metrics import predict_all

    network = DualHeadModel.load(model)
    frames = load_frames(data, split, weathers=weathers, spec=network.image)
    answers = predict_all(network, frames)
    rule = PaperRule(bin_edges=network.agent.bin_edges, steering_scale=network.agent.steering_scale)
    gains = measure_branches(rule, answers.steer, answers.logits, frames.steer)
    table = Table(title="CARIL's correction rule on these frames", title_justify="left")
    for column in ("branch", "frames", "share %", "error before", "error after"):
        table.add_column(column, justify="left" if column == "branch" else "right")
    for branch, gain in gains.items():
        errors = (gain.error_before, gain.error_after)
        shown = ("-" if error is None else f"{error:.4f}" for error in errors)
        table.add_row(branch, str(gain.frames), f"{100.0 * gain.share:.2f}", *shown)
    return table
