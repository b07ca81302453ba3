"""NVIDIA's own ONNX parser and builder on a processor: TensorRT for RTX, whose wheels are on PyPI.

It parses a graph and builds an engine ahead of time for a graphics card that is not there. What it
cannot show: what the parsers of TensorRT 8.2 and 10.3 do, which are older, and what an engine
answers. Its libraries are in the wheel of an execution provider for ONNX Runtime, not used here.
"""

from __future__ import annotations

import ctypes
import importlib.util
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from bicameral.errors import MachineError
from edge.comparison import Tolerance
from edge.export.pipeline import ExportSettings, export_model
from edge.samples import random_samples
from edge.shipped import resolve_model
from edge.sidecar import read_sidecar
from edge.targets import Precision, TargetName
from studies.exports import QUICK_LATENCY

#: What has to be installed, and how.
NEEDS = (
    "TensorRT for RTX: pip install --no-deps --require-hashes -r requirements/tensorrt.txt "
    "(x86-64 Linux; make test does it)"
)

#: Whether the answers stay near has tests of its own; here every graph is to be built.
_ANY = Tolerance(
    difference=None,
    mean_probability=float("inf"),
    steer=float("inf"),
    agreement=0.0,
    accuracy_drop=1.0,
)
_IMAGES = 16

#: The libraries in the order in which they need each other.
_LIBRARIES = ("libtensorrt_rtx.so.*", "libtensorrt_onnxparser_rtx.so.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What came of a graph.

    Attributes:
        engine_bytes: Size of the engine; 0: there is none.
        cpu_s: CPU time of parsing and building.
        problem: The first complaint of parser or builder; empty with an engine.
    """

    engine_bytes: int
    cpu_s: float
    problem: str


def is_installed() -> bool:
    """Return whether both wheels are there."""
    names = ("onnxruntime_ep_nv_tensorrt_rtx", "tensorrt_rtx_bindings")
    return all(importlib.util.find_spec(name) is not None for name in names)


@cache
def load_tensorrt() -> Any:
    """Return the module, which has the names of `tensorrt`.

    Raises:
        MachineError: If it is not installed.
    """
    if not is_installed():
        raise MachineError(f"not installed: {NEEDS}")
    spec = importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx")
    assert spec is not None and spec.origin is not None  # noqa: PT018 - it is installed
    for pattern in _LIBRARIES:
        # The bindings name the libraries and find those that are loaded already.
        ctypes.CDLL(str(next(Path(spec.origin).parent.glob(pattern))))
    import tensorrt_rtx_bindings

    return tensorrt_rtx_bindings


def build_engine(graph: bytes, shapes: Mapping[str, Sequence[int]] | None = None) -> Built:
    """Parse a graph and build an engine of it for one shape of each input.

    Args:
        graph: The content of an ONNX file, with everything in it.
        shapes: By input; 1 for every size that is open and not told.
    """
    tensorrt, began_s = load_tensorrt(), time.process_time()
    logger = _complaints(tensorrt)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    if parser.parse(graph):
        plan = builder.build_serialized_network(
            network, _configuration(tensorrt, builder, network, shapes or {})
        )
        problem = logger.first
    else:
        plan, problem = None, str(parser.get_error(0).desc())
    return Built(
        engine_bytes=0 if plan is None else plan.nbytes,
        cpu_s=time.process_time() - began_s,
        problem="" if plan is not None else " ".join(problem.split()),
    )


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
        tolerance=_ANY,
        latency=QUICK_LATENCY,
    )
    # The quantiser refuses noise, whose ranges say little; here they only have to be there.
    calibration = replace(random_samples(sidecar, _IMAGES, seed=1), is_random=False)
    result = export_model(settings, random_samples(sidecar, _IMAGES), calibration)
    return tuple(file.path for file in result.files)


def _configuration(
    tensorrt: Any, builder: Any, network: Any, shapes: Mapping[str, Sequence[int]]
) -> Any:
    """Say for which card to build, and which shapes of the inputs."""
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    for place in range(config.num_compute_capabilities):
        config.set_compute_capability(tensorrt.ComputeCapability.SM86, place)
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = [1 if size < 0 else size for size in shapes.get(tensor.name, tensor.shape)]
        if tensor.is_shape_tensor:  # its values are sizes
            values = [1] * max(shape, default=1)
            profile.set_shape_input(tensor.name, values, values, values)
        else:
            profile.set_shape(tensor.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    return config


def _complaints(tensorrt: Any) -> Any:
    """Return a logger that keeps the first error."""

    class Complaints(tensorrt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = ""

        def log(self, severity: Any, message: str) -> None:
            # That there is no card is said each time, and is no complaint about the graph.
            is_error = int(severity) <= int(tensorrt.ILogger.ERROR) and "cudaError" not in message
            if is_error and not self.first:
                self.first = message

    return Complaints()
