"""Path networks that answer what a test tells them, without training: in memory, and as files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from bicameral.protocols import TensorSpec
from edge.path_model import PathModel
from edge.sidecar import Sidecar, write_sidecar
from tests.driver_network import driver_sidecar

DISTANCES_M = (4.0, 6.0, 10.0, 15.0, 25.0)
HALF_EDGES_M = {
    6.0: (0.1, 0.3, 0.6, 1.0, 1.6, 2.4),
    10.0: (0.15, 0.45, 0.9, 1.7, 3.0, 4.6),
    15.0: (0.25, 0.7, 1.5, 3.0, 5.5, 8.5),
}
INPUTS = {"image": (3, 64, 160), "speed_mps": (1,), "command": (4,), "intent": (5,)}
OUTPUTS = {"offsets": (5,), "scales": (5,), "logits": (3, 13)}


def offset_classes(distance_m: float) -> dict[str, Any]:
    """Return the classes at a distance; their means lie in their middles, the variances are 0."""
    half = HALF_EDGES_M[distance_m]
    edges = [*(-edge for edge in reversed(half)), *half]
    outer = half[-1] * 1.25
    bounds = np.array([-outer, *edges, outer])
    return {
        "distance_m": distance_m,
        "bin_edges_m": edges,
        "bin_means_m": ((bounds[1:] + bounds[:-1]) / 2).tolist(),
        "bin_variances_m2": [0.0] * 13,
        "temperature": 1.0,
    }


def path_sidecar(name: str = "path", *, intent: bool = True, **agent: Any) -> Sidecar:
    """Describe a path network; keywords replace entries of the block ``agent``."""
    block = {
        "variant": "path",
        "distances_m": DISTANCES_M,
        "scale_factors": [1.0] * 5,
        "spread_factors": [1.0] * 5,
        "classes": [offset_classes(distance_m) for distance_m in HALF_EDGES_M],
        "intent": {"distances_m": [25.0, 40.0], "scale_m": 20.0} if intent else None,
        "confidence": {
            "distance_m": 10.0,
            "threshold_m": 1.0,
            "asked_share": 0.15,
            "split": "validation",
            "n": 9,
        },
    }
    inputs = {one: shape for one, shape in INPUTS.items() if intent or one != "intent"}
    return driver_sidecar(name, inputs, OUTPUTS, block | agent)


class PathSession:
    """A `Session` that answers the same for every picture and keeps what it was fed.

    Attributes:
        offsets: (5,) what it answers.
        scales: (5,) likewise.
        logits: (3, 13) likewise.
        calls: The tensors of every run.
    """

    fingerprint = "replay"

    def __init__(self, *, intent: bool = True) -> None:
        self.inputs = tuple(
            TensorSpec(name=name, dtype="float32", shape=(-1, *shape))
            for name, shape in INPUTS.items()
            if intent or name != "intent"
        )
        self.outputs = tuple(
            TensorSpec(name=name, dtype="float32", shape=(-1, *shape))
            for name, shape in OUTPUTS.items()
        )
        self.offsets: Any = np.zeros(5)
        self.scales: Any = np.full(5, 0.1)
        self.logits = peaked_logits(6)
        self.calls: list[dict[str, NDArray[Any]]] = []

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.calls.append(dict(feeds))
        rows = len(feeds["image"])
        return {
            name: np.repeat(np.asarray(getattr(self, name), np.float32)[None], rows, axis=0)
            for name in OUTPUTS
        }

    def close(self) -> None:
        return None


def peaked_logits(winner: int, probability: float = 0.999) -> NDArray[np.float64]:
    """Return logits (3, 13) with one class of that probability and the others alike."""
    probabilities = np.full((3, 13), (1.0 - probability) / 12.0)
    probabilities[:, winner] = probability
    return np.log(probabilities)


def replayed_path_model(
    name: str = "path", *, intent: bool = True, **agent: Any
) -> tuple[PathModel, PathSession]:
    """Make a model on a `PathSession`; keywords replace entries of the block ``agent``."""
    session = PathSession(intent=intent)
    return PathModel(path_sidecar(name, intent=intent, **agent), session), session


def write_path_network(
    folder: Path,
    name: str,
    *,
    offsets: Any = (0.0,) * 5,
    logits: NDArray[np.floating] | None = None,
    **agent: Any,
) -> Path:
    """Write NAME.onnx, which always answers the same, and its sidecar; return the sidecar's path.

    Args:
        folder: Where to.
        name: Of the model.
        offsets: (5,) what it answers, metres.
        logits: (3, 13) likewise.
        agent: Replaces entries of the sidecar's block ``agent``.
    """
    answers = {
        "offsets": np.asarray(offsets, np.float32),
        "scales": np.full(5, 0.1, np.float32),
        "logits": np.asarray(peaked_logits(6) if logits is None else logits, np.float32),
    }
    # Every input counts, so that none can be left out; none changes the answer.
    nodes = [helper.make_node("Flatten", [one], [f"{one}_flat"], axis=1) for one in INPUTS]
    nodes += [
        helper.make_node("Concat", [f"{one}_flat" for one in INPUTS], ["all"], axis=1),
        helper.make_node("ReduceMean", ["all"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants = {"zero": np.zeros(1, np.float32)}
    for one, value in answers.items():
        constants |= {f"{one}_answer": value.reshape(-1)}
        constants |= {f"{one}_shape": np.array([-1, *OUTPUTS[one]])}
        nodes += [
            helper.make_node("Add", ["nothing", f"{one}_answer"], [f"{one}_row"]),
            helper.make_node("Reshape", [f"{one}_row", f"{one}_shape"], [one]),
        ]

    def describe(tensors: dict[str, tuple[int, ...]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(one, TensorProto.FLOAT, ["batch", *shape])
            for one, shape in tensors.items()
        ]

    model = helper.make_model(
        helper.make_graph(
            nodes,
            "path",
            describe(INPUTS),
            describe(OUTPUTS),
            [numpy_helper.from_array(value, key) for key, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    checker.check_model(model)
    graph = model.SerializeToString()
    (folder / f"{name}.onnx").write_bytes(graph)
    file = {
        "path": f"{name}.onnx",
        "sha256": hashlib.sha256(graph).hexdigest(),
        "bytes": len(graph),
        "target": "onnxruntime",
        "precision": "fp32",
        "opset": 13,
    }
    fields = path_sidecar(name, **agent).model_dump(by_alias=True) | {"files": [file]}
    path = folder / f"{name}.bicameral.json"
    write_sidecar(path, Sidecar.model_validate(fields))
    return path
