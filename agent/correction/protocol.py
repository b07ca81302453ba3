"""What a correction sees and what it answers."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError
from bicameral.types import RoadOption
from edge.driver_model import DriverModel
from edge.dual_head import DualHeadModel, DualHeadOutput

Network = TypeVar("Network", bound=DriverModel[Any])
Answer = TypeVar("Answer")


class Answers(ABC, Generic[Network, Answer]):
    """The answers of network A, and of B if there is one, about one picture.

    Each is computed when it is first asked for.

    Attributes:
        speed_mps: Forward speed.
        command: Navigation command.
        image: The picture as network A sees it, (h, w, 3) uint8.
        inference_s: CPU time of the networks so far.
    """

    def __init__(
        self,
        models: tuple[Network, Network | None],
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
        self._models = models
        self._picture = picture
        self.speed_mps = speed_mps
        self.command = command
        self._answers: list[Answer | None] = [None, None]
        self.image = models[0].prepare(picture)
        self.inference_s = 0.0

    @property
    def asked_a(self) -> bool:
        """Whether network A has answered."""
        return self._answers[0] is not None

    @property
    def asked_b(self) -> bool:
        """Whether network B has answered."""
        return self._answers[1] is not None

    def ask_a(self) -> Answer:
        """Return the answer of network A."""
        return self._ask(0)

    def ask_b(self) -> Answer:
        """Return the answer of network B.

        Raises:
            ConfigError: If there is none.
        """
        return self._ask(1)

    @abstractmethod
    def _predict(self, model: Network, image: NDArray[np.uint8]) -> Answer:
        """Ask a network about the picture as it sees it."""

    def _ask(self, which: int) -> Answer:
        answer = self._answers[which]
        if answer is None:
            model = self._models[which]
            if model is None:
                raise ConfigError("this correction needs a second network and none was given")
            began_s = time.thread_time()
            same_view = self._models[0].image == model.image
            image = self.image if same_view else model.prepare(self._picture)
            answer = self._answers[which] = self._predict(model, image)
            self.inference_s += time.thread_time() - began_s
        return answer


class Opinions(Answers[DualHeadModel, DualHeadOutput]):
    """What one or two networks that steer say about one tick."""

    def _predict(self, model: DualHeadModel, image: NDArray[np.uint8]) -> DualHeadOutput:
        return model.predict(image, self.speed_mps, self.command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a rule made of the opinions.

    Attributes:
        steer: Raw steer; the agent clips it.
        steer_raw: Regression head before the correction, of the first network that was asked; None
            if the rule asked none.
        confidence: Calibrated probability that what counts is right; None if that is not known.
        entropy: Of the class probabilities of the network that it belongs to, in nats; likewise.
        branch: Name of the branch that was taken.
        speed_factor: Factor 0..1 on the wanted speed.
        limit_mps: And how fast to drive at most.
        least_brake: Brake at least so hard, 0..1; above 0 without throttle.
        diagnostics: Further numbers to record.
    """

    steer: float
    steer_raw: float | None
    confidence: float | None
    entropy: float | None
    branch: str
    speed_factor: float = 1.0
    limit_mps: float = math.inf
    least_brake: float = 0.0
    diagnostics: Mapping[str, float] = field(default_factory=dict)


class Rule(Protocol):
    """What becomes of the networks' answers."""

    @property
    def name(self) -> str:
        """Name of the correction."""

    def begin(self, seed: int) -> None:
        """Forget the last episode; a rule without memory has nothing to forget."""
        del seed


class CorrectionRule(Rule, Protocol):
    """Turns opinions into one steering value."""

    def correct(self, opinions: Opinions) -> Correction:
        """Decide one tick; called once per tick, in order."""
