"""Quantised graphs: TensorRT takes symmetric int8 with spelt-out zero points, and nothing else.

Source: `QuantDequantLinearHelper` and the importer of Conv in github.com/onnx/onnx-tensorrt,
branches 8.2-GA and 10.1-GA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge.preflight.findings import Finding, finding, node_rule
from edge.preflight.graph import GraphView
from edge.targets import Target, TensorRtParser

_SYMMETRIC = (
    "quantise with symmetric int8 activations and weights (activation_type=QInt8, "
    "ActivationSymmetric=True, WeightSymmetric=True)"
)
_FLOAT_BIAS = "quantise with QuantizeBias=False, which leaves biases in float32"
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear")


def check_quantization(view: GraphView, target: Target) -> Iterator[Finding]:
    """Check all QuantizeLinear and DequantizeLinear, and the layers that they feed."""
    parser = target.parser
    if parser is None:
        return
    quantized = [node for node in view.nodes if node.op_type in _QUANTIZED and not node.domain]
    if quantized and "int8" not in target.precisions:
        yield finding(
            quantized[0],
            "no-int8",
            f"the graph is quantised ({len(quantized)} Q/DQ nodes), but {target.title} cannot run "
            f"int8: {target.no_int8_reason}",
            "export with --precision fp16",
        )
    for node in quantized:
        yield from _check_zero_point(node, view, parser)
        yield from _check_scale(node, view)
        yield from _check_quantized_bias(node, view)
    for node in view.nodes:
        yield from _check_bias(node, view, parser)


def _check_zero_point(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[Finding]:
    import onnx

    name = node.input[2] if len(node.input) > 2 else ""
    if not name:
        if parser.needs_zero_point:
            message = f"it has no zero point, TensorRT {parser.release} wants one of zeros"
            yield finding(node, "zero-point-missing", message, _SYMMETRIC)
        # Without a zero point ONNX quantises to uint8.
        elif node.op_type == "QuantizeLinear":
            message = "it has no zero point, so it quantises to uint8, which TensorRT refuses"
            yield finding(node, "zero-point-type", message, _SYMMETRIC)
        return
    tensor = view.tensors.get(name)
    if tensor is None:
        message = f"its zero point {name!r} is computed, it must be fixed in the file"
        yield finding(node, "zero-point-not-constant", message, _SYMMETRIC)
        return
    kind = onnx.TensorProto.DataType.Name(tensor.data_type)
    if kind == "INT32":
        return  # a quantised bias, which has a rule of its own
    if kind != "INT8":
        message = f"its zero point is {kind}, TensorRT quantises to int8 only"
        yield finding(node, "zero-point-type", message, _SYMMETRIC)
    value = view.constant(name)
    if value is not None and value.any():
        message = (
            f"its zero point is {value.reshape(-1)[0]}, TensorRT only has symmetric quantisation "
            "with zero points of 0"
        )
        yield finding(node, "zero-point-not-zero", message, _SYMMETRIC)


@node_rule("scale-not-positive", "calibrate with pictures on which the tensor is not constant")
def _check_scale(node: Any, view: GraphView) -> Iterator[str]:
    scale = view.constant(node.input[1])
    if scale is not None and not (scale > 0).all():
        yield f"its smallest scale is {scale.min()}, all must be above 0"


@node_rule("quantized-bias", _FLOAT_BIAS)
def _check_quantized_bias(node: Any, view: GraphView) -> Iterator[str]:
    """ONNX Runtime's quantiser writes biases as int32 with a DequantizeLinear behind them."""
    import onnx

    tensor = view.tensors.get(node.input[0])
    is_int32 = tensor is not None and tensor.data_type == onnx.TensorProto.INT32
    if node.op_type == "DequantizeLinear" and is_int32:
        yield f"it turns an int32 bias ({node.input[0]!r}) back, TensorRT dequantises int8 only"


@node_rule("bias-not-constant", _FLOAT_BIAS)
def _check_bias(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    """8.2, importer of Conv: with weights from DequantizeLinear the bias must be an initialiser."""
    if not parser.needs_zero_point or node.op_type not in ("Conv", "ConvTranspose"):
        return
    if len(node.input) > 2 and node.input[2] and not view.is_constant(node.input[2]):
        yield f"its bias {node.input[2]!r} is computed, the parser wants it fixed in the file"
