"""From the tensors of an answer to the body that carries them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from server.errors import RequestError, shown
from server.open_inference.classification import top_classes
from server.open_inference.datatypes import (
    Tensor,
    bytes_from_elements,
    datatype_of,
    elements_from_texts,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputTensor:
    """A tensor of an answer.

    Attributes:
        name: Its name.
        data: Its elements; a list is a BYTES tensor with one axis, an array of texts one with any.
        binary: Whether they shall come as raw bytes, else in the JSON.
        classes: How many of the highest values shall come as text instead; 0: none.
    """

    name: str
    data: Tensor
    binary: bool = False
    classes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InferResponse:
    """An answer.

    Attributes:
        model_name: Who answered.
        model_version: In which version.
        id: The request's; None: it had none.
        outputs: Its tensors.
        labels: Names of the model's classes; empty: it has none.
    """

    model_name: str
    model_version: str
    id: str | None
    outputs: Sequence[OutputTensor]
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedResponse:
    """The body of an answer.

    Attributes:
        chunks: Its parts, to be sent one after the other.
        header_length: Value of the HTTP header ``Inference-Header-Content-Length``; None: it is
            all JSON and must not have that header.
    """

    chunks: Sequence[bytes | memoryview]
    header_length: int | None


def encode_infer_response(response: InferResponse) -> EncodedResponse:
    """Encode an answer.

    In JSON, which knows neither NaN nor infinities, they become null; raw bytes hold them.

    Raises:
        RequestError: 400 if an output cannot be given in the form that was asked for.
    """
    binary: list[bytes | memoryview] = []
    header: dict[str, Any] = {
        "model_name": response.model_name,
        "model_version": response.model_version,
    }
    if response.id is not None:
        header["id"] = response.id
    header["outputs"] = [_encoded(output, response.labels, binary) for output in response.outputs]
    encoded = orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY)
    return EncodedResponse(
        chunks=[encoded, *binary],
        header_length=len(encoded) if binary else None,
    )


def _encoded(
    output: OutputTensor, labels: Sequence[str], binary: list[bytes | memoryview]
) -> dict[str, Any]:
    """Return an output's entry in the JSON; its raw bytes, if any, are appended to `binary`."""
    data, shape = output.data, _shape(output.data)
    if output.classes:
        data, shape = _classified(output, labels)
    if not isinstance(data, list) and data.dtype == object:
        data = elements_from_texts(data)
    entry: dict[str, Any] = {"name": output.name, "shape": shape}
    chunk: bytes | memoryview = b""
    if isinstance(data, list):
        entry["datatype"] = "BYTES"
        if output.binary:
            chunk = bytes_from_elements(data)
        else:
            entry["data"] = _texts(output.name, data)
    else:
        datatype = datatype_of(data.dtype)
        entry["datatype"] = datatype.name
        data = np.ascontiguousarray(data, datatype.dtype).reshape(-1)
        if output.binary:
            chunk = data.view(np.uint8).data
        elif datatype.json_code is None:
            raise RequestError(
                400,
                f"output {shown(output.name)} is {datatype.name}, which JSON cannot hold; ask for "
                "it with the parameter binary_data: true",
            )
        else:
            entry["data"] = data
    if output.binary:
        entry["parameters"] = {"binary_data_size": len(chunk)}
        binary.append(chunk)
    return entry


def _shape(data: Tensor) -> tuple[int, ...]:
    return (len(data),) if isinstance(data, list) else data.shape


def _classified(output: OutputTensor, labels: Sequence[str]) -> tuple[list[bytes], tuple[int, ...]]:
    data = output.data
    if isinstance(data, list) or data.ndim < 2 or data.dtype.kind in "bO":
        raise RequestError(
            400,
            f"output {shown(output.name)} has no classes to be ranked, expected one with rows of "
            "numbers; leave the parameter classification away",
        )
    return top_classes(data, output.classes, labels)


def _texts(name: str, elements: Sequence[bytes]) -> list[str]:
    try:
        return [element.decode() for element in elements]
    except UnicodeDecodeError as error:
        raise RequestError(
            400,
            f"output {shown(name)} holds bytes that are no UTF-8 ({error.reason}); ask for it with "
            "the parameter binary_data: true",
        ) from None
