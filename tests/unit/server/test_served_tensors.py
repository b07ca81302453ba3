"""Graphs that nobody described: served as they are, with the answers of ONNX Runtime itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import onnxruntime
import orjson
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from bicameral.errors import DataError
from edge.session import OnnxSession
from edge.shipped import weights_folder
from models.networks.multigrid import MultigridOperator
from models.onnx_export import onnx_from_network
from server.errors import RequestError
from server.open_inference.datatypes import V2Spec, bytes_from_elements
from server.serving.footprint import allocated_bytes
from server.serving.model_folder import model_files, scan_folders
from server.serving.served_model import ModelVersion, RequestContext, ServingParts
from server.serving.tensor_model import TensorModel

PartsMaker = Callable[..., ServingParts]
Tensors = dict[str, tuple[int, list[Any] | None]]

SERVED_AS = ModelVersion(name="net", version="1")
CONTEXT = RequestContext()
BACKEND_DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


def graph(nodes: list[Any], inputs: Tensors, outputs: Tensors, **weights: Any) -> bytes:
    """Return a graph; its tensors are name -> (type, shape)."""
    values = [
        [helper.make_tensor_value_info(name, *spec) for name, spec in tensors.items()]
        for tensors in (inputs, outputs)
    ]
    constants = [numpy_helper.from_array(np.asarray(one), name) for name, one in weights.items()]
    return helper.make_model(
        helper.make_graph(nodes, "g", *values, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    ).SerializeToString()


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


#: Several inputs and outputs, of which only some have open sizes; the state is not batched.
RECURRENT = graph(
    [node("Add", "x bias", "sum"), node("MatMul", "sum state", "y"), node("Neg", "state", "next")],
    {"x": (TensorProto.FLOAT, ["n", 3]), "state": (TensorProto.FLOAT, [3, 3])},
    {"y": (TensorProto.FLOAT, ["n", 3]), "next": (TensorProto.FLOAT, [3, 3])},
    bias=np.arange(3, dtype=np.float32),
)
#: A picture of any size, colours last.
COLOURS_LAST = graph(
    [node("Transpose", "image", "chw", perm=[0, 3, 1, 2]), node("GlobalAveragePool", "chw", "y")],
    {"image": (TensorProto.FLOAT, ["n", "h", "w", 3])},
    {"y": (TensorProto.FLOAT, ["n", 3, 1, 1])},
)
#: What a row's answer is depends on the other rows.
RUNNING_SUM = graph(
    [node("CumSum", "x axis", "y")],
    {"x": (TensorProto.FLOAT, ["time", 4])},
    {"y": (TensorProto.FLOAT, ["time", 4])},
    axis=np.int64(0),
)
DATATYPES = {
    "FP32": (TensorProto.FLOAT, np.float32),
    "FP16": (TensorProto.FLOAT16, np.float16),
    "FP64": (TensorProto.DOUBLE, np.float64),
    "BOOL": (TensorProto.BOOL, np.bool_),
    **{
        f"{kind}{bits}": (
            getattr(TensorProto, f"{kind}{bits}"),
            getattr(np, f"{kind}{bits}".lower()),
        )
        for kind in ("INT", "UINT")
        for bits in (8, 16, 32, 64)
    },
}


def identity(kind: int, shape: list[Any] | None) -> bytes:
    return graph([node("Identity", "x", "y")], {"x": (kind, shape)}, {"y": (kind, shape)})


def plain(content: bytes, feeds: dict[str, Any]) -> list[Any]:
    """Return what ONNX Runtime says, as the server runs it: on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return list(onnxruntime.InferenceSession(content, options).run(None, feeds))


@pytest.fixture
def serve(make_parts: PartsMaker) -> Callable[..., TensorModel]:
    """Serve the content of an ONNX file."""

    def make(content: bytes, **limits: Any) -> TensorModel:
        return TensorModel(SERVED_AS, OnnxSession(content, name="net"), make_parts(**limits))

    return make


