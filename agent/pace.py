"""How fast a network lets an agent drive that sees others and lights by its camera."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.longitudinal import EMERGENCY_MPS2
from agent.lost_sight import LostSight
from agent.traffic_labels import needed_deceleration, standing_gap
from bicameral.errors import ConfigError
from bicameral.simulation import TICK_S
from bicameral.types import LightState, RoadOption
from edge.pace_model import PaceModel, PaceOutput, light_of

#: Commands of junctions.
_JUNCTION = (RoadOption.LEFT, RoadOption.RIGHT, RoadOption.STRAIGHT)
#: Who has slowed down for a yellow light will not get through before it is red.
_STOPPING = (LightState.RED, LightState.YELLOW)
#: So hard the agent brakes for a light, as the expert does for a yellow one.
_BRAKING_MPS2 = 3.0
#: Slower than this is standing.
_STANDING_MPS = 0.1
#: The pedal for a little more than the agent brakes at most, 4 m/s2.
_SURE_BRAKE = 0.5
#: An emergency that only one answer tells of is believed by nobody: most of those have no cause.
_EMERGENCY_TICKS = 2
#: Whoever has waited so long for others edges on whenever they seem to let it: they wait, too.
_EDGING_TICKS = round(20.0 / TICK_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceSettings:
    """What becomes of a pace network's answers.

    Attributes:
        model: Path of the network's ``.onnx`` or sidecar, or the name of a shipped one; empty:
            nobody looks at others and lights.
        quantile: Of the speed classes, above 0 and up to 0.5: the median, or a lower one, with
            which the agent slows down where the network is not sure.
        creep_mps: Whoever is to stop and is slower than this brakes evenly until he stands, and so
            does, before a red or yellow light, who is to be slower. Whoever creeps on loses what he
            stops for, and goes: a light is out of the picture from 6 m before its line on, a walker
            who is nearer than 3 m.
        line_m: So far after the command of a junction has begun, 15 m before it, the front is at
            the line. Whoever can stop before it stands at red and yellow, whatever the speed says:
            a light beyond a wide junction tells a network little of where to stop. Beyond the line
            no light stops it: what it sees there is for others.
        sure_stop: A stop that is more probable than this is held at any speed, and so are one
            before a light and an emergency. It is braked for evenly, not the more softly the slower
            the agent is.
        hold_s: For so long after the last such answer, unless the light is green: who is about to
            walk into the way, or a lamp, may be out of the picture for a while. Not where it is too
            late to stop before the line.
        patience_s: Whoever has stood longer before a red or yellow light goes on as if there was
            none until the next junction: it is somebody else's. CARLA's are red for 50 s at most.
    """

    model: str = ""
    quantile: float = 0.5
    creep_mps: float = 2.0
    line_m: float = 12.0
    sure_stop: float = 0.9
    hold_s: float = 2.0
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0.0 < self.quantile <= 0.5:
            raise ConfigError(
                f"the quantile of the pace is {self.quantile}, expected more than 0 and up to 0.5"
            )


class PaceKeeper:
    """Asks a pace network once per tick.

    Attributes:
        least_brake: How hard to brake at least, by the last tick, 0..1: the slower an agent is, the
            more softly it brakes, and would roll against what it is sure to see.
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
        self._lost_sight = LostSight(settings.hold_s)
        self._command: RoadOption | None = None
        self.inference_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Forget the last episode."""
        self._pictures.clear()
        self._lost_sight.forget()
        self._command, self._since_command_m = None, math.inf
        self._hold_ticks = self._stood_ticks = self._slow_ticks = self._emergency_ticks = 0
        self.least_brake = 0.0
        self.diagnostics: dict[str, float] = {}

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
        self.least_brake = 0.0
        if answer.is_finite:
            limit_mps = self.model.believed_speed_mps(answer, self._settings.quantile)
            hidden = self._lost_sight.hides_somebody(float(answer.lead_distance_m))
            if self._has_to_stand(answer, limit_mps, speed_mps) or hidden:
                limit_mps = 0.0
            if limit_mps == 0.0 and 0 < self._slow_ticks <= _EDGING_TICKS:
                self.least_brake = max(self.least_brake, _SURE_BRAKE)
        self.inference_s = time.thread_time() - began_s
        self.diagnostics = _diagnostics(answer, limit_mps)
        return limit_mps

    def _has_to_stand(self, answer: PaceOutput, limit_mps: float, speed_mps: float) -> bool:
        """Judge a finite answer; call it once per tick."""
        light, settings = light_of(answer), self._settings
        emergency = self._is_emergency(light, limit_mps, speed_mps)
        sure = emergency or float(answer.probabilities[0]) > settings.sure_stop
        self.least_brake = 1.0 if emergency else _SURE_BRAKE if sure else 0.0
        arrives = self._arrives(limit_mps, speed_mps) and light not in _STOPPING
        stand_m = self._since_command_m + max(speed_mps, 0.0) ** 2 / (2.0 * _BRAKING_MPS2)
        stops = self._is_patient(light, speed_mps) and light in _STOPPING
        # Whoever stood beyond the line would not see its light, and pass it when it is red.
        too_late = stops and self._since_command_m < settings.line_m <= stand_m
        beyond_line = settings.line_m <= self._since_command_m < math.inf
        creeps = stops and not beyond_line and limit_mps < settings.creep_mps
        self._hold_ticks -= 1
        if light is LightState.GREEN:
            self._hold_ticks = 0
        elif not too_late and (sure or arrives or creeps or (stops and stand_m < settings.line_m)):
            self._hold_ticks = 1 + round(settings.hold_s / TICK_S)
        return self._hold_ticks > 0 or creeps

    def _arrives(self, limit_mps: float, speed_mps: float) -> bool:
        """Return whether it is about to stand; call it once per tick."""
        slow = speed_mps < self._settings.creep_mps
        self._slow_ticks = self._slow_ticks + 1 if slow else 0
        return slow and limit_mps == 0.0 and self._slow_ticks <= _EDGING_TICKS

    def _is_emergency(self, light: LightState | None, limit_mps: float, speed_mps: float) -> bool:
        """Return whether it is late for what is allowed, lights aside; call it once per tick."""
        needed_mps2 = needed_deceleration(speed_mps, standing_gap(limit_mps))
        is_late = light not in _STOPPING and needed_mps2 > EMERGENCY_MPS2
        self._emergency_ticks = self._emergency_ticks + 1 if is_late else 0
        return self._emergency_ticks >= _EMERGENCY_TICKS

    def _is_patient(self, light: LightState | None, speed_mps: float) -> bool:
        """Return whether it still waits for lights; call it once per tick."""
        most = round(self._settings.patience_s / TICK_S)
        if self._stood_ticks > most:
            return False
        if light is LightState.GREEN or speed_mps >= _STANDING_MPS:
            self._stood_ticks = 0
        elif light in _STOPPING:
            self._stood_ticks += 1
        return self._stood_ticks <= most

    def _follow(self, command: RoadOption, speed_mps: float) -> None:
        """Measure the way since the command of a junction began; of the first nobody knows when."""
        self._since_command_m += max(speed_mps, 0.0) * TICK_S
        if command != self._command:
            begins = command in _JUNCTION and self._command is not None
            self._command, self._since_command_m = command, 0.0 if begins else math.inf
            self._stood_ticks = 0


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
