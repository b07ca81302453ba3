"""A network that answers with the path ahead, by two heads, as one callable."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import Session
from bicameral.types import RoadOption
from edge.agent_sidecar import OffsetClasses, PathAgentSpec
from edge.driver_model import DriverModel, DriverOutput, state_inputs
from edge.probabilities import softmax
from edge.sidecar import Sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class PathOutput(DriverOutput):
    """What the two heads say about one picture; of a batch, every array has N rows of this.

    Offsets are lateral, in the car's frame: metres, positive right. D is the number of distances
    ahead, C of those with classes, K of classes.

    Attributes:
        offsets_m: (D,) float64, regression head.
        offsets_std_m: (D,) float64, calibrated standard deviation of its error.
        class_mean_m: (C,) float64, mean of the class distribution.
        class_std_m: (C,) float64, its standard deviation, by the temperature alone.
        probabilities: (C, K) float64, `softmax(logits / temperature)`: rows sum to 1.
        logits: (C, K) float32, classification head.
        spread_m: (D,) float64, standard deviation of the class distribution, calibrated and at all
            distances.
    """

    offsets_m: NDArray[np.float64]
    offsets_std_m: NDArray[np.float64]
    class_mean_m: NDArray[np.float64]
    class_std_m: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    logits: NDArray[np.float32]
    spread_m: NDArray[np.float64]

    @property
    def is_finite(self) -> bool:
        """Whether every offset and every standard deviation is a number."""
        whole = self.offsets_m.sum() + self.offsets_std_m.sum() + self.spread_m.sum()
        return math.isfinite(whole)


class PathModel(DriverModel[PathOutput]):
    """A `DriverModel` that answers with the path ahead."""

    agent: PathAgentSpec
    _spec = PathAgentSpec
    _outputs = ("offsets", "scales", "logits")

    def __init__(self, sidecar: Sidecar, session: Session) -> None:
        """Join a sidecar with a session of its graph, as `DriverModel`."""
        super().__init__(sidecar, session)
        self.distances_m = np.array(self.agent.distances_m)
        self._calibration = PathCalibration(self.agent)

    def predict(
        self,
        image: NDArray[np.uint8],
        speed_mps: float,
        command: RoadOption,
        intent: NDArray[np.floating] | None = None,
    ) -> PathOutput:
        """Answer for one canonical image (h, w, 3) uint8.

        Args:
            image: Result of `prepare`.
            speed_mps: Forward speed.
            command: Navigation command.
            intent: See `edge.sidecar.LaneIntent`; None says that nothing is known.
        """
        batch = self.predict_batch(
            image[None],
            np.array([speed_mps]),
            np.array([int(command)], np.int8),
            None if intent is None else intent[None],
        )
        return batch.row(0)

    def predict_batch(
        self,
        images: NDArray[np.uint8],
        speed_mps: NDArray[np.floating],
        commands: NDArray[np.integer],
        intent: NDArray[np.floating] | None = None,
    ) -> PathOutput:
        """Answer for N pictures: images (N, h, w, 3) uint8, the rest with N rows, too."""
        more = state_inputs(speed_mps, commands)
        if self.agent.intent is not None:
            width = 2 * len(self.agent.intent.distances_m) + 1
            told = np.zeros((len(images), width)) if intent is None else intent
            more["intent"] = np.asarray(told, np.float32)
        outputs = self._run(images, more)
        return self._calibration(outputs["offsets"], outputs["scales"], outputs["logits"])


class PathCalibration:
    """Turns what a graph gives into offsets with honest standard deviations."""

    def __init__(self, agent: PathAgentSpec) -> None:
        """Read the constants of a sidecar."""
        self._scale = math.sqrt(2.0) * np.array(agent.scale_factors)
        self._temperature = np.array([[one.temperature] for one in agent.classes])
        self._means = np.array([one.bin_means_m for one in agent.classes])
        self._squares = np.array([one.bin_variances_m2 for one in agent.classes]) + self._means**2
        factors = np.array(agent.spread_factors)
        self._spread = spread_shares(agent.distances_m, agent.classes) * factors[:, None]

    def __call__(
        self,
        offsets: NDArray[np.floating],
        scales: NDArray[np.floating],
        logits: NDArray[np.floating],
    ) -> PathOutput:
        """Calibrate the outputs of N pictures: (N, D), (N, D) and (N, C, K)."""
        probabilities = softmax(logits, self._temperature)
        mean = (probabilities * self._means).sum(-1)
        variance = (probabilities * self._squares).sum(-1) - mean**2
        class_std_m = np.sqrt(np.maximum(variance, 0.0))
        return PathOutput(
            offsets_m=offsets.astype(np.float64),
            offsets_std_m=scales * self._scale,
            class_mean_m=mean,
            class_std_m=class_std_m,
            probabilities=probabilities,
            logits=np.asarray(logits, np.float32),
            spread_m=class_std_m @ self._spread.T,
        )


def spread_shares(
    distances_m: tuple[float, ...], classes: tuple[OffsetClasses, ...]
) -> NDArray[np.float64]:
    """Return how a standard deviation at any distance follows from those where classes are.

    Between two of them it is interpolated, and nearer or farther than all it is in proportion to
    the distance.

    Returns:
        (D, C) float64: of D distances, from C distances with classes.
    """
    at_m = np.array([one.distance_m for one in classes])
    shares = np.empty((len(distances_m), len(at_m)))
    for column, unit in enumerate(np.eye(len(at_m))):
        shares[:, column] = np.interp(distances_m, at_m, unit)
    beyond = np.array(distances_m) / np.clip(distances_m, at_m[0], at_m[-1])
    return np.asarray(shares * beyond[:, None])
