"""What a model sees of a picture: the canonical image, for people to look at."""

from __future__ import annotations

import asyncio

import cv2
import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from server.errors import RequestError
from server.http.classify import PICTURE_REFUSALS, require_classifier
from server.http.endpoint import Endpoint
from server.http.exchange import Request
from server.serving.repository import ModelRepository
from server.serving.served_model import ServedClassifier

#: Describes a picture for the OpenAPI document.
PNG = {"schema": {"type": "string", "format": "binary"}}


def canonical_endpoint(repository: ModelRepository) -> Endpoint:
    """Return the endpoint."""

    async def see(request: Request) -> Response:
        """Return one picture as the model sees it: cropped, reduced, in its colours, as PNG.

        Nothing is classified, counted or remembered.
        """
        model = request.path["model"]
        require_classifier(repository.get(model))  # refused before its body is read
        picture = await request.body()
        with repository.lease(model) as leased:
            served = require_classifier(leased)
            image = (await served.prepare([picture]))[0]
        return await png_answer(image, served)

    return Endpoint(
        method="POST",
        path="/v1/canonical/{model}",
        handler=see,
        tag="classify",
        answer={"image/png": PNG},
        refusals=PICTURE_REFUSALS,
        body={"required": True, "content": {"image/*": PNG}},
    )


async def png_answer(image: NDArray[np.uint8], served: ServedClassifier) -> Response:
    """Answer with a canonical image of a model as PNG, which nobody keeps."""
    png = await asyncio.to_thread(png_of, image, served.image.color)
    return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})


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
