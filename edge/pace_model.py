"""A network that answers with how fast others and lights let one drive, by two heads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import Session
from bicameral.types import LightState, RoadOption
from edge.agent_sidecar import PaceAgentSpec
from edge.driver_model import DriverModel, DriverOutput, state_inputs
from edge.preprocessing import feed_from_canonical
from edge.probabilities import softmax
from edge.sidecar import Sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceOutput(DriverOutput):
    """What the two heads say about one picture; of a batch, every array has N rows of this.

    Attributes:
        speed_mps: () float64, regression head.
        speed_std_mps: () float64, calibrated standard deviation of its error.
        probabilities: (K,) float64, of the speed classes: calibrated, sums to 1.
        lead_distance_m: () float64, from the front bumper to the vehicle ahead; as far as the
            network sees if there is none.
        lead_speed_mps: () float64, its speed, where there is one.
        stop_line_m: () float64, to the line of the next light, likewise.
        light: (4,) float64, probabilities of no light, and of those that `LightState` numbers 1 to
            3; not calibrated.
    """

    speed_mps: NDArray[np.float64]
    speed_std_mps: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    lead_distance_m: NDArray[np.float64]
    lead_speed_mps: NDArray[np.float64]
    stop_line_m: NDArray[np.float64]
    light: NDArray[np.float64]

    @property
    def is_finite(self) -> bool:
        """Whether speed and probabilities are numbers."""
        return math.isfinite(float(self.speed_mps + self.probabilities.sum()))


class PaceModel(DriverModel[PaceOutput]):
    """A `DriverModel` that answers with how fast one may drive."""

    agent: PaceAgentSpec
    _spec = PaceAgentSpec
    _outputs = ("speeds", "scales", "logits", "reasons")

    def __init__(self, sidecar: Sidecar, session: Session) -> None:
        """Join a sidecar with a session of its graph, as `DriverModel`."""
        super().__init__(sidecar, session)
        self._edges_mps = np.array([0.0, *self.agent.speed_edges_mps, self.agent.free_mps])

    def predict(
        self,
        image: NDArray[np.uint8],
        earlier: NDArray[np.uint8],
        speed_mps: float,
        command: RoadOption,
    ) -> PaceOutput:
        """Answer for one canonical image (h, w, 3) uint8.

        Args:
            image: Result of `prepare`.
            earlier: The image of `agent.earlier_ticks` before, or the same.
            speed_mps: Forward speed.
            command: Navigation command.
        """
        batch = self.predict_batch(
            image[None], np.array([speed_mps]), np.array([int(command)], np.int8), earlier[None]
        )
        return batch.row(0)

    def predict_batch(
        self,
        images: NDArray[np.uint8],
        speed_mps: NDArray[np.floating],
        commands: NDArray[np.integer],
        earlier: NDArray[np.uint8] | None = None,
    ) -> PaceOutput:
        """Answer for N pictures: images (N, h, w, 3) uint8, the rest with N rows, too.

        Without earlier images nothing has moved.
        """
        before = images if earlier is None else earlier
        fed = feed_from_canonical(before, self.sidecar.input)
        state = state_inputs(speed_mps, commands)
        found = self._run(images, {**state, "earlier": np.asarray(fed, np.float32)})
        speeds, scales = (found[name][:, 0].astype(np.float64) for name in ("speeds", "scales"))
        reasons = found["reasons"].astype(np.float64)
        shares = np.clip(reasons[:, :3], 0.0, 1.0)
        return PaceOutput(
            speed_mps=speeds,
            speed_std_mps=scales * (math.sqrt(2.0) * self.agent.scale_factor),
            probabilities=softmax(found["logits"], self.sidecar.calibration.temperature),
            lead_distance_m=shares[:, 0] * self.agent.seen_m,
            lead_speed_mps=shares[:, 1] * self.agent.free_mps,
            stop_line_m=shares[:, 2] * self.agent.seen_m,
            light=softmax(reasons[:, 3:], 1.0),
        )

    def believed_speed_mps(self, answer: PaceOutput, quantile: float) -> float:
        """Return how fast to drive by one answer of both heads.

        The classes say a quantile of their distribution: half of it believes in this speed or a
        lower one, or less than half, which is more careful. A quantile in the first class is to
        stop. Beside it stands the regression, which a network that is unsure of its classes follows
        more: confidence is the weight.

        Args:
            answer: One row.
            quantile: 0..1; 0.5 is the median.
        """
        cumulative = np.concatenate([[0.0], np.cumsum(answer.probabilities)])
        by_class = float(np.interp(quantile, cumulative, self._edges_mps))
        if by_class < self._edges_mps[1]:
            return 0.0
        sure = float(answer.probabilities.max())
        return sure * by_class + (1.0 - sure) * min(float(answer.speed_mps), by_class * 2.0)


def light_of(answer: PaceOutput) -> LightState | None:
    """Return what the next light most probably shows, None for no light."""
    best = int(answer.light.argmax())
    return LightState(best) if best else None
