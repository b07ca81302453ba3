"""A driver's network as one callable: what every kind takes, and how it is joined with its sidecar.

What the kinds answer is in `edge.dual_head`, `edge.path_model` and `edge.pace_model`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import Session
from bicameral.types import RoadOption
from edge.agent_sidecar import DriverSpec
from edge.preprocessing import canonical_from_picture, feed_from_canonical
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

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverOutput:
    """What a network says about one picture; of a batch, every array has N rows of this."""

    def row(self, index: int) -> Self:
        """Return one row of a batch."""
        return type(self)(**{one.name: getattr(self, one.name)[index] for one in fields(self)})


class DriverModel(ABC, Generic[Batch]):
    """A sidecar and the session that answers for it.

    Attributes:
        sidecar: All that is known about the network.
        agent: Its block about the agent.
        image: How it sees pictures.
    """

    agent: DriverSpec
    _spec: ClassVar[type[DriverSpec]]
    _outputs: ClassVar[tuple[str, ...]]

    def __init__(self, sidecar: Sidecar, session: Session) -> None:
        """Join a sidecar of an agent of this kind with a session of its graph.

        Raises:
            DataError: If the sidecar is of another kind, or the graph's inputs or outputs are
                others.
        """
        if not isinstance(sidecar.agent, self._spec):
            found = f"a {sidecar.kind}" if sidecar.agent is None else sidecar.agent.title
            raise DataError(f"model {sidecar.name!r} is {found}, expected {self._spec.title}")
        expected = [sidecar.input.name, *(extra.name for extra in sidecar.extra_inputs)]
        inputs = [spec.name for spec in session.inputs]
        if sorted(inputs) != sorted(expected):
            raise DataError(
                f"the graph of {sidecar.name!r} takes {inputs}, its sidecar says {expected}"
            )
        given = [spec.name for spec in session.outputs]
        if not set(self._outputs) <= set(given):
            raise DataError(
                f"the graph of {sidecar.name!r} gives {given}, expected {self._outputs}"
            )
        self.sidecar = sidecar
        self.agent = sidecar.agent
        self.image: ImageSpec = sidecar.input.image
        self._session = session

    @classmethod
    def load(cls, model: Path, run_on: RunOptions = PLAIN_RUN) -> Self:
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

    @abstractmethod
    def predict_batch(
        self,
        images: NDArray[np.uint8],
        speed_mps: NDArray[np.floating],
        commands: NDArray[np.integer],
    ) -> Batch:
        """Answer for canonical images (N, h, w, 3) uint8, speeds (N,), `RoadOption` values (N,)."""

    def close(self) -> None:
        """Release the session."""
        self._session.close()

    def _run(
        self, images: NDArray[np.uint8], more: dict[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        """Run the graph for canonical images (N, h, w, 3), and for what it takes of some more."""
        feeds = {self.sidecar.input.name: feed_from_canonical(images, self.sidecar.input)}
        for extra in self.sidecar.extra_inputs:
            feeds[extra.name] = more[extra.name]
        return self._session.run(feeds)


def state_inputs(
    speed_mps: NDArray[np.floating], commands: NDArray[np.integer]
) -> dict[str, NDArray[np.float32]]:
    """Return the inputs speed_mps (N, 1) and command (N, 4) for speeds and `RoadOption` values.

    Raises:
        DataError: If a command is no `RoadOption`.
    """
    return {
        "speed_mps": np.asarray(speed_mps, np.float32).reshape(-1, 1),
        "command": one_hot_from_commands(commands),
    }


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
