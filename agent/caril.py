"""The driving agent whose networks answer with a steering value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.correction.protocol import Correction, CorrectionRule, Opinions
from agent.network_agent import NetworkAgent
from bicameral.types import Observation, RoadOption
from edge.dual_head import DualHeadModel


class CarilAgent(NetworkAgent[DualHeadModel, CorrectionRule]):
    """A `NetworkAgent` with one or two dual-head networks."""

    _kind = "caril"

    def _decide(
        self, observation: Observation, picture: NDArray[np.uint8], command: RoadOption
    ) -> tuple[Correction, Opinions]:
        opinions = Opinions(self._models, picture, observation.speed_mps, command)
        return self._rule.correct(opinions), opinions
