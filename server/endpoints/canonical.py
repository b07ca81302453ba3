"""What a model sees of a picture: the canonical image, for people to look at."""

from __future__ import annotations

import asyncio
from typing import Any

import cv2
import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from bicameral.errors import DataError
from server.endpoints.asgi import read_body
from server.endpoints.classify import ErrorAnswer
from server.endpoints.open_inference import Authorise
from server.errors import RequestError
from server.limits import RequestLimits
from server.serving.repository import ModelRepository
from server.serving.served_model import ServedClassifier, ServedModel

_PNG = {"schema": {"type": "string", "format": "binary"}}


def canonical_router(
    repository: ModelRepository, limits: RequestLimits, authorise: Authorise
) -> APIRouter:
    """Build the route.

    Args:
        repository: The models.
        limits: Of a single request.
        authorise: Who may do what.
    """
    router = APIRouter(tags=["classify"])
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer} for status in (400, 404, 408, 413, 415, 429, 503)
    }
    responses[200] = {"content": {"image/png": _PNG}}

    @router.post(
        "/v1/canonical/{model}",
        response_class=Response,
        responses=responses,
        openapi_extra={"requestBody": {"required": True, "content": {"image/*": _PNG}}},
    )
    async def see(request: Request, model: str) -> Response:
        """Return one picture as the model sees it: cropped, reduced, in its colours, as PNG.

        Nothing is classified, counted or remembered.
        """
        authorise(request.scope, "infer")
        _classifier(repository.get(model))  # refused before its body is read
        picture = await read_body(dict(request.scope["headers"]), request.receive, limits)
        with repository.lease(model) as leased:
            served = _classifier(leased)
            try:
                image = (await served.prepare([picture]))[0]
            except DataError as error:
                raise RequestError(415, str(error)) from error
        png = await asyncio.to_thread(png_of, image, served.image.color)
        return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})

    return router


def _classifier(model: ServedModel) -> ServedClassifier:
    if not isinstance(model, ServedClassifier):
        raise RequestError(400, f"model {model.name!r} is no classifier but {model.sidecar.kind!r}")
    return model


def png_of(image: NDArray[np.uint8], color: str) -> bytes:
    """Encode a canonical image as PNG.

    Args:
        image: (H, W, C) uint8.
        color: ``GRAY``, ``RGB`` or ``BGR``.
    """
    if color == "RGB":  # OpenCV takes BGR
        image = np.ascontiguousarray(image[:, :, ::-1])
    done, encoded = cv2.imencode(".png", image)
    if not done:
        raise RequestError(500, "the canonical image cannot be written as PNG")
    return bytes(encoded)
