"""A graph as the rules look at it: nodes with those of subgraphs, constants, types."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class GraphView:
    """An index over a parsed ONNX model; the model must not change under it."""

    def __init__(self, model: Any) -> None:
        """Index an `onnx.ModelProto`."""
        self.model = model
        self.nodes: tuple[Any, ...] = tuple(_nodes(model.graph))
        self.tensors: dict[str, Any] = dict(_constant_tensors(model.graph))
        self.producers: dict[str, Any] = {
            output: node for node in self.nodes for output in node.output if output
        }

    @property
    def opset(self) -> int:
        """Version of the default operator set; 0 if the file names none."""
        versions = (
            item.version for item in self.model.opset_import if item.domain in ("", "ai.onnx")
        )
        return max(versions, default=0)

    @property
    def inputs(self) -> list[Any]:
        """Inputs without those that are only defaults (initialisers of old files)."""
        return [value for value in self.model.graph.input if value.name not in self.tensors]

    @cached_property
    def _values(self) -> dict[str, Any]:
        """`onnx.ValueInfoProto` by tensor, also of subgraphs, as far as inference tells."""
        import onnx

        try:
            inferred = onnx.shape_inference.infer_shapes(self.model)
        except Exception:  # a broken graph has its own finding
            inferred = self.model
        return {value.name: value for value in _value_infos(inferred.graph)}

    @cached_property
    def types(self) -> dict[str, int]:
        """Element type (`TensorProto.DataType`) by tensor, as far as inference tells."""
        found = {name: value.type.tensor_type.elem_type for name, value in self._values.items()}
        return found | {name: tensor.data_type for name, tensor in self.tensors.items()}

    @cached_property
    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Sizes by tensor, None for an open one, as far as inference tells."""
        found = {
            name: tuple(
                dim.dim_value if dim.HasField("dim_value") else None
                for dim in value.type.tensor_type.shape.dim
            )
            for name, value in self._values.items()
            if value.type.tensor_type.HasField("shape")
        }
        return found | {name: tuple(tensor.dims) for name, tensor in self.tensors.items()}

    def is_known_when_built(self, name: str) -> bool:
        """Return whether a value follows from the file and the fixed sizes of tensors alone."""
        if name in self.tensors:
            return True
        producer = self.producers.get(name)
        if producer is None:
            return False
        if producer.op_type in ("Shape", "Size"):
            shape = self.shapes.get(producer.input[0])
            return shape is not None and None not in shape
        inputs = [one for one in producer.input if one]
        return bool(inputs) and all(map(self.is_known_when_built, inputs))

    def sources(self, name: str) -> set[str]:
        """Return the tensors without a producer whose values a tensor is computed from."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            one = waiting.pop()
            producer = self.producers.get(one)
            if producer is None:
                found.add(one)
            elif producer.op_type not in ("Shape", "Size") and one not in seen:
                seen.add(one)
                waiting += filter(None, producer.input)
        return found

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of a tensor that is fixed in the file, or None.

        A value in an external file that is not loaded is None, too.
        """
        import onnx

        tensor = self.tensors.get(name)
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        try:
            return np.asarray(onnx.numpy_helper.to_array(tensor))
        except (TypeError, ValueError):
            return None

    def is_constant(self, name: str) -> bool:
        """Return whether a tensor is fixed in the file."""
        return name in self.tensors

    def made_by(self, name: str, operator: str) -> bool:
        """Return whether a node of that operator makes the tensor."""
        return name in self.producers and self.producers[name].op_type == operator


def node_name(node: Any) -> str:
    """Return the node's name, or that of its first output where it has none."""
    return str(node.name or next(iter(node.output), ""))


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """Return an attribute's value; text as str."""
    import onnx

    for item in node.attribute:
        if item.name == name:
            value = onnx.helper.get_attribute_value(item)
            return value.decode() if isinstance(value, bytes) else value
    return default


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for subgraph in _subgraphs(node):
            yield from _nodes(subgraph)


def _subgraphs(node: Any) -> Iterator[Any]:
    for item in node.attribute:
        if item.HasField("g"):
            yield item.g
        yield from item.graphs


def _value_infos(graph: Any) -> Iterator[Any]:
    yield from (*graph.input, *graph.value_info, *graph.output)
    for node in graph.node:
        for subgraph in _subgraphs(node):
            yield from _value_infos(subgraph)


def _constant_tensors(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yield initialisers and the tensors of `Constant` nodes, by name, also of subgraphs."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for item in node.attribute:
                if item.name == "value":
                    yield node.output[0], item.t
                elif item.name.startswith("value_"):
                    yield node.output[0], _tensor_from_attribute(item)
        for subgraph in _subgraphs(node):
            yield from _constant_tensors(subgraph)


def _tensor_from_attribute(item: Any) -> Any:
    """Turn a `Constant`'s plain attribute (``value_float`` and its kin) into a tensor."""
    import onnx

    value = onnx.helper.get_attribute_value(item)
    if item.name.startswith("value_string"):
        values = [value] if isinstance(value, bytes) else value
        shape = [] if isinstance(value, bytes) else [len(value)]
        return onnx.helper.make_tensor(item.name, onnx.TensorProto.STRING, shape, values)
    dtype = np.float32 if item.name.startswith("value_float") else np.int64
    return onnx.numpy_helper.from_array(np.asarray(value, dtype), item.name)
