"""A single network that classifies pictures: its graph's tensors, and its calibrated answers."""

from __future__ import annotations

from bicameral.protocols import Session
from edge.classifier import OnnxClassifier
from edge.sidecar import Sidecar
from server.serving.computation import Computation
from server.serving.graph_tensors import GraphTensorModel
from server.serving.picture_input import PictureTarget
from server.serving.served_model import ModelVersion, ServedClassifier, ServingParts
from server.serving.tensors import IMAGE_STACKING, images_in_pieces


class GraphModel(GraphTensorModel, ServedClassifier):
    """A `ServedClassifier` for a sidecar of kind ``classifier``.

    `infer` gives what the graph gives, e.g. logits; `classify` gives calibrated probabilities.
    """

    def __init__(
        self, served_as: ModelVersion, sidecar: Sidecar, session: Session, parts: ServingParts
    ) -> None:
        """Join a session with its queue, and warm it up; as `GraphTensorModel`."""
        super().__init__(served_as, sidecar, session, parts)
        self.image = sidecar.input.image
        classifier = self._classifier
        self._classification = Computation(
            name="classify",
            run=images_in_pieces(classifier.predict),
            cost=self._warmed(lambda rows: classifier.warm_up([rows])),
            stacking=IMAGE_STACKING,
        )

    def _joined(self, sidecar: Sidecar, session: Session) -> PictureTarget:
        self._classifier = classifier = OnnxClassifier(sidecar, session)
        return PictureTarget(image=classifier.info.image, prepare=classifier.prepare)
