"""Dual-head models that answer what a test tells them, through the real sidecar and decoding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bicameral.protocols import TensorSpec
from bicameral.types import Route
from edge.dual_head import DualHeadModel
from edge.sidecar import Sidecar
from tests.driver_network import driver_sidecar

EDGES = (-1.0, -0.30, -0.17, -0.09, -0.04, -0.012, 0.012, 0.04, 0.09, 0.17, 0.30, 1.0)

INPUTS = {"image": (3, 64, 160), "speed_mps": (1,), "command": (4,)}
OUTPUTS = {"steer": (1,), "logits": (11,)}


class ReplaySession:
    """A `Session` that answers the same for every picture and counts how often."""

    fingerprint = "replay"

    def __init__(self, steer: float, logits: NDArray[np.floating]) -> None:
        self.inputs, self.outputs = (
            tuple(TensorSpec(name=n, dtype="float32", shape=(-1, *s)) for n, s in shapes.items())
            for shapes in (INPUTS, OUTPUTS)
        )
        self.steer = steer
        self.logits = np.asarray(logits, np.float32)
        self.calls: list[dict[str, NDArray[Any]]] = []

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.calls.append(dict(feeds))
        return {
            "steer": np.array([[self.steer]], np.float32),
            "logits": self.logits[None],
        }

    def close(self) -> None:
        return None


def make_sidecar(**agent: Any) -> Sidecar:
    block = {
        "variant": "conditional",
        "bin_edges": EDGES,
        "class_means": [(a + b) / 2 for a, b in itertools.pairwise(EDGES)],
        "steering_scale": 4.0,
        "confidence": {"threshold": 0.6, "asked_share": 0.15, "split": "validation", "n": 9},
    }
    labels = [str(index) for index in range(11)]
    return driver_sidecar("replay", INPUTS, OUTPUTS, block | agent, labels)


@pytest.fixture
def make_model() -> Callable[..., tuple[DualHeadModel, ReplaySession]]:
    """Build a model with a steering answer, a class and the probability of that class."""

    def make(
        steer: float, steering_class: int = 5, probability: float = 0.95, **agent: Any
    ) -> tuple[DualHeadModel, ReplaySession]:
        probabilities = np.full(11, (1.0 - probability) / 10.0)
        probabilities[steering_class] = probability
        session = ReplaySession(steer, np.log(probabilities))
        return DualHeadModel(make_sidecar(**agent), session), session

    return make


@pytest.fixture
def route(straight_route: Callable[..., Route]) -> Route:
    """100 m straight ahead at 8 m/s, turning left from 50 m on as far as commands go."""
    s_m = np.arange(101)
    return straight_route(command=np.where(s_m < 50, 4, 1).astype(np.int8), in_junction=s_m > 60)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """A grey picture within the training range."""
    return np.full((160, 320, 3), 120, np.uint8)
