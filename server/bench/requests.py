"""Requests as bytes, as a client would write them to its connection."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import orjson
from numpy.typing import NDArray

#: numpy's names of the datatypes that are sent.
_DATATYPES = {"float32": "FP32", "uint8": "UINT8"}


def http_request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a whole HTTP/1.1 POST request that keeps its connection."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


def binary_request(model: str, image: NDArray[np.generic]) -> bytes:
    """Return an inference request of the Open Inference Protocol with binary tensors both ways."""
    raw = image.tobytes()
    described = _described(image) | {"parameters": {"binary_data_size": len(raw)}}
    head = orjson.dumps(
        {"id": "1", "inputs": [described], "parameters": {"binary_data_output": True}}
    )
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    return http_request(f"/v2/models/{model}/infer", head + raw, headers)


def json_request(model: str, image: NDArray[np.floating]) -> bytes:
    """Return an inference request of the Open Inference Protocol in JSON, six decimals a value."""
    values = np.round(image.astype(np.float64), 6).ravel().tolist()
    body = orjson.dumps({"id": "1", "inputs": [_described(image) | {"data": values}]})
    return http_request(f"/v2/models/{model}/infer", body, {"Content-Type": "application/json"})


def picture_request(model: str, picture: bytes) -> bytes:
    """Return a request that is an encoded picture, a PNG."""
    return http_request(f"/v1/classify/{model}", picture, {"Content-Type": "image/png"})


def _described(image: NDArray[np.generic]) -> dict[str, object]:
    return {
        "name": "image",
        "shape": list(image.shape),
        "datatype": _DATATYPES[image.dtype.name],
    }
