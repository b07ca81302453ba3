"""A classifier of pictures of which a part is missing; it also fills in what is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import Session
from bicameral.types import Prediction
from edge.classifier import FeatureClassifier, require_canonical
from edge.preprocessing import affine_from_spec, canonical_from_picture, feed_from_canonical
from edge.sidecar import Sidecar

#: The graph's second input, (N, 1, height, width) float32: 1 where the image was observed, else 0.
#: Its default, which the graph holds, is 1 everywhere.
OBSERVED = "observed"

#: Opacity, 0..255, from which a pixel of a picture counts as observed.
_OPAQUE = 128
#: What makes the picture of an opacity canonical like the picture that it belongs to.
_PLAIN = {"color": "GRAY", "invert": False, "mean": (0.0,), "std": (1.0,)}


class MaskedClassifier(FeatureClassifier):
    """A `FeatureClassifier` whose graph has an output of meaning ``completed``.

    `predict` takes images that were observed as a whole.
    """

    def __init__(self, sidecar: Sidecar, session: Session) -> None:
        """Join a sidecar with a session of its graph.

        Raises:
            DataError: As `FeatureClassifier`.
        """
        super().__init__(sidecar, session)
        self._completed = next(one for one in sidecar.outputs if one.meaning == "completed")

    def predict_masked(
        self, images: NDArray[np.uint8], observed: NDArray[np.bool_]
    ) -> tuple[Prediction, NDArray[np.uint8]]:
        """Classify canonical images from what was observed of them, and fill in the rest.

        Args:
            images: (N, height, width, channels) uint8; what they hold elsewhere makes no
                difference.
            observed: (N, height, width).

        Raises:
            DataError: If dtypes or shapes are others.
        """
        require_canonical(images, self._shape, self._sidecar.name)
        if observed.dtype != np.bool_ or observed.shape != images.shape[:3]:
            raise DataError(
                f"{self._sidecar.name!r} got observed of shape {observed.shape} and dtype "
                f"{observed.dtype}, expected {images.shape[:3]} and bool"
            )
        seen = observed[..., None]
        images = np.where(seen, images, np.uint8(0))
        if not len(images):
            return self.predict(images), images
        feeds = {
            self._input.name: feed_from_canonical(images, self._input),
            OBSERVED: observed[:, None].astype(np.float32),
        }
        values = self._session.run(feeds)
        gain, offset = affine_from_spec(self._input.image)
        filled = (values[self._completed.name].transpose(0, 2, 3, 1) - offset) / gain
        filled = np.clip(np.rint(filled), 0, 255).astype(np.uint8)
        return self._prediction(values[self._answer.name]), np.where(seen, images, filled)

    def observed(self, opacity: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which pixels of a canonical image were observed: those that are opaque as a whole.

        Args:
            opacity: (H, W, 1) uint8 of a picture, see `edge.pictures.decode_with_opacity`.

        Returns:
            (height, width).

        Raises:
            DataError: If the picture is smaller than the crop.
        """
        plain = self._input.image.model_copy(update=_PLAIN)
        opaque = np.where(opacity >= _OPAQUE, np.uint8(255), np.uint8(0))
        return np.asarray(canonical_from_picture(opaque, plain)[..., 0] == 255)
