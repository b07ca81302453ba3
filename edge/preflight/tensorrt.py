"""What TensorRT's ONNX parser cannot read, or reads differently than ONNX means it.

Sources: the operator tables beside this file, and the parser's own code in
github.com/onnx/onnx-tensorrt (branches 8.2-GA and 10.1-GA), named at each rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edge.preflight.findings import Finding, finding, has_errors, node_rule
from edge.preflight.graph import GraphView, attribute
from edge.preflight.notes import check_notes
from edge.preflight.observed import (
    check_clip_type,
    check_normalisation,
    check_old_broadcasting,
    check_plugins,
    check_size_inputs,
    check_size_names,
    check_vector_product,
)
from edge.preflight.operators import read_operator_table
from edge.targets import TensorRtParser

#: Inputs that must be fixed in the file, by operator (8.2: the importers' ASSERT on `is_weights`;
#: 10.1: "must be an initializer" in its table).
_CONSTANT_INPUTS: dict[str, dict[str, tuple[int, ...]]] = {
    "8.2": {
        "BatchNormalization": (1, 2, 3, 4),
        "Clip": (1, 2),
        "Conv": (1,),
        "ConvTranspose": (1,),
        "CumSum": (1,),
        "InstanceNormalization": (1, 2),
        "NonMaxSuppression": (2, 3, 4),
        "ReduceSum": (1,),
        "Slice": (3,),
        "Squeeze": (1,),
        "TopK": (1,),
        "Unsqueeze": (1,),
    },
    "10.1": {
        "CumSum": (1,),
        "Dropout": (2,),
        "Pad": (3,),
        "ReduceL1": (1,),
        "ReduceL2": (1,),
        "ReduceLogSum": (1,),
        "ReduceLogSumExp": (1,),
        "ReduceMax": (1,),
        "ReduceMean": (1,),
        "ReduceMin": (1,),
        "ReduceProd": (1,),
        "ReduceSum": (1,),
        "ReduceSumSquare": (1,),
        "Slice": (3,),
        "Squeeze": (1,),
        "Unsqueeze": (1,),
    },
}
#: Modes of a Resize: the default, and what the parsers take.
_RESIZE_MODES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mode": ("nearest", ("nearest", "linear")),
    "coordinate_transformation_mode": (
        "half_pixel",
        ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"),
    ),
    "nearest_mode": (
        "round_prefer_floor",
        ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"),
    ),
    "antialias": ("0", ("0",)),
    "keep_aspect_ratio_policy": ("stretch", ("stretch",)),
}


def check_graph(view: GraphView, parser: TensorRtParser) -> Iterator[Finding]:
    """Check opset, local functions and shapes."""
    highest, release = parser.highest_opset, parser.release
    if view.opset > highest:
        yield finding(
            "",
            "opset-too-new",
            f"the graph has opset {view.opset}; TensorRT {release} reads up to {highest}, does not "
            f"refuse newer ones and reads them with the rules of {highest}",
            f"export it from its framework with opset {highest}",
        )
    if view.opset < parser.lowest_opset:
        yield finding(
            "",
            "opset-too-old",
            f"the graph has opset {view.opset}; TensorRT {release} documents "
            f"{parser.lowest_opset} to {highest}",
            f"export with opset {highest}",
            severity="warning",
        )
    if view.model.functions:
        names = ", ".join(function.name for function in view.model.functions)
        yield finding(
            "",
            "local-function",
            f"the file defines the functions {names}, which the parser does not look into",
            "inline them with onnx.inliner.inline_local_functions",
        )
    for value in view.inputs:
        dims = value.type.tensor_type.shape.dim
        free = [dim.dim_param or "?" for dim in dims if not dim.HasField("dim_value")]
        if free:
            yield finding(
                value.name,
                "dynamic-shape",
                f"the input leaves the sizes {', '.join(free)} open",
                "build the engine with an optimisation profile (trtexec --minShapes --optShapes "
                "--maxShapes), or export with a fixed batch",
                severity="warning",
            )


def check_nodes(view: GraphView, parser: TensorRtParser) -> Iterator[Finding]:
    """Check every node by the operator table and the rules for its operator."""
    for node in view.nodes:
        unsupported = list(_check_support(node, parser))
        yield from unsupported
        if has_errors(unsupported):
            continue
        for rule in _NODE_RULES:
            yield from rule(node, view, parser)
    yield from check_size_inputs(view)
    yield from check_size_names(view)


def check_tensors(view: GraphView, parser: TensorRtParser) -> Iterator[Finding]:
    """Check the types of inputs and of everything that is fixed in the file."""
    import onnx

    known = {"FLOAT", "FLOAT16", "INT32", "INT64", "INT8", "BOOL", "DOUBLE"}
    known |= {"BFLOAT16", "FLOAT8E4M3FN", "INT4"} if parser.int64 else set()
    for value in view.inputs:
        kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        if kind not in known | ({"UINT8"} if parser.uint8_input else set()):
            yield finding(
                value.name,
                "input-type",
                f"the input is {kind}, which TensorRT {parser.release} has not",
                "export without the pre-processing in the graph, with a float32 input",
            )
    zero_points = {
        node.input[2]
        for node in view.nodes
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2
    }
    for name, tensor in view.tensors.items():
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        if kind not in known and name not in zero_points:  # those have rules of their own
            yield finding(
                name,
                "initializer-type",
                f"the tensor is {kind}, which TensorRT {parser.release} does not take as a weight",
                "store it as float32 or int32",
            )
    if not parser.int64:
        yield from _check_int64(view)


def _check_int64(view: GraphView) -> Iterator[Finding]:
    """8.2, `convertINT64`: values beyond int32 are clamped, with one warning for the whole file."""
    harmless = {
        name for node in view.nodes if node.op_type == "Slice" for name in list(node.input)[1:3]
    }
    limits = np.iinfo(np.int32)
    for name in view.tensors:
        value = view.constant(name)
        if value is None or value.dtype != np.int64 or name in harmless or not value.size:
            continue
        if value.min() < limits.min or value.max() > limits.max:
            yield finding(
                name,
                "int64-clamped",
                f"it holds int64 values in {value.min()}..{value.max()}; they become int32 and are "
                "clamped, silently",
                "keep them within int32",
            )


def _check_support(node: Any, parser: TensorRtParser) -> Iterator[Finding]:
    if node.domain not in ("", "ai.onnx"):
        yield finding(
            node,
            "custom-domain",
            f"it is of the domain {node.domain!r}, which needs a plugin on the device",
            "replace it by operators of ONNX",
        )
        return
    row = read_operator_table(parser.operators).get(node.op_type)
    if row is None or not row.supported:
        listed = "is not in" if row is None else "is listed as not supported in"
        yield finding(
            node,
            "operator-unsupported",
            f"{node.op_type} {listed} TensorRT {parser.release}'s operator table",
            "write it with other operators, or export with an older opset, which decomposes it",
        )
    elif row.experimental:
        yield finding(
            node,
            "operator-experimental",
            f"TensorRT {parser.release} calls it experimental: {row.restrictions}",
            "compare its answers on the device, or do this step outside of the graph",
            severity="warning",
        )


def _check_changed_definition(
    node: Any, view: GraphView, parser: TensorRtParser
) -> Iterator[Finding]:
    """An operator that ONNX changed after the parser was written is read by its old definition."""
    import onnx

    if view.opset <= parser.highest_opset:
        return
    try:
        now = onnx.defs.get_schema(node.op_type, view.opset).since_version
        then = onnx.defs.get_schema(node.op_type, parser.highest_opset).since_version
    except Exception:  # an operator that the other opset has not: the table speaks of it
        return
    if now != then:
        yield finding(
            node,
            "operator-changed",
            f"ONNX changed {node.op_type} in opset {now}; TensorRT {parser.release} reads it by "
            f"the definition of opset {then}",
            f"export with opset {parser.highest_opset}",
            severity="warning",
        )


@node_rule("ignored-axes", "export with opset 13, where the axes are an attribute")
def _check_ignored_axes(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    """8.2, `reduceTensor`: only ReduceSum hands its second input on; the others reduce all axes."""
    if parser.highest_opset >= 18 or not node.op_type.startswith("Reduce"):
        return
    if node.op_type != "ReduceSum" and len(node.input) > 1 and node.input[1]:
        yield (
            "its axes are an input (opset 18), which the parser ignores: it reduces over all axes, "
            "silently wrong"
        )


@node_rule("not-constant", "fold constants (onnxslim), or make it a weight")
def _check_constant_inputs(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    for index in _CONSTANT_INPUTS[parser.release].get(node.op_type, ()):
        name = node.input[index] if index < len(node.input) else ""
        # Weights that come from a DequantizeLinear take the parser's path for quantised layers.
        if name and not view.is_constant(name) and not view.made_by(name, "DequantizeLinear"):
            yield f"its input {index} ({name!r}) is computed, the parser wants it fixed in the file"


@node_rule("pool-indices", "leave the indices out (in torch: return_indices=False)")
def _check_pool_indices(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    if node.op_type == "MaxPool" and len(node.output) > 1 and node.output[1]:
        yield "its second output, Indices, is not supported"


@node_rule("pool-dilations", "pool without dilation")
def _check_pool_dilations(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    dilations = attribute(node, "dilations", ())
    if node.op_type in ("MaxPool", "AveragePool", "LpPool") and any(one != 1 for one in dilations):
        yield f"it has dilations {list(dilations)}, which a pooling layer of TensorRT has not"


def _dimensions(node: Any, view: GraphView) -> int:
    """Return over how many dimensions a convolution or a pooling works; 2 for other operators."""
    kernel = list(attribute(node, "kernel_shape", ()))
    weighted = node.op_type in ("Conv", "ConvTranspose")
    if weighted and not kernel and (weights := view.tensors.get(node.input[1])) is not None:
        kernel = list(weights.dims)[2:]
    known = kernel and (weighted or node.op_type in ("MaxPool", "AveragePool"))
    return len(kernel) if known else 2


@node_rule("dimensions", "rewrite it with 2D or 3D layers")
def _check_many_dimensions(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    if (dimensions := _dimensions(node, view)) > 3:
        yield f"it works over {dimensions} dimensions, TensorRT over 2 or 3"


@node_rule("dimensions", "give the data a second dimension of size 1", severity="warning")
def _check_one_dimension(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    """8.2's table says 2D or 3D only; its code turns 1D into 2D."""
    if _dimensions(node, view) == 1:
        yield (
            "it works over one dimension; the table allows 2 and 3, and the parser's own way "
            "around it is not documented"
        )


