"""What each attention head is worth: switched off alone, and with others (2303.13731)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge.probabilities import softmax
from edge.samples import Samples
from models.diagnosis.graph import OpenGraph

#: Orders in which heads are removed at random, as the control.
_RANDOM_ORDERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadStudy:
    """What became of a network's answers without some of its heads.

    Attributes:
        divergence: (blocks, heads): mean Jensen-Shannon divergence in nats of the answers with and
            without one head; 0 if it changes nothing.
        accuracy_lost: (blocks, heads): accuracy with it minus without.
        agreement: Share of the pictures whose answer stays, with the n = 0, 1, ... least important
            heads removed; a curve.
        random_agreement: The same for n heads removed at random, mean of several orders.
    """

    divergence: NDArray[np.float64]
    accuracy_lost: NDArray[np.float64] | None
    agreement: tuple[float, ...]
    random_agreement: tuple[float, ...]


class MaskedHeads:
    """A graph whose attention heads can be switched off.

    Attributes:
        shape: Blocks, and heads of each; (0, 0) if it has no attention, or not the same number
            of heads everywhere.
    """

    def __init__(self, graph: OpenGraph, samples: Samples) -> None:
        """Put a factor behind what the heads of every attention say."""
        self._samples = samples
        said = _spoken(graph)
        few = samples.first(1)
        shapes = [value.shape for value in graph.read(few, said).values()] if said else []
        found = [name for name, shape in zip(said, shapes, strict=True) if len(shape) == 4]
        heads = {shape[1] for shape in shapes if len(shape) == 4}
        self.shape = (len(found), heads.pop()) if len(heads) == 1 else (0, 0)
        self._graph = _with_factors(graph, found, self.shape[1]) if self.shape[0] else graph
        self._logits = graph.output("logits") or ""

    def probabilities(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Answer (N, K) with the heads that are kept (blocks, heads)."""
        extra = {
            f"heads_{block}": row.astype(np.float32).reshape(1, -1, 1, 1)
            for block, row in enumerate(kept)
        }
        logits = self._graph.read(self._samples, [self._logits], extra)[self._logits]
        return softmax(logits.reshape(len(logits), -1), self._graph.sidecar.calibration.temperature)


def study_heads(heads: MaskedHeads, labels: NDArray[np.int64] | None) -> HeadStudy:
    """Switch off every head alone, then one after the other.

    Args:
        heads: A network that has attention.
        labels: (N,) true classes, or None.
    """
    everyone = np.ones(heads.shape, bool)
    whole = heads.probabilities(everyone)
    answers = whole.argmax(axis=1)
    divergence = np.zeros(heads.shape)
    lost = None if labels is None else np.zeros(heads.shape)
    for place in np.ndindex(heads.shape):
        kept = everyone.copy()
        kept[place] = False
        without = heads.probabilities(kept)
        divergence[place] = _divergence(whole, without)
        if lost is not None:
            right = [(one.argmax(axis=1) == labels).mean() for one in (whole, without)]
            lost[place] = right[0] - right[1]

    def curve(order: NDArray[np.int64]) -> list[float]:
        shares, kept = [1.0], everyone.copy()
        for index in order:
            kept.flat[index] = False
            shares.append(float((heads.probabilities(kept).argmax(axis=1) == answers).mean()))
        return shares

    rng = np.random.default_rng(0)
    random = [curve(rng.permutation(everyone.size)) for _ in range(_RANDOM_ORDERS)]
    return HeadStudy(
        divergence=divergence,
        accuracy_lost=lost,
        agreement=tuple(curve(np.argsort(divergence, axis=None, kind="stable"))),
        random_agreement=tuple(np.mean(random, axis=0).tolist()),
    )


def _spoken(graph: OpenGraph) -> list[str]:
    """Return what heads say: products of an attention, which a softmax made, and values."""
    found = []
    for node in graph.model.graph.node:
        if node.op_type != "Softmax":
            continue
        tensor = node.output[0]
        # What mixes an attention with another one, such as ConViT's gate.
        while len(readers := graph.readers(tensor)) == 1 and readers[0].op_type in ("Add", "Mul"):
            tensor = readers[0].output[0]
        if len(readers) == 1 and readers[0].op_type == "MatMul" and readers[0].input[0] == tensor:
            found.append(readers[0].output[0])
    return found


def _with_factors(graph: OpenGraph, said: list[str], heads: int) -> OpenGraph:
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.output[0] not in said:
            continue
        block, tensor = said.index(node.output[0]), node.output[0]
        node.output[0] = f"{tensor}_all_heads"
        nodes.append(helper.make_node("Mul", [node.output[0], f"heads_{block}"], [tensor]))
        model.graph.input.append(
            helper.make_tensor_value_info(f"heads_{block}", TensorProto.FLOAT, [1, heads, 1, 1])
        )
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return OpenGraph(graph.sidecar, model)


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Return the mean Jensen-Shannon divergence in nats of rows (N, K)."""
    middle = (p + q) / 2.0

    def relative(one: NDArray[np.float64]) -> NDArray[np.float64]:
        logarithm = np.log(np.maximum(one, 1e-300) / np.maximum(middle, 1e-300))
        return np.asarray((one * logarithm).sum(axis=1))

    return float(((relative(p) + relative(q)) / 2.0).mean())
