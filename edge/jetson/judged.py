"""A model as a bundle takes it: judged as an export is, and quantised where it is to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bicameral.errors import DataError
from edge.export.pipeline import ExportSettings, export_model
from edge.jetson.bundle import BundleRequest, JetsonName, graph_file
from edge.latency import LatencySettings
from edge.samples import Samples
from edge.sidecar import read_networks, sidecar_path
from edge.targets import Precision

#: How fast ONNX Runtime is here says nothing about a bundle.
_UNTIMED = LatencySettings(rounds=1, turn_s=1e-4, warm_up_s=0.0)


def packed_precision(model: Path, target: JetsonName) -> Precision:
    """Return what engines are built in where nobody says: int8 if the graphs are, else fp16."""
    return "int8" if "int8" in _precisions(sidecar_path(model), target) else "fp16"


def needs_judgement(request: BundleRequest) -> bool:
    """Return whether a graph is to run in another precision than it was judged in."""
    return any(
        not _is_judged(sidecar_path(one), request)
        for one in (request.model, request.second)
        if one is not None
    )


def judge_models(
    request: BundleRequest, check: Samples, calibration: Samples | None, folder: Path
) -> BundleRequest:
    """Let the export judge what a bundle is to hold, so that both say the same of a model.

    In fp16 the graphs are packed as they are, for the device makes the engine; what the export
    would write is only compared. In int8 what the export writes is packed.

    Args:
        request: What the bundle is to hold.
        check: What original and result are compared on.
        calibration: Training images; needed for int8 where the graphs are not int8 yet.
        folder: Where exports are written; whoever packs the bundle removes it later.

    Returns:
        The request, with the exports as its models where those are to be packed.

    Raises:
        ConfigError: If the device cannot run that precision.
        DataError: If a result is outside of the tolerance, or not for the device.
        MissingExtraError: If a package of the extra `export` is absent.
    """
    models = [
        None if one is None else _judge(one, request, check, calibration, folder)
        for one in (request.model, request.second)
    ]
    assert models[0] is not None  # noqa: S101 - a request has a model
    return replace(request, model=models[0], second=models[1])


def _judge(
    model: Path,
    request: BundleRequest,
    check: Samples,
    calibration: Samples | None,
    folder: Path,
) -> Path:
    """Return the sidecar of what is to be packed."""
    source = sidecar_path(model)
    if _is_judged(source, request):
        return source
    settings = ExportSettings(
        model=source,
        target=request.target,
        output=folder / f"exported-{source.name}",
        precision=request.precision,
        latency=_UNTIMED,
    )
    try:
        exported = export_model(settings, check, calibration).sidecar
    except DataError as error:
        raise DataError(f"{error}. It can be packed in fp32: --precision fp32") from error
    return exported if request.precision == "int8" else source


def _is_judged(source: Path, request: BundleRequest) -> bool:
    return request.precision == "fp32" or request.precision in _precisions(source, request.target)


def _precisions(source: Path, target: JetsonName) -> set[Precision]:
    """Return what the graphs that the device runs compute in."""
    networks = read_networks(source, whole=True).values()
    return {graph_file(one, target).precision for one in networks}
