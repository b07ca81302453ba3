"""NVIDIA's own parser and builder take what the export writes, and the preflight knows better.

They are TensorRT for RTX, which needs no graphics card to build; without its wheels (they are for
x86-64 Linux) the tests that build say what to install.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from edge.jetson import bicameral_jetson as runtime
from edge.jetson.bundle import BundleRequest, write_bundle
from edge.preflight import has_errors, preflight
from edge.shipped import shipped_model, weights_folder
from edge.targets import TARGETS, Precision, TargetName
from studies.exports import whole_models
from tests.tensorrt_rtx import NEEDS, build_engine, export_graphs, is_installed, load_tensorrt

pytestmark = pytest.mark.contract

needs_tensorrt = pytest.mark.skipif(not is_installed(), reason=f"needs {NEEDS}")

#: For the Nano the export writes the same graphs in fp32 and fp16.
EXPORTS = [(model, one) for model in whole_models() for one in TARGETS["jetson-orin"].precisions]
STAGES = sorted(path.stem for path in weights_folder().glob("*.stage_*.onnx"))


@needs_tensorrt
@pytest.mark.parametrize(("model", "precision"), EXPORTS)
def test_an_engine_is_built_of_every_export(
    model: str, precision: Precision, tmp_path: Path
) -> None:
    graphs = export_graphs(model, "jetson-orin", precision, tmp_path)
    assert graphs
    for path in graphs:
        built = build_engine(path.read_bytes())
        assert built.engine_bytes > 0, f"{path.stem}: {built.problem}"


@needs_tensorrt
@pytest.mark.parametrize("stage", STAGES)
def test_an_engine_is_built_of_every_stage_of_the_early_exits(stage: str) -> None:
    built = build_engine((weights_folder() / f"{stage}.onnx").read_bytes())
    assert built.engine_bytes > 0, built.problem


@needs_tensorrt
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of calls that 8.2 has and RTX will lose
@pytest.mark.parametrize("model", ["fashion_mnist_cascade", "caril_a"])
def test_the_runtime_of_a_jetson_builds_engines_with_the_real_builder(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", load_tensorrt())
    request = BundleRequest(model=shipped_model(model), target="jetson-orin", precision="fp32")
    folder = write_bundle(request, tmp_path / "bundle").folder
    for network in runtime.Sidecar(folder / "models" / f"{model}.bicameral.json").networks():
        timings = tmp_path / f"{network.name}.cache"
        assert len(runtime.build_plan(network, "fp32", 64, timings)) > 10_000


def graph(text: str, opset: int = 13) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> refused {text}')


#: What the builder refuses although the parsers' tables allow it -> the finding that says so.
REFUSED: dict[str, tuple[str, onnx.ModelProto]] = {
    "the broadcasting of old operator sets": (
        "old-broadcasting",
        graph("(float[2, 3] x, float[2, 3] z) => (float[2, 3] y) { y = Add (x, z) }", opset=6),
    ),
    "normalisation in training": (
        "training-mode",
        graph(
            """(float[1, 2, 3, 3] x) => (float[1, 2, 3, 3] y)
            <float[2] s = {1, 1}, float[2] b = {0, 0}, float[2] m = {0, 0}, float[2] v = {1, 1}>
            { y, mean, variance = BatchNormalization <training_mode = 1> (x, s, b, m, v) }""",
            opset=15,
        ),
    ),
    "a vector times a stack of matrices": (
        "vector-product",
        graph("(float[3] x, float[2, 3, 4] w) => (float[2, 4] y) { y = MatMul (x, w) }"),
    ),
    "whole numbers of 8 bits that are cut": (
        "clip-type",
        graph("(int8[3] x, int8 low) => (int8[3] y) { y = Clip (x, low) }"),
    ),
    "scales that are an input": (
        "size-from-float",
        graph(
            """(float[1, 1, 4, 4] x, float[4] s) => (float[1, 1, H, W] y)
            { y = Resize (x, , s) }"""
        ),
    ),
    "indices of what is not zero": (
        "not-in-tensorrt-rtx",
        graph("(float[2, 3] x) => (int64[2, N] y) { y = NonZero (x) }"),
    ),
    "sums of what is scattered to one place": (
        "not-in-tensorrt-rtx",
        graph(
            """(float[4] x) => (float[4] y) <int64[2] i = {1, 1}, float[2] u = {1, 2}>
            { y = ScatterElements <reduction = "mul"> (x, i, u) }""",
            opset=16,
        ),
    ),
}
TENSORRT: TargetName = "tensorrt"


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_real_builder_refuses_the_preflight_says(name: str, tmp_path: Path) -> None:
    rule, model = REFUSED[name]
    path = tmp_path / "refused.onnx"
    onnx.save(model, path)
    assert rule in {one.rule for one in preflight(path, TENSORRT)}


@needs_tensorrt
@pytest.mark.parametrize("name", REFUSED)
def test_the_real_builder_refuses_it(name: str) -> None:
    built = build_engine(REFUSED[name][1].SerializeToString())
    assert built.engine_bytes == 0
    assert built.problem


def test_an_input_whose_values_are_sizes_needs_values_to_be_built_for(tmp_path: Path) -> None:
    path = tmp_path / "sizes.onnx"
    model = graph(
        """(float[1, 3] x, int64[2] shape) => (float[N, M] y)
        { wide = Abs (shape) y = Expand (x, wide) }"""
    )
    onnx.save(model, path)
    findings = preflight(path, TENSORRT)
    assert [(one.rule, one.node) for one in findings] == [("size-input", "shape")]
    assert not has_errors(findings)
    if is_installed():
        assert build_engine(path.read_bytes()).engine_bytes > 0


def test_sizes_of_one_name_are_the_same_size_to_the_builder(tmp_path: Path) -> None:
    path = tmp_path / "names.onnx"
    onnx.save(graph("(float[1, N, N] x) => (float[1, N, N] y) { y = Relu (x) }"), path)
    findings = preflight(path, TENSORRT)
    assert "shared-size-name" in {one.rule for one in findings}
    assert not has_errors(findings)
    if is_installed():
        assert build_engine(path.read_bytes(), {"x": (1, 4, 4)}).engine_bytes > 0
        assert build_engine(path.read_bytes(), {"x": (1, 4, 6)}).engine_bytes == 0


def test_a_graph_that_takes_its_sizes_from_shapes_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "sizes.onnx"
    onnx.save(
        graph(
            """(float[1, 3] x, float[4, 3] z) => (float[4, 3] y)
            { shape = Shape (z) y = Expand (x, shape) }"""
        ),
        path,
    )
    assert preflight(path, TENSORRT) == ()
