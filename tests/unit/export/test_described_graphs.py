"""Classifiers of pictures that nobody here made: described once, they are models like ours."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from bicameral.cli.app import main
from bicameral.errors import DataError
from edge.description import (
    DESCRIBED,
    PictureOptions,
    describe_classifier,
    describe_graph,
)
from edge.export.pipeline import ExportSettings, export_model
from edge.jetson import bicameral_jetson
from edge.jetson.bundle import BundleRequest, write_bundle
from edge.latency import LatencySettings
from edge.loading import load_classifier
from edge.preprocessing import feed_from_canonical
from edge.samples import random_samples
from edge.session import OnnxSession
from edge.sidecar import Sidecar, read_sidecar, sidecar_path, write_sidecar
from edge.subject import load_subject
from server.limits import ServerSettings
from server.serving.graph_model import GraphModel
from server.serving.served_model import ModelVersion, RequestContext, ServingParts

QUICK = LatencySettings(rounds=1, turn_s=0.002, warm_up_s=0.0)
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LABELS = ("left", "right", "neither")
SIZE = (6, 10)
SCALED = PictureOptions(size=SIZE, mean=(0.5,), std=(0.25,))


def write_graph(
    path: Path,
    shape: list[Any],
    *,
    kind: int = TensorProto.FLOAT,
    colours_last: bool = False,
    ending: str = "logits",
    notes: dict[str, str] | None = None,
) -> Path:
    """Write a small convolution with a pooling; `ending` is what its output is like."""
    rng = np.random.default_rng(4)
    weights = {
        "w": rng.normal(0, 1, (len(LABELS), 3, 3, 3)).astype(np.float32),
        "shift": np.float32(0.5),
    }
    nodes = [helper.make_node("Cast", ["image"], ["cast"], to=TensorProto.FLOAT)]
    perm = [0, 3, 1, 2] if colours_last else [0, 1, 2, 3]
    nodes += [
        helper.make_node("Transpose", ["cast"], ["x"], perm=perm),
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    batch, classes = shape[0], len(LABELS)
    sizes = [batch, classes, 1, 1] if ending == "pooled" else [batch, classes]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(ending, TensorProto.FLOAT, sizes)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in weights.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    helper.set_model_props(model, notes or {})
    path.write_bytes(model.SerializeToString())
    return path


def described(
    path: Path,
    options: PictureOptions = SCALED,
    labels: tuple[str, ...] | None = LABELS,
) -> Sidecar:
    sidecar = describe_classifier(path, describe_graph(path), options, labels)
    write_sidecar(sidecar_path(path), sidecar)
    return sidecar


KINDS: dict[str, dict[str, Any]] = {
    "any size": {"shape": ["n", 3, "h", "w"]},
    "fixed size": {"shape": ["n", 3, *SIZE]},
    "one at a time": {"shape": [1, 3, *SIZE]},
    "colours last": {"shape": ["n", *SIZE, 3], "colours_last": True},
    "colours last, any size": {"shape": [None, None, None, 3], "colours_last": True},
    "pixels, colours last": {
        "shape": ["n", *SIZE, 3],
        "kind": TensorProto.UINT8,
        "colours_last": True,
    },
    "pixels, any size": {"shape": ["n", 3, "h", "w"], "kind": TensorProto.UINT8},
    "pooled": {"shape": ["n", 3, *SIZE], "ending": "pooled"},
    "probabilities": {"shape": ["n", 3, "h", "w"], "ending": "probabilities"},
}


@pytest.fixture(params=KINDS)
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A foreign graph with its sidecar."""
    kind = KINDS[request.param]
    path = write_graph(tmp_path / "foreign.onnx", **kind)
    pixels = kind.get("kind") == TensorProto.UINT8
    described(path, dataclasses.replace(SCALED, mean=(0.0,), std=(1.0,)) if pixels else SCALED)
    return path


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, *SIZE, 3), np.uint8)


