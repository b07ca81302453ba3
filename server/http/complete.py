"""What a model makes of the part of a picture that is missing."""

from __future__ import annotations

from starlette.responses import Response

from server.errors import RequestError
from server.http.canonical import PNG, png_answer
from server.http.classify import PICTURE_REFUSALS, require_classifier
from server.http.endpoint import Endpoint
from server.http.exchange import Request
from server.http.picture_body import picture_body_document, read_masked_pictures
from server.serving.masked_model import MaskedModel
from server.serving.repository import ModelRepository
from server.serving.served_model import ServedModel


def complete_endpoint(repository: ModelRepository) -> Endpoint:
    """Return the endpoint."""

    async def complete(request: Request) -> Response:
        """Return one picture as the model sees it, filled in where it is transparent, as PNG.

        In a form, a file called `mask` says what is missing: where it is black, nothing was
        observed.
        """
        name = request.path["model"]
        _require_masked(repository.get(name))  # refused before its body is read
        pictures, mask = await read_masked_pictures(request, 1)
        with repository.lease(name) as leased:
            served = _require_masked(leased)
            images = await served.observe(pictures, mask)
            filled = await request.while_connected(
                served.complete(images, context=request.context())
            )
        return await png_answer(filled[0], served)

    return Endpoint(
        method="POST",
        path="/v1/complete/{model}",
        handler=complete,
        tag="classify",
        answer={"image/png": PNG},
        refusals=PICTURE_REFUSALS,
        body=picture_body_document(several=False, mask=True),
    )


def _require_masked(model: ServedModel) -> MaskedModel:
    served = require_classifier(model)
    if not isinstance(served, MaskedModel):
        raise RequestError(
            400,
            f"model {model.name!r} cannot fill in pictures; /v1/models says which can (completes)",
        )
    return served
