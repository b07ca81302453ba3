"""The ONNX Runtime session: a `Session` with errors that say what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from bicameral.errors import DataError, UserError
from bicameral.protocols import Session
from edge.session import OnnxSession
from edge.shipped import resolve_model, shipped_models, weights_folder

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def doubling() -> bytes:
    """A graph that adds its input to itself."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [value("x", onnx.TensorProto.FLOAT, ["batch", 2])],
        [value("y", onnx.TensorProto.FLOAT, ["batch", 2])],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def test_it_answers_and_describes_its_tensors(doubling: bytes) -> None:
    session = OnnxSession(doubling, name="doubling")
    assert isinstance(session, Session)
    assert [(spec.name, spec.dtype, spec.shape) for spec in session.inputs] == [
        ("x", "float32", (-1, 2))
    ]
    assert [spec.name for spec in session.outputs] == ["y"]
    answer = session.run({"x": np.array([[1.0, 2.0]], np.float32)})
    assert answer["y"].tolist() == [[2.0, 4.0]]


def test_the_fingerprint_is_that_of_the_graph(doubling: bytes) -> None:
    first, second = (OnnxSession(doubling, name=name) for name in ("a", "b"))
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 64


@pytest.mark.parametrize(
    "feeds",
    [{"x": np.zeros((1, 3), np.float32)}, {"x": np.zeros((1, 2))}, {}],
    ids=["shape", "dtype", "missing"],
)
def test_wrong_inputs_are_named(doubling: bytes, feeds: dict[str, np.ndarray]) -> None:
    with pytest.raises(DataError, match="'doubling' rejected its inputs"):
        OnnxSession(doubling, name="doubling").run(feeds)


def test_a_closed_session_and_a_broken_graph_are_refused(doubling: bytes) -> None:
    session = OnnxSession(doubling, name="doubling")
    session.close()
    with pytest.raises(DataError, match="is closed"):
        session.run({"x": np.zeros((1, 2), np.float32)})
    with pytest.raises(DataError, match="cannot load the model 'broken'"):
        OnnxSession(b"no graph", name="broken")


def test_names_mean_shipped_models_and_suffixes_mean_paths() -> None:
    assert resolve_model("some/where.onnx") == Path("some/where.onnx")
    assert resolve_model(Path("where")) == Path("where")
    for name in shipped_models():
        assert resolve_model(name).parent == weights_folder()
    for unknown in ("no-such-model", ""):
        with pytest.raises(UserError, match=f"unknown shipped model '{unknown}'"):
            resolve_model(unknown)


def test_a_folder_means_the_one_model_or_the_one_cascade_in_it(
    tmp_path: Path, write_classifier: Callable[..., Path]
) -> None:
    with pytest.raises(DataError, match="holds the models none"):
        resolve_model(tmp_path)
    path = write_classifier(tmp_path, "one")
    assert resolve_model(str(tmp_path)) == path
    write_classifier(tmp_path, "two")
    with pytest.raises(DataError, match="give one of them"):
        resolve_model(tmp_path)
