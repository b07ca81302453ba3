"""A classifier with memories as one graph: what it remembers now, as constants.

The graph answers as the classifier does, on anything that runs graphs, and learns nothing more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.learning.read_out import Slots
from edge.learning.state import MemoryState
from edge.sidecar import OutputSpec, Sidecar, StateSpec

_PROBABILITIES = "probabilities"
_PREFIX = "read_out"

#: Keeps a feature vector of zeros from being divided by zero; float16 still holds it.
_TINY = 1e-6


def with_frozen_memory(model: Any, sidecar: Sidecar, state: MemoryState) -> tuple[Any, Sidecar]:
    """Append the read-out of a memory to its network's graph, in place.

    Args:
        model: The network's graph.
        sidecar: Describes network and memory.
        state: The memory.

    Returns:
        The graph, whose answer is ``probabilities`` now, and the sidecar of a plain classifier.

    Raises:
        DataError: If the network does not give logits and features.
    """
    from onnx import TensorProto, helper

    found = {one.meaning: one for one in sidecar.outputs}
    if not {"logits", "features"} <= found.keys():
        raise DataError(
            f"{sidecar.name!r} has outputs of meaning {sorted(found)}, expected logits and "
            "features; a memory is frozen into the graph of such a network only"
        )
    answer, features = found["logits"], found["features"]
    writer = _GraphWriter(model)
    temperature = np.float32(sidecar.calibration.temperature)
    network = writer.add("Softmax", writer.add("Div", answer.name, temperature), axis=1)
    unit = writer.unit(features.name, 1)
    writer.rename(_mixed(writer, state, (network, answer.shape[-1]), unit), _PROBABILITIES)
    kept = [value for value in model.graph.output if value.name != answer.name]
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    shape = [batch.dim_value or batch.dim_param or "batch", len(state.labels)]
    del model.graph.output[:]
    model.graph.output.extend(
        [helper.make_tensor_value_info(_PROBABILITIES, TensorProto.FLOAT, shape), *kept]
    )
    outputs = (
        OutputSpec(name=_PROBABILITIES, meaning="probabilities", shape=(-1, len(state.labels))),
        *(one for one in sidecar.outputs if one.name != answer.name),
    )
    calibration = sidecar.calibration.model_copy(update={"temperature": 1.0})
    return model, sidecar.model_copy(
        update={"outputs": outputs, "calibration": calibration, "state": StateSpec()}
    )


def _mixed(writer: _GraphWriter, state: MemoryState, answer: tuple[str, int], features: str) -> str:
    """Mix the network's probabilities with both memories, as `edge.learning.read_out.mix`."""
    network, known = answer
    classes = len(state.labels)
    weights = state.settings.weights
    shares = [(weights.static, state.static_slots)]
    if len(state.dynamic):
        shares.append((weights.dynamic, state.dynamic_slots))
    total = sum(weight for weight, _ in shares)
    memories = ""
    for weight, slots in shares:
        share = np.float32(weight / total if total else 1.0 / len(shares))
        part = writer.add("Mul", _read_out(writer, state, slots, features), share)
        memories = writer.add("Add", memories, part) if memories else part
    sum_known = np.zeros((classes, 1), np.float32)
    sum_known[:known] = 1.0
    placed = np.eye(known, classes, dtype=np.float32)
    from_network = writer.add(
        "Add",
        writer.add(
            "Mul",
            writer.add("MatMul", memories, sum_known),
            writer.add("MatMul", network, placed),
        ),
        writer.add("Mul", memories, 1.0 - sum_known.T),
    )
    whole = weights.network + total
    return writer.add(
        "Add",
        writer.add("Mul", from_network, np.float32(weights.network / whole)),
        writer.add("Mul", memories, np.float32(total / whole)),
    )


def _read_out(writer: _GraphWriter, state: MemoryState, slots: Slots, features: str) -> str:
    """Do what `edge.learning.read_out.read_out` does."""
    classes, places, width = slots.keys.shape
    queries = writer.unit(writer.add("Add", features, slots.query), 1)
    similarity = writer.add("MatMul", queries, slots.keys.reshape(-1, width).T)
    distance = writer.add("Sub", similarity, np.float32(1.0))
    weights = writer.add("Exp", writer.add("Mul", distance, np.float32(state.settings.beta)))
    weights = writer.add("Mul", weights, slots.filled.reshape(1, -1))
    weights = writer.add("Reshape", weights, np.array([-1, classes, places], np.int64))
    weights = writer.add("Transpose", weights, perm=[1, 0, 2])
    prototypes = writer.unit(writer.add("MatMul", weights, slots.values), 2)
    prototypes = writer.unit(writer.add("Add", prototypes, slots.output[:, None]), 2)
    apart = writer.add("Sub", prototypes, features)
    squares = writer.add("Mul", apart, apart)
    distances = writer.add("ReduceSum", squares, np.array([2], np.int64), keepdims=0)
    factor = np.float32(-state.settings.scale / 2.0)
    scores = writer.add("Mul", writer.add("Transpose", distances, perm=[1, 0]), factor)
    return writer.add("Softmax", scores, axis=1)


class _GraphWriter:
    """Appends nodes to a graph."""

    def __init__(self, model: Any) -> None:
        """Begin at the end of a graph, in which no tensor has the name of the answer any more."""
        self._graph = model.graph
        self._count = 0
        other = self._name(_PROBABILITIES)
        for node in self._graph.node:
            for names in (node.input, node.output):
                names[:] = [other if name == _PROBABILITIES else name for name in names]

    def add(
        self, operator: str, *inputs: str | NDArray[Any] | np.generic, **attributes: Any
    ) -> str:
        """Append a node; arrays become constants. Returns the name of its output."""
        from onnx import helper, numpy_helper

        names = []
        for value in inputs:
            if isinstance(value, str):
                names.append(value)
                continue
            name = self._name("constant")
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
            names.append(name)
        output = self._name(operator.lower())
        self._graph.node.append(
            helper.make_node(operator, names, [output], name=output, **attributes)
        )
        return output

    def unit(self, values: str, axis: int) -> str:
        """Append what scales vectors along an axis to length 1."""
        length = self.add("ReduceL2", values, axes=[axis], keepdims=1)
        return self.add("Div", values, self.add("Max", length, np.float32(_TINY)))

    def rename(self, tensor: str, name: str) -> None:
        """Give the output of the last node another name."""
        node = self._graph.node[-1]
        assert list(node.output) == [tensor]  # noqa: S101 - it was just made
        node.output[:] = [name]

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{_PREFIX}_{what}_{self._count}"
