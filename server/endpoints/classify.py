"""Pictures in, labels out: for those who have files and want no tensors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from bicameral.errors import BicameralError, DataError
from bicameral.types import Prediction, Trace
from server.endpoints.asgi import (
    Answer,
    ClientGoneError,
    NoAnswer,
    error_answer,
    forbids_storing,
    json_answer,
    while_connected,
)
from server.endpoints.failures import request_error
from server.endpoints.open_inference import Authorise
from server.endpoints.picture_body import picture_body_document, read_pictures
from server.errors import RequestError
from server.instrumentation import answered_by, request_id
from server.limits import RequestLimits
from server.serving.repository import ModelRepository
from server.serving.served_model import (
    ModelVersion,
    RequestContext,
    ServedClassifier,
    ServedModel,
    is_classifier,
)


class ErrorAnswer(BaseModel):
    """Why a request is refused."""

    error: str


class LabelProbability(BaseModel):
    """One class and its calibrated probability, 0..1."""

    label: str
    probability: float


class TraceAnswer(BaseModel):
    """How an answer came about, see `bicameral.types.Trace`."""

    stage: str
    memory_hit: bool
    confidence_a: float | None
    stage_times_s: dict[str, float]


class ClassifiedPicture(BaseModel):
    """The answer for one picture.

    Attributes:
        label: The most probable class; null if the model abstains.
        confidence: Its probability, 0..1.
        abstained: Whether the confidence is below ``min_confidence``.
        top: The most probable classes, the first one first.
        trace: Which part of a cascade answered; null for a single network.
    """

    label: str | None
    confidence: float
    abstained: bool
    top: list[LabelProbability]
    trace: TraceAnswer | None


class ClassifyAnswer(BaseModel):
    """The answers for all pictures of a request, in their order."""

    model: str
    version: str
    results: list[ClassifiedPicture]


class ClassifyQuery(BaseModel):
    """The parameters of a request.

    Attributes:
        top_k: How many classes to tell, up to all.
        min_confidence: Answers that are less sure are withheld.
        no_store: The result memory keeps nothing of this request, as with ``Cache-Control:
            no-store``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_k: int = Field(1, ge=1)
    min_confidence: float = Field(0.0, ge=0.0, le=1.0)
    no_store: bool = False


#: What a request without parameters asks for.
_DEFAULT = ClassifyQuery()

_PREFIX = "/v1/classify/"


