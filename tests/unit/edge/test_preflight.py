"""Deliberately bad graphs: each gives the finding that names the node, the rule and the change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bicameral.errors import DataError, UserError
from edge.preflight import Finding, has_errors, preflight
from edge.preflight.operators import read_operator_table
from edge.shipped import weights_folder
from edge.targets import TARGETS, TargetName

SHAPE = (1, 4, 8, 8)
NANO: TargetName = "jetson-nano"
ORIN: TargetName = "jetson-orin"

Node = onnx.NodeProto
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a graph from `x` to `y`, both float (1, 4, 8, 8) unless told otherwise."""

    def write(
        nodes: Sequence[Node],
        weights: dict[str, Any] | None = None,
        *,
        opset: int = 13,
        shape: Sequence[Any] = SHAPE,
        kind: int = TensorProto.FLOAT,
        result: int = TensorProto.FLOAT,
    ) -> Path:
        graph = helper.make_graph(
            list(nodes),
            "bad",
            [helper.make_tensor_value_info("x", kind, list(shape))],
            [helper.make_tensor_value_info("y", result, None)],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in (weights or {}).items()],
        )
        domains = {node.domain for node in nodes} - {""}
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=8)
        result_type = onnx.shape_inference.infer_shapes(model).graph.output[0].type
        if not result_type.tensor_type.HasField("shape"):  # the checker wants one
            result_type.tensor_type.shape.dim.add(dim_param="size")
        model.graph.output[0].type.CopyFrom(result_type)
        path = tmp_path / "bad.onnx"
        onnx.save(model, path)
        return path

    return write


def node(operator: str, *inputs: str, outputs: Sequence[str] = ("y",), **more: Any) -> Node:
    return helper.make_node(operator, inputs, outputs, name="bad_node", **more)


def rules(findings: Sequence[Finding], severity: str = "error") -> set[str]:
    return {finding.rule for finding in findings if finding.severity == severity}


def the(findings: Sequence[Finding], rule: str) -> Finding:
    found = [finding for finding in findings if finding.rule == rule]
    assert found, f"no {rule} among {[str(finding) for finding in findings]}"
    return found[0]


def expect_node(findings: Sequence[Finding], rule: str, operator: str) -> Finding:
    """Check what every finding about a node must say."""
    finding = the(findings, rule)
    assert (finding.node, finding.operator) == ("bad_node", operator)
    assert finding.message
    assert finding.advice
    return finding


# What parses and answers wrongly ------------------------------------------------------------------


def test_a_reduction_of_opset_18_would_silently_reduce_over_all_axes(write: Write) -> None:
    path = write([node("ReduceMean", "x", "axes")], {"axes": np.array([1])}, opset=18)
    findings = preflight(path, NANO)
    assert "silently wrong" in expect_node(findings, "ignored-axes", "ReduceMean").message
    assert "18" in the(findings, "opset-too-new").message
    assert "opset 13" in the(findings, "opset-too-new").advice
    assert not has_errors(preflight(path, ORIN))


def test_reduce_sum_may_have_its_axes_as_an_input_but_not_computed_ones(write: Write) -> None:
    fixed = write([node("ReduceSum", "x", "axes")], {"axes": np.array([1])})
    assert preflight(fixed, NANO) == ()
    shape = helper.make_node("Shape", ["x"], ["axes"])
    computed = write([shape, node("ReduceSum", "x", "axes")])
    expect_node(preflight(computed, NANO), "not-constant", "ReduceSum")


def test_an_operator_that_changed_after_the_parser_was_written_is_named(write: Write) -> None:
    path = write([node("Split", "x", axis=1, num_outputs=1)], opset=18)
    finding = the(preflight(path, NANO), "operator-changed")
    assert (finding.operator, finding.severity) == ("Split", "warning")
    assert "opset 18" in finding.message


def test_int64_values_beyond_int32_would_be_clamped(write: Write) -> None:
    cast = helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64)
    path = write([cast, node("Add", "i", "far")], {"far": np.array(2**40)}, result=7)
    finding = the(preflight(path, NANO), "int64-clamped")
    assert finding.node == "far"
    assert str(2**40) in finding.message
    assert "int64-clamped" not in rules(preflight(path, ORIN))


