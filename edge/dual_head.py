"""A network with two heads, steering and steering class, as one callable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import Session
from bicameral.types import RoadOption
from edge.agent_sidecar import AgentSpec
from edge.preprocessing import canonical_from_picture, feed_from_canonical
from edge.probabilities import softmax
from edge.session import PLAIN_RUN, RunOptions, open_model
from edge.sidecar import ImageSpec, Sidecar, read_sidecar

#: Columns of the one-hot input `command`. A lane change is driven like following a lane: where the
#: new lane lies is in the picture, and training data hold too few to learn more.
COMMANDS = ("lane_follow", "left", "right", "straight")
_COLUMN_FROM_COMMAND = {
    RoadOption.LANE_FOLLOW: 0,
    RoadOption.CHANGE_LANE_LEFT: 0,
    RoadOption.CHANGE_LANE_RIGHT: 0,
    RoadOption.LEFT: 1,
    RoadOption.RIGHT: 2,
    RoadOption.STRAIGHT: 3,
}
_COLUMN_BY_VALUE = np.full(7, -1, np.int64)
for _command, _column in _COLUMN_FROM_COMMAND.items():
    _COLUMN_BY_VALUE[int(_command)] = _column


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


class DualHeadModel:
    """A sidecar and the session that answers for it."""

    def __init__(self, sidecar: Sidecar, session: Session) -> None:
        """Join a sidecar of kind ``agent`` with a session of its graph.

        Raises:
            DataError: If the sidecar is of another kind or the graph's inputs are others.
        """
        if not isinstance(sidecar.agent, AgentSpec):
            found = sidecar.kind if sidecar.agent is None else "path agent"
            raise DataError(f"model {sidecar.name!r} is a {found}, not an agent that steers itself")
        expected = [sidecar.input.name, *(extra.name for extra in sidecar.extra_inputs)]
        names = [spec.name for spec in session.inputs]
        if sorted(names) != sorted(expected):
            raise DataError(
                f"the graph of {sidecar.name!r} takes {names}, its sidecar says {expected}"
            )
        self.sidecar = sidecar
        self.agent: AgentSpec = sidecar.agent
        self.image: ImageSpec = sidecar.input.image
        self._session = session
        self._conditional = bool(sidecar.extra_inputs)

    @classmethod
    def load(cls, model: Path, run_on: RunOptions = PLAIN_RUN) -> DualHeadModel:
        """Load ``NAME.onnx`` with its sidecar (either path will do), checking the file's hash.

        Args:
            model: Path of the graph or of its sidecar.
            run_on: Which of the sidecar's files, and how many threads.

        Raises:
            DataError: If a file is absent, damaged, or does not fit the other.
        """
        sidecar = read_sidecar(model)
        return cls(sidecar, open_model(model, sidecar, run_on))

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.sidecar.name

    @property
    def fingerprint(self) -> str:
        """Hash of the graph."""
        return self._session.fingerprint

    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop and resize camera pictures (..., H, W, 3) to the canonical size."""
        return canonical_from_picture(picture, self.image)

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
        feeds: dict[str, NDArray[np.generic]] = {
            self.sidecar.input.name: feed_from_canonical(images, self.sidecar.input)
        }
        if self._conditional:
            feeds["speed_mps"] = np.asarray(speed_mps, np.float32).reshape(-1, 1)
            feeds["command"] = one_hot_from_commands(commands)
        outputs = self._session.run(feeds)
        logits = outputs["logits"]
        return DualHeadBatch(
            steer=outputs["steer"].reshape(-1),
            logits=logits,
            probabilities=softmax(logits, self.sidecar.calibration.temperature),
        )

    def close(self) -> None:
        """Release the session."""
        self._session.close()


def one_hot_from_commands(commands: NDArray[np.integer]) -> NDArray[np.float32]:
    """Turn `RoadOption` values (N,) into the one-hot input (N, 4) float32, columns `COMMANDS`.

    Raises:
        DataError: If a value is no `RoadOption`.
    """
    values = np.asarray(commands, np.int64)
    valid = (values >= 0) & (values < _COLUMN_BY_VALUE.size)
    columns = np.where(valid, _COLUMN_BY_VALUE[np.where(valid, values, 0)], -1)
    if (columns < 0).any():
        raise DataError(
            f"unknown navigation commands {sorted(set(values[columns < 0].tolist()))}; "
            f"expected values of RoadOption, {[int(option) for option in RoadOption]}"
        )
    one_hot = np.zeros((values.size, len(COMMANDS)), np.float32)
    one_hot[np.arange(values.size), columns] = 1.0
    return one_hot