def by_hand(path: Path, image: np.ndarray) -> np.ndarray:
    """Return what ONNX Runtime gives for one canonical image, prepared by hand."""
    sidecar = read_sidecar(path)
    tensor = image[None]
    if sidecar.input.dtype == "FP32":
        tensor = ((image[None] / 255 - 0.5) / 0.25).astype(np.float32)
    if sidecar.input.layout == "NCHW":
        tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
    (values,) = onnxruntime.InferenceSession(path).run(None, {"image": tensor})
    values = values.reshape(-1)
    if sidecar.outputs[0].meaning == "logits":
        values = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
    return np.asarray(values)


def test_it_classifies(foreign: Path, images: np.ndarray) -> None:
    classifier = load_classifier(foreign)
    assert classifier.info.labels == LABELS
    found = classifier.predict(images).probabilities
    expected = np.stack([by_hand(foreign, image) for image in images])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_is_served_for_pictures(foreign: Path, images: np.ndarray) -> None:
    parts = ServingParts(ServerSettings())
    model = GraphModel.load(foreign, ModelVersion(name="foreign", version="1"), parts)
    encoded = [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in images]

    async def ask() -> tuple[Any, Any]:
        answer = await model.infer({"image": encoded}, context=RequestContext())  # type: ignore[dict-item]
        canonical = await model.prepare(encoded)
        return answer, await model.classify(canonical, context=RequestContext())

    answer, prediction = asyncio.run(ask())
    expected = load_classifier(foreign).predict(images)
    np.testing.assert_allclose(prediction.probabilities, expected.probabilities, atol=1e-6)
    assert len(answer[model.outputs[0].name]) == len(images)
    model.close()


@pytest.mark.parametrize("in_graph", [False, True])
def test_it_is_exported(foreign: Path, tmp_path: Path, in_graph: bool) -> None:
    settings = ExportSettings(
        model=foreign,
        target="onnxruntime",
        output=tmp_path / "out",
        in_graph=in_graph,
        latency=QUICK,
    )
    sidecar = read_sidecar(foreign)
    result = export_model(settings, random_samples(sidecar, 4))
    assert result.files[0].comparison.agreement == 1.0
    (taken,) = OnnxSession((tmp_path / "out" / "foreign.onnx").read_bytes(), name="out").inputs
    pixels = in_graph or sidecar.input.in_graph
    height, width = (1, 2) if in_graph and not sidecar.input.in_graph else _places(sidecar)
    assert (taken.shape[height], taken.shape[width]) == SIZE, "a device wants to know"
    assert (taken.dtype == "uint8") == pixels
    load_subject(tmp_path / "out" / "foreign.onnx").close()


def _places(sidecar: Sidecar) -> tuple[int, int]:
    return (2, 3) if sidecar.input.layout == "NCHW" else (1, 2)


def test_it_is_packed_for_a_nano_whose_runtime_answers_the_same(
    foreign: Path, tmp_path: Path, images: np.ndarray
) -> None:
    sidecar = read_sidecar(foreign)
    samples = random_samples(sidecar, 4)
    settings = ExportSettings(
        model=foreign, target="jetson-nano", output=tmp_path / "nano", latency=QUICK
    )
    if sidecar.input.in_graph:
        with pytest.raises(DataError, match=r"UINT8|uint8"):
            export_model(settings, samples)
        return
    export_model(settings, samples)
    request = BundleRequest(model=tmp_path / "nano" / "foreign.onnx", target="jetson-nano")
    bundle = write_bundle(request, tmp_path / "bundle")
    place = bundle.folder / "models" / "foreign.bicameral.json"
    there = bicameral_jetson.Sidecar(place)
    engine = OnnxSession(there.graph(), name="engine")
    for row, image in zip(
        load_classifier(foreign).predict(images).probabilities, images, strict=True
    ):
        answer = bicameral_jetson.NetworkClassifier(there, engine).predict(image)
        np.testing.assert_allclose(answer[0][0], row, atol=1e-6)
    recorded = np.load(bundle.folder / "models" / "foreign.check.npz")
    assert there.input_shapes["image"] == [1, *recorded["in.image"].shape[1:]]


