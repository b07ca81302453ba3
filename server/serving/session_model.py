"""Any classifier behind a queue: canonical images in, calibrated probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from bicameral.protocols import ClassifierSession
from bicameral.types import Prediction
from edge.learning.dual_memory import DualMemoryClassifier
from edge.loading import load_classifier
from edge.sidecar import Sidecar, read_sidecar
from server.open_inference.datatypes import Tensor, V2Spec
from server.serving.computation import Computation
from server.serving.lessons import Lesson, taught
from server.serving.picture_input import PictureTarget
from server.serving.served_model import (
    ModelVersion,
    RequestContext,
    ServedClassifier,
    ServingParts,
)
from server.serving.tensors import IMAGE_STACKING, canonical_spec, images_in_pieces

#: The only input: canonical images, or encoded pictures.
_INPUT = "image"


class SessionModel(ServedClassifier):
    """A `ServedClassifier` for a `ClassifierSession` of any kind."""

    #: A name of our own: no other server runs these.
    platform = "bicameral_classifier"

    def __init__(
        self,
        served_as: ModelVersion,
        sidecar: Sidecar,
        session: ClassifierSession,
        parts: ServingParts,
    ) -> None:
        """Join a classifier with its queue, and warm it up.

        Args:
            served_as: Name and version for requests.
            sidecar: Describes it.
            session: Answers; this model closes it.
            parts: What all models share.
        """
        info = session.info
        tensors = (canonical_spec(_INPUT, info.image),), self._described(session)
        target = PictureTarget(image=info.image, prepare=session.prepare)
        super().__init__(served_as, sidecar, tensors, target, parts)
        self.image = info.image
        self.labels = info.labels  # also those that were learned
        self._classifier = session
        # A blank run asks every part of it, so it is the longest.
        cost = self._warmed(lambda rows: session.warm_up([rows]))
        self._main = self._classification = Computation(
            name="classify",
            run=images_in_pieces(session.predict),
            cost=cost,
            stacking=IMAGE_STACKING,
        )

    @classmethod
    def load(
        cls,
        path: Path,
        served_as: ModelVersion,
        parts: ServingParts,
        lessons: Sequence[Lesson] = (),
    ) -> Self:
        """Load a sidecar, and teach the classifier what it was taught before.

        Raises:
            DataError: If a file is absent or damaged, or it cannot learn that.
        """
        session = taught(load_classifier(path, memory="none"), lessons)
        return cls(served_as, read_sidecar(path), session, parts)

    @property
    def example_counts(self) -> Mapping[str, int] | None:
        """How many examples each class was learned from; None: it does not learn."""
        session = self._classifier
        return session.example_counts if isinstance(session, DualMemoryClassifier) else None

    async def infer(
        self, inputs: Mapping[str, Tensor], *, context: RequestContext
    ) -> Mapping[str, Tensor]:
        """Classify; see `ServedModel.infer`.

        Returns:
            ``probabilities`` FP32 (N, C) and ``confidence`` FP32 (N,).
        """
        feeds, _ = self._check(await self._decoded(inputs, _INPUT))
        return self._tensors(await self.classify(feeds[_INPUT], context=context))

    def close(self) -> None:
        """Refuse what waits and release the classifier."""
        super().close()
        self._classifier.close()

    @staticmethod
    def _described(session: ClassifierSession) -> tuple[V2Spec, ...]:
        """Describe what `infer` returns."""
        return (
            V2Spec(name="probabilities", datatype="FP32", shape=(-1, len(session.info.labels))),
            V2Spec(name="confidence", datatype="FP32", shape=(-1,)),
        )

    def _tensors(self, prediction: Prediction) -> Mapping[str, Tensor]:
        """Return what `infer` returns."""
        return {"probabilities": prediction.probabilities, "confidence": prediction.confidence}