def test_the_end_of_a_slice_may_be_the_largest_int64_which_clamping_does_not_change(
    write: Write,
) -> None:
    weights = {"s": np.array([0]), "e": np.array([2**63 - 1]), "a": np.array([1])}
    assert preflight(write([node("Slice", "x", "s", "e", "a")], weights), NANO) == ()


# Quantisation -------------------------------------------------------------------------------------


def quantized(zero_point: Any, scale: float = 0.1) -> tuple[list[Node], dict[str, Any]]:
    nodes = [node("QuantizeLinear", "x", "s", "z", outputs=["q"])]
    nodes.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]))
    return nodes, {"s": np.float32(scale), "z": zero_point}


@pytest.mark.parametrize("target", ["jetson-nano", "jetson-orin", "tensorrt"])
def test_uint8_zero_points_are_refused(write: Write, target: TargetName) -> None:
    findings = preflight(write(*quantized(np.uint8(0))), target)
    assert "UINT8" in expect_node(findings, "zero-point-type", "QuantizeLinear").message


def test_zero_points_must_be_zero(write: Write) -> None:
    findings = preflight(write(*quantized(np.int8(3))), ORIN)
    assert "symmetric" in expect_node(findings, "zero-point-not-zero", "QuantizeLinear").advice


def test_scales_must_be_positive(write: Write) -> None:
    findings = preflight(write(*quantized(np.int8(0), scale=0.0)), ORIN)
    expect_node(findings, "scale-not-positive", "QuantizeLinear")


def test_a_symmetric_graph_passes_on_orin_and_the_nano_has_no_int8(write: Write) -> None:
    path = write(*quantized(np.int8(0)))
    assert preflight(path, ORIN) == ()
    assert "5.3" in expect_node(preflight(path, NANO), "no-int8", "QuantizeLinear").message


def test_a_zero_point_must_be_spelt_out_for_tensorrt_8_2(write: Write) -> None:
    nodes = [node("QuantizeLinear", "x", "s", outputs=["q"])]
    nodes.append(helper.make_node("DequantizeLinear", ["q", "s"], ["y"]))
    path = write(nodes, {"s": np.float32(0.1)})
    expect_node(preflight(path, NANO), "zero-point-missing", "QuantizeLinear")
    assert (
        "uint8" in expect_node(preflight(path, ORIN), "zero-point-type", "QuantizeLinear").message
    )


def test_a_quantised_bias_is_found_at_the_bias_and_at_the_convolution(write: Write) -> None:
    weights = {
        "w": np.ones((4, 4, 1, 1), np.float32),
        "b": np.zeros(4, np.int32),
        "s": np.float32(0.1),
        "z": np.int32(0),
    }
    bias = helper.make_node("DequantizeLinear", ["b", "s", "z"], ["bias"], name="bias_dq")
    findings = preflight(write([bias, node("Conv", "x", "w", "bias")], weights), NANO)
    assert the(findings, "quantized-bias").node == "bias_dq"
    assert "QuantizeBias=False" in expect_node(findings, "bias-not-constant", "Conv").advice


# Operators and their restrictions -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "opset"), [("HardSwish", 14), ("NonZero", 13), ("Gelu", 20), ("Reciprocal", 13)]
)
def test_operators_that_tensorrt_8_2_does_not_have(write: Write, operator: str, opset: int) -> None:
    result = TensorProto.INT64 if operator == "NonZero" else TensorProto.FLOAT
    path = write([node(operator, "x")], opset=opset, result=result)
    expect_node(preflight(path, NANO), "operator-unsupported", operator)
    assert not has_errors(preflight(path, ORIN))


def test_weights_that_the_importer_wants_fixed_may_not_be_computed(write: Write) -> None:
    relu = helper.make_node("Relu", ["raw"], ["w"])
    path = write([relu, node("Conv", "x", "w")], {"raw": np.ones((4, 4, 1, 1), np.float32)})
    expect_node(preflight(path, NANO), "not-constant", "Conv")
    assert preflight(path, ORIN) == ()


def test_max_pool_may_not_return_indices(write: Write) -> None:
    path = write([node("MaxPool", "x", outputs=["y", "where"], kernel_shape=[2, 2])])
    for target in (NANO, ORIN):
        expect_node(preflight(path, target), "pool-indices", "MaxPool")


