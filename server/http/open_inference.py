"""The Open Inference Protocol (V2) over HTTP: everything below ``/v2``.

The bytes are `server.open_inference`'s business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

import bicameral
from server.errors import RequestError, shown
from server.http.endpoint import ANY_METHOD, Endpoint
from server.http.exchange import BytesAnswer, Request, json_answer
from server.http.large_bodies import IN_PLACE_BYTES, require_few_values
from server.http.metadata import (
    EXTENSIONS,
    model_configuration,
    model_metadata,
    model_statistics,
)
from server.metrics import ModelTotals
from server.open_inference.datatypes import Tensor, texts_from_elements
from server.open_inference.raw_request import decode_raw_request
from server.open_inference.request import InferRequest, RequestedOutput, decode_infer_request
from server.open_inference.response import encode_infer_response
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion, ServedModel

#: Extensions of the protocol that have endpoints here only to say that they are not offered.
_NOT_OFFERED: Final = {
    "logging": "logging",
    "trace": "trace",
    "systemsharedmemory": "system_shared_memory",
    "cudasharedmemory": "cuda_shared_memory",
}
#: Values of a request beside its tensors.
_MORE_VALUES: Final = 100_000
#: Going to a thread costs less than a tenth of receiving so many raw bytes.
_VIEWED_BYTES: Final = 1 << 20

_HEADER_LENGTH: Final = b"inference-header-content-length"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenInference:
    """The protocol's endpoints.

    Attributes:
        repository: The models.
        totals: Returns what all processes did for each model.
    """

    repository: ModelRepository
    totals: Callable[[], Awaitable[Mapping[ModelVersion, ModelTotals]]]

    def endpoints(self) -> list[Endpoint]:
        """Return them; what is asked most often comes first."""
        model, change = "/v2/models/{model}", "/v2/repository/models/{model}"
        found = []
        for place in (model, f"{model}/versions/{{version}}"):
            found += [
                Endpoint(method="POST", path=f"{place}/infer", handler=self._infer),
                Endpoint(method="GET", path=f"{place}/ready", handler=self._model_ready),
                Endpoint(method="GET", path=f"{place}/config", handler=self._model_configuration),
                Endpoint(method="GET", path=f"{place}/stats", handler=self._statistics),
            ]
        refused = [f"/v2/{part}" for part in _NOT_OFFERED]
        refused += [f"{path}/{{rest:path}}" for path in refused]
        return [
            *found,
            Endpoint(method="GET", path="/v2", handler=self._server_metadata),
            Endpoint(method="GET", path="/v2/health/live", handler=self._live, right=None),
            Endpoint(method="GET", path="/v2/health/ready", handler=self._ready, right=None),
            Endpoint(method="GET", path="/v2/models/stats", handler=self._statistics),
            Endpoint(method="GET", path=model, handler=self._model_metadata),
            Endpoint(
                method="GET",
                path=f"{model}/versions/{{version}}",
                handler=self._model_metadata,
            ),
            Endpoint(method="POST", path="/v2/repository/index", handler=self._index),
            Endpoint(method="POST", path=f"{change}/load", handler=self._load, right="manage"),
            Endpoint(method="POST", path=f"{change}/unload", handler=self._unload, right="manage"),
            *(
                Endpoint(method=ANY_METHOD, path=path, handler=self._not_offered)
                for path in (*refused, f"{model}/trace/setting")
            ),
        ]

    async def _live(self, _: Request) -> Response:
        return json_answer({"live": True})

    async def _ready(self, _: Request) -> Response:
        reason = self.repository.why_not_ready()
        if reason is not None:
            raise RequestError(503, f"the server is not ready: {reason}", {"Retry-After": "1"})
        return json_answer({"ready": True})

    async def _server_metadata(self, _: Request) -> Response:
        version = bicameral.__version__
        return json_answer({"name": "bicameral", "version": version, "extensions": EXTENSIONS})

    async def _model_ready(self, request: Request) -> Response:
        model = self._model(request)
        return json_answer({"name": model.name, "version": model.version, "ready": True})

    async def _model_metadata(self, request: Request) -> Response:
        repository = self.repository
        model = self._model(request)
        return json_answer(model_metadata(model, repository.versions(model.name)))

    async def _model_configuration(self, request: Request) -> Response:
        return json_answer(model_configuration(self._model(request)))

    async def _statistics(self, request: Request) -> Response:
        repository, name = self.repository, request.path.get("model")
        totals = await self.totals()
        loaded = {model.served_as: model for model in repository.models()}
        wanted = [
            version
            for version in sorted({*totals, *loaded}, key=lambda one: (one.name, one.version))
            if name in (None, version.name)
            and request.path.get("version") in (None, version.version)
        ]
        if name and not wanted:
            self._model(request)  # knows what is wrong with it
        statistics = []
        for version in wanted:
            model = loaded.get(version)
            in_memory = None
            if model is not None:
                in_memory = model, repository.memory(version.name, version.version)
            statistics.append(model_statistics(version, totals.get(version), in_memory))
        return json_answer({"model_stats": statistics})

    async def _index(self, request: Request) -> Response:
        only_ready = (await request.json_object()).get("ready", False)
        if type(only_ready) is not bool:
            raise RequestError(
                400, f"the field ready is {shown(only_ready)}, expected true or false"
            )
        index = self.repository.index()
        return json_answer([one for one in index if one.state == "READY" or not only_ready])

    async def _load(self, request: Request) -> Response:
        parameters = (await request.json_object()).get("parameters")
        if parameters:
            raise RequestError(
                501,
                f"loading with the parameters {shown(parameters)} is not offered; a model's "
                "configuration is its sidecar in the model folder",
            )
        await self.repository.load(request.path["model"])
        return Response()

    async def _unload(self, request: Request) -> Response:
        # Its only parameter is unload_dependents: members of a cascade are loaded for it alone.
        await request.json_object()
        await self.repository.unload(request.path["model"])
        return Response()

    async def _not_offered(self, request: Request) -> Response:
        path = request.scope["path"]
        extension = next(name for part, name in _NOT_OFFERED.items() if part in path.split("/"))
        raise RequestError(
            501,
            f"the extension {extension!r} is not offered; offered are {', '.join(EXTENSIONS)}",
        )

    async def _infer(self, request: Request) -> Response:
        name, version = request.path["model"], request.path.get("version")
        model = self.repository.get(name, version)
        request.model = model.served_as
        decoded = await _decoded(request, model)
        context = request.context(timeout_s=decoded.timeout_s)
        # The version that was looked at may have been replaced while the body arrived.
        with self.repository.lease(name, version) as model:
            outputs = _wanted(decoded, model)
            work = model.infer(_inputs(decoded, model), context=context)
            answers = await request.while_connected(work)
            body, header_length = encode_infer_response(
                (model.name, model.version), decoded.id, outputs, answers, model.labels
            )
        if header_length is None:
            return BytesAnswer(body, b"application/json")
        header = (_HEADER_LENGTH, b"%d" % header_length)
        return BytesAnswer(body, b"application/octet-stream", header)

    def _model(self, request: Request) -> ServedModel:
        return self.repository.get(request.path["model"], request.path.get("version"))


def _header_length(request: Request) -> int | None:
    value = request.headers.get(_HEADER_LENGTH)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise RequestError(
            400,
            f"the header Inference-Header-Content-Length is {shown(value.decode('latin-1'))}, "
            "expected a number of bytes",
        )
    return int(value)


async def _decoded(request: Request, model: ServedModel) -> InferRequest:
    body, header_length = await request.body(), _header_length(request)
    if header_length == 0:
        return decode_raw_request(body, model.inputs)
    if _quickly_decoded(body, header_length):
        return decode_infer_request(body, header_length)

    def decode() -> InferRequest:
        most = model.most_values + _MORE_VALUES
        require_few_values(memoryview(body)[:header_length], most)
        return decode_infer_request(body, header_length)

    return await request.aside(len(body), decode)


def _quickly_decoded(body: bytes, header_length: int | None) -> bool:
    """Whether a request is decoded in a few milliseconds, whatever it holds."""
    if len(body) <= IN_PLACE_BYTES:
        return True
    if header_length is None or not 0 < header_length <= IN_PLACE_BYTES:
        return False
    # Raw bytes are only looked at, unless each element has a length of its own.
    header = body[:header_length]
    return len(body) <= _VIEWED_BYTES and b"BYTES" not in header and b"\\" not in header


def _inputs(request: InferRequest, model: ServedModel) -> dict[str, Tensor]:
    """Return the tensors by name; BYTES are texts where the model takes them, else pictures.

    Raises:
        RequestError: 400 if a text is no UTF-8, or there is more than one picture for each row.
    """
    found: dict[str, Tensor] = {}
    for tensor in request.inputs:
        found[tensor.name] = data = tensor.data
        if not isinstance(data, list):
            continue
        if any(spec.datatype == "BYTES" for spec in model.inputs if spec.name == tensor.name):
            found[tensor.name] = texts_from_elements(data, tensor.shape, tensor.name)
        elif tensor.shape[:1] != (len(data),):
            raise RequestError(
                400,
                f"input {shown(tensor.name)} is BYTES of shape {list(tensor.shape)}, expected one "
                "encoded picture for each row, [N]",
            )
    return found


def _wanted(request: InferRequest, model: ServedModel) -> Sequence[RequestedOutput]:
    """Return what to answer with.

    Raises:
        RequestError: 400 if there is no such output.
    """
    if request.outputs is None:
        binary = request.binary_output
        return [RequestedOutput(name=spec.name, binary=binary) for spec in model.outputs]
    names = [spec.name for spec in model.outputs]
    for output in request.outputs:
        if output.name not in names:
            raise RequestError(
                400,
                f"model {model.name!r} has no output {shown(output.name)}, expected one of "
                f"{', '.join(map(repr, names))}",
            )
    return request.outputs
