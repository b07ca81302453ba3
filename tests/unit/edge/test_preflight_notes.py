"""What the notes of the operator tables forbid is found, and what they allow passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.preflight import preflight
from edge.preflight.notes import NOTES
from edge.preflight.operators import read_operator_table
from edge.targets import TargetName

NANO: TargetName = "jetson-nano"
ORIN: TargetName = "jetson-orin"

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64

#: Words of notes that other rules of the preflight enforce: fixed inputs, pooling and convolution,
#: resizing, quantisation, experimental operators.
ELSEWHERE = (
    "2D or 3D",
    "Weights `W` must be an",
    "`axis` must be an initializer",
    "`axes` must be an initializer",
    "`axes` must be a constant tensor",
    "`K` input must be an initializer",
    "Scales `scale` and biases `B` must be initializers",
    "zero_point` must be",
    "`Indices` output tensor unsupported",
    "`dilations` must be empty",
    "`max_output_boxes_per_class`",
    "Supported resize",
    "Supported nearest",
    "Supported aspect",
    "Antialiasing",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A node `bad` and what it reads."""

    operator: str
    target: TargetName = NANO
    shapes: dict[str, list[Any]] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)
    nodes: tuple[Any, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("y",)
    attributes: dict[str, Any] = field(default_factory=dict)
    result: int = FLOAT
    opset: int = 13


def find(case: Case, tmp_path: Path) -> set[str]:
    """Return the rules that object to the case's node."""
    bad = helper.make_node(
        case.operator, case.inputs or [*case.shapes, *case.weights], case.outputs, name="bad",
        **case.attributes,
    )  # fmt: skip
    graph = helper.make_graph(
        [*case.nodes, bad],
        "notes",
        [helper.make_tensor_value_info(name, FLOAT, size) for name, size in case.shapes.items()],
        [helper.make_tensor_value_info("y", case.result, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in case.weights.items()],
    )
    imports = [helper.make_opsetid("", case.opset)]
    path = tmp_path / "notes.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return {one.rule for one in preflight(path, case.target) if one.node == "bad"}


def einsum(equation: str, *shapes: list[Any]) -> Case:
    named = dict(zip("ab", shapes, strict=False))
    return Case(operator="Einsum", shapes=named, attributes={"equation": equation})


def lstm(*activations: str, target: TargetName = NANO, **more: Any) -> Case:
    weights = {
        "w": np.zeros((2, 8, 3), np.float32),
        "r": np.zeros((2, 8, 2), np.float32),
    }
    both = {"direction": "bidirectional", "hidden_size": 2, **more}
    both |= {"activations": list(activations)} if activations else {}
    return Case(
        operator="LSTM", target=target, shapes={"x": [5, 1, 3]}, weights=weights, attributes=both
    )


def branch(name: str, size: list[int]) -> Any:
    tensor = numpy_helper.from_array(np.zeros(size, np.float32))
    made = helper.make_node("Constant", [], [name], value=tensor)
    return helper.make_graph([made], name, [], [helper.make_tensor_value_info(name, FLOAT, size)])


def choice(then: Any, other: Any, target: TargetName = NANO) -> Case:
    return Case(
        operator="If",
        target=target,
        weights={"c": np.array(True)},
        attributes={"then_branch": then, "else_branch": other},
    )


def shape_of(name: str) -> Any:
    return helper.make_node("Shape", ["x"], [name])


def loop(size: list[int]) -> Any:
    return helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still"]),
            helper.make_node("Concat", ["v", "v"], ["w"], axis=0),
            helper.make_node("Identity", ["v"], ["scan"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", FLOAT, size),
            helper.make_tensor_value_info("scan", FLOAT, [2]),
        ],
    )


ONE = np.array(1)
GRID = np.zeros((1, 4, 4, 2), np.float32)
FORBIDDEN: dict[str, tuple[Case, str]] = {
    "an ellipsis": (einsum("...ij,jk->...ik", ["N", 2, 3], [3, 4]), "einsum-ellipsis"),
    "a diagonal": (einsum("ii->i", [3, 3]), "einsum-diagonal"),
    "broadcasting in einsum": (einsum("ij,jk->ik", [2, 1], [3, 4]), "einsum-broadcasting"),
    "directions that differ": (
        lstm("Sigmoid", "Tanh", "Tanh", "Sigmoid", "Relu", "Tanh"),
        "bidirectional-activations",
    ),
    "directions that differ on Orin": (
        lstm("Sigmoid", "Tanh", "Tanh", "Sigmoid", "Relu", "Tanh", target=ORIN),
        "bidirectional-activations",
    ),
    "coupled gates": (lstm(target=ORIN, input_forget=1), "attribute"),
    "another layout": (lstm(target=ORIN, layout=1, ), "attribute"),
    "branches of one name": (choice(branch("t", [2]), branch("t", [2])), "branch-names"),
    "branches that differ": (choice(branch("t", [2]), branch("e", [3])), "branch-shapes"),
    "branches of two ranks": (
        choice(branch("t", [2]), branch("e", [1, 2]), ORIN),
        "branch-shapes",
    ),
    "instances of rank 6": (
        Case(
            operator="InstanceNormalization",
            shapes={"x": [1, 2, 1, 1, 1, 4]},
            weights={"s": np.ones(2, np.float32), "b": np.zeros(2, np.float32)},
        ),
        "input-rank",
    ),
    "a seed": (Case(operator="RandomUniformLike", shapes={"x": [2]}, attributes={"seed": 1.0}),
               "seed-ignored"),
    "a computed range of floats": (
        Case(
            operator="Range",
            shapes={"x": []},
            weights={"l": np.float32(4), "d": np.float32(1)},
        ),
        "not-constant",
    ),
    "open sizes of sequences": (
        Case(
            operator="ReverseSequence",
            shapes={"x": ["T", 1, 3]},
            weights={"n": np.array([4])},
        ),
        "dynamic-input",
    ),
    "computed scales": (
        Case(
            operator="Resize",
            shapes={"x": [1, 1, 4, 4], "s": [4]},
            inputs=("x", "", "s"),
        ),
        "not-constant",
    ),
    "open sizes of eyes": (
        Case(operator="EyeLike", target=ORIN, shapes={"x": ["N", 3]}),
        "dynamic-input",
    ),
    "text": (
        Case(operator="Constant", target=ORIN, attributes={"value_string": "a"}, result=8),
        "constant-kind",
    ),
    "five dimensions in a grid": (
        Case(
            operator="GridSample",
            target=ORIN,
            shapes={"x": [1, 1, 4, 4, 4]},
            weights={"g": np.zeros((1, 4, 4, 4, 3), np.float32)},
            opset=20,
        ),
        "input-rank",
    ),
    "training": (
        Case(
            operator="Dropout",
            target=ORIN,
            shapes={"x": [2]},
            weights={"r": np.float32(0.5), "t": np.array(True)},
        ),
        "training-mode",
    ),
    "an open axis": (
        Case(operator="Hardmax", target=ORIN, shapes={"x": [2, "N"]}),
        "dynamic-input",
    ),
    "an open depth": (
        Case(
            operator="OneHot",
            target=ORIN,
            shapes={"x": ["N"]},
            weights={"v": np.array([0, 1], np.float32)},
            nodes=(shape_of("n"),),
            inputs=("x", "n", "v"),
        ),
        "not-constant",
    ),
    "a mean": (
        Case(
            operator="LayerNormalization",
            target=ORIN,
            shapes={"x": [2, 3]},
            weights={"s": np.ones(3, np.float32)},
            outputs=("y", "mean"),
            opset=17,
        ),
        "further-outputs",
    ),
    "a reduction": (
        Case(
            operator="ScatterND",
            target=ORIN,
            shapes={"x": [4]},
            weights={"i": np.array([[1]]), "u": np.ones(1, np.float32)},
            attributes={"reduction": "add"},
            opset=16,
        ),
        "attribute",
    ),
    "unsorted": (
        Case(
            operator="TopK",
            target=ORIN,
            shapes={"x": [5]},
            weights={"k": np.array([2])},
            outputs=("y", "i"),
            attributes={"sorted": 0},
        ),
        "attribute",
    ),
    "too many": (
        Case(
            operator="TopK",
            target=ORIN,
            shapes={"x": [5000]},
            weights={"k": np.array([3840])},
            outputs=("y", "i"),
        ),
        "top-k",
    ),
    "scales of other axes": (
        Case(
            operator="Resize",
            target=ORIN,
            shapes={"x": [1, 1, 4, 4], "s": [2]},
            inputs=("x", "", "s"),
            attributes={"axes": [2, 3]},
            opset=18,
        ),
        "resize-axes",
    ),
    "uneven pads": (
        Case(
            operator="DeformConv",
            target=ORIN,
            shapes={"x": [1, 1, 4, 4], "o": [1, 8, 4, 4]},
            weights={"w": np.zeros((1, 1, 2, 2), np.float32)},
            inputs=("x", "w", "o"),
            attributes={"pads": [0, 0, 1, 1]},
            opset=19,
        ),
        "uneven-pads",
    ),
    "a loop of open length": (
        Case(
            operator="Loop",
            target=ORIN,
            shapes={"x": ["N"]},
            weights={"v0": np.zeros(2, np.float32)},
            nodes=(
                shape_of("s"),
                helper.make_node("ReduceProd", ["s"], ["n"], keepdims=0),
            ),
            inputs=("n", "", "v0"),
            outputs=("last", "y"),
            attributes={"body": loop([4])},
        ),
        "loop-length",
    ),
    "a loop that grows": (
        Case(
            operator="Loop",
            target=ORIN,
            weights={"n": ONE, "v0": np.zeros(2, np.float32)},
            inputs=("n", "", "v0"),
            outputs=("last", "y"),
            attributes={"body": loop([4])},
        ),
        "loop-shape",
    ),
}  # fmt: skip
ALLOWED: dict[str, Case] = {
    "a product": einsum("ij,jk->ik", [2, 3], [3, 4]),
    "open sizes in einsum": einsum("nij,jk->nik", ["N", 2, 3], [3, 4]),
    "directions that agree": lstm("Sigmoid", "Tanh", "Tanh", "Sigmoid", "Tanh", "Tanh"),
    "usual directions": lstm(),
    "branches that agree": choice(branch("t", [2]), branch("e", [2])),
    "branches that broadcast": choice(branch("t", [2]), branch("e", [1])),
    "no seed": Case(operator="RandomUniformLike", shapes={"x": [2]}),
    "an ellipsis on Orin": Case(
        operator="Einsum",
        target=ORIN,
        shapes={"a": ["N", 2, 3], "b": [3, 4]},
        attributes={"equation": "...ij,jk->...ik"},
    ),
    "computed scales on Orin": Case(
        operator="Resize",
        target=ORIN,
        shapes={"x": [1, 1, 4, 4], "s": [4]},
        inputs=("x", "", "s"),
    ),
    "a depth of fixed sizes": Case(
        operator="OneHot",
        target=ORIN,
        shapes={"x": [3]},
        weights={"v": np.array([0, 1], np.float32)},
        nodes=(shape_of("n"),),
        inputs=("x", "n", "v"),
    ),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_note_forbids_is_found(name: str, tmp_path: Path) -> None:
    case, rule = FORBIDDEN[name]
    assert rule in find(case, tmp_path)


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_notes_allow_passes(name: str, tmp_path: Path) -> None:
    assert find(ALLOWED[name], tmp_path) == set()


@pytest.mark.parametrize("release", ["8.2", "10.1"])
def test_every_note_of_the_tables_is_enforced(release: str) -> None:
    rules: dict[str, Callable[..., Any]] = NOTES
    for name, row in read_operator_table(f"tensorrt-{release}-onnx-operators.tsv").items():
        for sentence in filter(None, row.restrictions.replace(". ", ".\n").splitlines()):
            if "Output has fixed shape and is padded" in sentence:
                continue  # the finding operator-experimental says it
            known = [phrase for phrase in (*rules, *ELSEWHERE) if phrase in sentence]
            assert known, f"{name} of {release}: nothing enforces {sentence!r}"


@pytest.mark.parametrize("operator", ["OneHot", "If", "Loop", "Einsum", "EyeLike"])
def test_a_node_without_its_inputs_is_invalid_and_no_traceback(
    operator: str, tmp_path: Path
) -> None:
    graph = helper.make_graph(
        [helper.make_node(operator, [], ["y"], name="bad")],
        "broken",
        [],
        [helper.make_tensor_value_info("y", FLOAT, [1])],
    )
    path = tmp_path / "broken.onnx"
    imports = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    for target in (NANO, ORIN):
        assert "invalid-onnx" in {one.rule for one in preflight(path, target)}
