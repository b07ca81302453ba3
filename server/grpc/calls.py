"""Calls over gRPC as requests to the HTTP stack: the same models, limits, keys, counts and errors.

A call becomes the request that means the same, with the tensors as raw bytes behind the JSON, and
its answer the message. So there is one way through the server, and gRPC is only another door.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
import numpy as np
import orjson
from google.protobuf.json_format import ParseDict
from starlette.types import ASGIApp, Message, Scope

from server.errors import RequestError
from server.grpc.messages import PACKAGE, message_class
from server.open_inference.datatypes import DATATYPES, bytes_from_elements

_LENGTH: Final = b"inference-header-content-length"

#: HTTP statuses as gRPC's.
_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}

#: What a call may bring along that a request may, too.
_METADATA: Final = ("authorization", "x-api-key", "x-request-id", "cache-control", "traceparent")
#: What an answer's headers say that a call's end does, too.
_TRAILERS: Final = ("retry-after", "x-request-id")

#: Fields of `InferTensorContents`, by datatype.
_CONTENTS: Final = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the HTTP stack answered."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body) if self.body else {}


#: Asks the stack: method, path, body, further headers.
_Ask = Callable[..., Awaitable[_Answer]]


class Calls:
    """The protocol's calls, answered by an ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        """Know the application, which is the server's HTTP stack."""
        self._app = app

    def handlers(self) -> Any:
        """Return gRPC's handlers of all calls."""
        calls: dict[str, Callable[[Any, _Ask], Awaitable[Any]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._told("/v2"),
            "ModelMetadata": self._told("/v2/models/{name}"),
            "ModelConfig": self._told("/v2/models/{name}/config", "config"),
            "ModelStatistics": self._statistics,
            "ModelInfer": self._infer,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._changed("load"),
            "RepositoryModelUnload": self._changed("unload"),
        }
        return grpc.method_handlers_generic_handler(
            f"{PACKAGE}.GRPCInferenceService",
            {name: self._handler(name, call) for name, call in calls.items()},
        )

    def _handler(self, name: str, call: Callable[[Any, _Ask], Awaitable[Any]]) -> Any:
        response = message_class(f"{name}Response")

        async def handle(request: Any, context: Any) -> Any:
            try:
                fields = await call(request, partial(self._ask, context))
            except RequestError as error:
                code = _CODES.get(error.status, grpc.StatusCode.INTERNAL)
                await context.abort(code, error.message, _trailers(error.headers))
            if isinstance(fields, response):
                return fields
            return ParseDict(fields, response(), ignore_unknown_fields=True)

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=message_class(f"{name}Request").FromString,
            response_serializer=response.SerializeToString,
        )

    async def _ask(
        self,
        context: Any,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> _Answer:
        """Send a request through the stack.

        Raises:
            RequestError: If it answers with an error.
        """
        given = [
            (key.encode(), value.encode())
            for key, value in context.invocation_metadata() or ()
            if key in _METADATA
        ]
        scope: Scope = {
            "type": "http",
            "http_version": "2",
            "method": method,
            "scheme": "http",
            "path": path,
            "query_string": b"",
            # Pages of browsers cannot speak gRPC, so whatever the call's host is, it is meant.
            "headers": [(b"host", b"localhost"), *given, *headers],
            "client": None,
            "state": {},
        }
        first = True
        status, parts = 500, []
        found: dict[bytes, bytes] = {}

        async def receive() -> Message:
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": body, "more_body": False}
            # A call that is cancelled ends this whole task.
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        async def send(message: Message) -> None:
            nonlocal status, found
            if message["type"] == "http.response.start":
                status, found = message["status"], dict(message["headers"])
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        answer = _Answer(status=status, headers=found, body=b"".join(parts))
        if status >= 400:
            raise RequestError(status, answer.json()["error"], _texts(found))
        context.set_trailing_metadata(_trailers(_texts(found)))
        return answer

    async def _server_live(self, _: Any, ask: _Ask) -> Any:
        return (await ask("GET", "/v2/health/live")).json()

    async def _server_ready(self, _: Any, ask: _Ask) -> Any:
        return {"ready": await _holds(ask("GET", "/v2/health/ready"))}

    async def _model_ready(self, request: Any, ask: _Ask) -> Any:
        return {"ready": await _holds(ask("GET", f"{_model(request.name, request.version)}/ready"))}

    def _told(self, path: str, field: str = "") -> Callable[[Any, _Ask], Awaitable[Any]]:
        """Return a call that tells what a path does."""

        async def told(request: Any, ask: _Ask) -> Any:
            place = path
            if "{name}" in path:
                model = _model(request.name, request.version)
                place = path.replace("/v2/models/{name}", model)
            found = (await ask("GET", place)).json()
            return {field: found} if field else found

        return told

    def _changed(self, change: str) -> Callable[[Any, _Ask], Awaitable[Any]]:
        """Return a call that loads or unloads."""

        async def changed(request: Any, ask: _Ask) -> Any:
            given = dict(request.parameters) if change == "load" else {}
            body = orjson.dumps({"parameters": dict.fromkeys(given, "")})
            name = _model(request.model_name, "").rpartition("/")[2]
            await ask("POST", f"/v2/repository/models/{name}/{change}", body)
            return {}

        return changed

    async def _statistics(self, request: Any, ask: _Ask) -> Any:
        model = _model(request.name, request.version) if request.name else "/v2/models"
        return (await ask("GET", f"{model}/stats")).json()

    async def _index(self, request: Any, ask: _Ask) -> Any:
        body = orjson.dumps({"ready": request.ready})
        return {"models": (await ask("POST", "/v2/repository/index", body)).json()}

    async def _infer(self, request: Any, ask: _Ask) -> Any:
        header, tensors = _request_body(request)
        path = f"{_model(request.model_name, request.model_version)}/infer"
        length = (_LENGTH, str(len(header)).encode())
        answer = await ask("POST", path, b"".join([header, *tensors]), [length])
        return _response(answer)


async def _holds(asked: Awaitable[_Answer]) -> bool:
    """Return whether something is ready; what is not known is an error, as over HTTP."""
    try:
        await asked
    except RequestError as refusal:
        if refusal.status == 503:
            return False
        raise
    return True


def _model(name: str, version: str) -> str:
    """Return the path of a model.

    Raises:
        RequestError: If its name or version leads elsewhere.
    """
    if not name or "/" in name + version:
        raise RequestError(404, f"there is no model {name[:128]!r} version {version[:128]!r} here")
    return f"/v2/models/{name}" + (f"/versions/{version}" if version else "")


def _request_body(request: Any) -> tuple[bytes, list[bytes]]:
    """Return the JSON of an inference, and its tensors as raw bytes."""
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise RequestError(
            400,
            f"the request has {len(request.inputs)} inputs and {len(raw)} raw_input_contents; "
            "expected as many, or none",
        )
    if not raw:
        raw = [_raw(tensor) for tensor in request.inputs]
    elif any(tensor.HasField("contents") for tensor in request.inputs):
        raise RequestError(400, "the request has contents and raw_input_contents, expected either")
    header: dict[str, Any] = {
        "parameters": _values(request.parameters) | {"binary_data_output": True},
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": _values(tensor.parameters) | {"binary_data_size": len(data)},
            }
            for tensor, data in zip(request.inputs, raw, strict=True)
        ],
    }
    if request.id:
        header["id"] = request.id
    if request.outputs:
        header["outputs"] = [
            {"name": one.name, "parameters": _values(one.parameters) | {"binary_data": True}}
            for one in request.outputs
        ]
    return orjson.dumps(header), raw


