"""`bicameral export`: a trained model as files for one target, checked before they are written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bicameral.cli.model_samples import Split
from edge.targets import Precision, TargetName

if TYPE_CHECKING:
    from edge.export.pipeline import ExportedFile, ExportResult


def export(
    model: str,
    *,
    target: TargetName,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    precision: Precision = "fp32",
    batch: int | Literal["dynamic"] = "dynamic",
    in_graph: bool = False,
    data: str | None = None,
    split: Split = "validation",
    limit: int | None = 5000,
    report: Path | None = None,
) -> int:
    """Write the files of a model for a target; nothing if they would not run or answer right.

    A cascade is written with both of its networks. Every graph is simplified, preflighted for the
    target and compared with the original; int8 for ONNX Runtime is kept only where it pays on this
    machine.

    Args:
        model: Name of a shipped model, .onnx file, sidecar, or folder of a trained run.
        target: onnxruntime, jetson-nano, jetson-orin or tensorrt.
        output: Folder for NAME.onnx and its sidecar.
        precision: fp32, fp16 (TensorRT) or int8 (not on the Nano).
        batch: Images per run, or dynamic.
        in_graph: Let the graph take uint8 pictures (N, height, width, channels) and scale them.
        data: What to compare on and calibrate with: data set, driving data or .npz of frames; by
            default the data set that the model was trained on if it is known by name, else random
            images, with which int8 cannot be calibrated.
        split: Which part of the data to compare on; calibration uses the training part.
        limit: Compare on at most so many images, evenly spaced.
        report: JSON file to write all figures to.
    """
    from bicameral.cli.comparison_tables import plain
    from bicameral.cli.extras import require_extra
    from bicameral.cli.model_samples import calibration_samples, read_samples
    from bicameral.files import write_json_atomic
    from edge.sidecar import read_sidecar
    from edge.subject import find_model

    require_extra("export")
    from edge.export.pipeline import ExportSettings, export_model

    sidecar = read_sidecar(find_model(model))
    check = read_samples(sidecar, data, split, limit, None)
    calibration = calibration_samples(sidecar, data) if precision == "int8" else None
    settings = ExportSettings(
        model=model,
        target=target,
        output=output,
        precision=precision,
        batch=None if batch == "dynamic" else batch,
        in_graph=in_graph,
    )
    result = export_model(settings, check, calibration)
    _print_result(result)
    if report is not None:
        write_json_atomic(report, plain(asdict(result)))
    return 0


def _print_result(result: ExportResult) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from bicameral.cli.comparison_tables import print_comparison

    console = Console()
    table = Table(title="exported", title_justify="left")
    for column in ("model", "precision", "KiB", "was", "CPU µs*", "was", "speed-up"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for file in result.files:
        table.add_row(
            escape(file.name),
            file.precision,
            f"{file.bytes / 1024:.0f}",
            f"{file.original_bytes / 1024:.0f}",
            f"{file.latency[1].cpu_us:.0f}",
            f"{file.latency[0].cpu_us:.0f}",
            f"{file.speed_up:.2f}",
        )
    console.print(table)
    console.print(
        "* ONNX Runtime on this machine, batch 1, one thread, interleaved; not the target"
    )
    for file in result.files:
        _print_notes(file)
        print_comparison(file.comparison)
    if result.cascade is not None:
        print_comparison(result.cascade)
    console.print(escape(f"wrote {result.sidecar}"))


def _print_notes(file: ExportedFile) -> None:
    from rich.console import Console
    from rich.markup import escape

    for note in (file.note, *map(str, file.findings)):
        if note:
            Console().print(escape(f"{file.name}: {note}"))