def test_resize_has_no_cubic_interpolation(write: Write) -> None:
    scales = {"s": np.array([1, 1, 2, 2], np.float32)}
    path = write([node("Resize", "x", "", "s", mode="cubic")], scales)
    assert "'cubic'" in expect_node(preflight(path, NANO), "resize-mode", "Resize").message
    fit = write([node("Resize", "x", "", "s", mode="linear")], scales)
    assert preflight(fit, NANO) == ()


def test_a_custom_domain_needs_a_plugin(write: Write) -> None:
    path = write([node("Gelu", "x", domain="com.microsoft")])
    expect_node(preflight(path, NANO), "custom-domain", "Gelu")
    assert preflight(path, "onnxruntime") == ()


def test_non_maximum_suppression_is_experimental(write: Write) -> None:
    weights = {
        "scores": np.ones((1, 1, 8), np.float32),
        "n": np.array([3]),
        "iou": np.array([0.5], np.float32),
        "least": np.array([0.1], np.float32),
    }
    nms = node("NonMaxSuppression", "x", "scores", "n", "iou", "least")
    path = write([nms], weights, shape=(1, 8, 4), result=TensorProto.INT64)
    finding = expect_node(preflight(path, NANO), "operator-experimental", "NonMaxSuppression")
    assert finding.severity == "warning"


def test_nodes_in_the_branches_of_an_if_are_checked_too(write: Write) -> None:
    def branch(operator: str) -> onnx.GraphProto:
        value = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
        return helper.make_graph([node(operator, "x", outputs=["z"])], "branch", [], [value])

    choice = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Det")
    )
    expect_node(
        preflight(write([choice], {"c": np.array(True)}), NANO), "operator-unsupported", "Det"
    )


# Types and shapes ---------------------------------------------------------------------------------


def test_uint8_pictures_can_enter_on_orin_but_not_on_the_nano(write: Write) -> None:
    path = write([node("Cast", "x", to=TensorProto.FLOAT)], kind=TensorProto.UINT8)
    assert preflight(path, ORIN) == ()
    findings = preflight(path, NANO)
    assert "UINT8" in the(findings, "input-type").message
    assert "type-not-listed" in rules(findings)


@pytest.mark.parametrize("values", [np.uint8([1, 2]), np.array(["a", "b"], object)])
def test_weights_of_types_that_tensorrt_has_not(write: Write, values: Any) -> None:
    path = write([node("Identity", "w")], {"w": values}, result=0)
    assert the(preflight(path, NANO), "initializer-type").node == "w"


def test_bfloat16_weights_are_for_newer_parsers(write: Write, tmp_path: Path) -> None:
    path = write([node("Relu", "x")])
    model = onnx.load(path)
    bf16 = helper.make_tensor("w", TensorProto.BFLOAT16, [2], [1.0, 2.0])
    model.graph.initializer.append(bf16)
    onnx.save(model, path)
    assert the(preflight(path, NANO), "initializer-type").node == "w"
    assert preflight(path, ORIN) == ()


def test_open_sizes_need_a_profile(write: Write) -> None:
    findings = preflight(write([node("Relu", "x")], shape=["batch", 4, 8, 8]), NANO)
    finding = the(findings, "dynamic-shape")
    assert (finding.severity, finding.node) == ("warning", "x")
    assert "minShapes" in finding.advice


# Files that are no graphs -------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("content", [b"no graph \xff\xff at all", b"", None])
def test_a_corrupt_empty_or_cut_off_file_is_a_finding_and_no_traceback(
    tmp_path: Path, content: bytes | None, target: TargetName
) -> None:
    whole = (weights_folder() / "fashion_mnist_vgg24_distilled.onnx").read_bytes()
    path = tmp_path / "broken.onnx"
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    findings = preflight(path, target)
    assert has_errors(findings)
    assert rules(findings) <= {"unreadable-file", "empty-graph", "invalid-onnx"}


