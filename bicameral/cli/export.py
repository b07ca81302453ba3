"""`bicameral export`: a trained model for one target: checked, as files, or packed for a Jetson."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bicameral.cli.compare import print_comparison
from bicameral.cli.extras import require_extra
from bicameral.cli.model_samples import calibration_samples, read_samples
from bicameral.errors import FINDINGS_EXIT_CODE, BicameralError, ConfigError
from bicameral.tables import list_table, print_table, table_of
from edge.export.pipeline import ExportResult, ExportSettings, export_model
from edge.jetson.bundle import Bundle, BundleRequest, CorrectionName, check_request, write_bundle
from edge.jetson.judged import judge_models, needs_judgement, packed_precision
from edge.preflight import Finding, has_errors, preflight
from edge.samples import Samples, random_samples
from edge.shipped import resolve_model
from edge.sidecar import SUFFIX, read_networks, read_sidecar, sidecar_path
from edge.targets import Precision, TargetName

#: Images that an export is compared with its original on, evenly spaced.
_COMPARED = 5000
#: Random images that a bundle's graphs are compared on where their data set is not to be had.
_COMPARED_RANDOM = 256


def export(
    models: Annotated[list[str], Parameter(consume_multiple=True)],
    /,
    *,
    target: TargetName,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    check: bool = False,
    bundle: bool = False,
    second: str | None = None,
    correction: CorrectionName | None = None,
    precision: Precision | None = None,
    batch: int | Literal["dynamic"] = "dynamic",
    in_graph: bool = False,
    data: str | None = None,
) -> int:
    """Write the files of a model for a target; nothing if they would not run or answer right.

    A cascade is written with both of its networks. Every graph is simplified, checked for the
    target and compared with the original; int8 for ONNX Runtime is kept only where it pays on this
    machine.

    With --check nothing is written: the files are checked, as they are, against everything that is
    known of the target, without the device. The exit code is 1 if there is an error; warnings
    alone leave it at 0.

    With --bundle a folder is written that a Jetson runs: graphs as they are, sidecars, the runtime,
    instructions, checksums. It needs nothing from a network; its README.md says what to do with it.

    Args:
        models: Name of a shipped model, .onnx file, sidecar, or folder of a trained run; with
            --check as many as you like.
        target: onnxruntime, jetson-nano, jetson-orin or tensorrt.
        output: Folder for NAME.onnx and its sidecar; of a bundle it must not be there, or be empty.
        check: Only check the files.
        bundle: Pack a classifier, a cascade or a driving agent for a Jetson.
        second: With --bundle: a second driving agent, for the correction second_opinion.
        correction: With --bundle: none, paper or second_opinion; by default second_opinion with
            --second.
        precision: fp32, fp16 (TensorRT) or int8 (not on the Nano); by default fp32. Of a bundle it
            is what its engines are built in: by default int8 if its graphs are, else fp16.
        batch: Images per run, or dynamic.
        in_graph: Let the graph take uint8 pictures (N, height, width, channels) and scale them.
        data: What to compare on and calibrate with: data set, driving data or .npz of frames; by
            default the data set that the model was trained on if it is known by name, else random
            images, with which int8 cannot be calibrated. Compared is on validation images, at most
            5,000 of them, and calibrated with training images.
    """
    if check and (bundle or output is not None):
        raise ConfigError("--check writes nothing; leave out --bundle and --output")
    if not bundle and (second is not None or correction is not None):
        raise ConfigError("--second and --correction are for a --bundle, which drives")
    if check:
        return _check(models, target)
    if len(models) != 1 or output is None:
        raise ConfigError(
            f"give one model and --output, its folder; got {len(models)} models and {output}"
        )
    (model,) = models
    if bundle:
        _bundle(model, target, output, (second, correction, precision), data)
        return 0

    require_extra("export")

    sidecar = read_sidecar(resolve_model(model))
    samples = read_samples(sidecar, data, "validation", _COMPARED)
    calibration = calibration_samples(sidecar, data) if precision == "int8" else None
    settings = ExportSettings(
        model=model,
        target=target,
        output=output,
        precision=precision or "fp32",
        batch=None if batch == "dynamic" else batch,
        in_graph=in_graph,
    )
    result = export_model(settings, samples, calibration)
    _print_result(result)
    return 0


def _check(models: Sequence[str], target: TargetName) -> int:
    """Check files for a target; return the exit code."""
    failed = False
    for path in (path for model in models for path in _graphs(model)):
        findings = preflight(path, target)
        failed = failed or has_errors(findings)
        _print_findings(f"{path.name} for {target}", findings)
    return FINDINGS_EXIT_CODE if failed else 0


def _graphs(model: str) -> list[Path]:
    """Return the ONNX files of a name or path; a cascade's are those of its members."""
    path = resolve_model(model)
    if not path.name.endswith(SUFFIX):
        return [path]
    networks = read_networks(path).items()
    return [beside.with_name(file.path) for beside, one in networks for file in one.files]