class ClassifyEndpoint:
    """Answers requests with parameters through FastAPI, and those without past it.

    As an ASGI application it takes the requests of which `takes` says so. What FastAPI does for a
    request costs several times what a tiny network does.
    """

    def __init__(
        self, repository: ModelRepository, limits: RequestLimits, authorise: Authorise
    ) -> None:
        """Build it; nothing happens yet.

        Args:
            repository: The models.
            limits: Of a single request.
            authorise: Who may do what.
        """
        self._repository = repository
        self._limits = limits
        self._authorise = authorise

    @staticmethod
    def takes(scope: Scope) -> bool:
        """Return whether a request needs no framework: its path names a model, and that is all."""
        name = scope["path"].removeprefix(_PREFIX)
        whole = name and name is not scope["path"] and "/" not in name
        return bool(whole and scope["method"] == "POST" and not scope["query_string"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request without parameters."""
        model = scope["path"].removeprefix(_PREFIX)
        try:
            answer = await self._answer(scope, receive, model, _DEFAULT)
        except ClientGoneError:
            return
        except BicameralError as error:
            answer = error_answer(request_error(error))
        await answer.send(send)

    def router(self) -> APIRouter:
        """Return the route for requests with parameters, which also describes all of them."""
        router = APIRouter(tags=["classify"])
        refusals: dict[int | str, dict[str, Any]] = {
            status: {"model": ErrorAnswer} for status in (400, 404, 408, 413, 415, 429, 503)
        }

        @router.post(
            "/v1/classify/{model}",
            response_model=ClassifyAnswer,
            responses=refusals,
            openapi_extra=picture_body_document(several=True),
        )
        async def classify(
            request: Request, model: str, query: Annotated[ClassifyQuery, Query()]
        ) -> Response:
            """Classify one picture, or several as files of a form or as base64 in JSON."""
            try:
                answer = await self._answer(request.scope, request.receive, model, query)
            except ClientGoneError:
                return NoAnswer()
            return Response(b"".join(answer.body), media_type="application/json")

        return router

    async def _answer(
        self, scope: Scope, receive: Receive, model: str, query: ClassifyQuery
    ) -> Answer:
        limits, repository = self._limits, self._repository
        namespace = self._authorise(scope, "infer")
        headers = dict(scope["headers"])
        context = RequestContext(
            request_id=request_id(scope),
            deadline_s=time.monotonic() + limits.timeout_s,
            no_store=query.no_store or forbids_storing(scope),
            memory_namespace=namespace,
        )
        # Refused before its body is read.
        served = _classifier(repository.get(model), query.top_k)
        answered_by(scope, ModelVersion(name=served.name, version=served.version))
        pictures = await read_pictures(headers, receive, limits, limits.max_rows)
        # The version that was looked at may have been replaced while the body arrived.
        with repository.lease(model) as leased:
            served = _classifier(leased, query.top_k)
            prediction = await while_connected(_classified(served, pictures, context), receive)
        return json_answer(
            {
                "model": served.name,
                "version": served.version,
                "results": _results(prediction, served.labels, query),
            }
        )


def _classifier(model: ServedModel, top_k: int) -> ServedClassifier:
    """Return the model, if it can answer.

    Raises:
        RequestError: 400 if it is no classifier, or has fewer classes than asked for.
    """
    if not is_classifier(model):
        raise RequestError(
            400,
            f"model {model.name!r} is no classifier but {model.sidecar.kind!r}; ask it with POST "
            f"/v2/models/{model.name}/infer",
        )
    if top_k > len(model.labels):
        raise RequestError(
            400,
            f"top_k is {top_k}, expected 1..{len(model.labels)}, the number of classes of model "
            f"{model.name!r}",
        )
    return model


async def _classified(
    model: ServedClassifier, pictures: Sequence[bytes], context: RequestContext
) -> Prediction:
    """Decode and classify.

    Raises:
        RequestError: 415 if something is no picture; and as `ServedClassifier` says.
    """
    try:
        images = await model.prepare(pictures)
    except DataError as error:
        raise RequestError(415, str(error)) from error
    return await model.classify(images, context=context)


def _results(
    prediction: Prediction, labels: Sequence[str], query: ClassifyQuery
) -> list[dict[str, Any]]:
    """Return what `ClassifiedPicture` describes, for every picture."""
    probabilities = prediction.probabilities
    # Of equal ones the lower index comes first.
    order = np.argsort(-probabilities, axis=-1, kind="stable")[:, : query.top_k]
    highest = probabilities[np.arange(len(order))[:, None], order]
    traces = prediction.trace or (None,) * len(probabilities)
    results = []
    for indices, values, confidence, trace in zip(
        order.tolist(), highest.tolist(), prediction.confidence.tolist(), traces, strict=True
    ):
        abstained = confidence < query.min_confidence
        results.append(
            {
                "label": None if abstained else labels[indices[0]],
                "confidence": confidence,
                "abstained": abstained,
                "top": [
                    {"label": labels[index], "probability": value}
                    for index, value in zip(indices, values, strict=True)
                ],
                "trace": None if trace is None else _trace(trace),
            }
        )
    return results


def _trace(trace: Trace) -> dict[str, Any]:
    confidence_a = trace.confidence_a
    return {
        "stage": trace.stage,
        "memory_hit": bool(trace.memory_hit),
        "confidence_a": None if confidence_a is None else float(confidence_a),
        "stage_times_s": {stage: float(time_s) for stage, time_s in trace.stage_times_s.items()},
    }
