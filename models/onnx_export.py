"""From a torch network to ONNX bytes: what the graph costs, and that it computes the same."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bicameral.errors import DataError
from edge.session import OnnxSession
from edge.sidecar import ModelFile

#: The highest opset that TensorRT 8.2 on a Jetson Nano reads.
OPSET = 13

_TOLERANCE = 1e-4

#: Nodes whose multiplications count.
_COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def onnx_from_network(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]] | None = None,
) -> bytes:
    """Trace a network into an ONNX graph of opset 13 with a free batch size.

    Args:
        network: In evaluation mode.
        inputs: Example tensors by input name, in the order of `forward`'s parameters, batch 1.
        outputs: Names of the outputs, in order.
        free: Names of further sizes that are free, by tensor and axis.

    Returns:
        The content of an ONNX file; the same bytes for the same network.
    """
    buffer, one = io.BytesIO(), torch.zeros(1)
    with warnings.catch_warnings():
        # The tracing exporter is marked as old; it is the one that keeps to the opset asked for.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        torch.onnx.export(
            network,
            tuple(inputs.values()),
            buffer,  # type: ignore[arg-type]
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={
                name: {0: "batch", **(free or {}).get(name, {})}
                for name in [*inputs, *outputs]
                if inputs.get(name, one).ndim
            },
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def with_default(content: bytes, name: str, value: NDArray[np.float32]) -> bytes:
    """Make an input of a graph one that need not be given.

    Args:
        content: ONNX file.
        name: The input, whose batch size is free.
        value: What it is by default, of batch size 1.
    """
    model = onnx.load_from_string(content)
    taken = next(one for one in model.graph.input if one.name == name)
    # Another name: the default stays one row, whatever the others' batch size.
    taken.type.tensor_type.shape.dim[0].dim_param = f"{name}_batch"
    del model.graph.value_info[:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def describe_graph(name: str, content: bytes) -> ModelFile:
    """Describe the file ``NAME.onnx`` of a fresh export."""
    return ModelFile(
        path=f"{name}.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        target="onnxruntime",
        precision="fp32",
        opset=OPSET,
    )


def require_same(found: NDArray[np.floating], expected: NDArray[np.floating], what: str) -> float:
    """Return the largest absolute difference of two computations of the same.

    Args:
        found: What is checked.
        expected: The same by other means, of the same shape.
        what: What is compared with what, for the message; it ends in "differs" or "differ".

    Raises:
        DataError: If they differ by more than 1e-4.
    """
    difference = float(np.abs(found - expected).max())
    if not difference <= _TOLERANCE:
        raise DataError(
            f"{what} by {difference:.2e}, allowed is {_TOLERANCE:.0e}; the export was stopped"
        )
    return difference


def count_cost(model: bytes) -> tuple[int, int]:
    """Count an ONNX graph's multiply-accumulates for batch 1, and its float parameters.

    Only convolutions and matrix products count, as is usual; what batch normalisation costs is
    gone, because the exporter folds it into the convolutions. Shapes come from running the graph
    once: ONNX's shape inference gives up behind a reshape.
    """
    loaded = onnx.load_from_string(model)
    counted = [n for n in loaded.graph.node if n.op_type in _COUNTED]
    shapes = _shapes_by_running(loaded, {name for n in counted for name in (*n.input, *n.output)})
    shapes |= {item.name: tuple(item.dims) for item in loaded.graph.initializer}
    macs = 0
    for node in counted:
        left, right, out = (shapes[name] for name in (*node.input[:2], node.output[0]))
        # Every number of the output is one sum over the kernel (Conv) or the inner dimension; of a
        # transposed convolution every number of the input goes into a whole kernel.
        transposed = node.op_type == "ConvTranspose"
        terms = left[-1] if node.op_type in ("Gemm", "MatMul") else int(np.prod(right[1:]))
        macs += int(np.prod(left if transposed else out)) * terms
    floats = (i for i in loaded.graph.initializer if i.data_type == onnx.TensorProto.FLOAT)
    return macs, sum(int(np.prod(item.dims)) for item in floats)


def _shapes_by_running(model: onnx.ModelProto, names: set[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of graph inputs and intermediate tensors for a blank batch of one."""
    feeds = {
        value.name: np.zeros(
            [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim],
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in model.graph.input
    }
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    made = {name for node in model.graph.node for name in node.output} & names
    del probed.graph.output[:]
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(made))
    session = OnnxSession(probed.SerializeToString(), name="shape probe")
    return {name: value.shape for name, value in [*session.run(feeds).items(), *feeds.items()]}
