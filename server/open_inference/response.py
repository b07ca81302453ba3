"""From the tensors of an answer to the body that carries them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from server.open_inference.request import RequestedOutput


def encode_infer_response(
    served_as: tuple[str, str],
    request_id: str | None,
    wanted: Sequence[RequestedOutput],
    tensors: Mapping[str, Tensor],
    labels: Sequence[str] = (),
) -> tuple[bytes, int | None]:
    """Encode an answer.

    In JSON, which knows neither NaN nor infinities, they become null; raw bytes hold them.

    Args:
        served_as: Who answers: a model's name and version.
        request_id: The request's; None: it had none.
        wanted: What to answer with, and in which form.
        tensors: The outputs by name; a list is a BYTES tensor with one axis, an array of texts one
            with any.
        labels: Names of the model's classes; empty: it has none.

    Returns:
        The body, and the value of the HTTP header ``Inference-Header-Content-Length``; None: the
        body is all JSON and must not have that header.

    Raises:
        RequestError: 400 if an output cannot be given in the form that was asked for.
    """
    binary: list[bytes | memoryview] = []
    header: dict[str, Any] = {"model_name": served_as[0], "model_version": served_as[1]}
    if request_id is not None:
        header["id"] = request_id
    header["outputs"] = [_encoded(one, tensors[one.name], labels, binary) for one in wanted]
    encoded = orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([encoded, *binary]), len(encoded) if binary else None


def _encoded(
    output: RequestedOutput,
    data: Tensor,
    labels: Sequence[str],
    binary: list[bytes | memoryview],
) -> dict[str, Any]:
    """Return an output's entry in the JSON; its raw bytes, if any, are appended to `binary`."""
    shape = (len(data),) if isinstance(data, list) else data.shape
    if output.classes:
        data, shape = _classified(output.name, data, output.classes, labels)
    if not isinstance(data, list) and data.dtype == object:
        data = elements_from_texts(data)
    entry: dict[str, Any] = {"name": output.name, "shape": shape}
    if isinstance(data, list):
        entry["datatype"] = "BYTES"
        if output.binary:
            chunk = bytes_from_elements(data)
            entry["parameters"] = {"binary_data_size": len(chunk)}
            binary.append(chunk)
        else:
            entry["data"] = _texts(output.name, data)
        return entry
    datatype = datatype_of(data.dtype)
    entry["datatype"] = datatype.name
    data = np.ascontiguousarray(data, datatype.dtype)
    if output.binary:
        entry["parameters"] = {"binary_data_size": data.nbytes}
        binary.append(data.data)
    elif datatype.json_code is None:
        raise RequestError(
            400,
            f"output {shown(output.name)} is {datatype.name}, which JSON cannot hold; ask for it "
            "with the parameter binary_data: true",
        )
    else:
        entry["data"] = data.reshape(-1)
    return entry


def _classified(
    name: str, data: Tensor, classes: int, labels: Sequence[str]
) -> tuple[list[bytes], tuple[int, ...]]:
    if isinstance(data, list) or data.ndim < 2 or data.dtype.kind in "bO":
        raise RequestError(
            400,
            f"output {shown(name)} has no classes to be ranked, expected one with rows of "
            "numbers; leave the parameter classification away",
        )
    return top_classes(data, classes, labels)


def _texts(name: str, elements: Sequence[bytes]) -> list[str]:
    try:
        return [element.decode() for element in elements]
    except UnicodeDecodeError as error:
        raise RequestError(
            400,
            f"output {shown(name)} holds bytes that are no UTF-8 ({error.reason}); ask for it with "
            "the parameter binary_data: true",
        ) from None
