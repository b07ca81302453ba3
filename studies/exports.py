"""Every shipped model for every target and precision, against its original: the table of export.md.

A file for a Jetson or a GPU is run on ONNX Runtime here: that shows what the graph computes, not
how fast the device is, and what float16 does there stays unverified.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bicameral.cli.model_samples import Split, calibration_samples, read_samples
from bicameral.errors import DataError
from edge.comparison import Comparison, OutputDifference
from edge.export.pipeline import ExportResult, ExportSettings, export_model
from edge.latency import USUAL_LATENCY, LatencySettings
from edge.shipped import resolve_model, shipped_model, shipped_models
from edge.sidecar import read_sidecar
from edge.subject import PROBABILITIES
from edge.targets import TARGETS, Precision, TargetName
from studies.measurements import write_rows
from studies.study import Study

#: A model that needs no data set: it drives, and is compared on random images without DRIVES.
QUICK_MODELS = ("caril_paper",)
QUICK_LATENCY = LatencySettings(rounds=1, turn_s=0.01, warm_up_s=0.0)

_HEADER = (
    "model", "targets", "precision", "kib", "cpu_us", "speed_up", "largest_difference",
    "same_class", "accuracy_delta", "accuracy_low", "accuracy_high", "result",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Targets that get the same files, and a precision."""

    targets: tuple[TargetName, ...]
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A row of the data; figures are empty where nothing was written."""

    model: str
    way: Way
    kib: float | None = None
    cpu_us: float | None = None
    speed_up: float | None = None
    comparison: Comparison | None = None
    result: str

    def values(self) -> tuple[object, ...]:
        """Return the values of the columns `_HEADER`."""
        one = self.comparison
        accuracy = None if one is None else one.accuracy
        return (
            self.model,
            " ".join(self.way.targets),
            self.way.precision,
            self.kib,
            self.cpu_us,
            self.speed_up,
            None if one is None else max(each.largest for each in answers(one)),
            None if one is None else one.agreement,
            *((None,) * 3 if accuracy is None else (accuracy.delta, accuracy.low, accuracy.high)),
            self.result,
        )


def run(folder: Path, quick: bool) -> int:
    """Export everything and write the table; 1 if a file was refused."""
    drives = os.environ.get("DRIVES")
    models = QUICK_MODELS if quick else whole_models()
    part: tuple[Split, int | None] = ("test", 64 if quick else None)
    latency = QUICK_LATENCY if quick else USUAL_LATENCY
    found: list[Exported] = []
    for name in models:
        for way in ways():
            found += export_one(name, way, drives, part, latency)
            # After every export, for the whole takes long.
            write_rows(folder / "exports.csv", _HEADER, [one.values() for one in found], words=3)
    return int(any(one.result.startswith("refused") for one in found))


def whole_models() -> tuple[str, ...]:
    """Return the shipped models without those that a shipped cascade brings along.

    Early exits run on ONNX Runtime only, so their classifier stands for itself.
    """
    sidecars = [read_sidecar(shipped_model(name)) for name in shipped_models()]
    exits = {one.name for one in sidecars if one.cascade is not None and one.cascade.early_exit}
    pairs = [one.cascade for one in sidecars if one.cascade is not None and one.name not in exits]
    members = {stage.name for pair in pairs for stage in pair.stages}
    return tuple(one.name for one in sidecars if one.name not in members | exits)


def ways() -> list[Way]:
    """Return every target with its precisions; targets with the same files together."""
    found: list[Way] = []
    for parser in dict.fromkeys(target.parser for target in TARGETS.values()):
        alike = [target for target in TARGETS.values() if target.parser == parser]
        names = tuple(target.name for target in alike)
        found += [Way(targets=names, precision=precision) for precision in alike[0].precisions]
    return found


def export_one(
    name: str,
    way: Way,
    drives: str | None,
    part: tuple[Split, int | None],
    latency: LatencySettings,
) -> list[Exported]:
    """Export into a folder that goes away; say why not, where it is refused or impossible."""
    sidecar = read_sidecar(resolve_model(name))
    source = drives if sidecar.agent is not None else None
    check = read_samples(sidecar, source, *part)
    if way.precision == "int8" and check.is_random:
        return [Exported(model=name, way=way, result="not tried: int8 needs real images")]
    calibration = calibration_samples(sidecar, source) if way.precision == "int8" else None
    with tempfile.TemporaryDirectory() as folder:
        settings = ExportSettings(
            model=name,
            target=way.targets[0],
            output=Path(folder) / "export",
            precision=way.precision,
            latency=latency,
        )
        try:
            return _rows(export_model(settings, check, calibration), way)
        except DataError as error:
            return [Exported(model=name, way=way, result=f"refused: {error}")]


def answers(comparison: Comparison) -> list[OutputDifference]:
    """Return the differences of what a model answers, without those of logits and features."""
    return [one for one in comparison.outputs if one.output in ("steer", PROBABILITIES)]


def _rows(result: ExportResult, way: Way) -> list[Exported]:
    found = [
        Exported(
            model=file.name,
            way=way,
            kib=file.bytes / 1024,
            cpu_us=file.latency[1].cpu_us,
            speed_up=file.speed_up,
            comparison=file.comparison,
            result=file.note or ("kept" if file.precision == "int8" else "passed"),
        )
        for file in result.files
    ]
    if result.cascade is not None:
        name = result.sidecar.name.split(".")[0]
        found.append(Exported(model=name, way=way, comparison=result.cascade, result="passed"))
    return found


STUDY = Study(
    claim="Every shipped model can be exported for every target within the tolerance.",
    setting=(
        "ONNX Runtime on any CPU, one thread, 7 interleaved rounds; the test images of each "
        "model's data set, 2,903 test frames of driving; training images calibrate; an hour"
    ),
    run=run,
    needs="the extra 'export', FashionMNIST; DRIVES: recorded driving, else random images",
)
