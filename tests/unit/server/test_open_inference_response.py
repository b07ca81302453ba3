"""Answers: the protocol's JSON, raw bytes behind it, and the highest classes as text."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from server.errors import RequestError
from server.open_inference.classification import top_classes
from server.open_inference.datatypes import Tensor
from server.open_inference.request import RequestedOutput
from server.open_inference.response import encode_infer_response

LOGITS = np.array([[0.5, -1.25, 3.0], [2.0, 2.0, -4.0]], np.float32)


Encoded = tuple[bytes, int | None]


def given(data: Tensor, name: str = "x", **form: Any) -> tuple[RequestedOutput, Tensor]:
    """Return what is asked for, with what answers it."""
    return RequestedOutput(name=name, **form), data


def encode(
    *outputs: tuple[RequestedOutput, Tensor],
    request_id: str | None = None,
    labels: Sequence[str] = (),
) -> Encoded:
    tensors = {wanted.name: data for wanted, data in outputs}
    return encode_infer_response(
        ("net", "7"), request_id, [wanted for wanted, _ in outputs], tensors, labels
    )


def parsed(encoded: Encoded) -> tuple[dict[str, Any], bytes]:
    """Return the JSON and the bytes behind it, as a client sees them."""
    body, length = encoded
    return json.loads(body[:length]), b"" if length is None else body[length:]


def test_an_answer_in_json_is_all_json() -> None:
    encoded = encode(given(name="logits", data=LOGITS), request_id="abc")
    assert encoded[1] is None
    assert parsed(encoded) == (
        {
            "model_name": "net",
            "model_version": "7",
            "id": "abc",
            "outputs": [
                {
                    "name": "logits",
                    "datatype": "FP32",
                    "shape": [2, 3],
                    "data": [0.5, -1.25, 3.0, 2.0, 2.0, -4.0],
                }
            ],
        },
        b"",
    )


def test_a_request_without_an_id_is_answered_without_one() -> None:
    assert "id" not in parsed(encode())[0]


def test_an_empty_id_is_echoed_like_any_other() -> None:
    assert parsed(encode(request_id=""))[0]["id"] == ""


def test_binary_outputs_follow_the_json_in_their_order() -> None:
    count = np.array([3, 4], np.int64)
    encoded = encode(
        given(name="logits", data=LOGITS, binary=True),
        given(name="kept", data=count),
        given(name="count", data=count, binary=True),
        given(name="stage", data=[b"a", b""], binary=True),
    )
    header, tail = parsed(encoded)
    stage = struct.pack("<I1sI", 1, b"a", 0)
    assert tail == LOGITS.tobytes() + count.tobytes() + stage
    sizes = [output.get("parameters", {}).get("binary_data_size") for output in header["outputs"]]
    assert sizes == [24, None, 16, len(stage)]
    assert ["data" in output for output in header["outputs"]] == [False, True, False, False]


def test_arrays_that_lie_crooked_in_memory_are_sent_in_row_major_order() -> None:
    turned = LOGITS.T
    assert parsed(encode(given(data=turned, binary=True)))[1] == turned.tobytes()
    (output,) = parsed(encode(given(data=turned)))[0]["outputs"]
    assert (output["shape"], output["data"]) == ([3, 2], turned.ravel().tolist())


def test_bytes_go_out_little_endian_wherever_they_come_from() -> None:
    values = np.array([1, 2], ">f4")
    header, tail = parsed(encode(given(data=values, binary=True)))
    assert header["outputs"][0]["datatype"] == "FP32"
    assert tail == struct.pack("<2f", 1, 2)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_empty_outputs_are_possible(shape: tuple[int, ...]) -> None:
    empty = np.zeros(shape, np.float32)
    header, tail = parsed(encode(given(data=empty, binary=True)))
    assert header["outputs"][0]["parameters"] == {"binary_data_size": 0}
    assert tail == b""
    assert parsed(encode(given(data=empty)))[0]["outputs"][0]["data"] == []


def test_in_json_a_value_that_is_no_number_is_null_and_raw_bytes_keep_it() -> None:
    odd = np.array([1, np.nan, np.inf], np.float32)
    (output,) = parsed(encode(given(data=odd)))[0]["outputs"]
    assert output["data"] == [1.0, None, None]
    assert parsed(encode(given(data=odd, binary=True)))[1] == odd.tobytes()


def test_truth_values_and_texts_are_json_of_their_kind() -> None:
    header, _ = parsed(
        encode(
            given(name="hit", data=np.array([True, False])),
            given(name="stage", data=[b"a", "ü".encode()]),
        )
    )
    hit, stage = header["outputs"]
    assert (hit["datatype"], hit["data"]) == ("BOOL", [True, False])
    assert (stage["datatype"], stage["shape"], stage["data"]) == ("BYTES", [2], ["a", "ü"])


@pytest.mark.parametrize(
    ("data", "words"),
    [(np.zeros(2, np.float16), "'x' is FP16.*binary_data"), ([b"\xff"], "'x'.*UTF-8.*binary_data")],
)
def test_what_json_cannot_hold_must_be_asked_for_in_bytes(data: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        encode(given(data=data))
    assert refused.value.status == 400
    assert encode(given(data=data, binary=True))[1] is not None


def test_the_highest_classes_come_as_value_index_and_label() -> None:
    output = given(name="logits", data=LOGITS, classes=2)
    header, _ = parsed(encode(output, labels=["cat", "dog", "ship"]))
    assert header["outputs"] == [
        {
            "name": "logits",
            "datatype": "BYTES",
            "shape": [2, 2],
            "data": ["3.000000:2:ship", "0.500000:0:cat", "2.000000:0:cat", "2.000000:1:dog"],
        }
    ]


def test_the_highest_classes_may_come_in_bytes() -> None:
    _, tail = parsed(encode(given(data=LOGITS[:1], classes=1, binary=True)))
    assert tail == struct.pack("<I", 10) + b"3.000000:2"


@pytest.mark.parametrize("data", [[b"a"], np.zeros(3, np.float32), np.zeros((2, 2), np.bool_)])
def test_what_has_no_classes_cannot_be_ranked(data: Any) -> None:
    with pytest.raises(RequestError, match=r"'x' has no classes.*classification") as refused:
        encode(given(data=data, classes=1))
    assert refused.value.status == 400


def test_more_classes_than_there_are_give_all_of_them() -> None:
    elements, shape = top_classes(np.array([[1.0, 2.0]]), 10**12, [])
    assert (elements, shape) == ([b"2.000000:1", b"1.000000:0"], (1, 2))


def test_labels_of_another_number_of_classes_are_not_used() -> None:
    elements, _ = top_classes(np.array([[1.0, 2.0]]), 1, ["cat", "dog", "ship"])
    assert elements == [b"2.000000:1"]


def test_integers_are_ranked_as_they_are() -> None:
    values = np.array([[2**64 - 2, 2**64 - 1, 0]], np.uint64)
    elements, _ = top_classes(values, 2, [])
    assert elements == [b"18446744073709551615:1", b"18446744073709551614:0"]


def test_a_value_that_is_no_number_is_not_overlooked() -> None:
    elements, _ = top_classes(np.array([[1.0, np.nan, 3.0]]), 2, [])
    assert elements == [b"nan:1", b"3.000000:2"]


def test_classes_are_ranked_along_the_last_axis() -> None:
    values = np.arange(12.0).reshape(2, 2, 3)
    elements, shape = top_classes(values, 1, [])
    assert shape == (2, 2, 1)
    assert elements == [b"2.000000:2", b"5.000000:2", b"8.000000:2", b"11.000000:2"]
