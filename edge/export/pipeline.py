"""Export: a trained model in, files for one target out, after preflight and comparison.

The way of one graph: simplify, reduce precision, put the pre-processing in, fix the batch, name,
write into a hidden folder, preflight that file, compare it with the original on the same samples,
and only then move it to its place.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from bicameral.errors import ConfigError, DataError, MachineError
from bicameral.files import hidden_folder_beside, write_bytes_atomic
from edge.cascade_sidecar import CascadeStage
from edge.comparison import Comparison, Tolerance, compare, tolerance_for
from edge.export import graphs
from edge.export.frozen_memory import with_frozen_memory
from edge.export.precision import in_float16, in_int8
from edge.latency import (
    USUAL_LATENCY,
    Contestant,
    Latency,
    LatencySettings,
    cpu_ratio,
    measure_latency,
)
from edge.learning.state import read_state
from edge.loading import member_sha256
from edge.preflight import Finding, has_errors, preflight
from edge.preflight.reading import check_validity
from edge.samples import Samples
from edge.shipped import resolve_model
from edge.sidecar import (
    SUFFIX,
    ModelFile,
    OutputSpec,
    Sidecar,
    read_model_bytes,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from edge.subject import GraphSubject, Subject, load_subject
from edge.targets import TARGETS, Precision, Target, TargetName

_log = logging.getLogger(__name__)

#: An int8 file for ONNX Runtime is kept if it saves at least this share of the CPU time.
_WORTH_IT = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """What to export how.

    Attributes:
        model: Name of a shipped model, path of a graph or sidecar, or folder of a trained run.
        target: Name in `edge.targets.TARGETS`.
        output: Folder for the files; not the one where the model lies.
        precision: What the target shall compute in.
        batch: Images per run; None: any number.
        in_graph: Whether the graph takes uint8 NHWC pictures and scales them itself.
        tolerance: What the result may differ by; None: that of the precision.
        latency: How long to measure.
    """

    model: str | Path
    target: TargetName
    output: Path
    precision: Precision = "fp32"
    batch: int | None = None
    in_graph: bool = False
    tolerance: Tolerance | None = None
    latency: LatencySettings = USUAL_LATENCY


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """One graph that was written.

    Attributes:
        name: Name of the model.
        path: The ONNX file.
        precision: What it computes in; fp32 where int8 did not pay.
        bytes: Its size.
        original_bytes: Size of the original's file.
        findings: What the preflight had to say; no errors.
        comparison: With the original, on ONNX Runtime here.
        latency: Of the original and of this file, batch 1, one thread, ONNX Runtime here.
        speed_up: CPU time of the original over that of this file, median over the rounds.
        note: Why it is not what was asked for, or empty.
    """

    name: str
    path: Path
    precision: Precision
    bytes: int
    original_bytes: int
    findings: tuple[Finding, ...]
    comparison: Comparison
    latency: tuple[Latency, Latency]
    speed_up: float
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What was written: the sidecar to load, the graphs, and for a cascade its own comparison."""

    sidecar: Path
    files: tuple[ExportedFile, ...]
    cascade: Comparison | None


def export_model(
    settings: ExportSettings, check: Samples, calibration: Samples | None = None
) -> ExportResult:
    """Export a classifier, an agent, or a cascade with all of its members.

    Args:
        settings: What to export how.
        check: What original and result are compared on.
        calibration: Training or validation images; needed for int8.

    Raises:
        ConfigError: If the target cannot do what is asked for.
        DataError: If the preflight has errors or the result is outside of the tolerance; nothing
            is written then.
        MissingExtraError: If a package of the extra `export` is absent.
        UserError: If a name is unknown.
    """
    graphs.require_onnx()
    target = TARGETS[settings.target]
    _require_possible(settings, target, calibration)
    source = sidecar_path(resolve_model(settings.model))
    if source.parent.resolve() == settings.output.resolve():
        raise ConfigError(
            f"the output folder {settings.output} is where the model itself lies, and the export "
            "has its name; give another one"
        )
    with hidden_folder_beside(settings.output) as staging:
        job = _Job(settings, target, check, calibration, staging)
        top, files, comparison = job.export(source)
        result = ExportResult(
            sidecar=settings.output / top.name,
            files=tuple(replace(one, path=settings.output / one.path.name) for one in files),
            cascade=comparison,
        )
        _move(staging, settings.output, top.name)
    return result


