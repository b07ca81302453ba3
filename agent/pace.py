"""How fast a network lets an agent drive that sees others and lights by its camera."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError
from bicameral.simulation import TICK_S
from bicameral.types import LightState, RoadOption
from edge.pace_model import PaceModel, PaceOutput, light_of

#: Commands of junctions.
_JUNCTION = (RoadOption.LEFT, RoadOption.RIGHT, RoadOption.STRAIGHT)
#: Who has slowed down for a yellow light will not get through before it is red.
_STOPPING = (LightState.RED, LightState.YELLOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceSettings:
    """What becomes of a pace network's answers.

    Attributes:
        model: Path of the network's ``.onnx`` or sidecar, or the name of a shipped one; empty:
            nobody looks at others and lights.
        quantile: Of the speed classes, above 0 and up to 0.5: the median, or a lower one, with
            which the agent slows down where the network is not sure.
        creep_mps: Before a red or yellow light a lower speed than this is to stand. Nearer than 6 m
            to its line a light is out of the picture, so whoever creeps on would lose it and go.
        approach_m: So far after the command of a junction has begun, 15 m before it, a red light
            is to stand, too. A light beyond a wide junction tells a network little of where to
            stop. Later the vehicle could not stop any more, or what it sees is for others.
    """

    model: str = ""
    quantile: float = 0.5
    creep_mps: float = 2.0
    approach_m: float = 8.0

    def __post_init__(self) -> None:
        if not 0.0 < self.quantile <= 0.5:
            raise ConfigError(
                f"the quantile of the pace is {self.quantile}, expected more than 0 and up to 0.5"
            )


class PaceKeeper:
    """Asks a pace network once per tick.

    Attributes:
        inference_s: CPU time of the network at the last tick.
        diagnostics: What it said then, for the record: ``allowed_speed_mps``, how sure it is
            (``pace_confidence``, ``pace_std_mps``), the probability that it is to stop
            (``pace_stop``), and why: ``lead_distance_m``, ``lead_speed_mps``, ``light`` and
            ``stop_line_m``.
    """

    def __init__(self, model: PaceModel, settings: PaceSettings) -> None:
        """Join a network with what becomes of its answers; `PaceSettings.model` is not read."""
        self.model = model
        self._settings = settings
        self._pictures: deque[NDArray[np.uint8]] = deque(maxlen=model.agent.earlier_ticks + 1)
        self._command: RoadOption | None = None
        self._since_command_m = math.inf
        self.inference_s = 0.0
        self.diagnostics: dict[str, float] = {}

    def begin(self) -> None:
        """Forget the last episode."""
        self._pictures.clear()
        self._command, self._since_command_m = None, math.inf
        self.diagnostics = {}

    def limit_mps(self, picture: NDArray[np.uint8], speed_mps: float, command: RoadOption) -> float:
        """Return how fast others and lights let one drive; an answer that is no number: 0.

        Args:
            picture: (H, W, 3) uint8 RGB, the camera's.
            speed_mps: Forward speed.
            command: Navigation command.
        """
        began_s = time.thread_time()
        self._follow(command, speed_mps)
        image = self.model.prepare(picture)
        self._pictures.append(image)
        # At the beginning nothing is known to have moved.
        whole = len(self._pictures) == self._pictures.maxlen
        answer = self.model.predict(
            image, self._pictures[0] if whole else image, speed_mps, command
        )
        limit_mps = 0.0
        if answer.is_finite:
            limit_mps = self.model.believed_speed_mps(answer, self._settings.quantile)
            light = light_of(answer)
            creeps = limit_mps < self._settings.creep_mps
            near = self._since_command_m < self._settings.approach_m
            if (creeps and light in _STOPPING) or (near and light is LightState.RED):
                limit_mps = 0.0
        self.inference_s = time.thread_time() - began_s
        self.diagnostics = _diagnostics(answer, limit_mps)
        return limit_mps

    def _follow(self, command: RoadOption, speed_mps: float) -> None:
        """Measure the way since the command of a junction began; of the first nobody knows when."""
        self._since_command_m += max(speed_mps, 0.0) * TICK_S
        if command != self._command:
            begins = command in _JUNCTION and self._command is not None
            self._command, self._since_command_m = command, 0.0 if begins else math.inf


def _diagnostics(answer: PaceOutput, limit_mps: float) -> dict[str, float]:
    light = light_of(answer)
    return {
        "allowed_speed_mps": limit_mps,
        "pace_confidence": float(answer.probabilities.max()),
        "pace_std_mps": float(answer.speed_std_mps),
        "pace_stop": float(answer.probabilities[0]),
        "lead_distance_m": float(answer.lead_distance_m),
        "lead_speed_mps": float(answer.lead_speed_mps),
        "light": float(light or 0),
        "stop_line_m": math.nan if light is None else float(answer.stop_line_m),
    }
