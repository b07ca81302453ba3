"""The Open Inference Protocol (V2) over HTTP: everything below ``/v2``.

A plain ASGI application, since what a framework does for each request would cost several times
what a tiny network does. The bytes are `server.open_inference`'s business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from starlette.types import Receive, Scope, Send

from bicameral.errors import DataError
from server.api_keys import Right
from server.endpoints.asgi import (
    Answer,
    ClientGoneError,
    Headers,
    error_answer,
    forbids_storing,
    json_answer,
    read_body,
    while_connected,
)
from server.endpoints.health import Readiness, live_answer, ready_answer
from server.errors import RequestError
from server.instrumentation import answered_by, request_id
from server.limits import RequestLimits
from server.metrics import ModelTotals
from server.open_inference.messages import shown
from server.open_inference.metadata import (
    EXTENSIONS,
    model_configuration,
    model_metadata,
    model_statistics,
    repository_index,
    server_metadata,
)
from server.open_inference.raw_request import decode_raw_request
from server.open_inference.request import InferRequest, RequestedOutput, decode_infer_request
from server.open_inference.response import InferResponse, OutputTensor, encode_infer_response
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion, RequestContext, ServedModel, Tensor

#: Extensions of the protocol that have endpoints here only to say that they are not offered.
_NOT_OFFERED: Final = {
    "logging": "logging",
    "trace": "trace",
    "systemsharedmemory": "system_shared_memory",
    "cudasharedmemory": "cuda_shared_memory",
}
_OCTETS: Final = (b"content-type", b"application/octet-stream")

#: Whether the sender of a request has a right; returns the namespace of what is remembered for it.
#: Raises `RequestError` 401 or 403.
Authorise = Callable[[Scope, Right], str]


class ModelControl(Protocol):
    """Changes what is served, in all processes; `ModelRepository` does so in one."""

    async def load(self, name: str, version: str | None = None) -> None:
        """Load a model, as `ModelRepository.load`."""

    async def unload(self, name: str, version: str | None = None) -> None:
        """Unload a model, as `ModelRepository.unload`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenInferenceParts:
    """What the endpoint stands on.

    Attributes:
        repository: The models.
        control: Loads and unloads them.
        limits: Of a single request.
        why_not_ready: Whether the server is ready.
        totals: What all processes did for each model; called in a thread.
        authorise: Who may do what.
    """

    repository: ModelRepository
    control: ModelControl
    limits: RequestLimits
    why_not_ready: Readiness
    totals: Callable[[], Mapping[ModelVersion, ModelTotals]]
    authorise: Authorise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A request that was admitted.

    Attributes:
        scope: ASGI's.
        receive: Gives its body.
        headers: Its headers.
        name: Name of the model in its path; empty: there is none.
        version: Version of the model in its path; None: there is none.
        namespace: Of what is remembered for its sender.
    """

    scope: Scope
    receive: Receive
    headers: Headers
    name: str
    version: str | None
    namespace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """What a path leads to.

    Attributes:
        handler: Answers.
        method: The only method that it takes; empty: all.
        right: What its sender must be allowed to do; None: anybody may.
    """

    handler: Callable[[_Request], Awaitable[Answer]]
    method: str = "GET"
    right: Right | None = "infer"


class OpenInferenceEndpoint:
    """ASGI application for all paths below ``/v2``; expects `Instrumented` around it."""

    def __init__(self, parts: OpenInferenceParts) -> None:
        """Build it; nothing happens yet."""
        self._parts = parts
        not_offered = _Route(handler=self._not_offered, method="")
        self._routes = {
            "v2": _Route(handler=self._server_metadata),
            "v2/health/live": _Route(handler=self._live, right=None),
            "v2/health/ready": _Route(handler=self._ready, right=None),
            "v2/models/stats": _Route(handler=self._statistics),
            "v2/repository/index": _Route(handler=self._index, method="POST"),
        }
        self._routes_of_model = {
            "": _Route(handler=self._model_metadata),
            "config": _Route(handler=self._model_configuration),
            "infer": _Route(handler=self._infer, method="POST"),
            "ready": _Route(handler=self._model_ready),
            "stats": _Route(handler=self._statistics),
            "trace/setting": not_offered,
        }
        self._changes = {
            "load": _Route(handler=self._load, method="POST", right="manage"),
            "unload": _Route(handler=self._unload, method="POST", right="manage"),
        }
        self._extensions = dict.fromkeys(_NOT_OFFERED, not_offered)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            answer = await self._answer(scope, receive)
        except ClientGoneError:
            return
        except RequestError as error:
            answer = error_answer(error)
        except DataError as error:
            answer = error_answer(RequestError(400, str(error)))
        await answer.send(send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        method, path = scope["method"], scope["path"].strip("/")
        route, name, version = self._find(path)
        if route is None:
            raise RequestError(404, f"there is no {shown('/' + path)} here; see GET /v2")
        # HEAD is GET without the body, which the HTTP server leaves out.
        if route.method not in ("", "GET" if method == "HEAD" else method):
            raise RequestError(
                405,
                f"{shown('/' + path)} takes {route.method}, not {shown(method)}",
                {"Allow": route.method},
            )
        namespace = "" if route.right is None else self._parts.authorise(scope, route.right)
        return await route.handler(
            _Request(
                scope=scope,
                receive=receive,
                headers=dict(scope["headers"]),
                name=name,
                version=version,
                namespace=namespace,
            )
        )

    def _find(self, path: str) -> tuple[_Route | None, str, str | None]:
        """Return what a path leads to, and name and version of the model in it."""
        route = self._routes.get(path)
        if route is not None:
            return route, "", None
        match path.split("/"):
            case ["v2", "models", name, "versions", version, *rest]:
                return self._routes_of_model.get("/".join(rest)), name, version
            case ["v2", "models", name, *rest]:
                return self._routes_of_model.get("/".join(rest)), name, None
            case ["v2", "repository", "models", name, change]:
                return self._changes.get(change), name, None
            case ["v2", extension, *_]:
                return self._extensions.get(extension), "", None
        return None, "", None

    async def _live(self, _: _Request) -> Answer:
        return live_answer()

    async def _ready(self, _: _Request) -> Answer:
        return ready_answer(self._parts.why_not_ready)

    async def _server_metadata(self, _: _Request) -> Answer:
        return json_answer(server_metadata())

    async def _model_ready(self, request: _Request) -> Answer:
        model = self._parts.repository.get(request.name, request.version)
        return json_answer({"name": model.name, "version": model.version, "ready": True})

    async def _model_metadata(self, request: _Request) -> Answer:
        repository = self._parts.repository
        model = repository.get(request.name, request.version)
        return json_answer(model_metadata(model, repository.versions(model.name)))

    async def _model_configuration(self, request: _Request) -> Answer:
        return json_answer(
            model_configuration(self._parts.repository.get(request.name, request.version))
        )

    async def _statistics(self, request: _Request) -> Answer:
        repository = self._parts.repository
        totals = await asyncio.to_thread(self._parts.totals)
        loaded = {
            ModelVersion(name=model.name, version=model.version): model
            for model in repository.models()
        }
        wanted = [
            version
            for version in sorted({*totals, *loaded}, key=lambda one: (one.name, one.version))
            if request.name in ("", version.name) and request.version in (None, version.version)
        ]
        if request.name and not wanted:
            repository.get(request.name, request.version)  # knows what is wrong with it
        statistics = []
        for version in wanted:
            model = loaded.get(version)
            in_memory = None
            if model is not None:
                in_memory = model, repository.memory(version.name, version.version)
            statistics.append(model_statistics(version, totals.get(version), in_memory))
        return json_answer({"model_stats": statistics})

    async def _index(self, request: _Request) -> Answer:
        only_ready = (await self._json_object(request)).get("ready", False)
        if type(only_ready) is not bool:
            raise RequestError(
                400, f"the field ready is {shown(only_ready)}, expected true or false"
            )
        return json_answer(repository_index(self._parts.repository.index(), only_ready=only_ready))

    async def _load(self, request: _Request) -> Answer:
        parameters = (await self._json_object(request)).get("parameters")
        if parameters:
            raise RequestError(
                501,
                f"loading with the parameters {shown(parameters)} is not offered; a model's "
                "configuration is its sidecar in the model folder",
            )
        await self._parts.control.load(request.name)
        return Answer(headers=())

    async def _unload(self, request: _Request) -> Answer:
        # Its only parameter is unload_dependents: members of a cascade are loaded for it alone.
        await self._json_object(request)
        await self._parts.control.unload(request.name)
        return Answer(headers=())

    async def _not_offered(self, request: _Request) -> Answer:
        path = request.scope["path"]
        extension = next(name for part, name in _NOT_OFFERED.items() if part in path.split("/"))
        raise RequestError(
            501,
            f"the extension {extension!r} is not offered; offered are {', '.join(EXTENSIONS)}",
        )

    async def _json_object(self, request: _Request) -> dict[str, Any]:
        """Return the JSON object in the body; an empty body is an empty one."""
        body = await read_body(request.headers, request.receive, self._parts.limits)
        try:
            found = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError as error:
            raise RequestError(400, f"the request is no JSON: {error}") from None
        if type(found) is not dict:
            raise RequestError(400, f"the request is {shown(found)}, expected a JSON object")
        return found

    async def _infer(self, request: _Request) -> Answer:
        limits, repository = self._parts.limits, self._parts.repository
        arrived_s = time.monotonic()
        model = repository.get(request.name, request.version)
        answered_by(request.scope, ModelVersion(name=model.name, version=model.version))
        body = await read_body(request.headers, request.receive, limits)
        decoded = _decoded(body, _header_length(request.headers), model)
        timeout_s = min(limits.timeout_s, decoded.timeout_s or limits.timeout_s)
        context = RequestContext(
            request_id=request_id(request.scope),
            deadline_s=arrived_s + timeout_s,
            no_store=forbids_storing(request.scope),
            memory_namespace=request.namespace,
        )
        # The version that was looked at may have been replaced while the body arrived.
        with repository.lease(request.name, request.version) as model:
            outputs = _wanted(decoded, model)
            answers = await while_connected(
                model.infer(_inputs(decoded), context=context), request.receive
            )
            encoded = encode_infer_response(
                InferResponse(
                    model_name=model.name,
                    model_version=model.version,
                    id=decoded.id,
                    outputs=[
                        OutputTensor(
                            name=output.name,
                            data=answers[output.name],
                            binary=output.binary,
                            classes=output.classes,
                        )
                        for output in outputs
                    ],
                    labels=model.labels,
                )
            )
        if encoded.header_length is None:
            return Answer(body=encoded.chunks)
        header_length = (b"inference-header-content-length", b"%d" % encoded.header_length)
        return Answer(body=encoded.chunks, headers=(_OCTETS, header_length))


def _header_length(headers: Headers) -> int | None:
    value = headers.get(b"inference-header-content-length")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise RequestError(
            400,
            f"the header Inference-Header-Content-Length is {shown(value.decode('latin-1'))}, "
            "expected a number of bytes",
        )
    return int(value)


def _decoded(body: bytes, header_length: int | None, model: ServedModel) -> InferRequest:
    if header_length == 0:
        return decode_raw_request(body, model.inputs)
    return decode_infer_request(body, header_length)


def _inputs(request: InferRequest) -> dict[str, Tensor]:
    """Return the tensors by name.

    Raises:
        RequestError: 400 if a BYTES tensor has more than one element for each row.
    """
    for tensor in request.inputs:
        if isinstance(tensor.data, list) and tensor.shape[:1] != (len(tensor.data),):
            raise RequestError(
                400,
                f"input {shown(tensor.name)} is BYTES of shape {list(tensor.shape)}, expected one "
                "encoded picture for each row, [N]",
            )
    return {tensor.name: tensor.data for tensor in request.inputs}


def _wanted(request: InferRequest, model: ServedModel) -> tuple[RequestedOutput, ...]:
    """Return what to answer with.

    Raises:
        RequestError: 400 if there is no such output.
    """
    names = [spec.name for spec in model.outputs]
    if request.outputs is None:
        return tuple(RequestedOutput(name=name, binary=request.binary_output) for name in names)
    for output in request.outputs:
        if output.name not in names:
            raise RequestError(
                400,
                f"model {model.name!r} has no output {shown(output.name)}, expected one of "
                f"{', '.join(map(repr, names))}",
            )
    return request.outputs