def ask(model: TensorModel, *requests: dict[str, Any]) -> list[Any]:
    """Ask all at once."""

    async def body() -> list[Any]:
        asked = [model.infer(feeds, context=CONTEXT) for feeds in requests]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(body())


def test_what_it_takes_and_gives_follows_from_the_graph(serve: Callable[..., TensorModel]) -> None:
    model = serve(RECURRENT)
    assert (model.kind, model.platform, model.labels) == ("tensors", "onnxruntime_onnx", ())
    assert model.inputs == (
        V2Spec(name="x", datatype="FP32", shape=(-1, 3)),
        V2Spec(name="state", datatype="FP32", shape=(3, 3)),
    )
    assert [spec.shape for spec in model.outputs] == [(-1, 3), (3, 3)]
    feeds = {"x": np.ones((5, 3), np.float32), "state": np.eye(3, dtype=np.float32)}
    (answer,) = ask(model, feeds)
    for values, expected in zip(answer.values(), plain(RECURRENT, feeds), strict=True):
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (224, 160)])
def test_open_sizes_take_any(serve: Callable[..., TensorModel], size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((2, *size, 3), np.float32)
    (answer,) = ask(serve(COLOURS_LAST), {"image": image})
    np.testing.assert_array_equal(answer["y"], plain(COLOURS_LAST, {"image": image})[0])


def test_an_operator_between_grids_is_served_like_any_graph(
    serve: Callable[..., TensorModel],
) -> None:
    medium = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    graph = onnx_from_network(
        MultigridOperator(channels=2).eval(), {"medium": torch.zeros(1, 1, 8, 8)}, ["flow"]
    )
    (answer,) = ask(serve(graph), {"medium": medium})
    np.testing.assert_array_equal(answer["flow"], plain(graph, {"medium": medium})[0])


def test_requests_of_one_shape_share_a_run(
    serve: Callable[..., TensorModel], batches: list[Any]
) -> None:
    model = serve(COLOURS_LAST)
    images = [np.full((1, 4 + n % 2, 4, 3), n, np.float32) for n in range(9)]
    answers = ask(model, *({"image": image} for image in images))
    assert [float(answer["y"].mean()) for answer in answers] == list(range(9))
    assert sorted(record.rows for _, record in batches) == [4, 5]


def test_rows_that_depend_on_each_other_are_never_joined(
    serve: Callable[..., TensorModel], batches: list[Any]
) -> None:
    model = serve(RUNNING_SUM)
    series = np.ones((3, 4), np.float32)
    for answer in ask(model, *[{"x": series}] * 6):
        np.testing.assert_array_equal(answer["y"][:, 0], [1, 2, 3])
    assert len(batches) == 6


def test_no_number_of_rows_is_too_large_where_they_may_be_a_sound(
    serve: Callable[..., TensorModel],
) -> None:
    sound = np.zeros(16_000, np.float32)
    (answer,) = ask(serve(identity(TensorProto.FLOAT, ["samples"])), {"x": sound})
    assert len(answer["y"]) == 16_000


def test_inputs_may_have_different_numbers_of_rows(serve: Callable[..., TensorModel]) -> None:
    model = serve(
        graph(
            [node("Add", "a b", "y")],
            {name: (TensorProto.FLOAT, ["n", 2]) for name in "ab"},
            {"y": (TensorProto.FLOAT, ["n", 2])},
        )
    )
    one, many = np.ones((1, 2), np.float32), np.ones((4, 2), np.float32)
    answers = ask(model, {"a": many, "b": one}, {"a": one, "b": many}, {"a": one, "b": one})
    assert [answer["y"].shape for answer in answers] == [(4, 2), (4, 2), (1, 2)]
    (error,) = ask(model, {"a": many, "b": np.ones((3, 2), np.float32)})
    assert isinstance(error, DataError)
    assert "rejected its inputs" in str(error)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": np.ones((1, 4), np.float32)}, r"is FP32 of shape \[1, 4\], expected FP32 of shape"),
        ({"x": np.ones((1, 3))}, "is FP64"),
        ({"x": [b"picture"]}, "1 elements of BYTES, expected FP32"),
        ({}, "takes the tensors 'x', 'state', got"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    serve: Callable[..., TensorModel], feeds: dict[str, Any], message: str
) -> None:
    if feeds:
        feeds |= {"state": np.eye(3, dtype=np.float32)}
    (error,) = ask(serve(RECURRENT), feeds)
    assert isinstance(error, RequestError)
    assert error.status == 400
    with pytest.raises(RequestError, match=message):
        raise error


def test_a_scalar_is_taken_and_so_is_any_shape_that_the_graph_does_not_tell(
    serve: Callable[..., TensorModel],
) -> None:
    model = serve(identity(TensorProto.INT64, []))
    assert model.inputs[0].shape == ()
    answers = ask(model, {"x": np.array(16_000)}, {"x": np.arange(3)})
    assert [answer["y"].tolist() for answer in answers] == [16_000, [0, 1, 2]]


@pytest.mark.parametrize("folder", ["simple", "pytorch-operator", "pytorch-converted"])
def test_the_graphs_that_onnx_tests_others_with_are_answered_as_onnx_runtime_does(
    make_parts: PartsMaker, folder: str
) -> None:
    parts = make_parts()
    served, refused = 0, 0
    for path in sorted(BACKEND_DATA.glob(f"{folder}/*/model.onnx")):
        content = path.read_bytes()
        try:
            session = OnnxSession(content, name=path.parent.name)
            model = TensorModel(SERVED_AS, session, parts)
        except DataError:  # what ONNX Runtime lacks, and sequences
            refused += 1
            continue
        files = sorted(path.parent.glob("test_data_set_0/input_*.pb"))
        feeds = {}
        for spec, file in zip(model.inputs, files, strict=True):
            tensor = numpy_helper.to_array(onnx.load_tensor(file))
            feeds[spec.name] = tensor
        (answer,) = ask(model, feeds)
        for values, expected in zip(answer.values(), plain(content, feeds), strict=True):
            np.testing.assert_array_equal(values, expected)
        model.close()
        served += 1
    assert served > refused


def test_outputs_that_are_no_tensors_are_left_out_and_inputs_that_are_none_refused(
    serve: Callable[..., TensorModel],
) -> None:
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])

    def made(nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> bytes:
        opset = [helper.make_opsetid("", 17)]
        whole = helper.make_graph(nodes, "g", inputs, outputs)
        model = helper.make_model(whole, opset_imports=opset, ir_version=8)
        return bytes(model.SerializeToString())

    both = [node("SequenceConstruct", "x", "s"), node("Neg", "x", "y")]
    (answer,) = ask(serve(made(both, [x], [y, sequence])), {"x": np.ones(2, np.float32)})
    assert list(answer) == ["y"]
    with pytest.raises(DataError, match="gives no tensor that can be served"):
        serve(made(both[:1], [x], [sequence]))
    with pytest.raises(DataError, match=r"'s' is of type seq\(tensor\(float\)\), which cannot"):
        serve(made([node("ConcatFromSequence", "s", "y", axis=0)], [sequence], [y]))


def test_weights_may_lie_in_files_beside_the_graph(make_parts: PartsMaker, tmp_path: Path) -> None:
    weights = np.random.default_rng(0).random((3, 3), np.float32)
    model = onnx.load_from_string(
        graph(
            [node("MatMul", "x w", "y")],
            {"x": (TensorProto.FLOAT, ["n", 3])},
            {"y": (TensorProto.FLOAT, ["n", 3])},
            w=weights,
        )
    )
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    assert {file.name for file in model_files(path)} == {"net.onnx", "net.onnx.data"}
    (answer,) = ask(TensorModel.load(path, SERVED_AS, make_parts()), {"x": np.eye(3, dtype="f")})
    np.testing.assert_array_equal(answer["y"], weights)


# Over HTTP, by name.


def served_values(client_answer: httpx.Response, dtype: Any) -> Any:
    length = int(client_answer.headers["inference-header-content-length"])
    return np.frombuffer(client_answer.content[length:], dtype)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_is_answered_in_json_and_in_bytes(
    serve_folder: Callable[..., Any], models: Path, datatype: str
) -> None:
    kind, dtype = DATATYPES[datatype]
    (models / "net.onnx").write_bytes(identity(kind, ["n", 2]))
    values = np.array([[0, 1], [1, 1]], dtype)
    entry = {"name": "x", "datatype": datatype, "shape": [2, 2]}

    async def use(client: httpx.AsyncClient) -> None:
        header = orjson.dumps(
            {
                "inputs": [entry | {"parameters": {"binary_data_size": values.nbytes}}],
                "parameters": {"binary_data_output": True},
            }
        )
        headers = {"Inference-Header-Content-Length": str(len(header))}
        content = header + values.tobytes()
        answer = await client.post("/v2/models/net/infer", content=content, headers=headers)
        assert served_values(answer, dtype).tolist() == values.ravel().tolist()
        body = {"inputs": [entry | {"data": values.tolist()}]}
        answer = await client.post("/v2/models/net/infer", json=body)
        if datatype == "FP16":
            assert (answer.status_code, "binary data" in answer.text) == (400, True)
        else:
            assert answer.json()["outputs"][0]["data"] == values.ravel().tolist()

    serve_folder(models, use)


def test_texts_are_bytes_of_any_shape(serve_folder: Callable[..., Any], models: Path) -> None:
    (models / "net.onnx").write_bytes(identity(TensorProto.STRING, ["n", 2]))
    entry = {"name": "x", "datatype": "BYTES", "shape": [1, 2]}

    async def use(client: httpx.AsyncClient) -> None:
        path = "/v2/models/net/infer"
        assert (await client.get("/v2/models/net")).json()["inputs"][0]["datatype"] == "BYTES"
        body = {"inputs": [entry | {"data": [["grün", "b"]]}]}
        (output,) = (await client.post(path, json=body)).json()["outputs"]
        assert output == entry | {"name": "y", "data": ["grün", "b"]}
        raw = bytes_from_elements([b"a", "ü".encode()])
        body = {
            "inputs": [entry | {"parameters": {"binary_data_size": len(raw)}}],
            "parameters": {"binary_data_output": True},
        }
        header = orjson.dumps(body)
        headers = {"Inference-Header-Content-Length": str(len(header))}
        answer = await client.post(path, content=header + raw, headers=headers)
        assert answer.content.endswith(raw)
        bad = raw.replace("ü".encode(), b"\xff\xfe")
        answer = await client.post(path, content=header + bad, headers=headers)
        assert answer.status_code == 400
        assert "element 1 of input 'x' is no UTF-8" in answer.text

    serve_folder(models, use)


def test_folders_of_both_layouts_are_served_without_a_sidecar(
    serve_folder: Callable[..., Any], models: Path, caplog: Any
) -> None:
    (models / "flat.onnx").write_bytes(RECURRENT)
    triton = models / "triton" / "3"
    triton.mkdir(parents=True)
    (triton / "model.onnx").write_bytes(COLOURS_LAST)
    (triton.parent / "config.pbtxt").write_text("max_batch_size: 8")
    caplog.set_level(logging.INFO)

    async def use(client: httpx.AsyncClient) -> None:
        index = (await client.post("/v2/repository/index")).json()
        assert [(one["name"], one["version"], one["state"]) for one in index] == [
            ("flat", "1", "READY"),
            ("triton", "3", "READY"),
        ]
        cards = {card["name"]: card for card in (await client.get("/v1/models")).json()}
        assert cards["triton"]["kind"] == "tensors"
        assert cards["triton"]["inputs"] == [
            {"name": "image", "datatype": "FP32", "shape": [-1, -1, -1, 3]}
        ]
        answer = await client.post("/v1/classify/flat", content=b"")
        assert answer.status_code == 400
        assert "no classifier but 'tensors'" in answer.text

    serve_folder(models, use)
    assert [text for text in caplog.messages if "is not read" in text] == [
        f"{triton.parent / 'config.pbtxt'} is not read: what it says follows from the graph"
    ]


def test_what_cannot_be_read_is_logged_once_and_listed_with_its_reason(
    serve_folder: Callable[..., Any], models: Path, caplog: Any
) -> None:
    (models / "garbage.onnx").write_bytes(b"no graph")
    (models / "two words.onnx").write_bytes(RECURRENT)
    several = models / "several" / "1"
    several.mkdir(parents=True)
    for name in "ab":
        (several / f"{name}.onnx").write_bytes(RECURRENT)

    async def use(client: httpx.AsyncClient) -> dict[str, str]:
        for _ in range(3):  # each looks into the folder again
            await client.post("/v2/repository/models/none/load")
        index = (await client.post("/v2/repository/index")).json()
        return {one["name"]: one["reason"] for one in index if one["state"] == "UNAVAILABLE"}

    reasons = serve_folder(models, use)
    assert "ONNX Runtime cannot load the model 'garbage'" in reasons["garbage"]
    assert "the name 'two words' cannot be served" in reasons["two words"]
    expected = "holds a.onnx, b.onnx, expected several.bicameral.json or model.onnx"
    assert expected in reasons["several"]
    for name in reasons:
        assert sum(name in text and "cannot" in text for text in caplog.messages) == 1, name


def test_a_graph_that_a_sidecar_describes_is_no_model_of_its_own(
    models: Path, write_classifier: Callable[..., Path]
) -> None:
    path = write_classifier(models, "net")
    path.write_text(path.read_text().replace('"net.onnx"', '"weights.onnx"'))
    path.with_name("net.onnx").rename(models / "weights.onnx")
    assert [model.name for model in scan_folders([models])] == ["net"]
    (models / "broken.bicameral.json").write_text("{")
    (models / "broken.onnx").write_bytes(RECURRENT)
    found = {model.name: model.problem for model in scan_folders([models])}
    assert list(found) == ["broken", "net"]
    assert "is no valid sidecar" in str(found["broken"])


def test_a_version_whose_sidecar_is_late_does_not_take_the_place_of_one_that_has_one(
    models: Path, write_classifier: Callable[..., Path]
) -> None:
    for version in "12":
        (models / "net" / version).mkdir(parents=True)
        write_classifier(models / "net" / version, "net", version=version)
    (models / "net" / "2" / "net.bicameral.json").unlink()
    problems = {model.version: model.problem for model in scan_folders([models])}
    assert problems["1"] is None
    assert "holds net.onnx, expected net.bicameral.json" in str(problems["2"])


@pytest.mark.skipif(allocated_bytes() is None, reason="the C library does not tell allocations")
def test_a_warm_graph_has_the_memory_that_its_batches_need(make_parts: PartsMaker) -> None:
    path = weights_folder() / "fashion_mnist_group_to_group.onnx"
    parts = make_parts(batching={"max_rows": 32, "max_run_s": 60.0})
    model = TensorModel.load(path, SERVED_AS, parts)
    before = allocated_bytes() or 0
    for rows in (32, 31, 8, 32, 31):
        model._main.run({"image": np.zeros((rows, 1, 28, 28), np.float32)})
    grown = (allocated_bytes() or 0) - before
    model.close()
    assert grown < 1 << 20, "4.3 MB, when it had made one run of its largest batch"
