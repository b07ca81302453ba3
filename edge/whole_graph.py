"""A network's graph from canonical images to calibrated probabilities, made as it is loaded.

ONNX Runtime then does in one run what is else a run between eight calls of numpy. For one image
these cost a quarter of a small network: by what they displace in the caches, more than by what they
compute.

`onnx`, which only exports need, is not imported. A protobuf message is a row of fields in any
order, and a field that repeats has as many values as it occurs times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.preprocessing import affine_from_spec
from edge.sidecar import Sidecar

#: Input of a whole graph, (N, height, width, C) uint8, and its output, (N, classes) float32.
CANONICAL, PROBABILITIES = "bicameral_canonical", "bicameral_probabilities"

# Numbers in onnx.proto: of fields, of types of elements, and of types of attributes.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 11, 12
_ELEMENTS = {"float32": 1, "uint8": 2, "float64": 11}
_INT, _TENSOR, _INTS = 2, 4, 7

# How the content of a field is written.
_VARINT, _EIGHT_BYTES, _SIZED = 0, 1, 2


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
    gain, offset = affine_from_spec(image)
    of_colours = (-1, 1, 1) if colours_first else (-1,)
    before = [
        _value(_GRAPH_INPUT, CANONICAL, "uint8", [image.height, image.width, image.channels]),
        _constant("bicameral_gain", gain.reshape(of_colours)),
        _constant("bicameral_offset", offset.reshape(of_colours)),
        _node("Transpose", [CANONICAL], "bicameral_pixels", _attribute("perm", 0, 3, 1, 2))
        if colours_first
        else _node("Identity", [CANONICAL], "bicameral_pixels"),
        _cast("bicameral_pixels", "bicameral_levels", "float32"),
        _node("Mul", ["bicameral_levels", "bicameral_gain"], "bicameral_product"),
        _node("Add", ["bicameral_product", "bicameral_offset"], taken.name),
    ]
    after = [
        _constant("bicameral_temperature", np.array(sidecar.calibration.temperature)),
        _cast(answers[0].name, "bicameral_logits", "float64"),
        _node("Div", ["bicameral_logits", "bicameral_temperature"], "bicameral_calibrated"),
        # Its axis is the second or the last one, as the operator set is.
        _node("Softmax", ["bicameral_calibrated"], "bicameral_softmax"),
        _cast("bicameral_softmax", PROBABILITIES, "float32"),
        _value(_GRAPH_OUTPUT, PROBABILITIES, "float32", [len(sidecar.labels)]),
    ]
    kept = []
    for number, field, content in _fields(model):
        if number == _MODEL_GRAPH:
            inside = (
                inner
                for of, inner, value in _fields(content)
                if of != _GRAPH_OUTPUT and not (of == _GRAPH_INPUT and _name(value) == taken.name)
            )
            field = _sized(_MODEL_GRAPH, *before, *inside, *after)
        kept.append(field)
    return b"".join(kept)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield of each field of a message its number, all of it, and its content."""
    end = 0
    while end < len(message):
        begin = end
        tag, content = _read_varint(message, begin)
        kind = tag & 7
        if kind == _VARINT:
            _, end = _read_varint(message, content)
        elif kind == _SIZED:
            size, content = _read_varint(message, content)
            end = content + size
        else:
            end = content + (8 if kind == _EIGHT_BYTES else 4)
        yield tag >> 3, message[begin:end], message[content:end]


def _name(value: bytes) -> str:
    """Return the name of an input."""
    return next(content.decode() for number, _, content in _fields(value) if number == 1)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and where it ends."""
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] < 0x80:
            return value, at


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _sized(field: int, *contents: bytes | str) -> bytes:
    content = b"".join(one.encode() if isinstance(one, str) else one for one in contents)
    return _varint(field << 3 | _SIZED) + _varint(len(content)) + content


def _node(operator: str, inputs: Sequence[str], output: str, *attributes: bytes) -> bytes:
    taken = [_sized(1, one) for one in inputs]
    return _sized(_GRAPH_NODE, *taken, _sized(2, output), _sized(4, operator), *attributes)


def _attribute(name: str, *values: int) -> bytes:
    """Write an attribute of several whole numbers."""
    numbers = [_number(8, value) for value in values]
    return _sized(5, _sized(1, name), *numbers, _number(20, _INTS))


def _cast(taken: str, output: str, dtype: str) -> bytes:
    to = _sized(5, _sized(1, "to"), _number(3, _ELEMENTS[dtype]), _number(20, _INT))
    return _node("Cast", [taken], output, to)


def _constant(output: str, values: NDArray[np.floating]) -> bytes:
    sizes = [_number(1, size) for size in values.shape]
    tensor = _sized(
        5, *sizes, _number(2, _ELEMENTS[values.dtype.name]), _sized(9, values.tobytes())
    )
    return _node(
        "Constant", [], output, _sized(5, _sized(1, "value"), tensor, _number(20, _TENSOR))
    )


def _value(field: int, name: str, dtype: str, sizes: Sequence[int]) -> bytes:
    """Describe an input or an output of any number of rows."""
    rows = [_sized(1, _sized(2, "bicameral_rows")), *(_sized(1, _number(1, one)) for one in sizes)]
    tensor = _sized(1, _number(1, _ELEMENTS[dtype]), _sized(2, *rows))
    return _sized(field, _sized(1, name), _sized(2, tensor))
