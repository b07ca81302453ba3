"""What a correction sees and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.answers import Answers
from agent.confidence import Confidence
from bicameral.types import RoadOption
from edge.dual_head import DualHeadModel, DualHeadOutput


class Opinions(Answers[DualHeadModel, DualHeadOutput]):
    """The answers of one or two networks about one tick; each is computed when first asked for."""

    def __init__(
        self,
        models: tuple[DualHeadModel, DualHeadModel | None],
        picture: NDArray[np.uint8],
        speed_mps: float,
        command: RoadOption,
    ) -> None:
        """Hold what the networks may be asked about.

        Args:
            models: Network A, and network B if there is one.
            picture: (H, W, 3) uint8 RGB, the camera's picture.
            speed_mps: Forward speed.
            command: Navigation command.
        """
        super().__init__(models, picture)
        self._speed_mps = speed_mps
        self._command = command

    def _predict(self, model: DualHeadModel, image: NDArray[np.uint8]) -> DualHeadOutput:
        return model.predict(image, self._speed_mps, self._command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a rule made of the opinions.

    Attributes:
        steer: Raw steer; the agent clips it.
        steer_raw: Regression head before the correction, of the first network that was asked.
        confidence: Calibrated confidence of the network whose answer counts.
        branch: Name of the branch that was taken.
        speed_factor: Factor 0..1 on the wanted speed.
        diagnostics: Further numbers to record.
    """

    steer: float
    steer_raw: float
    confidence: Confidence
    branch: str
    speed_factor: float = 1.0
    diagnostics: Mapping[str, float] = field(default_factory=dict)


class CorrectionRule(Protocol):
    """Turns opinions into one steering value."""

    @property
    def name(self) -> str:
        """Name in the registry."""

    def begin(self, seed: int) -> None:
        """Forget the last episode."""

    def correct(self, opinions: Opinions) -> Correction:
        """Decide one tick; called once per tick, in order."""
