"""A drive reader as one ONNX graph, which reads a frame or words, and its base as another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
import torch
from onnx import ModelProto, TensorProto, helper
from torch import Tensor, nn

from bicameral.types import PACE_CAMERA
from edge.drives.reader import DriveReaderSpec
from edge.sidecar import Claim, InputSpec, TrainingRecord
from models.drives.captions import SENTENCE_WORDS, VOCABULARY
from models.drives.network import BLOCKS, FRAME, READER_IMAGE, WIDTH, DriveDescriber, DriveReader
from models.onnx_export import OPSET, describe_graph, onnx_from_network

_LIMITS = (
    "Tells weather, junction and road of pictures of the pocket simulator's camera among others, "
    "and repeats the command that it is given. It knows nothing of vehicles, walkers and lights."
)

_IMAGE = torch.zeros(1, 3, READER_IMAGE.height, READER_IMAGE.width)
_PAST = torch.zeros(1, 2 * BLOCKS, FRAME, WIDTH)
_COMMAND, _WORDS = torch.zeros(1, 4), torch.zeros(1, 3, dtype=torch.int64)
#: Sizes that are free, beside the batch.
_FREE = {"words": {1: "length"}, "past": {2: "before"}, "tokens": {1: "tokens"}}
_FREE |= {"logits": {1: "tokens"}, "past_on": {2: "after"}, "compared": {1: "tokens"}}


class _As(nn.Module):
    """A function of a network's as a module of its own, which can be traced."""

    def __init__(self, network: nn.Module, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network, self.function = network, function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def onnx_from_reader(network: DriveDescriber) -> bytes:
    """Return the graph of a drive reader, or of a describer alone, which has no adapter.

    It takes ``image``, ``command``, ``words``, ``past`` and, of a reader, ``adapter`` () bool, as
    `DriveDescriber` says. Where ``words`` (N, 0) holds none, it reads the frame and ignores the
    past; else it reads the words, and computes nothing of the frame.
    """
    see = _As(network, lambda image, command: network.see(network.trunk(image), command))
    seen = _traced(see, {"image": _IMAGE, "command": _COMMAND}, ["tokens"])
    said = _traced(_As(network, network.say), {"words": _WORDS, "past": _PAST}, ["tokens"])
    inputs = {"tokens": torch.zeros(1, 3, WIDTH), "past": _PAST}
    if isinstance(network, DriveReader):
        inputs["adapter"] = torch.tensor(data=False)
    read = _traced(network, inputs, list(network.output_names))
    return _joined(seen, said, read)


def _traced(network: nn.Module, inputs: Mapping[str, Tensor], outputs: list[str]) -> ModelProto:
    content = onnx_from_network(network.eval(), inputs, outputs, free=_FREE)
    return onnx.load_from_string(content)


def _joined(seen: ModelProto, said: ModelProto, read: ModelProto) -> bytes:
    """Put a choice of two graphs, both of which give ``tokens``, before a third."""
    graphs = []
    for prefix, model in (("seen/", seen), ("said/", said)):
        kept = {one.name: one.name for one in model.graph.input}
        model = onnx.compose.add_prefix(model, prefix)
        _rename(model.graph, {prefix + name: name for name in kept})
        graphs.append(model.graph)
    nodes = [
        helper.make_node("Shape", ["words"], ["words_shape"]),
        helper.make_node("Gather", ["words_shape", "one"], ["words_count"]),
        helper.make_node("Equal", ["words_count", "zero"], ["is_frame"]),
        helper.make_node(
            "If",
            ["is_frame"],
            ["tokens"],
            then_branch=helper.make_graph(graphs[0].node, "seen", [], graphs[0].output),
            else_branch=helper.make_graph(graphs[1].node, "said", [], graphs[1].output),
        ),
    ]
    numbers = [
        helper.make_tensor(n, TensorProto.INT64, [], [v]) for n, v in (("one", 1), ("zero", 0))
    ]
    given = {
        one.name: one for g in (*graphs, read.graph) for one in g.input if one.name != "tokens"
    }
    whole = helper.make_graph(
        [*nodes, *read.graph.node],
        "drive_reader",
        list(given.values()),
        read.graph.output,
        [*numbers, *(one for g in (*graphs, read.graph) for one in g.initializer)],
    )
    model = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=read.ir_version
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for one in graph.input:
        one.name = names.get(one.name, one.name)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)


def spec_of(
    name: str,
    content: bytes,
    training: TrainingRecord,
    towns: tuple[str, ...],
    claims: tuple[Claim, ...],
) -> DriveReaderSpec:
    """Describe the file ``NAME.onnx`` of a reader, for the sidecar beside it."""
    shape = (-1, 3, READER_IMAGE.height, READER_IMAGE.width)
    return DriveReaderSpec(
        name=name,
        files=(describe_graph(name, content),),
        input=InputSpec(name="image", layout="NCHW", dtype="FP32", shape=shape, image=READER_IMAGE),
        camera=PACE_CAMERA,
        words=VOCABULARY.words,
        past=(2 * BLOCKS, FRAME, WIDTH),
        longest=SENTENCE_WORDS,
        towns=towns,
        training=training,
        claims=claims,
        license="Apache-2.0",
        limits=_LIMITS,
    )
