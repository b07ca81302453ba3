"""Graphs in fewer bits: float16, and static int8 with calibration data."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bicameral.errors import ConfigError
from edge.export.graphs import opset_of, read_graph
from edge.samples import Samples
from edge.sidecar import Sidecar
from edge.targets import Target

#: Operator set since which Cast names its type by number, as the converter writes it.
_CASTS_BY_NUMBER = 6

#: Images at a time while calibrating.
_BATCH = 50
#: Layers that are quantised. The arithmetic between them is a small share of the work, and in a
#: driving network it normalises the picture, which needs more than 8 bits.
_WEIGHTED = ("Conv", "Gemm", "MatMul")
#: What the last layers make; features are taken where they are.
_ANSWERS = ("logits", "probabilities", "steer", "stage_logits")


def in_float16(model: Any) -> Any:
    """Return the graph in float16 with inputs and outputs in float32.

    Raises:
        ConfigError: If the operator set is too old for it.
    """
    if opset_of(model) < _CASTS_BY_NUMBER:
        raise ConfigError(
            f"the graph has opset {opset_of(model)}; float16 needs opset {_CASTS_BY_NUMBER} or "
            "newer: export the model again from its framework, or in fp32"
        )
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    converted = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    converted.topological_sort()  # the converter puts its casts at the end
    return converted.model


def in_int8(model: Any, sidecar: Sidecar, calibration: Samples, target: Target) -> Any:
    """Return the graph with QuantizeLinear/DequantizeLinear pairs, weights per channel.

    For ONNX Runtime activations are uint8 with any zero point, which its x86 kernels are fast
    with, and weights have 7 bits: processors without VNNI add products in 16 bits, and 8-bit
    weights would saturate there and answer differently than elsewhere. For TensorRT everything is
    symmetric int8 and biases stay in float32; it takes nothing else.

    The first and the last layers stay in float32: they are a few percent of the work, and without
    that FashionMNIST's vgg24 lost 2.1 points of accuracy, with it 0.03 (4,000 validation images).

    Args:
        model: The graph in float32 with an open batch size.
        sidecar: Describes its inputs, without pre-processing in the graph.
        calibration: Training or validation images that show the range of every tensor.
        target: Where it will run.

    Raises:
        ConfigError: If the calibration images are noise.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    if calibration.is_random:
        raise ConfigError(
            f"int8 needs the range of every tensor on real images, not on "
            f"{calibration.description}; give recorded data with --data"
        )
    symmetric = target.parser is not None
    options = {"ActivationSymmetric": symmetric, "WeightSymmetric": True}
    options |= {"QuantizeBias": False} if symmetric else {}
    with tempfile.TemporaryDirectory() as folder, _quiet_quantizer():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            _Calibration(calibration, sidecar),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_WEIGHTED),
            nodes_to_exclude=_outer_layers(model, sidecar),
            per_channel=True,
            reduce_range=not symmetric,
            activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options=options,
        )
        return read_graph(path.read_bytes())


class _Calibration:
    """ONNX Runtime's `CalibrationDataReader` over samples."""

    def __init__(self, samples: Samples, sidecar: Sidecar) -> None:
        starts = range(0, len(samples), _BATCH)
        self._feeds = (samples.feeds(sidecar, start, start + _BATCH) for start in starts)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def _outer_layers(model: Any, sidecar: Sidecar) -> list[str]:
    """Return the names of the layers next to the inputs, and of those next to the answers."""
    nodes = list(model.graph.node)
    answers = {output.name for output in sidecar.outputs if output.meaning in _ANSWERS}
    reached = {value.name for value in model.graph.input}
    outer: list[str] = []
    for node in nodes:  # a graph's nodes stand in the order of computation
        if reached.intersection(node.input):
            outer += [node.name] if node.op_type in _WEIGHTED else []
            reached.update(() if node.op_type in _WEIGHTED else node.output)
    for node in reversed(nodes):
        if answers.intersection(node.output):
            outer += [node.name] if node.op_type in _WEIGHTED else []
            answers.update(() if node.op_type in _WEIGHTED else node.input)
    return sorted(set(outer))


@contextmanager
def _quiet_quantizer() -> Iterator[None]:
    """Silence the quantiser's advice to optimise first, which has been done with onnxslim."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
