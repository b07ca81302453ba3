"""A graph with scaling and softmax in it answers with the bits of numpy around the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.loading import load_classifier
from edge.preprocessing import feed_from_canonical
from edge.probabilities import calibrated_probabilities
from edge.session import OnnxSession
from edge.sidecar import read_sidecar
from edge.whole_graph import CANONICAL, PROBABILITIES, whole_graph

pytestmark = pytest.mark.unit

onnx = pytest.importorskip("onnx")


def _graph(layout: str, opset: int) -> bytes:
    """Return a graph of colour pictures 4 x 6, which logits of both layouts leave."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(1).normal(0, 0.2, (72, 5)).astype(np.float32)
    shape = ["rows", 3, 4, 6] if layout == "NCHW" else ["rows", 4, 6, 3]
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["picture"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        ],
        "net",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 5])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(("layout", "opset"), [("NCHW", 13), ("NHWC", 13), ("NCHW", 9)])
def test_colour_pictures_of_both_layouts_get_the_same_answer(
    tmp_path: Path, write_classifier: Callable[..., Path], layout: str, opset: int
) -> None:
    sidecar = read_sidecar(write_classifier(tmp_path, "net", calibration={"temperature": 1.7}))
    image = sidecar.input.image.model_copy(
        update={
            "height": 4,
            "width": 6,
            "color": "RGB",
            "channels": 3,
            "mean": (0.4, 0.5, 0.6),
            "std": (0.2, 0.3, 0.4),
        }
    )
    spec = sidecar.input.model_copy(update={"name": "picture", "layout": layout, "image": image})
    output = sidecar.outputs[0].model_copy(update={"name": "scores"})
    sidecar = sidecar.model_copy(update={"input": spec, "outputs": (output,)})
    content = _graph(layout, opset)
    whole = whole_graph(content, sidecar)
    assert whole is not None
    onnx.checker.check_model(onnx.load_from_string(whole).SerializeToString())
    session = OnnxSession(whole, name="whole")
    pictures = np.random.default_rng(0).integers(0, 256, (7, 4, 6, 3), dtype=np.uint8)
    feed = feed_from_canonical(pictures, spec)
    logits = OnnxSession(content, name="net").run({"picture": feed})["scores"]
    np.testing.assert_array_max_ulp(
        session.run({CANONICAL: pictures})[PROBABILITIES], calibrated_probabilities(logits, 1.7)
    )


def test_a_graph_that_scales_or_ends_in_probabilities_stays_as_it_is(
    tmp_path: Path, write_classifier: Callable[..., Path], pictures: np.ndarray
) -> None:
    for name, path in {
        "a": write_classifier(tmp_path, "a", in_graph=True),
        "b": write_classifier(tmp_path, "b", ending="probabilities"),
    }.items():
        assert whole_graph(path.with_name(f"{name}.onnx").read_bytes(), read_sidecar(path)) is None
        assert load_classifier(path).predict(pictures).probabilities.shape == (48, 5)
