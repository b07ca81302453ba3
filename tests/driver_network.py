"""Sidecars of drivers' networks without files: what networks that steer and that see share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bicameral.types import AGENT_CAMERA
from edge.driver_model import COMMANDS
from edge.sidecar import Sidecar

Shapes = Mapping[str, tuple[int, ...]]


def driver_sidecar(
    name: str,
    inputs: Shapes,
    outputs: Shapes,
    agent: Mapping[str, Any],
    labels: Sequence[str] = (),
) -> Sidecar:
    """Describe a driver's network.

    Args:
        name: Of the model.
        inputs: Shape of each input for one picture; the first is the image.
        outputs: Likewise; they are named by what they mean.
        agent: Entries of the block ``agent`` beside those that every driver has, or instead.
        labels: Of the classes.
    """
    block = {
        "contrast": "none",
        "commands": COMMANDS,
        "camera": asdict(AGENT_CAMERA),
        "trained_on": "pocket",
        "towns": ["Train01"],
        "weathers": ["clear"],
        "input_range": {"brightness": [80.0, 160.0], "contrast": [0.0, 100.0]},
    }
    image = {
        "height": 64,
        "width": 160,
        "color": "RGB",
        "crop": [0, 32, 320, 160],
        "scale": 1 / 255,
        "mean": [0.45] * 3,
        "std": [0.25] * 3,
    }
    first, *extra = inputs
    fields = {
        "schema": 1,
        "kind": "agent",
        "name": name,
        "version": "1",
        "files": [],
        "input": {
            "name": first,
            "layout": "NCHW",
            "dtype": "FP32",
            "shape": [-1, *inputs[first]],
            "image": image,
        },
        "extra_inputs": [
            {"name": one, "dtype": "FP32", "shape": [-1, *inputs[one]], "meaning": ""}
            for one in extra
        ],
        "outputs": [
            {"name": one, "meaning": one, "shape": [-1, *shape]} for one, shape in outputs.items()
        ],
        "labels": labels,
        "task": {"orientation_sensitive": True},
        "calibration": {"temperature": 1.0, "split": "validation", "n": 9, "ece": 0.01},
        "cost": {"macs": 1, "parameters": 1, "cpu_us": 1.0, "host": "test"},
        "agent": block | agent,
        "training": {"command": "", "data": {"name": "", "sha256": ""}, "split": "", "seed": 0},
        "license": "Apache-2.0",
        "limits": "",
    }
    return Sidecar.model_validate(fields)
