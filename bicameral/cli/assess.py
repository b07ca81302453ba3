"""`bicameral assess`: score trained networks on recorded data, without driving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bicameral.tables import Table

#: What is shown of recorded frames, and how.
_FIGURES = (
    ("frames", "{m.frames}"),
    ("frames outside the classes' range", "{m.frames_outside}"),
    ("steering error (mean absolute)", "{m.steering_mae:.4f}"),
    ("  always straight", "{m.zero_steering_mae:.4f}"),
    ("class accuracy", "{m.accuracy:.3f}"),
    ("  always the commonest class", "{m.majority_accuracy:.3f}"),
    ("within one class", "{m.within_one_class:.3f}"),
    ("macro recall", "{m.macro_recall:.3f}"),
    ("calibration error, raw", "{m.ece_before:.3f}"),
    ("calibration error, calibrated", "{m.ece_after:.3f}"),
    ("mean confidence", "{m.mean_confidence:.3f}"),
)


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
    from bicameral.tables import Table, columns, print_table, row
    from models.caril.offline_metrics import evaluate_offline

    groups = evaluate_offline(model, (data,), split, weathers=weathers, output=output)
    every = groups["all"]
    print_table(
        Table(
            title=f"{model.stem} on {data} ({split})",
            columns=columns("figure", *groups),
            rows=tuple(
                row(label, *(text.format(m=metrics) for metrics in groups.values()))
                for label, text in _FIGURES
            ),
        )
    )
    shares = zip(every.class_frames, every.class_prior, every.class_recall, strict=True)
    print_table(
        Table(
            title="per class, all weathers",
            columns=columns("class", "frames", "share", "recall", words=0),
            rows=tuple(
                row(
                    index,
                    count,
                    f"{prior:.3f}",
                    "no frames" if recall is None else f"{recall:.3f}",
                )
                for index, (count, prior, recall) in enumerate(shares)
            ),
        )
    )
    print_table(_branch_table(model, data, split, weathers))
    return 0


def _branch_table(
    model: Path, data: Path, split: Literal["validation", "test"], weathers: tuple[str, ...]
) -> Table:
    """Show what CARIL's correction rule would have done to these frames."""
    from agent.correction.branch_gain import measure_branches
    from agent.correction.paper import PaperRule
    from bicameral.tables import Table, columns, percent, row
    from edge.dual_head import DualHeadModel
    from models.caril.dataset import load_frames
    from models.caril.offline_metrics import predict_all

    network = DualHeadModel.load(model)
    frames = load_frames(data, split, weathers=weathers, spec=network.image)
    answers = predict_all(network, frames)
    rule = PaperRule(bin_edges=network.agent.bin_edges, steering_scale=network.agent.steering_scale)
    gains = measure_branches(rule, answers.steer, answers.logits, frames.steer)
    rows = []
    for branch, gain in gains.items():
        errors = (gain.error_before, gain.error_after)
        shown = (None if error is None else f"{error:.4f}" for error in errors)
        rows.append(row(branch, gain.frames, percent(gain.share), *shown))
    return Table(
        title="CARIL's correction rule on these frames",
        columns=columns("branch", "frames", "share %", "error before", "error after"),
        rows=tuple(rows),
    )
