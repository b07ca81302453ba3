"""`bicameral assess`: score a model on recorded data, without driving."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

from agent.correction.branch_gain import measure_branches
from agent.correction.paper import PaperRule
from bicameral.cli.progress import ProgressBar
from bicameral.errors import ConfigError
from bicameral.files import write_json_atomic, write_text_atomic
from bicameral.statistics import share
from bicameral.tables import DASH, Table, percent, percent_cell, print_table, row, table_of
from edge.agent_sidecar import AgentSpec, PathAgentSpec
from edge.dual_head import DualHeadBatch
from edge.loading import load_classifier
from edge.shipped import resolve_model
from edge.sidecar import read_sidecar
from models.calibration import expected_calibration_error
from models.caril.evaluation import Evaluation
from models.caril.offline_metrics import OfflineMetrics, evaluate_offline
from models.caril.path_metrics import evaluate_path
from models.cascade import assessment as judged
from models.cascade.deployed import load_deployed
from models.data.sources import load_dataset
from models.data.task import dataset_options, require_same_task
from models.networks.path_classes import OFFSET_BINS, PATH_DISTANCES_M

#: Images that are classified at a time.
_BATCH = 100

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


def assess(
    model: str,
    data: str | None = None,
    /,
    *,
    split: Literal["validation", "test"] = "test",
    output: Path | None = None,
) -> int:
    """Score a model on recorded data; its sidecar says what is measured.

    A driver: the error of its steering or of its path, class accuracy beside its baselines, and
    calibration. A
    cascade: accuracy and calibration beside its networks and the costliest network of the same task
    that lies beside it, paired on the same images. Any other classifier: accuracy and calibration.
    `bicameral measure` says what they cost.

    Args:
        model: Name of a shipped model, or path of a model or its sidecar.
        data: For a driver the folder that `bicameral collect` wrote. For a classifier
            fashion-mnist (the default), a folder (IDX files, CIFAR-10 batches, or one sub-folder
            per class), or a .toml list of files to download.
        split: Which part of the data; cascades are assessed on test images only.
        output: What to write the figures to: a JSON file for a driver, else a folder.
    """
    path = resolve_model(model)
    sidecar = read_sidecar(path)
    if sidecar.agent is not None:
        if data is None:
            raise ConfigError(
                f"{model} is a driver; give the folder of drives that `bicameral collect` wrote"
            )
        judge = _assess_path if isinstance(sidecar.agent, PathAgentSpec) else _assess_driver
        return judge(path, Path(data), split, output)
    source = data or "fashion-mnist"
    if sidecar.cascade is not None and not sidecar.cascade.early_exit:
        return _assess_cascade(model, source, output)
    return _assess_classifier(model, source, split)


def _assess_driver(
    model: Path, data: Path, split: Literal["validation", "test"], output: Path | None
) -> int:
    evaluation = evaluate_offline(model, data, split)
    if output is not None:
        write_json_atomic(output, evaluation.record(split))
    groups = evaluation.metrics
    rows = [
        (label, *(text.format(m=metrics) for metrics in groups.values()))
        for label, text in _FIGURES.items()
    ]
    print_table(table_of(f"{model.stem} on {data} ({split})", ("figure", *groups), rows))
    print_table(_class_table(groups["all"]))
    print_table(_branch_table(evaluation))
    return 0


def _assess_path(
    model: Path, data: Path, split: Literal["validation", "test"], output: Path | None
) -> int:
    evaluation = evaluate_path(model, data, split)
    if output is not None:
        write_json_atomic(output, evaluation.record(split))

    def figures(values: tuple[float, ...] | None, digits: int) -> str:
        return DASH if values is None else " / ".join(f"{one:.{digits}f}" for one in values)

    distances, classes = (
        " / ".join(f"{one:.0f}" for one in places)
        for places in (PATH_DISTANCES_M, [bins.distance_m for bins in OFFSET_BINS])
    )
    groups = evaluation.metrics
    shown = {
        "frames": [str(one.frames) for one in groups.values()],
        f"error {distances} m ahead, m": [figures(one.error_m, 2) for one in groups.values()],
        "  always straight": [figures(one.straight_error_m, 2) for one in groups.values()],
        "  in junctions": [figures(one.junction_error_m, 2) for one in groups.values()],
        "  elsewhere": [figures(one.road_error_m, 2) for one in groups.values()],
        f"class accuracy {classes} m ahead": [
            figures(one.class_accuracy, 3) for one in groups.values()
        ],
        "  always the commonest class": [
            figures(one.majority_accuracy, 3) for one in groups.values()
        ],
        "error / std of regression, classes 10 m ahead": [
            figures(one.error_by_std, 2) for one in groups.values()
        ],
    }
    print_table(
        table_of(
            f"{model.stem} on {data} ({split})",
            ("figure", *groups),
            [(label, *cells) for label, cells in shown.items()],
            note="Means of absolute errors, without the lane intent; the last row is a root mean "
            "square, 1 where the network is as sure as it may be.",
        )
    )
    return 0


def _assess_cascade(model: str, source: str, output: Path | None) -> int:
    """Compare a cascade with its networks and a large one, paired on the same test images."""
    deployed = load_deployed(model)
    dataset = load_dataset(source, dataset_options(deployed.cascade))
    require_same_task(deployed.cascade, dataset)
    with ProgressBar(f"assess {deployed.cascade.info.name}") as bar:
        found = judged.assess_cascade(
            deployed, dataset.test, dataset_sha256=dataset.fingerprint, progress=bar.update
        )
    deployed.close()
    print_table(judged.assessment_table(found))
    for note in found.notes:
        Console().print(f"- {note}", highlight=False)
    if output is not None:
        write_text_atomic(output / judged.ASSESSMENT_NAME, judged.assessment_csv(found))
        sys.stdout.write(f"wrote {output / judged.ASSESSMENT_NAME}\n")
    return 0


def _assess_classifier(model: str, source: str, split: Literal["validation", "test"]) -> int:
    import numpy as np

    classifier = load_classifier(model, memory="none")
    dataset = load_dataset(source, dataset_options(classifier))
    require_same_task(classifier, dataset)
    judged = dataset.test if split == "test" else dataset.validation
    parts = [judged.images[start : start + _BATCH] for start in range(0, len(judged), _BATCH)]
    answers = np.concatenate([classifier.predict(part).probabilities for part in parts])
    right = answers.argmax(axis=1) == judged.labels
    rows = [row("all", len(judged), percent_cell(share(int(right.sum()), len(right))), marked=True)]
    for number, label in enumerate(dataset.labels):
        of_class = right[judged.labels == number]
        rows.append(
            row(label, len(of_class), percent_cell(share(int(of_class.sum()), len(of_class))))
        )
    ece = expected_calibration_error(answers, judged.labels)
    print_table(
        table_of(
            f"{classifier.info.name} on {dataset.name} ({split})",
            ("class", "images", "right %|with its 95 % interval"),
            rows,
            note=f"expected calibration error {percent(ece)} %",
        )
    )
    classifier.close()
    return 0


def _class_table(metrics: OfflineMetrics) -> Table:
    figures = zip(metrics.class_frames, metrics.class_prior, metrics.class_recall, strict=True)
    rows = [
        (index, frames, f"{prior:.3f}", "no frames" if recall is None else f"{recall:.3f}")
        for index, (frames, prior, recall) in enumerate(figures)
    ]
    heads = ("class", "frames", "share", "recall")
    return table_of("per class, all weathers", heads, rows, words=0)


def _branch_table(evaluation: Evaluation[DualHeadBatch, OfflineMetrics]) -> Table:
    """Show what CARIL's correction rule would have done to these frames."""
    agent, answers = evaluation.model.agent, evaluation.answers
    assert isinstance(agent, AgentSpec)  # noqa: S101 - it steers
    rule = PaperRule(bin_edges=agent.bin_edges, scale=agent.steering_scale)
    gains = measure_branches(rule, answers.steer, answers.logits, evaluation.frames.steer)

    def error(value: float | None) -> str | None:
        return None if value is None else f"{value:.4f}"

    rows = [
        (name, one.frames, percent(one.share), error(one.error_before), error(one.error_after))
        for name, one in gains.items()
    ]
    heads = ("branch", "frames", "share %", "error before", "error after")
    return table_of("CARIL's correction rule on these frames", heads, rows)