def _bundle(
    model: str,
    target: TargetName,
    output: Path,
    wanted: tuple[str | None, CorrectionName | None, Precision | None],
    data: str | None,
) -> None:
    """Write a Jetson's folder and say what is in it; `wanted`: second, correction, precision."""
    import tempfile

    if target == "onnxruntime" or target == "tensorrt":
        raise ConfigError(
            f"--bundle is for jetson-nano or jetson-orin, not for {target}; leave it out to write "
            "the files alone"
        )
    require_extra("export")

    second, correction, precision = wanted
    path = resolve_model(model)
    request = BundleRequest(
        model=path,
        target=target,
        second=None if second is None else resolve_model(second),
        correction=correction,
        precision=precision or packed_precision(path, target),
    )
    check_request(request, output)
    with tempfile.TemporaryDirectory() as folder:
        if needs_judgement(request):
            request = judge_models(request, *_bundle_samples(request, data), Path(folder))
        _print_bundle(write_bundle(request, output))


def _bundle_samples(request: BundleRequest, data: str | None) -> tuple[Samples, Samples | None]:
    """Load what a bundle's models are compared on, and what int8 is calibrated with."""
    sidecar = read_sidecar(sidecar_path(request.model))
    if request.precision == "int8":
        calibration = calibration_samples(sidecar, data)
        return read_samples(sidecar, data, "validation", _COMPARED), calibration
    try:
        return read_samples(sidecar, data, "validation", _COMPARED), None
    except BicameralError as error:
        if data is not None:
            raise
        sys.stderr.write(f"compared on random images only, for the data set is not here: {error}\n")
        return random_samples(sidecar, _COMPARED_RANDOM), None


def _print_result(result: ExportResult) -> None:
    print_table(
        table_of(
            "exported",
            ("model", "precision", "KiB", "was", "CPU µs*", "was", "speed-up"),
            (
                (
                    file.name,
                    file.precision,
                    f"{file.bytes / 1024:.0f}",
                    f"{file.original_bytes / 1024:.0f}",
                    f"{file.latency[1].cpu_us:.0f}",
                    f"{file.latency[0].cpu_us:.0f}",
                    f"{file.speed_up:.2f}",
                )
                for file in result.files
            ),
            note="* ONNX Runtime on this machine, batch 1, one thread, interleaved; not the target",
        )
    )
    for file in result.files:
        notes = [file.note, *map(str, file.findings)]
        sys.stdout.write("".join(f"{file.name}: {note}\n" for note in notes if note))
        print_comparison(file.comparison)
    if result.cascade is not None:
        print_comparison(result.cascade)
    sys.stdout.write(f"wrote {result.sidecar}\n")


def _print_findings(title: str, findings: Sequence[Finding]) -> None:
    """Print a table of findings, or a line that there are none."""
    if not findings:
        sys.stdout.write(f"{title}: nothing found\n")
        return
    print_table(
        list_table(
            title,
            findings,
            {
                "severity": lambda one: one.severity,
                "where": lambda one: one.where or "the file",
                "rule": lambda one: one.rule,
                "what is wrong": lambda one: one.message,
                "what to change": lambda one: one.advice,
            },
            words=5,
        )
    )


def _print_bundle(bundle: Bundle) -> None:
    sizes = [(name, f"{size / 1024:.1f}") for name, size in bundle.files.items()]
    print_table(table_of(str(bundle.folder), ("file", "KiB"), sizes))
    for name, findings in bundle.warnings.items():
        sys.stdout.write("".join(f"{name}: {finding}\n" for finding in findings))
    sys.stdout.write("Copy the folder to the device and follow its README.md.\n")
