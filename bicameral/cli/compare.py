"""`bicameral compare`: how far two models are apart on the same data."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bicameral.cli.extras import require_extra
from bicameral.cli.model_samples import Split, read_samples
from bicameral.errors import FINDINGS_EXIT_CODE
from bicameral.files import write_json_atomic
from bicameral.tables import list_table, points, print_table
from edge.comparison import Comparison, tolerance_for
from edge.comparison import compare as compare_subjects
from edge.subject import Subject, load_subject


def compare(
    a: str,
    b: str,
    /,
    *,
    data: str | None = None,
    split: Split = "validation",
    output: Path | None = None,
) -> int:
    """Compare the answers of two models, in any two of torch, fp32, fp16 and int8.

    The tolerance is that of the coarser precision. The exit code is 1 if B is outside of it.

    Args:
        a: The reference: name of a shipped model, .onnx file, sidecar, folder of an export or a
            trained run, or a run's checkpoint.pt for torch.
        b: What is compared with it, likewise.
        data: Data set, folder, driving data, or .npz of frames; by default the data set that A was
            trained on if it is known by name, else random images.
        split: Which part of the data.
        output: JSON file to write the figures to.
    """
    first, second = _load(a), _load(b)
    jumps = any(one.sidecar.discontinuous for one in (first, second))
    tolerance = tolerance_for(first.precision, second.precision, discontinuous=jumps)
    samples = read_samples(first.sidecar, data, split)
    comparison = compare_subjects(first, second, samples, tolerance)
    print_comparison(comparison)
    if output is not None:
        write_json_atomic(output, plain(asdict(comparison)) | {"passed": comparison.passed})
    return 0 if comparison.passed else FINDINGS_EXIT_CODE


def _load(model: str) -> Subject:
    """Load a checkpoint with torch, anything else with ONNX Runtime."""
    if model.endswith(".pt"):
        require_extra("train")
        from models.torch_subject import load_checkpoint_subject

        return load_checkpoint_subject(Path(model))

    return load_subject(model)


def print_comparison(comparison: Comparison) -> None:
    """Print differences by output, agreement and accuracy, and what is outside of the tolerance."""
    sys.stdout.write(f"A: {comparison.a}\nB: {comparison.b}\non {comparison.samples}\n")
    lines = []
    if comparison.agreement is not None:
        share = 100.0 * comparison.agreement
        lines.append(f"same first class: {share:.2f} % of {comparison.count}")
    if (accuracy := comparison.accuracy) is not None:
        interval = ""
        if accuracy.low is not None and accuracy.high is not None:
            interval = f", 95 % interval [{points(accuracy.low)}, {points(accuracy.high)}]"
        lines.append(
            f"accuracy: A {100 * accuracy.a:.2f} %, B {100 * accuracy.b:.2f} %; B - A "
            f"{points(accuracy.delta)} points{interval}"
        )
    lines.append("within tolerance" if comparison.passed else "OUTSIDE of the tolerance:")
    lines += [f"  {one}" for one in comparison.failures]
    print_table(
        list_table(
            "absolute differences",
            comparison.outputs,
            {
                "output": lambda one: one.output,
                "max": lambda one: f"{one.largest:.3g}",
                "mean": lambda one: f"{one.mean:.3g}",
                "median": lambda one: f"{one.median:.3g}",
                "99 %": lambda one: f"{one.p99:.3g}",
                "largest value in A": lambda one: f"{one.largest_value:.3g}",
            },
        )
    )
    sys.stdout.write("\n".join(lines) + "\n")


def plain(value: Any) -> Any:
    """Replace for JSON: paths by their names, and what is no finite number by None."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.name if isinstance(value, Path) else value
