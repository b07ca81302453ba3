"""Inference requests: every form of a tensor is understood, and whatever else is refused, named."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import Any

import numpy as np
import pytest

from server.errors import RequestError
from server.open_inference.datatypes import DATATYPES, V2Spec, bytes_from_elements
from server.open_inference.raw_request import decode_raw_request
from server.open_inference.request import (
    MAX_AXES,
    MAX_TENSORS,
    InferRequest,
    RequestedOutput,
    decode_infer_request,
)

IN_JSON = [name for name, datatype in DATATYPES.items() if datatype.json_code is not None]


def tensor(data: Any, datatype: str = "FP32", shape: Any = (2,), **fields: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "shape": shape, "data": data, **fields}


def binary(size: int, datatype: str = "FP32", shape: Any = (2,)) -> dict[str, Any]:
    parameters = {"binary_data_size": size}
    return {"name": "x", "datatype": datatype, "shape": shape, "parameters": parameters}


def decode(*inputs: Any, tail: bytes | None = None, **fields: Any) -> InferRequest:
    """Decode a request of these inputs; a tail makes it one with a header."""
    header = json.dumps({"inputs": inputs, **fields}).encode()
    return decode_infer_request(header + (tail or b""), None if tail is None else len(header))


def only(request: InferRequest) -> Any:
    (found,) = request.inputs
    return found.data


def refusal(status: int, *words: str) -> Any:
    """Expect a refusal whose message holds these words in this order."""
    return _Refusal(status, words)


class _Refusal:
    def __init__(self, status: int, words: tuple[str, ...]) -> None:
        self._status = status
        self._raises = pytest.raises(RequestError, match=".*".join(map(re.escape, words)))

    def __enter__(self) -> None:
        self._found = self._raises.__enter__()

    def __exit__(self, *error: Any) -> bool:
        suppressed = bool(self._raises.__exit__(*error))
        if suppressed:
            assert self._found.value.status == self._status
            assert len(self._found.value.message) < 600, "no request makes a message long"
        return suppressed


# What is understood.


@pytest.mark.parametrize("name", IN_JSON)
def test_numbers_in_json_are_taken_flat_or_nested_in_row_major_order(name: str) -> None:
    values = [True, False, True, True] if name == "BOOL" else [1, 0, 3, 4]
    flat = only(decode(tensor(values, name, (2, 2))))
    nested = only(decode(tensor([values[:2], values[2:]], name, (2, 2))))
    assert flat.dtype == DATATYPES[name].dtype
    assert flat.shape == (2, 2)
    assert flat.ravel().tolist() == nested.ravel().tolist() == values


def test_numbers_in_json_are_rounded_once_and_extremes_are_kept() -> None:
    assert only(decode(tensor([0.1, -0.0]))).tobytes() == np.float32([0.1, -0.0]).tobytes()
    assert only(decode(tensor([5e-324, 1.7e308], "FP64"))).tolist() == [5e-324, 1.7e308]
    extremes = [-(2**63), 2**63 - 1]
    assert only(decode(tensor(extremes, "INT64"))).tolist() == extremes
    assert only(decode(tensor([0, 2**64 - 1], "UINT64"))).tolist() == [0, 2**64 - 1]


def test_raw_bytes_are_viewed_and_not_copied() -> None:
    values = np.arange(6, dtype=np.float32)
    header = json.dumps({"inputs": [binary(24, shape=(2, 3))]}).encode()
    body = header + values.tobytes()
    found = only(decode_infer_request(body, len(header)))
    assert np.array_equal(found, values.reshape(2, 3))
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


def test_raw_bytes_hold_what_json_cannot() -> None:
    odd = np.array([np.nan, -np.inf], np.float32)
    assert only(decode(binary(8), tail=odd.tobytes())).tobytes() == odd.tobytes()
    half = np.array([0.1, 65504], np.float16)
    assert only(decode(binary(4, "FP16"), tail=half.tobytes())).tolist() == half.tolist()


def test_bf16_becomes_float32_of_the_same_value() -> None:
    # 1.0 and -3.140625 as the upper halves of their float32.
    raw = struct.pack("<2H", 0x3F80, 0xC049)
    found = only(decode(binary(4, "BF16"), tail=raw))
    assert found.dtype == np.float32
    assert found.tolist() == [1.0, -3.140625]


def test_bytes_come_as_strings_as_base64_or_raw() -> None:
    picture = b"\x89PNG\xff"
    assert only(decode(tensor(["a", "ü"], "BYTES"))) == [b"a", "ü".encode()]
    assert only(decode(tensor([["a"], ["b"]], "BYTES", (2, 1)))) == [b"a", b"b"]
    encoded = [base64.b64encode(picture).decode(), ""]
    parameters = {"content_type": "base64"}
    assert only(decode(tensor(encoded, "BYTES", parameters=parameters))) == [picture, b""]
    raw = bytes_from_elements([picture, b""])
    assert only(decode(binary(len(raw), "BYTES"), tail=raw)) == [picture, b""]


def test_tensors_in_json_and_in_bytes_may_be_mixed() -> None:
    first, second = np.float32([1, 2]), np.int64([3, 4])
    request = decode(
        binary(8) | {"name": "first"},
        tensor([7, 8]) | {"name": "between"},
        binary(16, "INT64") | {"name": "second"},
        tail=first.tobytes() + second.tobytes(),
    )
    found = {one.name: np.asarray(one.data).tolist() for one in request.inputs}
    assert found == {"first": [1, 2], "between": [7, 8], "second": [3, 4]}


def test_empty_tensors_have_their_shape() -> None:
    assert only(decode(tensor([], shape=(0, 3)))).shape == (0, 3)
    assert only(decode(tensor([[], []], shape=(2, 0)))).shape == (2, 0)
    assert only(decode(binary(0, shape=(4, 0)), tail=b"")).shape == (4, 0)
    assert only(decode(binary(0, "BOOL", shape=(0,)), tail=b"")).shape == (0,)
    assert only(decode(tensor([], "BYTES", (0,)))) == []
    assert only(decode(tensor([5], shape=()))).shape == ()


def test_id_outputs_and_parameters_are_told() -> None:
    request = decode(
        tensor([1, 2]),
        id="abc",
        outputs=[
            {"name": "p"},
            {"name": "q", "parameters": {"binary_data": False, "classification": 3}},
        ],
        parameters={"binary_data_output": True, "timeout": 1500, "priority": 1},
        of_tomorrow={},
    )
    assert request.id == "abc"
    assert request.timeout_s == 0.0015
    assert request.outputs == (
        RequestedOutput(name="p", binary=True),
        RequestedOutput(name="q", binary=False, classes=3),
    )


@pytest.mark.parametrize("fields", [{}, {"outputs": []}, {"outputs": None, "parameters": None}])
def test_a_request_that_asks_for_nothing_gets_everything_in_json(fields: dict[str, Any]) -> None:
    request = decode(tensor([1, 2]), **fields)
    assert request.id is None
    assert request.outputs is None
    assert not request.binary_output
    assert request.timeout_s is None


# What is refused.


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ("no JSON",)),
        (b"{", ("no JSON", "Inference-Header-Content-Length")),
        (b"\xff\xd8\xff\xe0 a picture", ("no JSON",)),
        (b'{"inputs":[{"data":[NaN]}]}', ("no JSON",)),
        (b"[" * 5000 + b"]" * 5000, ("no JSON",)),
        (b"[]", ("a valid dictionary, got []",)),
        (b"{}", ("inputs: Field required",)),
        (b'{"inputs":{}}', ("inputs: Input should be a valid list, got {}",)),
        (b'{"inputs":[1]}', ("inputs.0: Input should be a valid dictionary, got 1",)),
        (b'{"inputs":[],"id":5}', ("id: Input should be a valid string, got 5",)),
        (b'{"inputs":[],"outputs":5}', ("outputs: Input should be a valid list, got 5",)),
        (b'{"inputs":[],"outputs":[{}]}', ("outputs.0.name: Field required",)),
        (
            b'{"inputs":[],"parameters":[]}',
            ("parameters: Input should be a valid dictionary, got []",),
        ),
        (
            b'{"inputs":[],"parameters":{"timeout":-1}}',
            ("parameters.timeout", "equal to 0, got -1"),
        ),
        (
            b'{"inputs":[],"parameters":{"binary_data_output":1}}',
            ("parameters.binary_data_output", "got 1"),
        ),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, words: tuple[str, ...]) -> None:
    with refusal(400, *words):
        decode_infer_request(body, None)


@pytest.mark.parametrize("length", [0, -1, 4, 10**17])
def test_a_header_length_beyond_the_body_is_refused(length: int) -> None:
    with refusal(400, "Inference-Header-Content-Length", str(length), "3"):
        decode_infer_request(b"{} ", length)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": None}, ("inputs.0.name", "a valid string, got None")),
        ({"name": 5}, ("inputs.0.name", "a valid string, got 5")),
        ({"name": "a" * 257}, ("inputs.0.name", "256 characters, got 'aaa")),
        ({"datatype": None}, ("inputs.0.datatype", "got None")),
        ({"datatype": "FLOAT"}, ("inputs.0.datatype", "FP32", "got 'FLOAT'")),
        ({"datatype": ["FP32"]}, ("inputs.0.datatype", "got ['FP32']")),
        ({"datatype": "FP16"}, ("input 'x' is FP16", "binary")),
        ({"datatype": "BF16"}, ("input 'x' is BF16", "binary")),
        ({"shape": None}, ("inputs.0.shape", "got None")),
        ({"shape": 2}, ("inputs.0.shape", "got 2")),
        ({"shape": [-1]}, ("inputs.0.shape.0", "equal to 0, got -1")),
        ({"shape": [2.0]}, ("inputs.0.shape.0", "a valid integer, got 2.0")),
        ({"shape": [True, 2]}, ("inputs.0.shape.0", "a valid integer, got True")),
        ({"shape": [3]}, ("2 elements", "needs 3")),
        ({"shape": [2**63, 2**63]}, ("2 elements", "needs")),
        ({"shape": [1] * (MAX_AXES + 1)}, ("inputs.0.shape", str(MAX_AXES))),
        ({"shape": [0, 2**62, 8], "data": []}, ("data of input 'x' cannot be used",)),
        ({"shape": [0, 10**19], "data": []}, ("data of input 'x' cannot be used",)),
        ({"data": None}, ("inputs.0.data", "a valid list, got None")),
        ({"data": "12"}, ("inputs.0.data", "a valid list, got '12'")),
        ({"data": [1, None]}, ("element 1 of input 'x' is None", "FP32")),
        ({"data": [1, "2"]}, ("element 1 of input 'x' is '2'", "FP32")),
        ({"data": [1, 1e39]}, ("element 1 of input 'x' is 1e+39", "FP32")),
        ({"data": [1, {}]}, ("element 1 of input 'x' is {}", "FP32")),
        ({"data": [1, [2]]}, ("element 1 of input 'x' is [2]", "FP32")),
        ({"data": [[1], 2]}, ("input 'x' are ragged",)),
        ({"data": [[1], [2, 3]]}, ("input 'x' are ragged",)),
        ({"data": [[1], {"2": 3}]}, ("input 'x' are ragged",)),
        ({"datatype": "UINT8", "data": [255, 256]}, ("element 1", "256", "UINT8")),
        ({"datatype": "INT8", "data": [-129, 0]}, ("element 0", "-129", "INT8")),
        ({"datatype": "INT64", "data": [0, 2**63]}, ("element 1", "INT64")),
        ({"datatype": "UINT64", "data": [-1, 0]}, ("element 0", "-1", "UINT64")),
        ({"datatype": "INT32", "data": [0, 1.0]}, ("element 1", "1.0", "INT32")),
        ({"datatype": "BOOL", "data": [True, 1]}, ("element 1", "1", "true or false")),
        ({"datatype": "BYTES", "data": ["a", 1]}, ("element 1 of input 'x' is 1", "a string")),
        ({"datatype": "BYTES", "data": [["a"], "b"]}, ("input 'x' are ragged",)),
        (
            {"datatype": "BYTES", "data": ["a", "é"], "parameters": {"content_type": "base64"}},
            ("element 0 of input 'x' is 'a'", "base64"),
        ),
        ({"parameters": 1}, ("inputs.0.parameters", "a valid dictionary, got 1")),
        (
            {"parameters": {"binary_data_size": 8}},
            ("input 'x' has both data and a binary_data_size",),
        ),
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_refused(
    change: dict[str, Any], words: tuple[str, ...]
) -> None:
    with refusal(400, *words):
        decode(tensor([1, 2]) | change)


def test_a_tensor_without_any_elements_is_refused() -> None:
    entry = {"name": "x", "datatype": "FP32", "shape": [2]}
    with refusal(400, "input 'x' has neither data nor a binary_data_size"):
        decode(entry)


def test_the_first_unfit_of_many_elements_is_named() -> None:
    values: list[Any] = [0.5] * 10_000
    values[6543] = values[9000] = None
    with refusal(400, "element 6543 of input 'x' is None"):
        decode(tensor(values, shape=[10_000]))


@pytest.mark.parametrize(
    ("entry", "tail", "words"),
    [
        (binary(8), b"1234567", ("binary_data_size of input 'x' is 8", "only 7 bytes")),
        (binary(8), b"123456789", ("9 bytes follow the JSON", "expected 8")),
        (binary(7), b"1234567", ("input 'x' is 7", "expected 8", "FP32", "[2]")),
        (binary(-1), b"", ("binary_data_size", "equal to 0, got -1")),
        (binary(10**18), b"", ("binary_data_size of input 'x'", "only 0 bytes")),
        (binary(8, shape=(2**40,)), b"12345678", ("input 'x' is 8", "expected 4398046511104")),
        (binary(0, shape=(0, 2**62, 8)), b"", ("data of input 'x' cannot be used",)),
        (binary(2, "BOOL"), b"\x01\x02", ("input 'x' cannot be used", "0 or 1")),
        (binary(3, "BYTES"), b"\1\0\0", ("input 'x' cannot be used", "length of an element")),
        (binary(5, "BYTES"), b"\2\0\0\0a", ("input 'x' cannot be used", "2 bytes", "1 are left")),
        (binary(4, "BYTES"), bytes(4), ("input 'x' have 1 elements", "needs 2")),
        (tensor([1, 2]), b"rest", ("4 bytes follow the JSON", "expected 0")),
    ],
)
def test_bytes_that_do_not_fit_their_tensor_are_refused(
    entry: dict[str, Any], tail: bytes, words: tuple[str, ...]
) -> None:
    with refusal(400, *words):
        decode(entry, tail=tail)


def test_a_binary_tensor_without_the_header_is_told_about_it() -> None:
    with refusal(400, "only 0 bytes", "Inference-Header-Content-Length"):
        decode(binary(8))


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([{"name": "p"}, {"name": "p"}], ("'p' is twice among the outputs",)),
        (
            [{"name": "p", "parameters": {"binary_data": "yes"}}],
            ("outputs.0.parameters.binary_data", "got 'yes'"),
        ),
        (
            [{"name": "p", "parameters": {"classification": -1}}],
            ("outputs.0.parameters.classification", "-1"),
        ),
        (
            [{"name": "p", "parameters": {"classification": True}}],
            ("outputs.0.parameters.classification", "True"),
        ),
    ],
)
def test_outputs_that_make_no_sense_are_refused(
    outputs: list[dict[str, Any]], words: tuple[str, ...]
) -> None:
    with refusal(400, *words):
        decode(tensor([1, 2]), outputs=outputs)


def test_a_name_may_come_once() -> None:
    with refusal(400, "'x' is twice among the inputs"):
        decode(tensor([1, 2]), tensor([3, 4]))


def test_no_request_keeps_the_server_busy_with_tensors_that_no_model_has() -> None:
    many = [tensor([1, 2]) | {"name": str(number)} for number in range(MAX_TENSORS + 1)]
    assert len(decode(*many[:-1]).inputs) == MAX_TENSORS
    with refusal(400, "inputs", f"at most {MAX_TENSORS} items", str(MAX_TENSORS + 1)):
        decode(*many)


def test_tensors_in_shared_memory_are_not_offered() -> None:
    parameters = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    with refusal(501, "input 'x'", "shared memory"):
        decode(tensor([1, 2], parameters=parameters))
    with refusal(501, "output 'p'", "shared memory"):
        decode(tensor([1, 2]), outputs=[{"name": "p", "parameters": parameters}])


# Requests of nothing but bytes.


def test_a_body_of_nothing_but_numbers_is_a_tensor_of_as_many_rows_as_it_has() -> None:
    spec = V2Spec(name="x", datatype="FP32", shape=(-1, 3))
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    request = decode_raw_request(values.tobytes(), [spec])
    assert np.array_equal(only(request), values)
    assert request.inputs[0].shape == (2, 3)
    assert request.outputs is None
    assert request.binary_output


@pytest.mark.parametrize(
    ("shapes", "body", "words"),
    [
        ([(-1, 3)], bytes(13), ("13 bytes", "a multiple of 12", "'x0'")),
        ([(-1, 3)], b"", ("0 bytes", "a multiple of 12")),
        ([(3,)], bytes(24), ("24 bytes", "expected 12")),
        ([(-1, 0)], bytes(8), ("8 bytes",)),
        ([(-1, -1)], bytes(8), ("one open size at most", "x0")),
        ([(2,), (2,)], bytes(8), ("one input", "x0", "x1")),
        ([], bytes(8), ("one input",)),
    ],
)
def test_a_tensor_that_cannot_be_told_from_its_bytes_is_refused(
    shapes: list[tuple[int, ...]], body: bytes, words: tuple[str, ...]
) -> None:
    specs = [
        V2Spec(name=f"x{number}", datatype="FP32", shape=shape)
        for number, shape in enumerate(shapes)
    ]
    with refusal(400, *words):
        decode_raw_request(body, specs)


def test_nothing_but_bytes_is_still_checked() -> None:
    with refusal(400, "BYTES"):
        decode_raw_request(b"a", [V2Spec(name="x", datatype="BYTES", shape=(-1,))])
    with refusal(400, "'x' cannot be used", "0 or 1"):
        decode_raw_request(b"\x02", [V2Spec(name="x", datatype="BOOL", shape=(-1,))])