def test_every_cut_through_a_file_is_found(write: Write) -> None:
    path = write([node("Conv", "x", "w")], {"w": np.ones((4, 4, 1, 1), np.float32)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert has_errors(preflight(path, NANO)), length


def test_a_graph_without_nodes_computes_nothing(write: Write) -> None:
    assert "empty-graph" in rules(preflight(write([]), NANO))


def test_a_graph_that_uses_what_nobody_makes_is_invalid(write: Write) -> None:
    assert "invalid-onnx" in rules(preflight(write([node("Relu", "nobody")]), NANO))


@pytest.mark.parametrize("target", ["jetson-nano", "onnxruntime"])
def test_missing_or_short_external_data_is_named(write: Write, target: TargetName) -> None:
    path = write([node("Conv", "x", "w")], {"w": np.ones((4, 4, 9, 9), np.float32)})
    data = path.with_name("weights.bin")
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location=data.name, size_threshold=0
    )
    assert preflight(path, target) == ()
    data.write_bytes(data.read_bytes()[:-4])
    assert "5184" in the(preflight(path, target), "missing-external-data").message
    data.unlink()
    finding = the(preflight(path, target), "missing-external-data")
    assert finding.node == "w"
    assert "weights.bin" in finding.message


def test_external_data_outside_of_the_folder_is_not_looked_at(write: Write) -> None:
    path = write([node("Conv", "x", "w")], {"w": np.ones((4, 4, 1, 1), np.float32)})
    model = onnx.load(path)
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../secret.bin")
    path.write_bytes(model.SerializeToString())
    assert "outside" in the(preflight(path, NANO), "missing-external-data").message


def test_an_input_that_the_sidecar_does_not_know_is_found(tmp_path: Path) -> None:
    name = "fashion_mnist_vgg24_distilled"
    model = onnx.load(weights_folder() / f"{name}.onnx")
    model.graph.input[0].name = model.graph.node[0].input[0] = "picture"
    onnx.save(model, tmp_path / f"{name}.onnx")
    sidecar = (weights_folder() / f"{name}.bicameral.json").read_text()
    (tmp_path / f"{name}.bicameral.json").write_text(sidecar)
    findings = preflight(tmp_path / f"{name}.onnx", NANO)
    assert "['picture']" in the(findings, "wrong-input-name").message
    assert "['image']" in the(findings, "wrong-input-name").message
    assert "file-differs-from-sidecar" in rules(findings)


def test_an_operator_that_onnx_runtime_has_not_is_found_by_loading(write: Write) -> None:
    path = write([node("Sparkle", "x", domain="nobody.knows")])
    assert "Sparkle" in the(preflight(path, "onnxruntime"), "not-loadable").message


def test_a_missing_file_and_an_unknown_target_are_mistakes_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the model"):
        preflight(tmp_path / "absent.onnx", NANO)
    with pytest.raises(UserError, match="Did you mean 'jetson-nano'"):
        preflight(tmp_path / "absent.onnx", "jetson-nan")  # type: ignore[arg-type]


# What is right ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_everything_that_ships_is_free_of_errors_for_every_target(target: TargetName) -> None:
    for path in weights_folder().glob("*.onnx"):
        assert rules(preflight(path, target), "error") == set(), path
        assert rules(preflight(path, target), "warning") <= {"dynamic-shape"}, path


def test_the_packaged_tables_hold_what_their_sources_list() -> None:
    table = read_operator_table("tensorrt-8.2-onnx-operators.tsv")
    assert (len(table), sum(row.supported for row in table.values())) == (165, 129)
    assert [name for name, row in table.items() if row.experimental] == ["NonMaxSuppression"]
    newer = read_operator_table("tensorrt-10.1-onnx-operators.tsv")
    assert not {name for name, row in table.items() if row.supported} - set(newer)


def test_the_command_reports_every_file_and_ends_with_1_if_one_is_refused(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    from bicameral.cli.export import export

    bad = str(write([node("Det", "x")]))
    assert export([bad], target=NANO, check=True) == 1
    assert "operator-unsupported" in capsys.readouterr().out
    both = ["fashion_mnist_cascade", bad]
    assert export(both, target=ORIN, check=True) == 1
    printed = capsys.readouterr().out
    assert printed.count(f" for {ORIN}") == 3
    assert "Det" in printed
    assert export(["caril_a"], target=ORIN, check=True) == 0
