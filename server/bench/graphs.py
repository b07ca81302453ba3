"""Networks of the sizes that are served: ONNX graphs with seeded weights, made when needed.

Their answers mean nothing, but they cost what trained networks of the same shape cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_OPSET = 13
_IR_VERSION = 8

_Activation = Literal["Relu", "Relu6"] | None

#: How strongly a residual block adds to its input. With 1 the activations of an untrained network
#: double with every block, and all its answers are equally sure.
_BRANCH_GAIN = 0.3


class _GraphWriter:
    """Adds nodes one after the other; every method returns the name of its output."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def weights(self, values: NDArray[np.floating]) -> str:
        name = f"weights_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def convolution(  # noqa: PLR0913 - what a convolution is
        self,
        x: str,
        channels: tuple[int, int],
        kernel: int = 3,
        *,
        stride: int = 1,
        depthwise: bool = False,
        activation: _Activation = "Relu",
        gain: float = 1.0,
    ) -> str:
        """Add a convolution with `channels` (in, out), a bias, and what follows it."""
        taken = 1 if depthwise else channels[0]
        deviation = gain * (2.0 / (taken * kernel * kernel)) ** 0.5
        shape = (channels[1], taken, kernel, kernel)
        weights = self.weights(self._rng.normal(0.0, deviation, shape))
        bias = self.weights(self._rng.normal(0.0, 0.05, channels[1]))
        x = self.node(
            "Conv",
            x,
            weights,
            bias,
            kernel_shape=[kernel, kernel],
            pads=[kernel // 2] * 4,
            strides=[stride, stride],
            group=channels[0] if depthwise else 1,
        )
        if activation == "Relu":
            return self.node("Relu", x)
        if activation == "Relu6":
            low, high = (self.weights(np.array(limit)) for limit in (0.0, 6.0))
            return self.node("Clip", x, low, high)
        return x

    def dense(self, x: str, sizes: tuple[int, int]) -> str:
        """Add a linear layer with `sizes` (in, out)."""
        values = self._rng.normal(0.0, (2.0 / sizes[0]) ** 0.5, sizes)
        return self.node("Gemm", x, self.weights(values), self.weights(np.zeros(sizes[1])))

    def pooled(self, x: str) -> str:
        """Add the mean over the picture."""
        return self.node("Flatten", self.node("GlobalAveragePool", x))

    def model(self, logits: str, image: Sequence[int], classes: int) -> bytes:
        """Return the ONNX file: ``image`` (N, C, H, W) float32 -> ``logits`` (N, classes)."""
        self._nodes.append(helper.make_node("Identity", [logits], ["logits"]))
        kind = TensorProto.FLOAT
        graph = helper.make_graph(
            self._nodes,
            "network",
            [helper.make_tensor_value_info("image", kind, ["batch", *image])],
            [helper.make_tensor_value_info("logits", kind, ["batch", classes])],
            self._weights,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
        )
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString()
        return content


def tiny_network(classes: int) -> bytes:
    """Return two convolutions and two dense layers for grey pictures of 28 x 28 pixels.

    With 10 classes: 105,866 parameters, 1.1 million multiply-accumulates.
    """
    graph = _GraphWriter(seed=1)
    x = graph.convolution("image", (1, 16))
    x = graph.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = graph.convolution(x, (16, 32))
    x = graph.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = graph.dense(graph.node("Flatten", x), (7 * 7 * 32, 64))
    return graph.model(graph.dense(graph.node("Relu", x), (64, classes)), (1, 28, 28), classes)


def residual_network(classes: int, side_px: int) -> bytes:
    """Return a ResNet-18 (He et al. 2016) of width 24 for colour pictures.

    With 100 classes: 1.6 million parameters; 144 million multiply-accumulates at 160 pixels.
    """
    width = 24
    graph = _GraphWriter(seed=2)
    x = graph.convolution("image", (3, width), 7, stride=2)
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    given = width
    for stage, made in enumerate((width, 2 * width, 4 * width, 8 * width)):
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            branch = graph.convolution(x, (given, made), stride=stride)
            branch = graph.convolution(branch, (made, made), activation=None, gain=_BRANCH_GAIN)
            if stride != 1:
                x = graph.convolution(x, (given, made), 1, stride=stride, activation=None)
            x = graph.node("Relu", graph.node("Add", x, branch))
            given = made
    return graph.model(
        graph.dense(graph.pooled(x), (given, classes)), (3, side_px, side_px), classes
    )


#: Expansion, channels before scaling, blocks and stride of each stage (Sandler et al. 2018,
#: table 2), scaled by 0.75 to multiples of 8.
_INVERTED_RESIDUALS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobile_network(classes: int, side_px: int) -> bytes:
    """Return a MobileNetV2 (Sandler et al. 2018) of width 0.75 for colour pictures.

    With 100 classes: 1.35 million parameters; 92 million multiply-accumulates at 160 pixels.
    """

    def scaled(channels: int) -> int:
        return max(8, int(0.75 * channels + 4) // 8 * 8)

    graph = _GraphWriter(seed=3)
    given = scaled(32)
    x = graph.convolution("image", (3, given), stride=2, activation="Relu6")
    for expansion, channels, blocks, first_stride in _INVERTED_RESIDUALS:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            made, wide = scaled(channels), given * expansion
            branch = x
            if expansion != 1:
                branch = graph.convolution(branch, (given, wide), 1, activation="Relu6")
            branch = graph.convolution(
                branch, (wide, wide), stride=stride, depthwise=True, activation="Relu6"
            )
            adds = stride == 1 and given == made
            gain = _BRANCH_GAIN if adds else 1.0
            branch = graph.convolution(branch, (wide, made), 1, activation=None, gain=gain)
            x = graph.node("Add", x, branch) if adds else branch
            given = made
    last = 960
    x = graph.convolution(x, (given, last), 1, activation="Relu6")
    return graph.model(
        graph.dense(graph.pooled(x), (last, classes)), (3, side_px, side_px), classes
    )


def slow_network(classes: int) -> bytes:
    """Return ten wide convolutions for grey pictures of 28 x 28 pixels.

    290 million multiply-accumulates for a tensor of 3 kB: a request costs next to nothing beside
    its run.
    """
    width, layers = 64, 10
    graph = _GraphWriter(seed=4)
    x = graph.convolution("image", (1, width))
    for _ in range(layers):
        x = graph.convolution(x, (width, width))
    return graph.model(graph.dense(graph.pooled(x), (width, classes)), (1, 28, 28), classes)