@node_rule("not-constant", "resize to fixed sizes or by fixed scales (in torch: scale_factor)")
def _check_resize_scales(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    if node.op_type != "Resize" or not parser.needs_fixed_scales:
        return
    scales = node.input[1 if len(node.input) == 2 else 2] if len(node.input) > 1 else ""
    if scales and not view.is_constant(scales):
        yield f"its scales ({scales!r}) are computed, the parser wants them fixed in the file"


@node_rule("resize-mode", "choose one of those when exporting, and train or calibrate with it")
def _check_resize_modes(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    for name, (default, allowed) in _RESIZE_MODES.items() if node.op_type == "Resize" else ():
        value = str(attribute(node, name, default))
        if value not in allowed:
            yield f"its {name} is {value!r}, TensorRT {parser.release} has {', '.join(allowed)}"


def _check_types(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[Finding]:
    """Compare the first input's type, and that of a Cast's result, with the operator's row."""
    import onnx

    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return  # they have rules of their own
    listed = read_operator_table(parser.operators)[node.op_type].types
    used = [view.types.get(name, 0) for name in list(node.input)[:1] if not view.is_constant(name)]
    if node.op_type == "Cast":
        used.append(attribute(node, "to", 0))
    for kind in filter(None, used):
        name = onnx.TensorProto.DataType.Name(kind)
        if listed and not _TENSORRT_TYPES.get(name, frozenset({name})) & listed:
            yield finding(
                node,
                "type-not-listed",
                f"it works on {name}; TensorRT {parser.release} lists {', '.join(sorted(listed))} "
                f"for {node.op_type}",
                "cast to float32 or int32 before it",
                severity="error" if name not in _TENSORRT_TYPES else "warning",
            )


#: TensorRT's names of ONNX's types; 8.2 turns int64 into int32, and both turn double into float.
_TENSORRT_TYPES = {
    "FLOAT": frozenset({"FP32"}),
    "DOUBLE": frozenset({"FP32"}),
    "FLOAT16": frozenset({"FP16"}),
    "BFLOAT16": frozenset({"BF16"}),
    "INT32": frozenset({"INT32"}),
    "INT64": frozenset({"INT32", "INT64"}),
    "INT8": frozenset({"INT8"}),
    "BOOL": frozenset({"BOOL"}),
}

_NODE_RULES: tuple[Callable[[Any, GraphView, TensorRtParser], Iterator[Finding]], ...] = (
    _check_changed_definition,
    _check_types,
    _check_ignored_axes,
    _check_constant_inputs,
    _check_pool_indices,
    _check_pool_dilations,
    _check_many_dimensions,
    _check_one_dimension,
    _check_resize_scales,
    _check_resize_modes,
    check_notes,
    check_clip_type,
    check_old_broadcasting,
    check_normalisation,
    check_vector_product,
    check_plugins,
)
