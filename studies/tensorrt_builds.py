"""Every graph and export of this project, built by NVIDIA's own code, beside the preflight.

The parser is that of TensorRT for RTX (`studies/tensorrt_rtx.py`), newer than those of a Jetson.
ONNX's own test graphs, cases of every operator, show where preflight and builder disagree.
"""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from edge.comparison import Tolerance
from edge.export.pipeline import ExportSettings, export_model
from edge.preflight import has_errors, preflight
from edge.preflight.graph import GraphView
from edge.samples import random_samples
from edge.shipped import resolve_model, weights_folder
from edge.sidecar import read_sidecar
from edge.targets import TARGETS, Precision, TargetName
from studies.exports import QUICK_LATENCY, QUICK_MODELS, whole_models
from studies.foreign_models import GRAPHS as FOREIGN
from studies.measurements import write_rows
from studies.study import Study
from studies.tensorrt_rtx import Built, build_engine, is_installed

#: Whether the answers stay near has its own study; here every graph is to be built.
ANY = Tolerance(
    difference=None,
    mean_probability=float("inf"),
    steer=float("inf"),
    agreement=0.0,
    accuracy_drop=1.0,
)
_IMAGES = 16

_HEADER = (
    "group", "graph", "target", "precision", "passes_preflight", "built", "engine_kib", "cpu_s",
    "count", "problem",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A graph, or several about which both say the same: a row of the data."""

    group: str
    graph: str
    target: TargetName
    precision: str
    passes: bool
    built: Built
    count: int = 1

    def values(self) -> tuple[object, ...]:
        """Return the values of the columns `_HEADER`."""
        one = self.built
        return (
            self.group,
            self.graph,
            self.target,
            self.precision,
            int(self.passes),
            int(one.engine_bytes > 0),
            f"{one.engine_bytes / 1024:.0f}",
            f"{one.cpu_s:.2f}",
            self.count,
            one.problem[:160],
        )


def run(folder: Path, quick: bool) -> int:
    """Build everything; 1 if a graph of this project passes the preflight and is refused."""
    if not is_installed():
        print("not installed: TensorRT for RTX (requirements/tensorrt.txt)")
        return 1
    found: list[Judged] = []
    with tempfile.TemporaryDirectory() as temporary:
        for part in (_shipped(), _exports(Path(temporary), quick)):
            found += part
        if not quick:
            found += _foreign()
            found += _cases(Path(temporary) / "case.onnx")
    write_rows(folder / "builds.csv", _HEADER, [one.values() for one in found], words=2)
    ours = [one for one in found if one.group in ("shipped", "exported")]
    return int(any(one.passes and not one.built.engine_bytes for one in ours))


def _judged(group: str, path: Path, target: TargetName, precision: str, built: Built) -> Judged:
    passes = not has_errors(preflight(path, target))
    name = path.stem
    return Judged(
        group=group, graph=name, target=target, precision=precision, passes=passes, built=built
    )


def _shipped() -> Iterator[Judged]:
    """Build the files as they ship, with the stages of the early exits."""
    for path in sorted(weights_folder().glob("*.onnx")):
        yield _judged("shipped", path, "jetson-nano", "fp32", build_engine(path.read_bytes()))


def _exports(folder: Path, quick: bool) -> Iterator[Judged]:
    """Build what the export makes of every model for the Jetsons, in every precision."""
    names: tuple[TargetName, ...] = ("jetson-nano", "jetson-orin")
    for model in QUICK_MODELS if quick else whole_models():
        for target in names:
            for precision in TARGETS[target].precisions:
                for path in export_graphs(model, target, precision, folder):
                    built = build_engine(path.read_bytes())
                    yield _judged("exported", path, target, precision, built)


def export_graphs(
    model: str, target: TargetName, precision: Precision, folder: Path
) -> tuple[Path, ...]:
    """Export a model, whatever its answers, and return its graphs.

    Args:
        model: Name of a shipped model.
        target: For which target.
        precision: In which precision; int8 is calibrated with noise.
        folder: Where a folder for the export is made.
    """
    sidecar = read_sidecar(resolve_model(model))
    settings = ExportSettings(
        model=model,
        target=target,
        output=folder / f"{model}-{target}-{precision}",
        precision=precision,
        tolerance=ANY,
        latency=QUICK_LATENCY,
    )
    # The quantiser refuses noise, whose ranges say little; here they only have to be there.
    calibration = replace(random_samples(sidecar, _IMAGES, seed=1), is_random=False)
    result = export_model(settings, random_samples(sidecar, _IMAGES), calibration)
    return tuple(file.path for file in result.files)


def _foreign() -> Iterator[Judged]:
    """Build the graphs in wheels that others made, where they are installed."""
    for one in FOREIGN:
        path = one.file()
        if path is not None:
            built = build_engine(path.read_bytes(), one.sizes)
            yield _judged("foreign", path, "tensorrt", "fp32", built)


def _cases(path: Path) -> list[Judged]:
    """Build ONNX's own test graphs; those about which both agree are counted."""
    agreed: Counter[bool] = Counter()
    found: list[Judged] = []
    for name, model in _operator_graphs():
        content = model.SerializeToString()
        path.write_bytes(content)
        judged = replace(_judged("onnx", path, "tensorrt", "", build_engine(content)), graph=name)
        if judged.passes == (judged.built.engine_bytes > 0):
            agreed[judged.passes] += 1
        else:
            found.append(judged)
    none = Built(engine_bytes=0, cpu_s=0.0, problem="")
    for passes, count in agreed.items():
        built = replace(none, engine_bytes=int(passes))
        found.append(
            Judged(
                group="onnx", graph="others", target="tensorrt", precision="", passes=passes,
                built=built, count=count,
            )
        )  # fmt: skip
    return found


def _operator_graphs() -> Iterator[tuple[str, onnx.ModelProto]]:
    """Return ONNX's test cases up to the newest opset that the target reads."""
    from onnx.backend.test.case import node

    parser = TARGETS["tensorrt"].parser
    assert parser is not None  # noqa: S101 - TensorRT has one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it computes the expected answers, infinities among them
        cases = node.collect_testcases(None)
    for case in cases:
        if case.model is not None and 0 < GraphView(case.model).opset <= parser.highest_opset:
            yield case.name, case.model
    data = Path(onnx.__file__).parent / "backend/test/data"
    for path in sorted(data.glob("*/*/model.onnx")):
        model = onnx.load(path)
        if 0 < GraphView(model).opset <= parser.highest_opset:
            yield path.parent.name, model


STUDY = Study(
    claim="Every export of every shipped model is parsed and built by NVIDIA's own code.",
    setting=(
        "TensorRT for RTX 1.7 on any x86-64 processor, no graphics card; an engine for compute "
        "capability 8.6 and one picture; int8 calibrated with noise; two minutes"
    ),
    run=run,
    needs="requirements/tensorrt.txt; the wheels of the study foreign_models for more graphs",
)