def test_a_graph_of_several_pictures_at_a_time_is_classified_with_and_not_packed(
    tmp_path: Path, images: np.ndarray
) -> None:
    path = write_graph(tmp_path / "four.onnx", [4, 3, *SIZE])
    described(path)
    expected = np.stack([by_hand_of_four(path, image) for image in images])
    found = load_classifier(path).predict(images).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5)
    request = BundleRequest(model=path, target="jetson-nano")
    with pytest.raises(DataError, match=r"takes 4 pictures at a time.*--batch 1"):
        write_bundle(request, tmp_path / "bundle")


def by_hand_of_four(path: Path, image: np.ndarray) -> np.ndarray:
    tensor = ((image[None].repeat(4, 0) / 255 - 0.5) / 0.25).astype(np.float32)
    feeds = {"image": np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))}
    (values,) = onnxruntime.InferenceSession(path).run(None, feeds)
    return np.asarray(
        np.exp(values[0] - values[0].max()) / np.exp(values[0] - values[0].max()).sum()
    )


def test_a_graph_of_2017_with_its_weights_among_the_inputs_is_described_and_exported(
    tmp_path: Path,
) -> None:
    path = tmp_path / "light_squeezenet.onnx"
    path.write_bytes((LIGHT / path.name).read_bytes())
    sidecar = described(path, PictureOptions(), None)
    assert sidecar.input.image.height == 224
    assert len(sidecar.labels) == 1000
    settings = ExportSettings(
        model=path, target="jetson-nano", output=tmp_path / "out", latency=QUICK
    )
    assert export_model(settings, random_samples(sidecar, 2)).files[0].comparison.passed


# The command.


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["describe", *map(str, words)])
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_graph(tmp_path / "net.onnx", ["n", 3, "h", "w"], notes={"names": "['a','b','c']"})


def test_without_flags_it_tells_what_the_graph_wants_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], graph: Path
) -> None:
    code, out, _ = run(capsys, graph)
    assert code == 0
    assert "* x 3 x * x *" in out
    assert "82 parameters, opset 13" in out
    assert "answers for it as it is" in out
    assert not sidecar_path(graph).exists()


def test_it_writes_a_sidecar_and_writes_it_again(
    capsys: pytest.CaptureFixture[str], graph: Path
) -> None:
    labels = graph.with_name("labels.txt")
    labels.write_bytes(b"\xef\xbb\xbfleft\n\nright \nneither\n")  # as editors of Windows write
    flags = ["--image", "--size", 6, 10, "--mean", 0.1, 0.2, 0.3, "--std", 0.5]
    assert run(capsys, graph, *flags)[0] == 0
    assert read_sidecar(graph).labels == ("a", "b", "c"), "the graph knows them"
    code, out, _ = run(capsys, graph, *flags, "--labels", labels)
    assert code == 0
    assert "wrote" in out
    sidecar = read_sidecar(graph)
    assert sidecar.labels == LABELS
    assert sidecar.input.image.mean == (0.1, 0.2, 0.3)
    assert sidecar.input.image.std == (0.5, 0.5, 0.5)
    assert sidecar.input.image.scale == 1 / 255
    assert sidecar.training.command == DESCRIBED
    run(capsys, graph, *flags[:4], "--color", "BGR", "--mean", 104, 117, 123)
    assert read_sidecar(graph).input.image.scale == 1.0, "means of grey levels"


def test_it_leaves_a_sidecar_of_somebody_else_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, write_classifier: Callable[..., Path]
) -> None:
    path = write_classifier(tmp_path, "net")
    before = path.read_text()
    code, _, err = run(capsys, tmp_path / "net.onnx", "--image")
    assert (code, "somebody else wrote it" in err) == (2, True)
    assert path.read_text() == before


