"""A network that answers for pictures of which a part is missing, and fills it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import Session
from bicameral.types import Prediction
from edge.masked_classifier import MaskedClassifier
from edge.sidecar import Sidecar
from server.serving.computation import Computation, Stacking
from server.serving.graph_model import GraphModel
from server.serving.picture_input import PictureTarget
from server.serving.served_model import ModelVersion, RequestContext, ServingParts
from server.serving.tensors import images_in_pieces, rows_of

#: Canonical images whose last channel is 255 where they were observed, else 0; and what fills them.
_FILLING: Stacking[NDArray[np.uint8], NDArray[np.uint8]] = Stacking(
    stack=np.concatenate,
    split=lambda answer, rows: [answer[part] for part in rows_of(rows, len(answer))],
)


class MaskedModel(GraphModel):
    """A `GraphModel` whose pictures may be transparent, or come with a mask."""

    _classifier: MaskedClassifier

    def __init__(
        self, served_as: ModelVersion, sidecar: Sidecar, session: Session, parts: ServingParts
    ) -> None:
        """Join a session with its queue, and warm it up; as `GraphModel`."""
        super().__init__(served_as, sidecar, session, parts)
        image, classifier = sidecar.input.image, self._classifier
        masked = PictureTarget(
            image=image, prepare=classifier.prepare, observed=classifier.observed
        )
        grey = {"color": "GRAY", "invert": False, "mean": (0.0,), "std": (1.0,)}
        alone = PictureTarget(
            image=image.model_copy(update=grey),
            prepare=lambda masks: np.stack(
                [np.uint8(255) * classifier.observed(one)[..., None] for one in masks]
            ),
        )
        self._decode = partial(parts.decoder.canonical, target=masked)
        self._decode_mask = partial(parts.decoder.canonical, target=alone)
        self._classification = replace(self._classification, run=images_in_pieces(self._classify))
        self._filling = Computation(
            name="complete", run=self._fill, cost=self._classification.cost, stacking=_FILLING
        )

    async def observe(self, pictures: Sequence[bytes], mask: bytes | None) -> NDArray[np.uint8]:
        """Return canonical images with one more channel, 255 where they were observed, else 0.

        Args:
            pictures: Encoded pictures; what is transparent was not observed.
            mask: An encoded picture, black where none of them was observed; None: nowhere.

        Raises:
            RequestError: As `PictureDecoder.canonical`.
        """
        images = await self._decode(pictures)
        if mask is not None:
            images[..., -1:] = np.minimum(images[..., -1:], await self._decode_mask([mask]))
        return images

    async def complete(
        self, images: NDArray[np.uint8], *, context: RequestContext
    ) -> NDArray[np.uint8]:
        """Fill in what was not observed of images as `observe` makes them.

        Returns:
            (N, height, width, C) uint8.

        Raises:
            RequestError: 429 and 503 as `MicroBatcher.submit`.
        """
        return await self._batcher.submit(
            self._filling, images, len(images), deadline_s=context.deadline_s
        )

    def _joined(self, sidecar: Sidecar, session: Session) -> PictureTarget:
        self._classifier = classifier = MaskedClassifier(sidecar, session)
        return PictureTarget(image=classifier.info.image, prepare=classifier.prepare)

    def _classify(self, images: NDArray[np.uint8]) -> Prediction:
        return self._classifier.predict_masked(images[..., :-1], images[..., -1] == 255)[0]

    def _fill(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._classifier.predict_masked(images[..., :-1], images[..., -1] == 255)[1]
