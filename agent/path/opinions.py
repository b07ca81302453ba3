"""What a rule is told about one tick, and the path that it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.correction.protocol import Answers, Rule
from agent.path.navigation import MapPath, Navigator
from bicameral.types import RoadOption
from edge.agent_sidecar import PathAgentSpec
from edge.path_model import PathModel, PathOutput

#: Where records look at the path.
RECORDED_M = 10.0


def recorded_row(agent: PathAgentSpec) -> int:
    """Return the row of a network's classes that are nearest to `RECORDED_M`."""
    at_m = np.array([one.distance_m for one in agent.classes])
    return int(np.abs(at_m - RECORDED_M).argmin())


class PathOpinions(Answers[PathModel, PathOutput]):
    """The paths that one or two networks see, and the one that the map shows."""

    def __init__(
        self,
        models: tuple[PathModel, PathModel | None],
        picture: NDArray[np.uint8],
        speed_mps: float,
        command: RoadOption,
        *,
        navigator: Navigator,
    ) -> None:
        """Hold what the networks may be asked about.

        Args:
            models: Network A, and network B if there is one.
            picture: (H, W, 3) uint8 RGB, the camera's picture.
            speed_mps: Forward speed.
            command: Navigation command.
            navigator: Already updated to this tick.
        """
        super().__init__(models, picture, speed_mps, command)
        self._navigator = navigator
        self.distances_m = models[0].distances_m
        self.has_b = models[1] is not None

    @cached_property
    def map(self) -> MapPath:
        """The path of the map at `distances_m`."""
        return self._navigator.path(self.distances_m)

    def learn(self, offsets_m: NDArray[np.float64], variances_m2: NDArray[np.float64]) -> None:
        """Tell the navigator where the path is seen (D,), and how far off that may be (D,)."""
        self._navigator.learn(self.distances_m, offsets_m, variances_m2)

    @property
    def all_finite(self) -> bool:
        """Whether all answers so far are numbers."""
        return all(answer is None or answer.is_finite for answer in self._answers)

    def at_10m(self, values: NDArray[np.float64]) -> float:
        """Return what values (D,) at `distances_m` are at `RECORDED_M`."""
        return float(np.interp(RECORDED_M, self.distances_m, values))

    def _predict(self, model: PathModel, image: NDArray[np.uint8]) -> PathOutput:
        spec = model.agent.intent if self._navigator.settings.intent else None
        intent = None if spec is None else self._navigator.intent(spec)
        return model.predict(image, self.speed_mps, self.command, intent)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedPath:
    """The path that is to be followed.

    Attributes:
        offsets_m: (D,) lateral offsets in the car's frame, positive right.
        std_m: (D,) how far off they are believed to be, as standard deviations.
        branch: Name of what the rule did.
        speed_factor: Factor 0..1 on the wanted speed.
        diagnostics: Further numbers to record.
    """

    offsets_m: NDArray[np.float64]
    std_m: NDArray[np.float64]
    branch: str
    speed_factor: float = 1.0
    diagnostics: Mapping[str, float] = field(default_factory=dict)


class PathRule(Rule, Protocol):
    """Turns opinions into one path."""

    def fuse(self, opinions: PathOpinions) -> FusedPath:
        """Decide one tick; called once per tick, in order."""


class VisionAlone(PathRule):
    """No correction: the regression head of network A leads, the class head only watches."""

    name = "none"

    def fuse(self, opinions: PathOpinions) -> FusedPath:
        """Return network A's path."""
        answer = opinions.ask_a()
        return FusedPath(offsets_m=answer.offsets_m, std_m=answer.spread_m, branch="none")