class _Job:
    """One call of `export_model`: everything that its steps share."""

    def __init__(
        self,
        settings: ExportSettings,
        target: Target,
        check: Samples,
        calibration: Samples | None,
        staging: Path,
    ) -> None:
        self._settings, self._target, self._staging = settings, target, staging
        self._check, self._calibration = check, calibration

    def export(self, source: Path) -> tuple[Path, list[ExportedFile], Comparison | None]:
        """Export into the staging folder: the sidecar, its graphs, the cascade's comparison."""
        sidecar = read_sidecar(source)
        if sidecar.cascade is None:
            path, file = self._export_graph(source, sidecar)
            return path, [file], None
        files: list[ExportedFile] = []
        stages: list[CascadeStage] = []
        sidecar.cascade.require_whole()
        for stage in sidecar.cascade.stages:
            path, exported, _ = self.export(source.with_name(stage.name + SUFFIX))
            files += exported
            digest = member_sha256(read_sidecar(path))
            stages.append(stage.model_copy(update={"sha256": digest}))
        path = self._staging / source.name
        cascade = sidecar.cascade.model_copy(update={"stages": tuple(stages)})
        write_sidecar(path, sidecar.model_copy(update={"cascade": cascade}))
        result = load_subject(path)
        comparison = self._compare(load_subject(source), result, result.precision)
        _require_close(sidecar.name, comparison)
        return path, files, comparison

    def _export_graph(self, source: Path, sidecar: Sidecar) -> tuple[Path, ExportedFile]:
        """Export one graph, in float32 where int8 does not pay on ONNX Runtime."""
        path, file = self._attempt(source, sidecar, self._settings.precision)
        keep = _reason_against(file, self._target)
        if keep:
            _log.info("%s: %s", sidecar.name, keep)
            path, file = self._attempt(source, sidecar, "fp32")
            file = replace(file, note=keep)
        _require_close(sidecar.name, file.comparison)
        return path, file

    def _attempt(
        self, source: Path, sidecar: Sidecar, precision: Precision
    ) -> tuple[Path, ExportedFile]:
        """Write one graph with its sidecar into the staging folder, preflight and compare it."""
        content = read_model_bytes(source, sidecar, sidecar.files[0].target)
        original = load_subject(source)  # what does not load here is the file's fault, not ours
        exported, described = self._convert(source, content, sidecar, precision)
        path = self._staging / described.files[0].path
        write_bytes_atomic(path, exported)
        write_sidecar(sidecar_path(path), described)
        findings = preflight(path, self._target.name)
        if has_errors(findings):
            if any(one.rule == "invalid-onnx" for one in findings):
                self._require_invalid(source.with_name(sidecar.files[0].path), precision)
            errors = "; ".join(str(one) for one in findings if one.severity == "error")
            raise DataError(
                f"{sidecar.name!r} in {precision} cannot run on {self._target.title}: {errors}; "
                "nothing was written"
            )
        result = load_subject(path)
        latency = _measure((original, result), self._check, self._settings.latency)
        return sidecar_path(path), ExportedFile(
            name=sidecar.name,
            path=path,
            precision=precision,
            bytes=len(exported),
            original_bytes=len(content),
            findings=findings,
            comparison=self._compare(original, result, precision),
            latency=latency,
            speed_up=cpu_ratio(latency[0], latency[1]),
            note="",
        )

    def _require_invalid(self, original: Path, precision: Precision) -> None:
        """Take the blame for an invalid graph that was made out of a valid one."""
        if not any(check_validity(original)):
            raise MachineError(
                f"{original.name} is a valid graph, but what the export in {precision} made of it "
                "is none; the file is not to blame. Please report it with the file; nothing was "
                "written"
            )

    def _convert(
        self, source: Path, content: bytes, sidecar: Sidecar, precision: Precision
    ) -> tuple[bytes, Sidecar]:
        """Return the graph for the target and its sidecar; a memory is frozen into the graph."""
        settings = self._settings
        model = graphs.read_graph(content)
        if sidecar.state.path is not None:
            state = read_state(source.with_name(sidecar.state.path), sidecar.state.sha256)
            model, sidecar = with_frozen_memory(model, sidecar, state)
        model = graphs.simplified(graphs.with_fixed_image(model, sidecar.input))
        if precision == "fp16":
            model = in_float16(model)
        if precision == "int8":
            assert self._calibration is not None  # noqa: S101 - checked before
            model = in_int8(model, sidecar, self._calibration, self._target)
        described = sidecar
        if settings.in_graph and not sidecar.input.in_graph:
            model = graphs.with_preprocessing(model, sidecar.input)
            described = _with_image_input(sidecar)
        if settings.batch is not None:
            model = graphs.with_fixed_batch(model, settings.batch)
            described = _with_batch(described, settings.batch)
        exported = graphs.write_graph(graphs.with_metadata(model, described))
        file = ModelFile(
            path=f"{sidecar.name}.onnx",
            sha256=hashlib.sha256(exported).hexdigest(),
            bytes=len(exported),
            target=self._target.name,
            precision=precision,
            opset=graphs.opset_of(model),
        )
        # The stages are graphs of their own, which stay behind: the target has the whole one.
        return exported, described.model_copy(update={"files": (file,), "stages": ()})

    def _compare(self, original: Subject, result: Subject, precision: Precision) -> Comparison:
        tolerance = self._settings.tolerance or tolerance_for(
            original.precision, precision, discontinuous=original.sidecar.discontinuous
        )
        try:
            return compare(original, result, self._check, tolerance)
        finally:
            original.close()
            result.close()


