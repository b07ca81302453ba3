"""Triton's own client for gRPC, unmodified, against a real server of two workers."""

from __future__ import annotations

import json
import queue
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

from edge.session import OnnxSession
from server.bench.running import ServerCommand, free_port, running_server
from server.grpc.messages import message_class

Writer = Callable[..., Path]
Client = triton.InferenceServerClient

PROGRAM = "from bicameral.cli.app import main; main()"
PIXELS = np.random.default_rng(11).normal(size=(3, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_classifier: Writer) -> Path:
    """Two versions of a network, a graph of texts without a sidecar, and a broken model."""
    folder = tmp_path_factory.mktemp("models")
    for version in ("1", "2"):
        home = folder / "net" / version
        home.mkdir(parents=True)
        write_classifier(home, "net", seed=int(version), version=version)
    texts = [
        helper.make_tensor_value_info(name, TensorProto.STRING, ["n", "m"]) for name in ("x", "y")
    ]
    whole = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", *[[t] for t in texts]
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(whole, opset_imports=opset, ir_version=8), folder / "texts.onnx")
    (folder / "broken.onnx").write_bytes(b"{")
    return folder


@pytest.fixture(scope="module")
def ports(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of HTTP and gRPC of a running server."""
    port = free_port()
    words = [sys.executable, "-c", PROGRAM, "serve", str(folder), "--port", "{port}"]
    words += ["--grpc-port", str(port), "--workers", "2"]
    log = tmp_path_factory.mktemp("log") / "log"
    with running_server(ServerCommand(name="bicameral", words=words), log) as server:
        yield server.port, port


@pytest.fixture(scope="module")
def client(ports: tuple[int, int]) -> Iterator[Client]:
    with Client(f"127.0.0.1:{ports[1]}") as client:
        yield client


def ask(client: Client, pixels: np.ndarray = PIXELS, **options: Any) -> triton.InferResult:
    tensor = triton.InferInput("image", list(pixels.shape), "FP32")
    tensor.set_data_from_numpy(pixels)
    return client.infer("net", [tensor], **options)


def test_every_message_is_tritons() -> None:
    """Of each field that is known here: number, type and whether there are many."""
    theirs: dict[str, Any] = {}
    waiting = [
        *service_pb2.DESCRIPTOR.message_types_by_name.values(),
        *model_config_pb2.DESCRIPTOR.message_types_by_name.values(),
    ]
    for message in waiting:
        theirs.setdefault(message.name, message)
        waiting += message.nested_types
    for name in ("ModelInferRequest", "ModelInferResponse", "ModelStatisticsResponse"):
        known = [message_class(name).DESCRIPTOR]
        for message in known:
            for field in message.fields:
                other = theirs[message.name].fields_by_number[field.number]
                assert (field.name, field.type) == (other.name, other.type)
                assert field.is_repeated == other.is_repeated
                if field.message_type is not None and field.message_type not in known:
                    known.append(field.message_type)


def test_it_tells_what_there_is(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("net")
    assert client.is_model_ready("net", "2")
    assert not client.is_model_ready("net", "1"), "it is not loaded"
    metadata = client.get_server_metadata()
    assert metadata.name == "bicameral"
    assert "statistics" in metadata.extensions
    model = client.get_model_metadata("net", as_json=True)
    assert model["inputs"] == [
        {"name": "image", "datatype": "FP32", "shape": ["-1", "1", "8", "8"]}
    ]
    config = client.get_model_config("net").config
    assert config.input[0].data_type == model_config_pb2.TYPE_FP32
    assert list(config.output[0].dims) == [-1, 5]
    index = {(one.name, one.version): one for one in client.get_model_repository_index().models}
    assert index["texts", "1"].state == "READY"
    assert "cannot load the model 'broken'" in index["broken", "1"].reason


@pytest.mark.parametrize("version", ["", "2"])
def test_an_answer_has_the_graphs_own_numbers(client: Client, folder: Path, version: str) -> None:
    answer = ask(client, model_version=version, request_id="mine")
    session = OnnxSession(folder / "net" / "2" / "net.onnx", name="net")
    expected = session.run({"image": PIXELS})["logits"]
    np.testing.assert_array_equal(answer.as_numpy("logits"), expected)
    response = answer.get_response()
    assert (response.model_name, response.model_version, response.id) == ("net", "2", "mine")


def test_values_may_stand_in_typed_fields(ports: tuple[int, int]) -> None:
    request = service_pb2.ModelInferRequest(model_name="net")
    tensor = request.inputs.add(name="image", datatype="FP32", shape=PIXELS.shape)
    tensor.contents.fp32_contents.extend(PIXELS.ravel().tolist())
    with grpc.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        response = call(request, timeout=60)
        assert np.frombuffer(response.raw_output_contents[0], np.float32).shape == (15,)
        request.inputs[0].datatype = "INT8"
        request.inputs[0].contents.int_contents.append(300)
        with pytest.raises(grpc.RpcError) as error:
            call(request, timeout=60)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "the contents of input 'image' do not fit" in error.value.details()


def test_classes_are_ranked(client: Client) -> None:
    wanted = triton.InferRequestedOutput("logits", class_count=2)
    texts = ask(client, outputs=[wanted]).as_numpy("logits")
    assert texts.shape == (3, 2)
    assert texts[0, 0].decode().split(":")[2] in ("cat", "dog", "ship", "shoe", "tree")


def test_texts_are_bytes(client: Client) -> None:
    tensor = triton.InferInput("x", [1, 2], "BYTES")
    tensor.set_data_from_numpy(np.array([["grün", "b"]], object))
    answer = client.infer("texts", [tensor]).as_numpy("y")
    assert answer.tolist() == [["grün".encode(), b"b"]]


def test_many_at_once_are_answered(client: Client) -> None:
    found: queue.Queue[Any] = queue.Queue()
    tensor = triton.InferInput("image", [1, 1, 8, 8], "FP32")
    tensor.set_data_from_numpy(PIXELS[:1])
    for _ in range(40):
        client.async_infer("net", [tensor], lambda result, error: found.put(error or result))
    expected = ask(client, PIXELS[:1]).as_numpy("logits")
    for _ in range(40):
        answer = found.get(timeout=120)
        np.testing.assert_allclose(answer.as_numpy("logits"), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (lambda client: client.get_model_metadata("nett"), "NOT_FOUND", "Did you mean 'net'"),
        (lambda client: client.get_model_metadata("net/versions/2"), "NOT_FOUND", "there is no"),
        (lambda client: client.is_model_ready("nett"), "NOT_FOUND", "unknown model"),
        (lambda client: ask(client, PIXELS[:, :, :4]), "INVALID_ARGUMENT", "expected FP32 of"),
        (lambda client: ask(client, model_version="1"), "UNAVAILABLE", "is not loaded"),
        (
            lambda client: ask(client, outputs=[triton.InferRequestedOutput("l")]),
            "INVALID_ARGUMENT",
            "has no output 'l'",
        ),
        (lambda client: client.load_model("broken"), "INVALID_ARGUMENT", "cannot load the model"),
        (lambda client: client.load_model("net", config="{}"), "UNIMPLEMENTED", "not offered"),
        (
            lambda client: client.get_system_shared_memory_status(),
            "UNIMPLEMENTED",
            "",
        ),
        (
            lambda client: ask(client, np.zeros((2000, 1, 8, 8), np.float32)),
            "RESOURCE_EXHAUSTED",
            "2000 rows",
        ),
    ],
)
def test_errors_are_those_of_http_with_grpcs_codes(
    client: Client, call: Callable[[Client], Any], code: str, message: str
) -> None:
    with pytest.raises(InferenceServerException) as error:
        call(client)
    assert error.value.status() == f"StatusCode.{code}"
    assert message in error.value.message()


def test_calls_are_counted_where_requests_are(client: Client, ports: tuple[int, int]) -> None:
    def counted() -> int:
        return int(client.get_inference_statistics("net").model_stats[0].inference_count)

    before = counted()
    ask(client)
    assert counted() == before + len(PIXELS)
    connection = HTTPConnection("127.0.0.1", ports[0], timeout=60)
    connection.request("GET", "/v2/models/net/stats")
    (statistics,) = json.loads(connection.getresponse().read())["model_stats"]
    connection.close()
    assert statistics["inference_count"] == before + len(PIXELS)
    told = client.get_inference_statistics("net").model_stats[0].inference_stats
    for part in ("success", "compute_input", "compute_infer", "compute_output"):
        counted_there, counted_here = statistics["inference_stats"][part], getattr(told, part)
        assert (counted_here.count, counted_here.ns) == (
            counted_there["count"],
            counted_there["ns"],
        )
        assert counted_here.ns > 0


def test_models_come_and_go(client: Client) -> None:
    client.unload_model("texts")
    client.load_model("texts")
    index = {one.name: one.state for one in client.get_model_repository_index().models}
    assert index["texts"] == "READY"


def test_keys_count_here_too(folder: Path, tmp_path: Path, capsys: Any) -> None:
    from bicameral.cli.app import main

    with pytest.raises(SystemExit):
        main(["keys", "new", "alice", "--rights", "infer"])
    printed = capsys.readouterr()
    keys = tmp_path / "keys.toml"
    keys.write_text(printed.out)
    key = next(word for word in printed.err.split() if len(word) > 30)
    port = free_port()
    words = [sys.executable, "-c", PROGRAM, "serve", str(folder), "--port", "{port}"]
    words += ["--grpc-port", str(port), "--workers", "1", "--api-keys", str(keys)]
    with running_server(ServerCommand(name="bicameral", words=words), tmp_path / "log"):
        with Client(f"127.0.0.1:{port}") as client:
            assert client.is_server_live()
            with pytest.raises(InferenceServerException, match="needs an API key") as error:
                ask(client)
            assert error.value.status() == "StatusCode.UNAUTHENTICATED"
            assert ask(client, headers={"x-api-key": key}).as_numpy("logits").shape == (3, 5)
            with pytest.raises(InferenceServerException, match="does not allow") as error:
                client.unload_model("net", headers={"authorization": f"Bearer {key}"})
            assert error.value.status() == "StatusCode.PERMISSION_DENIED"
