"""Export: what is written passed preflight and comparison; what does not is not written."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bicameral.errors import ConfigError, DataError, MachineError
from edge.comparison import TOLERANCES, Tolerance
from edge.export import graphs
from edge.export.pipeline import ExportResult, ExportSettings, export_model
from edge.latency import LatencySettings
from edge.loading import load_classifier
from edge.preprocessing import tensor_from_canonical
from edge.samples import Samples, random_samples
from edge.session import OnnxSession
from edge.shipped import shipped_model, shipped_models
from edge.sidecar import read_sidecar, write_sidecar
from edge.subject import GraphSubject, answer_all, load_subject
from edge.targets import TARGETS, Precision, TargetName
from models.samples import load_samples
from studies import exports

QUICK = LatencySettings(rounds=1, turn_s=0.002, warm_up_s=0.0)
CASCADE = "fashion_mnist_cascade"
SQUEEZE = "fashion_mnist_squeeze16_distilled"
VGG = "fashion_mnist_vgg24_distilled"
FRAMES = str(Path(__file__).parents[2] / "golden" / "agent_observations.npz")

#: A cascade brings its members along, and one driver is another one's graph with other weights;
#: targets with the same parser get the same files (tested below), so the second of them is exported
#: in one precision only.
EARLY_EXIT = "fashion_mnist_noprop_early_exit"
SPIKING = "fashion_mnist_spiking"
MEMBERS = ("fashion_mnist_squeeze16_student", "fashion_mnist_wide_residual32")
TWIN = "caril_day"
MODELS = [name for name in shipped_models() if name not in (*MEMBERS, EARLY_EXIT, TWIN)]
WAYS = [
    (name, one)
    for name, target in TARGETS.items()
    for one in target.precisions[: 1 if name == "tensorrt" else None]
]
#: Half precision moves a membrane over its threshold or not: spikes come and go.
REFUSED = [(SPIKING, name, "fp16") for name in ("jetson-nano", "jetson-orin")]
EXPORTS = [(m, *way) for m in MODELS for way in WAYS if (m, *way) not in REFUSED]


@cache
def samples_for(model: str, split: str = "validation", count: int = 60) -> Samples:
    sidecar = read_sidecar(shipped_model(model))
    source = "fashion-mnist" if sidecar.agent is None else FRAMES
    return load_samples(sidecar, source, split, count)  # type: ignore[arg-type]


def changed_model(tmp_path: Path, model: onnx.ModelProto) -> Path:
    """Write a changed graph of squeeze16 with a sidecar that fits it."""
    content = model.SerializeToString()
    path = tmp_path / "changed" / f"{SQUEEZE}.bicameral.json"
    path.parent.mkdir()
    path.with_name(f"{SQUEEZE}.onnx").write_bytes(content)
    sidecar = read_sidecar(shipped_model(SQUEEZE))
    change = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    file = sidecar.files[0].model_copy(update=change)
    write_sidecar(path, sidecar.model_copy(update={"files": (file,)}))
    return path


def export(
    model: str | Path,
    output: Path,
    target: TargetName = "onnxruntime",
    precision: Precision = "fp32",
    **more: object,
) -> ExportResult:
    settings = ExportSettings(
        model=model, target=target, output=output, precision=precision, latency=QUICK
    )
    name = model if isinstance(model, str) else SQUEEZE
    calibration = samples_for(name, "train") if precision == "int8" else None
    return export_model(replace(settings, **more), samples_for(name), calibration)  # type: ignore[arg-type]


@pytest.mark.parametrize(("model", "target", "precision"), EXPORTS)
def test_every_shipped_model_exports_for_every_target(
    tmp_path: Path, model: str, target: TargetName, precision: Precision
) -> None:
    # Few samples, 12 for agents: docs/export.md has what int8 costs on many, this test that the
    # way through export, preflight and comparison holds for each and that the answers are near.
    loose = replace(TOLERANCES[precision], accuracy_drop=0.05, agreement=0.75, steer=0.05)
    result = export(model, tmp_path / "out", target, precision, tolerance=loose)
    assert all(file.comparison.passed for file in result.files)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    for file in result.files:
        assert {f"{file.name}.onnx", f"{file.name}.bicameral.json"} <= written
        assert {finding.severity for finding in file.findings} <= {"warning"}
    subject = load_subject(result.sidecar)
    assert answer_all(subject, samples_for(model).first(3))


@pytest.mark.parametrize(("model", "target", "precision"), REFUSED)
def test_half_precision_that_changes_spikes_is_refused_and_writes_nothing(
    tmp_path: Path, model: str, target: TargetName, precision: Precision
) -> None:
    with pytest.raises(DataError, match="mean difference of probabilities"):
        export(model, tmp_path / "out", target, precision)
    assert not (tmp_path / "out").exists()


def test_an_early_exit_cannot_leave_onnx_runtime_and_says_what_can(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give 'fashion_mnist_noprop' itself"):
        export(EARLY_EXIT, tmp_path / "out", "jetson-nano")


def test_a_merged_graph_names_its_operator_set_once_when_it_is_simplified() -> None:
    model = onnx.load(shipped_model(SQUEEZE).with_name(f"{SQUEEZE}.onnx"))
    model.opset_import.add(domain="", version=13)
    found = [(item.domain, item.version) for item in graphs.simplified(model).opset_import]
    assert found == [("", 13)]


# What is in the files -----------------------------------------------------------------------------


def test_files_of_jetson_orin_and_tensorrt_are_the_same_and_repeatable(tmp_path: Path) -> None:
    files = [
        export(SQUEEZE, tmp_path / target, target, "int8").files[0].path.read_bytes()
        for target in ("jetson-orin", "tensorrt")
    ]
    assert files[0] == files[1]


def test_the_bare_file_tells_what_it_needs(tmp_path: Path) -> None:
    path = export("caril_a", tmp_path / "out").files[0].path
    metadata = {one.key: one.value for one in onnx.load(path).metadata_props}
    sidecar = read_sidecar(path)
    image = json.loads(metadata["bicameral.input"])["image"]
    assert (image["color"], image["mean"]) == ("RGB", [0.45, 0.45, 0.45])
    assert json.loads(metadata["bicameral.labels"]) == list(sidecar.labels)
    temperature = json.loads(metadata["bicameral.calibration"])["temperature"]
    assert temperature == sidecar.calibration.temperature
    assert json.loads(metadata["bicameral.agent"])["confidence"]["threshold"] > 0
    assert "train caril" in json.loads(metadata["bicameral.training"])["command"]


def test_preprocessing_in_the_graph_gives_the_bits_of_the_sidecars(tmp_path: Path) -> None:
    path = export("caril_a", tmp_path / "out", in_graph=True).files[0].path
    model = onnx.load(path)
    image = read_sidecar(shipped_model("caril_a")).input.image
    pictures = samples_for("caril_a").images
    model.graph.output.append(onnx.ValueInfoProto(name="image_scaled"))
    session = OnnxSession(model.SerializeToString(), name="probe")
    assert next(one for one in session.inputs if one.name == "image").dtype == "uint8"
    zeros = {"speed_mps": np.zeros((12, 1), "f4"), "command": np.zeros((12, 4), "f4")}
    scaled = session.run({"image": pictures, **zeros})["image_scaled"]
    np.testing.assert_array_equal(scaled, tensor_from_canonical(pictures, image))


def test_an_agent_and_a_cascade_run_with_preprocessing_in_the_graph(tmp_path: Path) -> None:
    result = export(CASCADE, tmp_path / "c", in_graph=True)
    assert result.cascade is not None
    assert result.cascade.outputs[0].largest < 1e-5
    assert read_sidecar(result.sidecar.with_name(f"{MEMBERS[0]}.onnx")).input.dtype == "UINT8"
    classifier = load_classifier(result.sidecar, memory="none")
    images = samples_for(CASCADE).images
    expected = load_classifier(CASCADE, memory="none").predict(images).probabilities
    np.testing.assert_allclose(classifier.predict(images).probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("model", [SQUEEZE, "caril_b"])
def test_a_fixed_batch_takes_any_number_of_pictures_still(tmp_path: Path, model: str) -> None:
    path = export(model, tmp_path / "out", "jetson-nano", batch=4).files[0].path
    sizes = {one.type.tensor_type.shape.dim[0].dim_value for one in onnx.load(path).graph.input}
    assert sizes == {4}
    samples = samples_for(model).first(6)
    found = answer_all(load_subject(path), samples)
    expected = answer_all(load_subject(model), samples)
    assert len(found["logits"]) == 6
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-4)


def test_a_fixed_batch_leaves_nothing_for_the_preflight_to_warn_of(tmp_path: Path) -> None:
    assert export(VGG, tmp_path / "out", "jetson-nano", batch=1).files[0].findings == ()


def test_the_members_of_an_exported_cascade_are_those_that_its_sidecar_names(
    tmp_path: Path,
) -> None:
    result = export(CASCADE, tmp_path / "out", "jetson-nano", "fp16")
    cascade = read_sidecar(result.sidecar).cascade
    assert cascade is not None
    for member in cascade.stages:
        sidecar = read_sidecar(result.sidecar.with_name(f"{member.name}.onnx"))
        assert member.sha256 == sidecar.files[0].sha256
        assert (sidecar.files[0].target, sidecar.files[0].precision) == ("jetson-nano", "fp16")


def test_a_graph_of_an_opset_that_the_target_would_read_wrongly_is_refused(tmp_path: Path) -> None:
    old = onnx.load(shipped_model(SQUEEZE).with_name(f"{SQUEEZE}.onnx"))
    path = changed_model(tmp_path, onnx.version_converter.convert_version(old, 17))
    with pytest.raises(DataError, match="opset-too-new"):
        export(path, tmp_path / "nano", "jetson-nano")
    assert export(path, tmp_path / "orin", "jetson-orin").files[0].comparison.passed


# int8 ---------------------------------------------------------------------------------------------


def test_int8_for_onnx_runtime_is_written_as_fp32_where_it_does_not_pay(tmp_path: Path) -> None:
    exact = Tolerance(difference=1e-5, mean_probability=1e-5, steer=0, agreement=1, accuracy_drop=0)
    (file,) = export(SQUEEZE, tmp_path / "out", precision="int8", tolerance=exact).files
    assert file.precision == "fp32"
    assert "int8 is not kept" in file.note
    assert read_sidecar(file.path).files[0].precision == "fp32"


def test_the_outer_layers_stay_in_float32(tmp_path: Path) -> None:
    path = export(VGG, tmp_path / "out", "jetson-orin", "int8").files[0].path
    model = onnx.load(path)
    fed = {one.op_type: [] for one in model.graph.node}  # type: ignore[var-annotated]
    makers = {output: one.op_type for one in model.graph.node for output in one.output}
    for one in model.graph.node:
        fed[one.op_type].append(makers.get(one.input[1] if len(one.input) > 1 else ""))
    assert fed["Conv"] == [None, *["DequantizeLinear"] * 4]
    assert fed["Gemm"] == [None]


@pytest.mark.parametrize(
    ("target", "precision", "more", "message"),
    [
        ("jetson-nano", "int8", {}, "5.3"),
        ("onnxruntime", "fp16", {}, "float32 and int8"),
        ("jetson-nano", "fp32", {"in_graph": True}, "uint8 inputs"),
        ("onnxruntime", "fp32", {"batch": 0}, "at least 1"),
    ],
)
def test_what_a_target_cannot_do_is_refused_with_the_reason(
    tmp_path: Path,
    target: TargetName,
    precision: Precision,
    more: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(ConfigError, match=message):
        export(SQUEEZE, tmp_path / "out", target, precision, **more)
    assert not (tmp_path / "out").exists()


def test_int8_needs_real_images(tmp_path: Path) -> None:
    sidecar = read_sidecar(shipped_model("caril_a"))
    noise = random_samples(sidecar, 8)
    settings = ExportSettings(
        model="caril_a", target="jetson-orin", output=tmp_path / "out", precision="int8"
    )
    with pytest.raises(ConfigError, match="calibrate"):
        export_model(settings, noise)
    with pytest.raises(ConfigError, match="not real ones"):
        export_model(settings, noise, noise)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"check": True, "output": Path("out")}, "--check writes nothing"),
        ({"check": True, "bundle": True}, "--check writes nothing"),
        ({"second": "caril_b", "output": Path("out")}, "are for a --bundle"),
        ({}, "--output"),
        ({"models": ["caril_a", "caril_b"], "output": Path("out")}, "give one model"),
        ({"bundle": True, "target": "tensorrt", "output": Path("out")}, "leave it out"),
        ({"bundle": True, "precision": "int8", "output": Path("out")}, "runs no int8"),
    ],
)
def test_flags_that_do_not_fit_together_are_refused(words: dict[str, Any], message: str) -> None:
    from bicameral.cli.export import export as command

    flags: dict[str, Any] = {"models": ["caril_a"], "target": "jetson-nano"} | words
    with pytest.raises(ConfigError, match=message):
        command(flags.pop("models"), **flags)


# Whole or not at all ------------------------------------------------------------------------------


def test_nothing_is_written_when_the_answers_are_too_far(tmp_path: Path) -> None:
    strict = replace(TOLERANCES["fp16"], difference=1e-9)
    output = tmp_path / "parent" / "out"
    with pytest.raises(DataError, match="largest difference of logits"):
        export(CASCADE, output, "jetson-nano", "fp16", tolerance=strict)
    assert list(output.parent.iterdir()) == []


def test_nothing_is_written_when_the_target_cannot_read_the_graph(tmp_path: Path) -> None:
    model = onnx.load(shipped_model(SQUEEZE).with_name(f"{SQUEEZE}.onnx"))
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Mish"  # ONNX has it since 18, TensorRT 8.2 does not
    model.opset_import[0].version = 18
    with pytest.raises(DataError, match="operator-unsupported"):
        export(changed_model(tmp_path, model), tmp_path / "out", "jetson-nano")
    assert not (tmp_path / "out").exists()


def test_a_model_is_not_exported_over_itself() -> None:
    with pytest.raises(ConfigError, match="where the model itself lies"):
        export(SQUEEZE, shipped_model(SQUEEZE).parent)


def test_an_export_can_be_exported_again(tmp_path: Path) -> None:
    first = export(SQUEEZE, tmp_path / "first", "jetson-nano")
    again = export(tmp_path / "first", tmp_path / "second", "jetson-orin")
    assert again.files[0].path.read_bytes() == first.files[0].path.read_bytes()
    assert isinstance(load_subject(again.sidecar), GraphSubject)


def test_the_table_of_all_exports_says_what_was_not_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exports.run(tmp_path, quick=True) == 0
    rows = list(csv.DictReader((tmp_path / "exports.csv").read_text().splitlines()))
    assert len(rows) == 7
    assert {target for one in rows for target in one["targets"].split()} == set(TARGETS)
    untried = [one for one in rows if one["result"].startswith("not tried")]
    assert {one["precision"] for one in untried} == {"int8"}
    assert "int8 needs real images" in capsys.readouterr().out


def foreign_model(tmp_path: Path, model: onnx.ModelProto) -> Path:
    """Write such a graph with a sidecar that fits it."""
    path = changed_model(tmp_path, model)
    sidecar = read_sidecar(path)
    outputs = tuple(one for one in sidecar.outputs if one.name == "logits")
    write_sidecar(path, sidecar.model_copy(update={"outputs": outputs}))
    return path


def foreign(ir_version: int, opset: int) -> onnx.ModelProto:
    """Build a classifier as an old program would: all weights are inputs, too."""
    weights = np.random.default_rng(0).standard_normal((1, 10)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        onnx.helper.make_node("Flatten", ["mean"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    one = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "foreign",
        [one("image", 1, ["N", 1, 28, 28]), one("weights", 1, [1, 10])],
        [one("logits", 1, ["N", 10])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    return onnx.helper.make_model(
        graph, ir_version=ir_version, opset_imports=[onnx.helper.make_opsetid("", opset)]
    )


@pytest.mark.parametrize(
    ("ir_version", "opset"), [(3, 6), (3, 7), (3, 9), (4, 9), (6, 11), (8, 13), (10, 21)]
)
def test_a_foreign_file_of_any_version_exports(tmp_path: Path, ir_version: int, opset: int) -> None:
    path = foreign_model(tmp_path, foreign(ir_version, opset))
    for precision in ("fp32", "int8"):
        result = export(path, tmp_path / precision, precision=precision)  # type: ignore[arg-type]
        onnx.checker.check_model(str(result.files[0].path), full_check=True)


@pytest.mark.parametrize("opset", [7, 9, 13])
def test_a_foreign_file_whose_weights_are_inputs_exports_for_the_nano(
    tmp_path: Path, opset: int
) -> None:
    path = foreign_model(tmp_path, foreign(3, opset))
    written = onnx.load(export(path, tmp_path / "out", "jetson-nano", "fp16").files[0].path)
    assert [value.name for value in written.graph.input] == ["image"]
    assert written.ir_version >= 4


def test_an_operator_set_that_is_too_old_is_named(tmp_path: Path) -> None:
    path = foreign_model(tmp_path, foreign(3, 1))
    with pytest.raises(ConfigError, match="opset 1; float16 needs opset 6"):
        export(path, tmp_path / "out", "jetson-nano", "fp16")
    with pytest.raises(ConfigError, match="opset 1; pre-processing can be put"):
        export(path, tmp_path / "out", "jetson-orin", in_graph=True)


def test_a_file_that_onnx_runtime_cannot_load_is_named_before_anything_is_made(
    tmp_path: Path,
) -> None:
    model = foreign(3, 1)
    model.graph.node[1].op_type = "Relu"  # of opset 1, which ONNX Runtime has not
    with pytest.raises(DataError, match="ONNX Runtime cannot load the model"):
        export(foreign_model(tmp_path, model), tmp_path / "out")


def test_the_export_takes_the_blame_for_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: onnx.ModelProto) -> onnx.ModelProto:
        model.graph.node[0].input[0] = "nobody"
        return model

    monkeypatch.setattr(graphs, "simplified", broken)
    with pytest.raises(MachineError, match=r"is a valid graph, but .* not to blame"):
        export(foreign_model(tmp_path, foreign(8, 13)), tmp_path / "out")
