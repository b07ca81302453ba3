"""What the notes of the operator tables forbid is found, and what they allow passes."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import pytest

from edge.preflight import preflight
from edge.preflight.notes import NOTES
from edge.preflight.operators import read_operator_table
from edge.targets import TargetName

NANO: TargetName = "jetson-nano"
ORIN: TargetName = "jetson-orin"

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


def graph(text: str, opset: int = 13) -> onnx.ModelProto:
    """Return a graph in ONNX's text format; the node in question is called `bad`."""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> notes {text}')


def einsum(equation: str, inputs: str) -> onnx.ModelProto:
    names = ", ".join(one.split()[-1] for one in inputs.split("; "))
    return graph(
        f"""({inputs.replace(";", ",")}) => (float[] y)
        {{ [bad] y = Einsum <equation = "{equation}"> ({names}) }}"""
    )


def lstm(attributes: str = "layout = 0") -> onnx.ModelProto:
    return graph(
        f"""(float[5, 1, 3] x, float[2, 8, 3] w, float[2, 8, 2] r) => (float[] y)
        {{ [bad] y = LSTM <direction = "bidirectional", hidden_size = 2, {attributes}>
        (x, w, r) }}"""
    )


def choice(then: str, other: str) -> onnx.ModelProto:
    """Return an `If` whose branches make such tensors of zeros, e.g. ``float[1] t``."""

    def branch(tensor: str) -> str:
        kind, name = tensor.split("] ")
        zeros = ", ".join("0" * math.prod(map(int, kind[len("float[") :].split(","))))
        return f"branch () => ({tensor}) {{ {name} = Constant <value = {kind}] {{{zeros}}}> () }}"

    return graph(
        f"""() => (float[] y) <bool c = {{1}}>
        {{ [bad] y = If (c) <then_branch = {branch(then)}, else_branch = {branch(other)}> }}"""
    )


LOOP = """[bad] last, y = Loop (n, , v0) <body = turn
    (int64 i, bool on, float[2] v) => (bool still, float[4] w, float[2] scan)
    { still = Identity (on) w = Concat <axis = 0> (v, v) scan = Identity (v) }>"""
