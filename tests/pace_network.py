"""A pace network that answers what a test tells it, without training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import TensorSpec
from bicameral.types import LightState
from edge.pace_model import PaceModel
from tests.driver_network import driver_sidecar

INPUTS = {"image": (3, 64, 160), "earlier": (3, 64, 160), "speed_mps": (1,), "command": (4,)}
OUTPUTS = {"speeds": (1,), "scales": (1,), "logits": (7,), "reasons": (7,)}
AGENT = {
    "variant": "pace",
    "earlier_ticks": 3,
    "speed_edges_mps": [0.5, 2.0, 4.0, 6.0, 8.0, 10.0],
    "free_mps": 12.0,
    "seen_m": 50.0,
    "lights": ["none", "red", "yellow", "green"],
    "scale_factor": 1.0,
}


class PaceSession:
    """A `Session` that answers the same for every picture and keeps what it was fed.

    Attributes:
        speed: (1,) what it answers.
        probabilities: (7,) of the speed classes.
        light: What the next light shows, None for no light.
        calls: The tensors of every run.
    """

    fingerprint = "replay"
    inputs = tuple(
        TensorSpec(name=name, dtype="float32", shape=(-1, *shape)) for name, shape in INPUTS.items()
    )
    outputs = tuple(
        TensorSpec(name=name, dtype="float32", shape=(-1, *shape))
        for name, shape in OUTPUTS.items()
    )

    def __init__(self) -> None:
        self.speed: Any = [12.0]
        self.probabilities: Any = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
        self.light: LightState | None = LightState.RED
        self.calls: list[dict[str, NDArray[Any]]] = []

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.calls.append(dict(feeds))
        answers = {
            "speeds": self.speed,
            "scales": [0.5],
            "logits": np.log(np.maximum(self.probabilities, 1e-9)),
            # A vehicle, the line of a light, and what it shows.
            "reasons": [0.2, 0.5, 0.4, *(5.0 * (np.arange(4) == (self.light or 0)))],
        }
        rows = len(feeds["image"])
        return {
            name: np.repeat(np.asarray(value, np.float32)[None], rows, axis=0)
            for name, value in answers.items()
        }

    def close(self) -> None:
        return None


def replayed_pace_model(**agent: Any) -> tuple[PaceModel, PaceSession]:
    """Make a model on a `PaceSession`; keywords replace entries of the block ``agent``."""
    session = PaceSession()
    return PaceModel(driver_sidecar("pace", INPUTS, OUTPUTS, AGENT | agent), session), session
