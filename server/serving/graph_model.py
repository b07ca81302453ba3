"""A single network that classifies pictures: its graph's tensors, and its calibrated answers."""

from __future__ import annotations

from pathlib import Path

from bicameral.protocols import Session
from edge.classifier import OnnxClassifier
from edge.session import open_model
from edge.sidecar import Sidecar, read_sidecar
from server.serving.computation import Computation
from server.serving.graph_tensors import GraphTensorModel
from server.serving.picture_input import PictureTarget
from server.serving.served_model import (
    ModelVersion,
    ServedClassifier,
    ServingParts,
)
from server.serving.tensors import IMAGE_STACKING


class GraphModel(GraphTensorModel, ServedClassifier):
    """A `ServedClassifier` for a sidecar of kind ``classifier``.

    `infer` gives what the graph gives, e.g. logits; `classify` gives calibrated probabilities.
    """

    def __init__(
        self, served_as: ModelVersion, sidecar: Sidecar, session: Session, parts: ServingParts
    ) -> None:
        """Join a session with its queue, and warm it up.

        Raises:
            DataError: If the graph is not what the sidecar describes, or cannot be served.
        """
        classifier = OnnxClassifier(sidecar, session)
        target = PictureTarget(image=classifier.info.image, prepare=classifier.prepare)
        super().__init__(served_as, (sidecar, session), target, parts)
        self.image = sidecar.input.image
        self._classification = Computation(
            name="classify",
            run=classifier.predict,
            cost=self._warmed(lambda rows: classifier.warm_up([rows])),
            stacking=IMAGE_STACKING,
        )

    @classmethod
    def load(cls, path: Path, served_as: ModelVersion, parts: ServingParts) -> GraphModel:
        """Load a sidecar with its graph.

        Raises:
            DataError: If a file is absent or damaged, or does not fit the other.
        """
        sidecar = read_sidecar(path)
        session = open_model(path, sidecar)
        return cls(served_as, sidecar, session, parts)
