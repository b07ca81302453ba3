"""What NVIDIA's own builder refused although the operator tables and their notes allow it.

Each rule comes of graphs that TensorRT for RTX 1.7 was given (`studies/export/builds.csv`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge.preflight.findings import Finding, finding, node_rule
from edge.preflight.graph import GraphView, attribute
from edge.targets import TensorRtParser

#: Operator set since which operators broadcast as in NumPy.
_BROADCASTING = 7
#: Operators that the parsers bring to one shape first, and with which they compute others.
_ELEMENTWISE = frozenset(
    (
        "Add", "And", "Div", "Equal", "Gemm", "Greater", "Less", "Max", "Mean", "Min", "Mul", "Or",
        "PRelu", "Pow", "Softsign", "Sub", "Sum", "Xor",
    )
)  # fmt: skip
#: Inputs whose values are sizes or places, by operator; None: all of them.
_SIZES: dict[str, tuple[int, ...] | None] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1,),
    "Range": None,
    "Reshape": (1,),
    "Resize": (2, 3),
    "Slice": (1, 2, 4),
    "Split": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Upsample": (1,),
}


@node_rule("old-broadcasting", "convert the file to opset 13 (onnx.version_converter)")
def check_old_broadcasting(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    """Every release: `broadcastTensor` wants opset 7."""
    if view.opset < _BROADCASTING and node.op_type in _ELEMENTWISE:
        yield f"opset {view.opset} broadcasts by other rules, which the parser refuses"


@node_rule("clip-type", "cast to float32 or int32 before it, or fix the limits in the file")
def check_clip_type(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    """Look for int8 that is cut at limits which are computed, or at none."""
    import onnx

    limits = [name for name in node.input[1:] if name]
    if node.op_type != "Clip" or (limits and all(map(view.is_constant, limits))):
        return
    if view.types.get(node.input[0], 0) == onnx.TensorProto.INT8:
        yield "it clips int8 at limits that are not fixed in the file"


@node_rule("training-mode", "export the network in evaluation mode")
def check_normalisation(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    """Look for a normalisation that follows each batch."""
    if node.op_type != "BatchNormalization":
        return
    if attribute(node, "training_mode", 0) or any(node.output[1:]):
        yield "it computes mean and variance anew for each batch, as in training"


@node_rule("vector-product", "reshape the vector to a matrix before it")
def check_vector_product(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    """Look for a vector times a stack of matrices; the other order is read right."""
    if node.op_type != "MatMul":
        return
    ranks = [len(view.shapes.get(name, ())) for name in node.input]
    if ranks[:1] == [1] and max(ranks) > 2:
        yield "it multiplies a vector and a stack of matrices, whose shape the parser gets wrong"


@node_rule(
    "not-in-tensorrt-rtx",
    "do this step outside of the graph, or build with the whole TensorRT",
    severity="warning",
)
def check_plugins(node: Any, view: GraphView, parser: TensorRtParser) -> Iterator[str]:
    """Look for operators that the table allows and whose kernels are plugins."""
    reduces = node.op_type == "ScatterElements" and attribute(node, "reduction", "none") != "none"
    if reduces or node.op_type in ("NonMaxSuppression", "NonZero"):
        yield "its kernel is a plugin, which TensorRT for RTX does not have"


def check_size_names(view: GraphView) -> Iterator[Finding]:
    """Look for inputs in which one name stands for several open sizes, such as ``?``."""
    for value in view.inputs:
        dims = value.type.tensor_type.shape.dim
        names = [dim.dim_param for dim in dims if dim.dim_param]
        if shared := sorted({name for name in names if names.count(name) > 1}):
            yield finding(
                value.name,
                "shared-size-name",
                f"it calls several of its sizes {', '.join(map(repr, shared))}: TensorRT builds no "
                "engine in which they differ",
                "give each size a name of its own, or export with fixed sizes",
                severity="warning",
            )


def check_size_inputs(view: GraphView) -> Iterator[Finding]:
    """Look for inputs of the graph whose values, not their shapes, decide a size."""
    import onnx

    whole = {onnx.TensorProto.INT32, onnx.TensorProto.INT64}
    inputs = {value.name for value in view.inputs}
    told: set[str] = set()
    for node in view.nodes:
        for name in _size_operands(node):
            for source in sorted(view.sources(name) & inputs - told):
                told.add(source)
                if view.types.get(source, 0) in whole:
                    yield finding(
                        source,
                        "size-input",
                        f"its values decide a size in {node.op_type}: an engine is built for a "
                        "range of its values, not only of its shape",
                        "export with fixed sizes, or build with values for it (trtexec "
                        "--minShapes --optShapes --maxShapes)",
                        severity="warning",
                    )
                else:
                    yield finding(
                        node,
                        "size-from-float",
                        f"the values of the input {source!r} decide a size, and they are no int32 "
                        "or int64",
                        "export with fixed sizes, or compute sizes in int64",
                    )


def _size_operands(node: Any) -> list[str]:
    places = _SIZES.get(node.op_type, ())
    return [
        name
        for place, name in enumerate(node.input)
        if name and (places is None or place in places)
    ]
