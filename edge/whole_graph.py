"""A network's graph from canonical images to calibrated probabilities, made as it is loaded.

ONNX Runtime then does in one run what is else a run between eight calls of numpy. For one image
these cost a quarter of a small network: by what they displace in the caches, more than by what they
compute.

`onnx`, which only exports need, is not imported: protobuf comes with ONNX Runtime.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.preprocessing import affine_from_spec
from edge.sidecar import Sidecar

#: Input of a whole graph, (N, height, width, C) uint8, and its output, (N, classes) float32.
CANONICAL, PROBABILITIES = "bicameral_canonical", "bicameral_probabilities"

#: As much of onnx.proto as is needed to put nodes into a graph.
_ONNX = """\
ModelProto: graph 7 GraphProto
GraphProto: node 1 NodeProto*, input 11 ValueInfoProto*, output 12 ValueInfoProto*
NodeProto: input 1 string*, output 2 string*, op_type 4 string, attribute 5 AttributeProto*
AttributeProto: name 1 string, i 3 int64, t 5 TensorProto, ints 8 int64*, type 20 int32
TensorProto: dims 1 int64*, data_type 2 int32, raw_data 9 bytes
ValueInfoProto: name 1 string, type 2 TypeProto
TypeProto: tensor_type 1 Tensor
Tensor: elem_type 1 int32, shape 2 TensorShapeProto
TensorShapeProto: dim 1 Dimension*
Dimension: dim_value 1 int64, dim_param 2 string
"""

# Numbers in onnx.proto, of types of elements and of types of attributes.
_ELEMENTS = {"float32": 1, "uint8": 2, "float64": 11}
_ATTRIBUTES = {"i": 2, "t": 4, "ints": 7}


def whole_graph(model: bytes, sidecar: Sidecar) -> bytes | None:
    """Return a classifier's graph with scaling before it, and temperature and softmax after it.

    The nodes do what `edge.preprocessing.tensor_from_canonical` and
    `edge.probabilities.calibrated_probabilities` do, in the same order and precision.

    Args:
        model: Content of the ONNX file.
        sidecar: Its sidecar, which it fits.

    Returns:
        Content of an ONNX file with the input `CANONICAL` and the output `PROBABILITIES`; None for
        a graph that scales by itself or does not give logits (N, classes).
    """
    taken, image = sidecar.input, sidecar.input.image
    answers = [one for one in sidecar.outputs if one.meaning == "logits"]
    if taken.in_graph or len(answers) != 1 or len(answers[0].shape) != 2:
        return None
    colours_first = taken.layout == "NCHW"
    gain, offset = (
        values.reshape((-1, 1, 1) if colours_first else (-1,)) for values in affine_from_spec(image)
    )
    pixels = "bicameral_pixels" if colours_first else CANONICAL
    before = [
        _constant("bicameral_gain", gain),
        _constant("bicameral_offset", offset),
        *([_node("Transpose", CANONICAL, pixels, perm=(0, 3, 1, 2))] if colours_first else ()),
        _cast(pixels, "bicameral_levels", "float32"),
        _node("Mul", "bicameral_levels bicameral_gain", "bicameral_product"),
        _node("Add", "bicameral_product bicameral_offset", taken.name),
    ]
    after = [
        _constant("bicameral_temperature", np.array(sidecar.calibration.temperature)),
        _cast(answers[0].name, "bicameral_logits", "float64"),
        _node("Div", "bicameral_logits bicameral_temperature", "bicameral_calibrated"),
        # Its axis is the second or the last one, as the operator set is.
        _node("Softmax", "bicameral_calibrated", "bicameral_softmax"),
        _cast("bicameral_softmax", PROBABILITIES, "float32"),
    ]
    whole = _messages()["ModelProto"].FromString(model)
    graph = whole.graph
    nodes = [*before, *graph.node, *after]
    inputs = [one for one in graph.input if one.name != taken.name]
    for field in (graph.node, graph.input, graph.output):
        del field[:]
    graph.node.extend(nodes)
    graph.input.extend(inputs)
    _describe(graph.input.add(name=CANONICAL), "uint8", image.height, image.width, image.channels)
    _describe(graph.output.add(name=PROBABILITIES), "float32", len(sidecar.labels))
    return bytes(whole.SerializeToString())


@cache
def _messages() -> dict[str, Any]:
    from bicameral.protobuf import message_classes  # imported for those who need it

    return message_classes("bicameral.onnx", _ONNX, syntax="proto2")


def _node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    """Return a node; its inputs have spaces between them."""
    node = _messages()["NodeProto"](op_type=operator, input=inputs.split(), output=[output])
    for name, value in attributes.items():
        kind = {int: "i", tuple: "ints"}.get(type(value), "t")
        node.attribute.add(name=name, type=_ATTRIBUTES[kind], **{kind: value})
    return node


def _cast(taken: str, output: str, dtype: str) -> Any:
    return _node("Cast", taken, output, to=_ELEMENTS[dtype])


def _constant(output: str, values: NDArray[np.floating]) -> Any:
    tensor = _messages()["TensorProto"](
        dims=values.shape, data_type=_ELEMENTS[values.dtype.name], raw_data=values.tobytes()
    )
    return _node("Constant", "", output, value=tensor)


def _describe(value: Any, dtype: str, *sizes: int) -> None:
    """Describe an input or an output of any number of rows."""
    tensor = value.type.tensor_type
    tensor.elem_type = _ELEMENTS[dtype]
    tensor.shape.dim.add(dim_param="bicameral_rows")
    for size in sizes:
        tensor.shape.dim.add(dim_value=size)
