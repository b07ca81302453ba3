"""Changes of a graph that keep what it computes: operator set, simplification, batch, names."""

from __future__ import annotations

import json
import logging
from typing import Any

import bicameral
from bicameral.errors import ConfigError, DataError, MissingExtraError
from edge.preprocessing import affine_from_spec
from edge.sidecar import InputSpec, Sidecar

_log = logging.getLogger(__name__)

#: Version of ONNX's format since which weights need not be inputs.
_WEIGHTS_APART = 4

#: Operator set since which operators broadcast as in NumPy.
_BROADCASTING = 7

#: Prefix of the keys in the file's `metadata_props`.
_METADATA = "bicameral."


def require_onnx() -> None:
    """Refuse to go on without the packages of the extra `export`.

    Raises:
        MissingExtraError: If one of them is absent.
    """
    for package in ("onnx", "onnxslim"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "export") from error


def read_graph(content: bytes) -> Any:
    """Parse the content of an ONNX file, whatever version of the format it has.

    Raises:
        DataError: If it is none.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's errors have no public base class
        raise DataError(f"the model is no ONNX file: {error}") from error
    return _with_constant_weights(model)


def _with_constant_weights(model: Any) -> Any:
    """Take weights out of the inputs, in place.

    Up to version 3 of the format every weight had to be an input as well; later it means that a
    caller may replace it, which nobody here does. Programs that fold and quantise leave such inputs
    out, and the file would be invalid as version 3.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _WEIGHTS_APART)
    return model


def write_graph(model: Any) -> bytes:
    """Return the content of an ONNX file; the same bytes for the same graph."""
    return bytes(model.SerializeToString(deterministic=True))


def opset_of(model: Any) -> int:
    """Return the version of a graph's default operator set."""
    return max(int(item.version) for item in model.opset_import if item.domain in ("", "ai.onnx"))


def simplified(model: Any) -> Any:
    """Fold constants, and fuse and drop nodes, with onnxslim; it leaves what it cannot read."""
    import onnx
    import onnxslim

    original = onnx.ModelProto()
    original.CopyFrom(model)
    try:
        slim = onnxslim.slim(model)
    except Exception as error:  # operator sets below 7, and whatever else it stumbles over
        _log.warning("onnxslim cannot simplify the graph (%s); it stays as it is", error)
        slim = original
    del slim.graph.value_info[:]  # shapes that every reader infers itself
    # Graphs that were merged name their operator set once for each part; the quantiser wants one.
    versions = {item.domain: item.version for item in slim.opset_import}
    del slim.opset_import[:]
    for domain, version in versions.items():
        slim.opset_import.add(domain=domain, version=version)
    return slim


def with_fixed_batch(model: Any, batch: int) -> Any:
    """Give all inputs and outputs a first size of `batch`, in place."""
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        first.Clear()
        first.dim_value = batch
    return model


def with_fixed_image(model: Any, spec: InputSpec) -> Any:
    """Give the image input the sizes that its sidecar says, but for the first, in place."""
    value = next(one for one in model.graph.input if one.name == spec.name)
    dims = value.type.tensor_type.shape.dim
    for dim, size in list(zip(dims, spec.shape, strict=True))[1:]:
        if dim.dim_value != size:
            dim.Clear()
            dim.dim_value = size
    return model


def with_preprocessing(model: Any, taken: InputSpec) -> Any:
    """Put the scaling of canonical images into the graph, in place.

    Its input becomes uint8 NHWC. The nodes do in float32 what
    `edge.preprocessing.tensor_from_canonical` does, in the same order, so that bits can agree.

    Args:
        model: The graph.
        taken: Its image input, float32, whose name it keeps.

    Raises:
        ConfigError: If the operator set is too old for it.
    """
    if opset_of(model) < _BROADCASTING:
        raise ConfigError(
            f"the graph has opset {opset_of(model)}; pre-processing can be put into graphs of "
            f"opset {_BROADCASTING} or newer: export the model again from its framework, or "
            "without --in-graph"
        )
    from onnx import TensorProto, helper, numpy_helper

    graph, name, spec = model.graph, taken.name, taken.image
    old = next(value for value in graph.input if value.name == name)
    batch = old.type.tensor_type.shape.dim[0]
    size = batch.dim_value or batch.dim_param or "batch"
    scaled = f"{name}_scaled"
    for node in graph.node:
        node.input[:] = [scaled if one == name else one for one in node.input]
    colours_first = taken.layout == "NCHW"
    shape = (-1, 1, 1) if colours_first else (-1,)
    gain, offset = (values.reshape(shape) for values in affine_from_spec(spec))
    constants = {f"{name}_gain": gain, f"{name}_offset": offset}
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    steps: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
        ("Cast", [name], f"{name}_float", {"to": TensorProto.FLOAT}),
        ("Transpose", [f"{name}_float"], f"{name}_nchw", {"perm": [0, 3, 1, 2]}),
        ("Mul", [f"{name}_nchw", f"{name}_gain"], f"{name}_product", {}),
        ("Add", [f"{name}_product", f"{name}_offset"], scaled, {}),
    )
    if not colours_first:
        cast, _, multiply, add = steps
        steps = cast, (multiply[0], [f"{name}_float", f"{name}_gain"], *multiply[2:]), add
    nodes = [
        helper.make_node(operator, inputs, [output], name=output, **attributes)
        for operator, inputs, output, attributes in steps
    ]
    for index, node in enumerate(nodes):
        graph.node.insert(index, node)
    pictures = [size, spec.height, spec.width, spec.channels]
    old.CopyFrom(helper.make_tensor_value_info(name, TensorProto.UINT8, pictures))
    return model


def with_metadata(model: Any, sidecar: Sidecar) -> Any:
    """Write what a reader of the bare file needs into its `metadata_props`, in place.

    The sidecar stays the authority: it also holds the hash of this file.
    """
    import onnx

    source = sidecar.model_dump(mode="json", by_alias=True)
    texts = {"name": sidecar.name, "version": sidecar.version, "kind": sidecar.kind}
    texts |= {
        key: json.dumps(source[key])
        for key in ("input", "extra_inputs", "outputs", "labels", "calibration", "agent")
        if source[key] is not None
    }
    texts |= {"training": json.dumps(source["training"]), "license": sidecar.license}
    onnx.helper.set_model_props(model, {_METADATA + key: text for key, text in texts.items()})
    model.producer_name, model.producer_version = "bicameral", bicameral.__version__
    return model