def _require_possible(
    settings: ExportSettings, target: Target, calibration: Samples | None
) -> None:
    """Refuse what the target cannot do, before anything is computed."""
    if settings.precision not in target.precisions:
        reason = target.no_int8_reason if settings.precision == "int8" else ""
        reason = reason or "ONNX Runtime's CPU kernels compute in float32 and int8"
        raise ConfigError(
            f"{target.title} does not run {settings.precision}: {reason}. Known there: "
            f"{', '.join(target.precisions)}"
        )
    if settings.in_graph and not target.uint8_input:
        raise ConfigError(
            f"{target.title} cannot take pictures as they are: TensorRT got uint8 inputs with 8.5. "
            "Export without --in-graph; the sidecar says how to scale"
        )
    if settings.batch is not None and settings.batch < 1:
        raise ConfigError(f"the batch is {settings.batch}, expected at least 1, or dynamic")
    if settings.precision == "int8" and calibration is None:
        raise ConfigError(
            "int8 needs images to calibrate with: training or validation data, never test data"
        )


def _require_close(name: str, comparison: Comparison) -> None:
    if not comparison.passed:
        raise DataError(
            f"{comparison.b} is too far from the original of {name!r} on {comparison.samples}: "
            f"{'; '.join(comparison.failures)}; nothing was written"
        )


def _reason_against(file: ExportedFile, target: Target) -> str:
    """Return why an int8 graph is not worth keeping for ONNX Runtime, or nothing."""
    if file.precision != "int8" or target.parser is not None:
        return ""
    if not file.comparison.passed:
        return f"int8 is not kept: {'; '.join(file.comparison.failures)}"
    if file.speed_up < _WORTH_IT:
        return (
            f"int8 is not kept: it takes {1.0 / file.speed_up:.2f} times the CPU time of fp32 on "
            f"this machine, and below a speed-up of {_WORTH_IT} it is not worth its errors"
        )
    return ""


def _measure(
    pair: tuple[Subject, Subject], check: Samples, settings: LatencySettings
) -> tuple[Latency, Latency]:
    """Measure two graphs side by side, batch 1, tensors in and tensors out."""

    def contestant(subject: Subject) -> Contestant:
        if not isinstance(subject, GraphSubject):  # a network with its memory
            return Contestant(
                title=subject.title, call=lambda: subject.answer(check, 0, 1), batch_size=1
            )
        feeds = check.feeds(subject.sidecar, 0, 1)
        return Contestant(
            title=subject.title, call=lambda: subject.session.run(feeds), batch_size=1
        )

    original, result = measure_latency([contestant(one) for one in pair], settings)
    return original, result


def _with_image_input(sidecar: Sidecar) -> Sidecar:
    image = sidecar.input.image
    spec = sidecar.input.model_copy(
        update={
            "in_graph": True,
            "dtype": "UINT8",
            "layout": "NHWC",
            "shape": (sidecar.input.shape[0], image.height, image.width, image.channels),
        }
    )
    return sidecar.model_copy(update={"input": spec})


def _with_batch(sidecar: Sidecar, batch: int) -> Sidecar:
    def fixed(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"shape": (batch, *shape[1:])}

    outputs: tuple[OutputSpec, ...] = tuple(
        one.model_copy(update=fixed(one.shape)) for one in sidecar.outputs
    )
    return sidecar.model_copy(
        update={
            "input": sidecar.input.model_copy(update=fixed(sidecar.input.shape)),
            "extra_inputs": tuple(
                one.model_copy(update=fixed(one.shape)) for one in sidecar.extra_inputs
            ),
            "outputs": outputs,
        }
    )


def _move(staging: Path, output: Path, last: str) -> None:
    """Move all files into place; the sidecar that names the others comes last."""
    output.mkdir(parents=True, exist_ok=True)
    for path in sorted(staging.iterdir(), key=lambda path: (path.name == last, path.suffix)):
        path.replace(output / path.name)
