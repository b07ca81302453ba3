"""What the official client writes is read back, what it reads was written; noise is only refused.

Triton's own Python client encodes the requests and decodes the answers here.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from server.errors import RequestError
from server.http.compression import inflate
from server.open_inference.datatypes import (
    DATATYPE_NAMES,
    DATATYPES,
    V2Spec,
    bytes_elements,
    bytes_from_elements,
)
from server.open_inference.raw_request import decode_raw_request
from server.open_inference.request import InferRequest, RequestedOutput, decode_infer_request
from server.open_inference.response import encode_infer_response

T = TypeVar("T")

NAMES = [name for name in DATATYPES if name != "BF16"]
SHAPES = st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@st.composite
def arrays(draw: st.DrawFn, *, json_only: bool = False) -> np.ndarray:
    """Return an array of any datatype and shape; for JSON one without NaN and infinities."""
    names = [name for name in NAMES if not json_only or DATATYPES[name].json_code is not None]
    dtype = DATATYPES[draw(st.sampled_from(names))].dtype
    elements = None
    if dtype.kind == "f":
        limits = {} if not json_only else {"allow_nan": False, "allow_infinity": False}
        elements = st_numpy.from_dtype(dtype, **limits)
    return draw(st_numpy.arrays(dtype, draw(SHAPES), elements=elements))


def client_input(name: str, array: np.ndarray, *, binary: bool) -> InferInput:
    datatype = next((n for n in NAMES if DATATYPES[n].dtype == array.dtype), "BYTES")
    found = InferInput(name, list(array.shape), datatype)
    return found.set_data_from_numpy(array, binary_data=binary)


def decoded(inputs: list[InferInput], **fields: Any) -> InferRequest:
    body, length = InferenceServerClient.generate_request_body(inputs, **fields)
    return decode_infer_request(body, length)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(arrays(), arrays(json_only=True)), min_size=1, max_size=4), st.data())
def test_tensors_of_the_client_are_read_bit_by_bit(
    tensors: list[np.ndarray], data: st.DataObject
) -> None:
    inputs = []
    for number, array in enumerate(tensors):
        odd = array.dtype.kind == "f" and not np.isfinite(array).all()
        must = odd or array.dtype == np.float16
        binary = must or data.draw(st.booleans(), label="binary")
        inputs.append(client_input(f"x{number}", array, binary=binary))
    request = decoded(inputs, request_id="abc")
    assert request.id == "abc"
    assert [tensor.name for tensor in request.inputs] == [entry.name() for entry in inputs]
    for tensor, array in zip(request.inputs, tensors, strict=True):
        found = np.asarray(tensor.data)
        assert tensor.shape == found.shape == array.shape
        assert found.dtype == array.dtype
        assert found.tobytes() == array.tobytes()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=6), st.booleans())
def test_bytes_of_the_client_are_read(elements: list[bytes], nested: bool) -> None:
    array = np.array([*elements, None], object)[:-1]
    if nested:
        array = array.reshape(-1, 1)
    (tensor,) = decoded([client_input("x", array, binary=True)]).inputs
    assert tensor.data == elements
    assert list(bytes_elements(memoryview(bytes_from_elements(elements)))) == elements


@settings(deadline=None)
@given(st.lists(st.text(max_size=20), max_size=6))
def test_texts_of_the_client_are_read(texts: list[str]) -> None:
    try:
        expected = [text.encode() for text in texts]
    except UnicodeEncodeError:
        return
    array = np.array([*texts, None], object)[:-1]
    (tensor,) = decoded([client_input("x", array, binary=False)]).inputs
    assert tensor.data == expected


@settings(deadline=None)
@given(st_numpy.arrays(np.uint16, SHAPES))
def test_every_bf16_is_read_exactly(bits: np.ndarray) -> None:
    parameters = {"binary_data_size": bits.nbytes}
    tensor = {"name": "x", "datatype": "BF16", "shape": bits.shape, "parameters": parameters}
    header = json.dumps({"inputs": [tensor]}).encode()
    (found,) = decode_infer_request(header + bits.tobytes(), len(header)).inputs
    assert isinstance(found.data, np.ndarray)
    assert np.array_equal(found.data.view(np.uint32) >> 16, bits)
    assert not np.any(found.data.view(np.uint32) & 0xFFFF)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(arrays(), st.booleans()), max_size=4))
def test_the_client_reads_what_was_written(outputs: list[tuple[np.ndarray, bool]]) -> None:
    wanted = [
        RequestedOutput(name=f"y{number}", binary=binary or array.dtype == np.float16)
        for number, (array, binary) in enumerate(outputs)
    ]
    tensors = {one.name: array for one, (array, _) in zip(wanted, outputs, strict=True)}
    body, length = encode_infer_response(("net", "1"), None, wanted, tensors)
    result = InferenceServerClient.parse_response_body(body, header_length=length)
    for tensor in wanted:
        found = result.as_numpy(tensor.name)
        expected = np.asarray(tensors[tensor.name])
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        if tensor.binary:
            assert found.tobytes() == expected.tobytes()
        elif expected.dtype.kind == "f":  # in JSON infinities are no numbers either
            expected = np.where(np.isfinite(expected), expected, np.nan)
            assert np.array_equal(found, expected, equal_nan=True)
        else:
            assert np.array_equal(found, expected)


@settings(deadline=None)
@given(st.booleans(), st.one_of(st.none(), st.booleans()), st.integers(0, 5))
def test_outputs_are_asked_for_as_the_client_does(
    all_outputs: bool, binary: bool | None, classes: int
) -> None:
    entry = client_input("x", np.zeros(1, np.float32), binary=True)
    if all_outputs:
        request = decoded([entry])
        assert (request.outputs, request.binary_output) == (None, True)
        return
    options = {} if binary is None else {"binary_data": binary}
    asked = InferRequestedOutput("y", class_count=classes, **options)
    (output,) = decoded([entry], outputs=[asked]).outputs or ()
    assert (output.name, output.binary, output.classes) == ("y", binary is not False, classes)


# Noise: everything ends in an answer or in a RequestError.

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 300),
    st.sampled_from([2**31, 2**53 + 1, 2**62, 2**63, 2**64, 10**30, -(2**63) - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "x", "\x00", "a" * 300, "9" * 30, float("nan")]),
    st.sampled_from([[], {}, [[]], [[1], [2, 3]], [[1], 2], {"data": [1]}, [None], [[[[5]]]]]),
    st.sampled_from(DATATYPE_NAMES),
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """Return the JSON of a right request and the bytes that follow it."""
    inputs, tail = [], b""
    for number in range(draw(st.integers(1, 3))):
        binary = draw(st.booleans())
        array = draw(arrays(json_only=not binary))
        entry = client_input(f"x{number}", array, binary=binary)._get_tensor()
        inputs.append(json.loads(json.dumps(entry)))
        tail += array.tobytes() if binary else b""
    request: dict[str, Any] = {"id": "abc", "inputs": inputs, "parameters": {"timeout": 5}}
    if draw(st.booleans()):
        parameters = {"binary_data": True, "classification": 2}
        request["outputs"] = [{"name": "p", "parameters": parameters}]
    return request, tail


def spoil(request: dict[str, Any], data: st.DataObject) -> None:
    """Replace, remove or double something somewhere in a request."""
    node: Any = request
    while True:
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
        )
        inner = node[key]
        if not (
            isinstance(inner, dict | list) and inner and data.draw(st.integers(0, 3), "deeper")
        ):
            break
        node = inner
    what = data.draw(st.sampled_from(["replace", "replace", "remove", "double"]), "what")
    if what == "remove":
        del node[key]
    elif what == "double" and isinstance(node, list):
        node.append(inner)
    else:
        node[key] = copy.deepcopy(data.draw(ODD, "odd"))


FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(read: Callable[[], T]) -> T | RequestError:
    try:
        return read()
    except RequestError as error:
        return error


def decode_or_refuse(body: bytes, header_length: int | None) -> None:
    """Decode; whatever is accepted is what it says."""
    found = outcome(lambda: decode_infer_request(body, header_length))
    if isinstance(found, RequestError):
        assert found.status in (400, 501)
        assert 0 < len(found.message) < 1000
        return
    for tensor in found.inputs:
        size = len(tensor.data) if isinstance(tensor.data, list) else tensor.data.size
        assert math.prod(tensor.shape) == size


@FUZZ
@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(-1, 300)))
def test_noise_is_refused(body: bytes, header_length: int | None) -> None:
    decode_or_refuse(body, header_length)


@FUZZ
@given(requests(), st.integers(1, 4), st.data())
def test_requests_that_are_nearly_right_are_taken_or_refused(
    right: tuple[dict[str, Any], bytes], faults: int, data: st.DataObject
) -> None:
    request, tail = right
    for _ in range(faults):
        if request:
            spoil(request, data)
    header = json.dumps(request).encode()
    decode_or_refuse(header + tail, len(header))


@FUZZ
@given(requests(), st.integers(-40, 8), st.integers(0, 3), st.data())
def test_truncated_and_damaged_requests_are_taken_or_refused(
    right: tuple[dict[str, Any], bytes], off: int, flips: int, data: st.DataObject
) -> None:
    request, tail = right
    header = json.dumps(request).encode()
    body = bytearray((header + tail + bytes(max(off, 0)))[: off if off < 0 else None])
    for _ in range(flips):
        if body:
            body[data.draw(st.integers(0, len(body) - 1), "at")] ^= data.draw(
                st.integers(1, 255), "flip"
            )
    length = data.draw(st.sampled_from([None, len(header), len(header), len(header) - 1]))
    decode_or_refuse(bytes(body), length)


@FUZZ
@given(st.sampled_from(DATATYPE_NAMES), st.lists(st.integers(-1, 4), max_size=3), st.binary())
def test_raw_requests_are_taken_or_refused(datatype: str, shape: list[int], body: bytes) -> None:
    spec = V2Spec(name="x", datatype=datatype, shape=tuple(shape))
    found = outcome(lambda: decode_raw_request(body, [spec]))
    if isinstance(found, RequestError):
        assert found.status == 400
    else:
        assert len(found.inputs[0].shape) == len(shape)


@FUZZ
@given(st.binary(), st.sampled_from(["gzip", "deflate", "br", ""]), st.integers(1, 50))
def test_noise_is_not_inflated(body: bytes, encoding: str, limit: int) -> None:
    found = outcome(lambda: inflate(body, encoding, limit))
    if isinstance(found, RequestError):
        assert found.status in (400, 413, 415)
    else:
        assert len(found) <= limit
