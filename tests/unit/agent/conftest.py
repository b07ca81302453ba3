"""Dual-head models that answer what a test tells them, through the real sidecar and decoding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bicameral.protocols import TensorSpec
from bicameral.types import AGENT_CAMERA, Route
from edge.dual_head import DualHeadModel
from edge.sidecar import Sidecar

EDGES = (-1.0, -0.30, -0.17, -0.09, -0.04, -0.012, 0.012, 0.04, 0.09, 0.17, 0.30, 1.0)


class ReplaySession:
    """A `Session` that answers the same for every picture and counts how often."""

    fingerprint = "replay"

    def __init__(self, steer: float, logits: NDArray[np.floating]) -> None:
        names = (("image", (-1, 3, 64, 160)), ("speed_mps", (-1, 1)), ("command", (-1, 4)))
        self.inputs = tuple(TensorSpec(name=n, dtype="float32", shape=s) for n, s in names)
        self.outputs = (
            TensorSpec(name="steer", dtype="float32", shape=(-1, 1)),
            TensorSpec(name="logits", dtype="float32", shape=(-1, 11)),
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
        "contrast": "none",
        "commands": ["lane_follow", "left", "right", "straight"],
        "camera": {
            name: getattr(AGENT_CAMERA, name)
            for name in ("width", "height", "fov_deg", "x_m", "z_m", "pitch_deg")
        },
        "trained_on": "pocket",
        "towns": ["Train01"],
        "weathers": ["clear"],
        "input_range": {"brightness": [80.0, 160.0], "contrast": [0.0, 100.0]},
        "confidence": {"threshold": 0.6, "asked_share": 0.15, "split": "validation", "n": 9},
    }
    return Sidecar.model_validate(
        {
            "schema": 1,
            "kind": "agent",
            "name": "replay",
            "version": "1",
            "files": [],
            "input": {
                "name": "image",
                "layout": "NCHW",
                "dtype": "FP32",
                "shape": [-1, 3, 64, 160],
                "image": {
                    "height": 64,
                    "width": 160,
                    "color": "RGB",
                    "crop": [0, 32, 320, 160],
                    "scale": 1 / 255,
                    "mean": [0.45] * 3,
                    "std": [0.25] * 3,
                },
            },
            "extra_inputs": [
                {"name": "speed_mps", "dtype": "FP32", "shape": [-1, 1], "meaning": ""},
                {"name": "command", "dtype": "FP32", "shape": [-1, 4], "meaning": ""},
            ],
            "outputs": [
                {"name": "steer", "meaning": "steer", "shape": [-1, 1]},
                {"name": "logits", "meaning": "logits", "shape": [-1, 11]},
            ],
            "labels": [str(index) for index in range(11)],
            "task": {"orientation_sensitive": True},
            "calibration": {"temperature": 1.0, "split": "validation", "n": 9, "ece": 0.01},
            "cost": {"macs": 1, "parameters": 1, "cpu_us": 1.0, "host": "test"},
            "agent": block | agent,
            "training": {
                "command": "",
                "data": {"name": "", "sha256": ""},
                "split": "",
                "seed": 0,
            },
            "license": "Apache-2.0",
            "limits": "",
        }
    )


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
