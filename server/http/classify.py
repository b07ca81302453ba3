"""Pictures in, labels out: for those who have files and want no tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from bicameral.types import Prediction, Trace
from server.errors import RequestError
from server.http.endpoint import Endpoint
from server.http.exchange import Request, json_answer
from server.http.picture_body import picture_body_document, read_masked_pictures
from server.limits import RequestLimits
from server.serving.masked_model import MaskedModel
from server.serving.repository import ModelRepository
from server.serving.served_model import (
    RequestContext,
    ServedClassifier,
    ServedModel,
)

#: What an answer for pictures may be refused with.
PICTURE_REFUSALS = (400, 404, 408, 413, 415, 429, 503)


class LabelProbability(BaseModel):
    """One class and its calibrated probability, 0..1."""

    label: str
    probability: float


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
    trace: Trace | None


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


def classify_endpoint(repository: ModelRepository, limits: RequestLimits) -> Endpoint:
    """Return the endpoint.

    Args:
        repository: The models.
        limits: Of a single request.
    """

    async def classify(request: Request) -> Response:
        """Classify one picture, or several as files of a form or as base64 in JSON.

        A model that fills in pictures takes what is transparent for not observed, and in a form
        also what is black in a file called `mask`, for all of its pictures.
        """
        name, query = request.path["model"], request.query
        # Refused before its body is read.
        served = require_classifier(repository.get(name), query.top_k)
        request.model = served.served_as
        context = request.context(no_store=query.no_store)
        pictures, mask = await read_masked_pictures(request, limits.max_rows)
        # The version that was looked at may have been replaced while the body arrived.
        with repository.lease(name) as leased:
            served = require_classifier(leased, query.top_k)
            prediction = await request.while_connected(_classified(served, pictures, mask, context))
        results = _results(prediction, served.labels, query)
        return json_answer({"model": served.name, "version": served.version, "results": results})

    return Endpoint(
        method="POST",
        path="/v1/classify/{model}",
        handler=classify,
        query=ClassifyQuery,
        tag="classify",
        answer=ClassifyAnswer,
        refusals=PICTURE_REFUSALS,
        body=picture_body_document(several=True, mask=True),
    )


def require_classifier(model: ServedModel, top_k: int = 1) -> ServedClassifier:
    """Return the model, if it can answer for pictures.

    Raises:
        RequestError: 400 if it is no classifier, or has fewer classes than asked for.
    """
    if not isinstance(model, ServedClassifier):
        raise RequestError(
            400,
            f"model {model.name!r} is no classifier but {model.kind!r}; ask it with POST "
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
    model: ServedClassifier,
    pictures: Sequence[bytes],
    mask: bytes | None,
    context: RequestContext,
) -> Prediction:
    if isinstance(model, MaskedModel):
        images = await model.observe(pictures, mask)
    elif mask is not None:
        raise RequestError(
            400,
            f"model {model.name!r} takes no mask: it answers for whole pictures; /v1/models says "
            "which fill in a part (completes)",
        )
    else:
        images = await model.prepare(pictures)
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
        top = [
            {"label": labels[index], "probability": value}
            for index, value in zip(indices, values, strict=True)
        ]
        results.append(
            {
                "label": None if abstained else top[0]["label"],
                "confidence": confidence,
                "abstained": abstained,
                "top": top,
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
        "stage_times_s": dict(trace.stage_times_s),
    }