DIFFERENT = 'activations = ["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Relu", "Tanh"]'
ALIKE = 'activations = ["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Tanh", "Tanh"]'
RESIZED = "(float[1, 1, 4, 4] x, float[4] s) => (float[] y) { [bad] y = Resize (x, , s) }"
#: The target, the rule that objects to the node, and the graph.
FORBIDDEN: dict[str, tuple[TargetName, str, onnx.ModelProto]] = {
    "an ellipsis": (
        NANO, "einsum-ellipsis", einsum("...ij,jk->...ik", "float[N, 2, 3] a; float[3, 4] b")
    ),
    "a diagonal": (NANO, "einsum-diagonal", einsum("ii->i", "float[3, 3] a")),
    "broadcasting in einsum": (
        NANO, "einsum-broadcasting", einsum("ij,jk->ik", "float[2, 1] a; float[3, 4] b")
    ),
    "directions that differ": (NANO, "bidirectional-activations", lstm(DIFFERENT)),
    "directions that differ on Orin": (ORIN, "bidirectional-activations", lstm(DIFFERENT)),
    "coupled gates": (ORIN, "attribute", lstm("input_forget = 1")),
    "another layout": (ORIN, "attribute", lstm("layout = 1")),
    "branches of one name": (NANO, "branch-names", choice("float[2] t", "float[2] t")),
    "branches that differ": (NANO, "branch-shapes", choice("float[2] t", "float[3] e")),
    "branches of two ranks": (ORIN, "branch-shapes", choice("float[2] t", "float[1, 2] e")),
    "instances of rank 6": (
        NANO, "input-rank", graph(
            """(float[1, 2, 1, 1, 1, 4] x) => (float[] y)
            <float[2] s = {1, 1}, float[2] b = {0, 0}>
            { [bad] y = InstanceNormalization (x, s, b) }"""
        )
    ),
    "a seed": (
        NANO, "seed-ignored", graph(
            "(float[2] x) => (float[] y) { [bad] y = RandomUniformLike <seed = 1.0> (x) }"
        )
    ),
    "a computed range of floats": (
        NANO, "not-constant", graph(
            "(float x) => (float[] y) <float l = {4}, float d = {1}> { [bad] y = Range (x, l, d) }"
        )
    ),
    "open sizes of sequences": (
        NANO, "dynamic-input", graph(
            """(float[T, 1, 3] x) => (float[] y) <int64[1] n = {4}>
            { [bad] y = ReverseSequence (x, n) }"""
        )
    ),
    "computed scales": (NANO, "not-constant", graph(RESIZED)),
    "scales as an input": (ORIN, "size-from-float", graph(RESIZED)),
    "open sizes of eyes": (
        ORIN, "dynamic-input", graph("(float[N, 3] x) => (float[] y) { [bad] y = EyeLike (x) }")
    ),
    "text": (
        ORIN, "constant-kind", graph(
            '() => (string[] y) { [bad] y = Constant <value_string = "a"> () }'
        )
    ),
    "five dimensions in a grid": (
        ORIN, "input-rank", graph(
            """(float[1, 1, 4, 4, 4] x, float[1, 4, 4, 4, 3] g) => (float[] y)
            { [bad] y = GridSample (x, g) }""",
            opset=20,
        )
    ),
    "training": (
        ORIN, "training-mode", graph(
            """(float[2] x) => (float[] y) <float r = {0.5}, bool t = {1}>
            { [bad] y = Dropout (x, r, t) }"""
        )
    ),
    "an open axis": (
        ORIN, "dynamic-input", graph("(float[2, N] x) => (float[] y) { [bad] y = Hardmax (x) }")
    ),
    "an open depth": (
        ORIN, "not-constant", graph(
            """(float[N] x) => (float[] y) <float[2] v = {0, 1}>
            { n = Shape (x) [bad] y = OneHot (x, n, v) }"""
        )
    ),
    "a mean": (
        ORIN, "further-outputs", graph(
            """(float[2, 3] x) => (float[] y) <float[3] s = {1, 1, 1}>
            { [bad] y, mean = LayerNormalization (x, s) }""",
            opset=17,
        )
    ),
    "a reduction": (
        ORIN, "attribute", graph(
            """(float[4] x) => (float[] y) <int64[1, 1] i = {1}, float[1] u = {1}>
            { [bad] y = ScatterND <reduction = "add"> (x, i, u) }""",
            opset=16,
        )
    ),
    "unsorted": (
        ORIN, "attribute", graph(
            """(float[5] x) => (float[] y) <int64[1] k = {2}>
            { [bad] y, i = TopK <sorted = 0> (x, k) }"""
        )
    ),
    "too many": (
        ORIN, "top-k", graph(
            """(float[5000] x) => (float[] y) <int64[1] k = {3840}> { [bad] y, i = TopK (x, k) }"""
        )
    ),
    "scales of other axes": (
        ORIN, "resize-axes", graph(
            """(float[1, 1, 4, 4] x, float[2] s) => (float[] y)
            { [bad] y = Resize <axes = [2, 3]> (x, , s) }""",
            opset=18,
        )
    ),
    "uneven pads": (
        ORIN, "uneven-pads", graph(
            """(float[1, 1, 4, 4] x, float[1, 1, 2, 2] w, float[1, 8, 4, 4] o) => (float[] y)
            { [bad] y = DeformConv <pads = [0, 0, 1, 1]> (x, w, o) }""",
            opset=19,
        )
    ),
    "a loop of open length": (
        ORIN, "loop-length", graph(
            "(float[N] x) => (float[] y) <float[2] v0 = {0, 0}>"
            "{ s = Shape (x) n = ReduceProd <keepdims = 0> (s)" + LOOP + "}"
        )
    ),
    "a loop that grows": (
        ORIN, "loop-shape", graph(
            "() => (float[] y) <int64 n = {1}, float[2] v0 = {0, 0}> {" + LOOP + "}"
        )
    ),
}  # fmt: skip
ALLOWED: dict[str, tuple[TargetName, onnx.ModelProto]] = {
    "a product": (NANO, einsum("ij,jk->ik", "float[2, 3] a; float[3, 4] b")),
    "open sizes in einsum": (NANO, einsum("nij,jk->nik", "float[N, 2, 3] a; float[3, 4] b")),
    "directions that agree": (NANO, lstm(ALIKE)),
    "usual directions": (NANO, lstm()),
    "branches that agree": (NANO, choice("float[2] t", "float[2] e")),
    "branches that broadcast": (NANO, choice("float[2] t", "float[1] e")),
    "no seed": (
        NANO, graph("(float[2] x) => (float[] y) { [bad] y = RandomUniformLike (x) }")
    ),
    "an ellipsis on Orin": (
        ORIN, einsum("...ij,jk->...ik", "float[N, 2, 3] a; float[3, 4] b")
    ),
    "a depth of fixed sizes": (
        ORIN, graph(
            """(float[3] x) => (float[] y) <float[2] v = {0, 1}>
            { n = Shape (x) [bad] y = OneHot (x, n, v) }"""
        )
    ),
}  # fmt: skip


def find(model: onnx.ModelProto, target: TargetName, tmp_path: Path) -> set[str]:
    """Return the rules that object to the node `bad`."""
    path = tmp_path / "notes.onnx"
    onnx.save(model, path)
    return {one.rule for one in preflight(path, target) if one.node == "bad"}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_note_forbids_is_found(name: str, tmp_path: Path) -> None:
    target, rule, model = FORBIDDEN[name]
    assert rule in find(model, target, tmp_path)


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_notes_allow_passes(name: str, tmp_path: Path) -> None:
    target, model = ALLOWED[name]
    assert find(model, target, tmp_path) == set()


@pytest.mark.parametrize("release", ["8.2", "10.1"])
def test_every_note_of_the_tables_is_enforced(release: str) -> None:
    for name, row in read_operator_table(f"tensorrt-{release}-onnx-operators.tsv").items():
        for sentence in filter(None, row.restrictions.replace(". ", ".\n").splitlines()):
            if "Output has fixed shape and is padded" in sentence:
                continue  # the finding operator-experimental says it
            known = [phrase for phrase in (*NOTES, *ELSEWHERE) if phrase in sentence]
            assert known, f"{name} of {release}: nothing enforces {sentence!r}"


@pytest.mark.parametrize("operator", ["OneHot", "If", "Loop", "Einsum", "EyeLike"])
def test_a_node_without_its_inputs_is_invalid_and_no_traceback(
    operator: str, tmp_path: Path
) -> None:
    path = tmp_path / "broken.onnx"
    onnx.save(graph(f"() => (float[1] y) {{ [bad] y = {operator} () }}"), path)
    for target in (NANO, ORIN):
        assert "invalid-onnx" in {one.rule for one in preflight(path, target)}
