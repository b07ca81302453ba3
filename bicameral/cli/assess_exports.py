"""`bicameral assess exports`: every model for every target and precision, in one table."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bicameral.cli.exit_codes import FINDINGS_EXIT_CODE
from bicameral.cli.model_samples import Split

if TYPE_CHECKING:
    from rich.table import Table

    from edge.comparison import Comparison
    from edge.export.pipeline import ExportResult
    from edge.samples import Samples
    from edge.targets import Precision, TargetName

Row = tuple[str, ...]


def assess_exports(
    *,
    models: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    data: str | None = None,
    drives: str | None = None,
    split: Split = "test",
    limit: int | None = None,
    output: Path | None = None,
) -> int:
    """Export models for every target and precision, compare each file with the original.

    The exit code is 1 if a file would be refused. A file for a Jetson or a GPU is run on ONNX
    Runtime here: that shows what the graph computes, not how fast the device is, and what float16
    does there stays unverified.

    Args:
        models: Names of shipped models or paths; all that ship by default.
        data: Data set for classifiers; by default the one that each was trained on.
        drives: Driving data for agents; random images by default, without int8.
        split: Which part of the data.
        limit: At most so many images, evenly spaced.
        output: JSON file for all figures, written after every export.
    """
    from rich.console import Console

    from bicameral.cli.compare import plain
    from bicameral.cli.extras import require_extra
    from bicameral.cli.progress import ProgressBar
    from bicameral.files import write_json_atomic
    from edge.shipped import resolve_model
    from edge.sidecar import read_sidecar

    require_extra("export")
    rows: list[Row] = []
    records: list[dict[str, Any]] = []
    refused = 0
    jobs = [(name, *way) for name in models or _whole_models() for way in _ways()]
    with ProgressBar("export and compare") as bar:
        for done, (name, targets, precision) in enumerate(jobs):
            bar.update(done, len(jobs), f"{name}, {targets[0]} {precision}")
            sidecar = read_sidecar(resolve_model(name))
            source = data if sidecar.agent is None else drives
            result = _export(name, (targets[0], precision), source, (split, limit))
            shown = (", ".join(targets), precision)
            record: dict[str, Any] = {"model": name, "targets": targets, "precision": precision}
            if isinstance(result, str):
                refused += result.startswith("refused")
                rows.append((Path(name).name, *shown, "", "", "", "", "", "", result))
                records.append(record | {"result": result})
            else:
                rows += _rows(result, shown)
                records.append(record | plain(asdict(result)))
            if output is not None:  # after every export: the whole takes long
                write_json_atomic(output, records)
    Console().print(_table(rows, split))
    return FINDINGS_EXIT_CODE if refused else 0


def _whole_models() -> tuple[str, ...]:
    """Return the shipped models without those that a shipped cascade brings along.

    Early exits run on ONNX Runtime only, so their classifier stands for itself.
    """
    from edge.shipped import shipped_model, shipped_models
    from edge.sidecar import read_sidecar

    sidecars = [read_sidecar(shipped_model(name)) for name in shipped_models()]
    exits = {one.name for one in sidecars if one.cascade is not None and one.cascade.b is None}
    pairs = [one.cascade for one in sidecars if one.cascade is not None and one.name not in exits]
    members = {member.name for pair in pairs for member in pair.members}
    return tuple(one.name for one in sidecars if one.name not in members | exits)


def _ways() -> list[tuple[tuple[TargetName, ...], Precision]]:
    """Return every target with its precisions; targets with the same files together."""
    from edge.targets import TARGETS

    ways: list[tuple[tuple[TargetName, ...], Precision]] = []
    parsers = dict.fromkeys(target.parser for target in TARGETS.values())
    for parser in parsers:
        alike = [target for target in TARGETS.values() if target.parser == parser]
        names = tuple(target.name for target in alike)
        ways += [(names, precision) for precision in alike[0].precisions]
    return ways


def _export(
    name: str,
    way: tuple[TargetName, Precision],
    source: str | None,
    part: tuple[Split, int | None],
) -> ExportResult | str:
    """Export into a folder that goes away; return why not, where it is refused or impossible."""
    from bicameral.cli.model_samples import calibration_samples, read_samples
    from bicameral.errors import DataError
    from edge.export.pipeline import ExportSettings, export_model
    from edge.shipped import resolve_model
    from edge.sidecar import read_sidecar

    sidecar = read_sidecar(resolve_model(name))
    check = read_samples(sidecar, source, *part, None)
    calibration: Samples | None = None
    if way[1] == "int8":
        if check.is_random:
            return "not tried: int8 needs real images"
        calibration = calibration_samples(sidecar, source)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "export"
        settings = ExportSettings(model=name, target=way[0], output=output, precision=way[1])
        try:
            return export_model(settings, check, calibration)
        except DataError as error:
            return f"refused: {error}"


def _rows(result: ExportResult, shown: tuple[str, str]) -> list[Row]:
    rows: list[Row] = []
    for file in result.files:
        kept = file.note or ("kept" if file.precision == "int8" else "")
        sizes = (f"{file.bytes / 1024:.0f}", f"{file.latency[1].cpu_us:.0f}")
        figures = (*sizes, f"{file.speed_up:.2f}", *_figures(file.comparison))
        rows.append((file.name, *shown, *figures, kept or "passed"))
    if result.cascade is not None:
        name = result.sidecar.name.split(".")[0]
        rows.append((name, *shown, "", "", "", *_figures(result.cascade), "passed"))
    return rows


def _figures(comparison: Comparison) -> Row:
    """Return the largest difference of an answer, agreement and accuracy as texts."""
    from edge.subject import PROBABILITIES

    answers = [one for one in comparison.outputs if one.output in ("steer", PROBABILITIES)]
    largest = ", ".join(f"{one.output} {one.largest:.2g}" for one in answers)
    agreement = comparison.agreement
    accuracy = comparison.accuracy
    return (
        largest,
        "-" if agreement is None else f"{100 * agreement:.2f}",
        "-" if accuracy is None else f"{100 * accuracy.delta:+.2f}",
    )


def _table(rows: list[Row], split: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"exports against their originals, {split}", title_justify="left")
    columns = (
        "model", "target", "precision", "KiB", "CPU µs", "speed-up", "largest difference",
        "same class %", "accuracy, points", "result",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table
