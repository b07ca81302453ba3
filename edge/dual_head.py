"""A network with two heads, steering and steering class, as one callable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.types import RoadOption
from edge.agent_sidecar import AgentSpec
from edge.driver_model import DriverModel, state_inputs
from edge.probabilities import softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class DualHeadOutput:
    """What the two heads say about one picture.

    Attributes:
        steer: Regression head, raw steer, positive right; not clipped.
        logits: (K,) float32, classification head.
        probabilities: (K,) float64, `softmax(logits / temperature)`: calibrated, sums to 1.
    """

    steer: float
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DualHeadBatch:
    """`DualHeadOutput` for N pictures: steer (N,), logits and probabilities (N, K)."""

    steer: NDArray[np.float32]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float64]


class DualHeadModel(DriverModel[DualHeadBatch]):
    """A `DriverModel` that answers with steering and its class."""

    agent: AgentSpec
    _spec = AgentSpec
    _outputs = ("steer", "logits")

    def predict(
        self, image: NDArray[np.uint8], speed_mps: float, command: RoadOption
    ) -> DualHeadOutput:
        """Answer for one canonical image (h, w, 3) uint8.

        Args:
            image: Result of `prepare`.
            speed_mps: Forward speed; ignored by the variant ``paper``.
            command: Navigation command; ignored by the variant ``paper``.
        """
        batch = self.predict_batch(
            image[None], np.array([speed_mps]), np.array([int(command)], np.int8)
        )
        return DualHeadOutput(
            steer=float(batch.steer[0]),
            logits=batch.logits[0],
            probabilities=batch.probabilities[0],
        )

    def predict_batch(
        self,
        images: NDArray[np.uint8],
        speed_mps: NDArray[np.floating],
        commands: NDArray[np.integer],
    ) -> DualHeadBatch:
        """Answer for canonical images (N, h, w, 3) uint8, speeds (N,), `RoadOption` values (N,)."""
        outputs = self._run(images, state_inputs(speed_mps, commands))
        logits = outputs["logits"]
        return DualHeadBatch(
            steer=outputs["steer"].reshape(-1),
            logits=logits,
            probabilities=softmax(logits, self.sidecar.calibration.temperature),
        )
