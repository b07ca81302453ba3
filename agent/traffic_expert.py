"""An expert that drives among others; it looks at the simulator's state."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from agent.expert import ExpertAgent, Pace
from agent.longitudinal import EMERGENCY_MPS2
from agent.progress import RouteGuide
from agent.traffic_labels import AT_THE_LINE, WITHIN_SIGHT, TrafficLabel, label_state
from agent.way_ahead import HALF_LENGTH_M
from bicameral.types import Observation, Route, Surroundings

#: Slower than this at a stop sign's line is standing.
_STANDING_MPS: Final = 0.1
_AT_LINE_M: Final = 4.0


class TrafficExpert(ExpertAgent):
    """Drives a route by its geometry, the others and the lights: a `DrivingAgent`.

    Without surroundings it drives as the other expert does.
    """

    def __init__(self, *, within_sight: bool = False) -> None:
        """Decide where it stops.

        Args:
            within_sight: Whether it stands where its camera would still see a light, to be copied
                by a network.
        """
        super().__init__()
        self._rule = WITHIN_SIGHT if within_sight else AT_THE_LINE
        self._obeyed_m: set[float] = set()

    def begin(self, route: Route, seed: int) -> None:
        """Prepare for a route; the expert has no randomness, the seed is ignored."""
        super().begin(route, seed)
        self._obeyed_m = set()

    def _pace(self, guide: RouteGuide, observation: Observation) -> Pace:
        if observation.surroundings is None or guide.finished:
            return super()._pace(guide, observation)
        label = self._label(guide, observation, observation.surroundings)
        return Pace(
            target_mps=label.target_speed_mps,
            cause=label.cause,
            full_brake=label.deceleration_mps2 > EMERGENCY_MPS2,
            reasons=_reasons(label),
        )

    def _label(
        self, guide: RouteGuide, observation: Observation, surroundings: Surroundings
    ) -> TrafficLabel:
        front_m = guide.position.s_m + HALF_LENGTH_M
        if abs(observation.speed_mps) < _STANDING_MPS:
            self._obeyed_m |= {
                line.s_m
                for line in surroundings.stop_lines
                if line.light is None and 0.0 <= line.s_m - front_m < _AT_LINE_M
            }
        return label_state(
            guide,
            observation.pose,
            observation.speed_mps,
            surroundings,
            replace(self._rule, obeyed_m=self._obeyed_m),
        )


def _reasons(label: TrafficLabel) -> dict[str, float]:
    """Return a label as diagnostics; what there is not is not a number, and no light is 0."""
    return {
        "allowed_speed_mps": _number(label.allowed_speed_mps),
        "lead_distance_m": _number(label.lead_distance_m),
        "lead_speed_mps": _number(label.lead_speed_mps),
        "light": float(label.light or 0),
        "stop_line_m": _number(label.stop_line_m),
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value