def _values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON has them."""
    return {
        key: getattr(value, value.WhichOneof("choice") or "string_param")
        for key, value in parameters.items()
    }


def _raw(tensor: Any) -> bytes:
    """Return the raw bytes of a tensor whose values stand in typed fields."""
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise RequestError(
            400,
            f"input {tensor.name[:256]!r} is {tensor.datatype[:32]!r}, which has no typed "
            "contents; send raw_input_contents",
        )
    values = getattr(tensor.contents, field)
    if field == "bytes_contents":
        return bytes_from_elements(list(values))
    try:
        return np.array(list(values), DATATYPES[tensor.datatype].dtype).tobytes()
    except OverflowError as error:
        text = f"the contents of input {tensor.name[:256]!r} do not fit: {error}"
        raise RequestError(400, text) from None


def _response(answer: _Answer) -> Any:
    """Return the message of an answered inference."""
    length = int(answer.headers.get(_LENGTH, len(answer.body)))
    header = orjson.loads(answer.body[:length])
    response = message_class("ModelInferResponse")(
        model_name=header["model_name"],
        model_version=header["model_version"],
        id=header.get("id", ""),
    )
    ends = itertools.accumulate(
        (output["parameters"]["binary_data_size"] for output in header["outputs"]), initial=length
    )
    for output, (begin, end) in zip(header["outputs"], itertools.pairwise(ends), strict=True):
        response.outputs.add(
            name=output["name"], datatype=output["datatype"], shape=output["shape"]
        )
        response.raw_output_contents.append(answer.body[begin:end])
    return response


def _texts(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in headers.items()}


def _trailers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((key, headers[key]) for key in _TRAILERS if key in headers)
