"""A network whose inner tensors can be read: any ONNX graph with its sidecar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edge.samples import Samples
from edge.session import open_session
from edge.sidecar import Sidecar, read_model_bytes

#: What makes a layer of a graph, if one of its inputs is a matrix of weights.
_WEIGHTED = ("Conv", "Gemm", "MatMul")

#: What belongs to the layer before it.
_FOLLOWING = (
    "BatchNormalization",
    "Clip",
    "HardSwish",
    "LeakyRelu",
    "PRelu",
    "Relu",
    "Sigmoid",
    "Tanh",
)

#: What may stand between the last layer and the logits.
_TRANSPARENT = ("Add", "Div", "Flatten", "Identity", "Mul", "Reshape", "Squeeze", "Sub")

_BATCH = 100


class OpenGraph:
    """A graph that answers with any of its tensors.

    Attributes:
        sidecar: What the network is.
        model: Its graph.
    """

    def __init__(self, sidecar: Sidecar, model: onnx.ModelProto) -> None:
        """Take a graph and the sidecar that describes it."""
        self.sidecar, self.model = sidecar, model
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.weights = {one.name: one for one in model.graph.initializer}

    @classmethod
    def load(cls, path: Path, sidecar: Sidecar) -> OpenGraph:
        """Load a network's file for ONNX Runtime.

        Raises:
            DataError: If it is absent or damaged.
        """
        return cls(sidecar, onnx.load_from_string(read_model_bytes(path, sidecar)))

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.sidecar.name

    def output(self, meaning: str) -> str | None:
        """Return the name of the output that means this, or None."""
        return next((one.name for one in self.sidecar.outputs if one.meaning == meaning), None)

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """Return the nodes that take a tensor."""
        return [node for node in self.model.graph.node if tensor in node.input]

    def layers(self) -> list[str]:
        """Return the tensors that the layers give, from the picture on, each after its activation.

        What does not depend on the picture is left out.
        """
        seen = {self.sidecar.input.name}
        found: dict[str, None] = {}
        for node in self.model.graph.node:
            if not seen.intersection(node.input):
                continue
            seen.update(node.output)
            if node.op_type in _WEIGHTED and self.weights.keys() & set(node.input):
                found[self._activation(node.output[0])] = None
        return list(found)

    def _activation(self, tensor: str) -> str:
        """Follow a tensor through its bias and its activation."""
        while len(readers := self.readers(tensor)) == 1:
            (node,) = readers
            is_bias = node.op_type == "Add" and self.weights.keys() & set(node.input)
            if node.op_type not in _FOLLOWING and not is_bias:
                break
            tensor = node.output[0]
        return tensor

    def last_layer(self) -> tuple[str, NDArray[np.float32] | None] | None:
        """Return what the last linear layer before the logits takes, and its weights (K, D).

        Where there is no such layer, it is the output that the sidecar calls features, without
        weights; None if there is none, either.
        """
        tensor = self.output("logits")
        while tensor is not None and (node := self.makers.get(tensor)) is not None:
            constant = [name in self.weights for name in node.input]
            if node.op_type in _WEIGHTED[1:] and constant[:2] == [False, True]:
                weights = numpy_helper.to_array(self.weights[node.input[1]])
                transposed = any(one.name == "transB" and one.i for one in node.attribute)
                return node.input[0], np.asarray(weights if transposed else weights.T, np.float32)
            free = [name for name in node.input if not self._is_constant(name)]
            if node.op_type not in _TRANSPARENT or len(free) != 1:
                break
            tensor = free[0]
        features = self.output("features")
        return None if features is None else (features, None)

    def _is_constant(self, tensor: str) -> bool:
        maker = self.makers.get(tensor)
        return tensor in self.weights or (maker is not None and maker.op_type == "Constant")

    def read(
        self,
        samples: Samples,
        tensors: Iterable[str],
        extra: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Return tensors (N, ...) by name for samples.

        Args:
            samples: What to ask about.
            tensors: Names of outputs or of what lies inside.
            extra: Further inputs that are the same for all.

        Raises:
            DataError: If the samples do not fit the network.
        """
        found: dict[str, list[NDArray[np.float32]]] = {}
        for answers in self._batches(samples, tensors, extra or {}):
            for name, value in answers.items():
                found.setdefault(name, []).append(value.astype(np.float32))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def read_units(
        self, samples: Samples, tensors: Iterable[str]
    ) -> dict[str, NDArray[np.float64]]:
        """Return what the units of layers say on the whole (N, units), by name; see `units`.

        Pooled batch by batch: the places of a layer, for thousands of pictures, fill a memory.
        """
        found: dict[str, list[NDArray[np.float64]]] = {}
        for answers in self._batches(samples, tensors, {}):
            for name, value in answers.items():
                found.setdefault(name, []).append(units(value))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _batches(
        self,
        samples: Samples,
        tensors: Iterable[str],
        extra: Mapping[str, NDArray[np.float32]],
    ) -> Iterator[dict[str, NDArray[Any]]]:
        probed = onnx.ModelProto()
        probed.CopyFrom(self.model)
        del probed.graph.output[:]
        wanted = dict.fromkeys(tensors)
        probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
        session = open_session(probed.SerializeToString(), name=self.name)
        for start in range(0, len(samples), _BATCH):
            yield session.run({**samples.feeds(self.sidecar, start, start + _BATCH), **extra})
        session.close()

    def shuffled(self, seed: int = 0) -> OpenGraph:
        """Return a copy whose weights are the same numbers in another order: an untrained twin."""
        rng = np.random.default_rng(seed)
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for one in model.graph.initializer:
            values = numpy_helper.to_array(one)
            if values.ndim >= 2 and values.dtype == np.float32:
                mixed = rng.permutation(values.reshape(-1)).reshape(values.shape)
                one.CopyFrom(numpy_helper.from_array(mixed, one.name))
        return OpenGraph(self.sidecar, model)


def units(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what each unit of a layer (N, units) says on the whole: means over places or tokens.

    Args:
        values: (N, units), (N, tokens, units) or (N, units, rows, columns).
    """
    axes = {3: (1,), 4: (2, 3)}.get(values.ndim)
    pooled = values.reshape(len(values), -1) if axes is None else values.mean(axis=axes)
    return pooled.astype(np.float64)


def short_name(tensor: str) -> str:
    """Return a tensor's name without what exporters put around it."""
    return tensor.removeprefix("/").removesuffix("_output_0")


def spread(names: Sequence[str], count: int) -> list[str]:
    """Return at most so many names, evenly spaced, the first and the last among them."""
    if len(names) <= count:
        return list(names)
    return [names[index] for index in np.linspace(0, len(names) - 1, count).round().astype(int)]