def test_a_graph_in_tritons_layout_is_called_as_its_folder(
    capsys: pytest.CaptureFixture[str], graph: Path
) -> None:
    folder = graph.parent / "flowers" / "7"
    folder.mkdir(parents=True)
    graph.rename(folder / "model.onnx")
    assert run(capsys, folder / "model.onnx", "--size", 6, 10)[0] == 0
    sidecar = read_sidecar(folder / "flowers.bicameral.json")
    assert (sidecar.name, sidecar.version) == ("flowers", "7")
    load_classifier(folder / "flowers.bicameral.json").close()


def test_a_temperature_is_fitted_to_pictures_whose_folders_are_in_another_order(
    capsys: pytest.CaptureFixture[str], graph: Path
) -> None:
    rng = np.random.default_rng(5)
    labels = graph.with_name("labels.txt")
    labels.write_text("\n".join(LABELS))
    run(capsys, graph, "--size", 6, 10, "--labels", labels)
    classifier = load_classifier(graph)
    for number in range(60):
        picture = rng.integers(0, 256, (*SIZE, 3), np.uint8)
        answer = classifier.predict(picture[None]).probabilities[0]
        true = LABELS[answer.argmax() if number % 4 else answer.argmin()]
        place = graph.parent / "data" / true / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), picture[..., ::-1])
    data = graph.parent / "data"
    code, out, err = run(
        capsys, graph, "--size", 6, 10, "--labels", labels, "--temperature-from", data
    )
    assert code == 0, err
    calibration = read_sidecar(graph).calibration
    assert calibration.split == "validation"
    assert calibration.n > 0
    assert calibration.temperature != 1.0
    accuracy = float(out.split("accuracy ")[1].split(" %")[0])
    assert accuracy > 50, "the classes are matched by name"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image"], "takes pictures of any height and any width; say which"),
        (["--size", 0, 10], "--size is 0 10"),
        (["--size", 6, 10, "--mean", 1, 2], "--mean has 2 values, expected 1 or 3"),
        (["--size", 6, 10, "--std", 0], "expected values above 0"),
        (["--size", 6, 10, "--std", "nan"], "--std is (nan,), expected finite numbers"),
        (["--size", 6, 10, "--mean", "inf"], "--mean is (inf,), expected finite numbers"),
        (["--size", 6, 10, "--scale", "nan"], "--scale is nan, expected a finite number"),
        (["--size", 6, 10, "--scale", 0], "--scale is 0.0, expected a finite number other than 0"),
        (["--size", 6, 10, "--color", "GRAY"], "--color is GRAY, but net.onnx takes 3 channels"),
        (["--size", 6, 10, "--labels", "two.txt"], "2 labels, but the output 'logits' of net.onnx"),
        (["--size", 6, 10, "--labels", "none.txt"], "cannot read the labels"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    graph: Path,
    flags: list[Any],
    message: str,
) -> None:
    monkeypatch.chdir(graph.parent)
    Path("two.txt").write_text("a\nb")
    code, _, err = run(capsys, graph, *flags)
    assert (code, message in err) == (2, True), err
    assert not sidecar_path(graph).exists()


def test_what_is_no_picture_classifier_is_sent_to_serve(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, shape in (("flat", ["n", 10]), ("boxes", ["n", 3, 8, 8])):
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        node = helper.make_node("Relu", ["x"], ["y"])
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
        graph = helper.make_graph([node], "g", [value], [out])
        opset = [helper.make_opsetid("", 13)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        code, _, err = run(capsys, path, "--image")
        assert (code, "`bicameral serve` takes it as it is" in err) == (2, True)


def test_the_feed_of_each_layout_holds_the_same_numbers(images: np.ndarray, tmp_path: Path) -> None:
    first = described(write_graph(tmp_path / "first.onnx", ["n", 3, *SIZE])).input
    last = described(write_graph(tmp_path / "last.onnx", ["n", *SIZE, 3], colours_last=True)).input
    tensor = feed_from_canonical(images, first)
    np.testing.assert_array_equal(feed_from_canonical(images, last), tensor.transpose(0, 2, 3, 1))
