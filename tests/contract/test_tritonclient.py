"""Triton's own Python client, unmodified, against a real server of two workers."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from edge.loading import load_classifier
from edge.session import OnnxSession
from edge.shipped import weights_folder
from tests.contract.asked_workers import PATIENCE_S, ask_every_worker

Writer = Callable[..., Path]
Client = triton.InferenceServerClient

LABELS = ("cat", "dog", "ship", "shoe", "tree")
RNG = np.random.default_rng(11)
PIXELS = RNG.normal(size=(3, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, write_classifier: Writer, write_pair: Writer
) -> Path:
    """Two versions of a network, a cascade, a driving agent, and a broken model."""
    folder = tmp_path_factory.mktemp("models")
    for version in ("1", "2"):
        home = folder / "net" / version
        home.mkdir(parents=True)
        write_classifier(home, "net", seed=int(version), version=version)
    home = folder / "pair" / "1"
    home.mkdir(parents=True)
    write_pair(home)
    for path in weights_folder().glob("caril_a.*"):
        shutil.copy(path, folder)
    (folder / "broken.bicameral.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def port(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Any]
) -> Iterator[int]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving(folder, log, "--workers=2", "--watch-s=0.2") as server:
        yield server.port
    assert "Traceback" not in log.read_text()


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client


@pytest.fixture(scope="module")
def logits(folder: Path) -> Mapping[str, np.ndarray]:
    """What each version of the network answers for `PIXELS`, computed here."""
    return {
        version: OnnxSession((folder / "net" / version / "net.onnx").read_bytes(), name="net").run(
            {"image": PIXELS}
        )["logits"]
        for version in ("1", "2")
    }


def entry(array: np.ndarray, datatype: str, *, binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput("image", list(array.shape), datatype)
    return tensor.set_data_from_numpy(array, binary_data=binary)


def asked(name: str = "logits", **options: Any) -> triton.InferRequestedOutput:
    return triton.InferRequestedOutput(name, **options)


def pngs(images: np.ndarray, *shape: int) -> np.ndarray:
    encoded = [bytes(cv2.imencode(".png", image)[1]) for image in images]
    return np.array(encoded, object).reshape(len(images), *shape)


def message_of(error: pytest.ExceptionInfo[InferenceServerException], status: int) -> str:
    assert error.value.status() == str(status)
    return str(error.value.message())


def test_the_server_tells_about_itself(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "bicameral"
    assert "binary_tensor_data" in metadata["extensions"]


def test_a_model_tells_its_tensors_versions_and_configuration(client: Client) -> None:
    assert client.is_model_ready("net")
    assert client.is_model_ready("net", "2")
    assert not client.is_model_ready("net", "9")
    assert not client.is_model_ready("nothing")
    metadata = client.get_model_metadata("net")
    assert metadata["versions"] == ["2"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    assert metadata["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 5]}]
    config = client.get_model_config("net", "2")
    assert config["input"][0]["data_type"] == "TYPE_FP32"


def test_the_index_tells_all_models_and_what_is_wrong_with_one(client: Client) -> None:
    index = {(one["name"], one["version"]): one for one in client.get_model_repository_index()}
    assert index["net", "2"]["state"] == "READY"
    assert index["pair", "1"]["state"] == "READY"
    assert index["caril_a", "1"]["state"] == "READY"
    assert "sidecar" in index["broken", ""]["reason"]


@pytest.mark.parametrize("binary_output", [False, True])
@pytest.mark.parametrize("binary_input", [False, True])
def test_tensors_go_both_ways_in_json_and_in_bytes(
    client: Client, logits: Mapping[str, np.ndarray], binary_input: bool, binary_output: bool
) -> None:
    result = client.infer(
        "net",
        [entry(PIXELS, "FP32", binary=binary_input)],
        outputs=[asked(binary_data=binary_output)],
        request_id="abc",
    )
    assert np.allclose(result.as_numpy("logits"), logits["2"], rtol=1e-6, atol=1e-6)
    response = result.get_response()
    assert (response["id"], response["model_name"]) == ("abc", "net")
    assert response["model_version"] == "2"
    assert ("parameters" in response["outputs"][0]) == binary_output


def test_the_clients_defaults_are_bytes_in_both_directions(
    client: Client, logits: Mapping[str, np.ndarray]
) -> None:
    for binary in (True, False):
        result = client.infer("net", [entry(PIXELS, "FP32", binary=binary)])
        (output,) = result.get_response()["outputs"]
        assert output["parameters"] == {"binary_data_size": 60}
        assert np.allclose(result.as_numpy("logits"), logits["2"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_requests_may_be_compressed_and_answers_need_not(
    client: Client, logits: Mapping[str, np.ndarray], algorithm: str
) -> None:
    result = client.infer(
        "net",
        [entry(PIXELS, "FP32")],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert np.allclose(result.as_numpy("logits"), logits["2"], rtol=1e-6, atol=1e-6)


def test_the_highest_classes_come_with_their_labels(
    client: Client, logits: Mapping[str, np.ndarray]
) -> None:
    for binary in (True, False):
        result = client.infer(
            "net", [entry(PIXELS, "FP32")], outputs=[asked(class_count=2, binary_data=binary)]
        )
        found = result.as_numpy("logits")
        assert found.shape == (3, 2)
        texts = [text.decode() if isinstance(text, bytes) else text for text in found.ravel()]
        order = np.argsort(-logits["2"], axis=1)[:, :2]
        assert [text.split(":", 1)[1] for text in texts] == [
            f"{index}:{LABELS[index]}" for index in order.ravel()
        ]


def test_a_cascade_answers_for_pixels_and_for_encoded_pictures(
    client: Client, folder: Path, pictures: np.ndarray
) -> None:
    expected = load_classifier(folder / "pair" / "1" / "pair.bicameral.json").predict(pictures)
    stages = [trace.stage.encode() for trace in expected.trace or ()]
    assert set(stages) == {b"a", b"b"}
    forms = ((pictures, "UINT8"), (pngs(pictures), "BYTES"), (pngs(pictures, 1), "BYTES"))
    for array, datatype in forms:
        result = client.infer("pair", [entry(array, datatype)])
        assert np.allclose(result.as_numpy("probabilities"), expected.probabilities, atol=1e-6)
        assert np.allclose(result.as_numpy("confidence"), expected.confidence, atol=1e-6)
        assert list(result.as_numpy("stage")) == stages
        assert not result.as_numpy("memory_hit").any()


def test_outputs_in_json_and_in_bytes_may_be_mixed(client: Client, pictures: np.ndarray) -> None:
    outputs = [
        asked("stage", binary_data=False),
        asked("probabilities", binary_data=True),
        asked("memory_hit", binary_data=False),
        asked("confidence", binary_data=True),
    ]
    result = client.infer("pair", [entry(pictures, "UINT8")], outputs=outputs)
    names = [output["name"] for output in result.get_response()["outputs"]]
    assert names == ["stage", "probabilities", "memory_hit", "confidence"]
    assert set(result.as_numpy("stage")) == {"a", "b"}
    assert np.allclose(result.as_numpy("probabilities").max(1), result.as_numpy("confidence"))


def test_an_agent_takes_tensors_in_json_and_in_bytes_in_one_request(client: Client) -> None:
    metadata = client.get_model_metadata("caril_a")
    session = OnnxSession((weights_folder() / "caril_a.onnx").read_bytes(), name="caril_a")
    feeds, tensors = {}, []
    for number, spec in enumerate(metadata["inputs"]):
        assert spec["datatype"] == "FP32"
        shape = [2 if size == -1 else size for size in spec["shape"]]
        values = RNG.uniform(0, 1, shape).astype(np.float32)
        feeds[spec["name"]] = values
        tensor = triton.InferInput(spec["name"], shape, "FP32")
        tensors.append(tensor.set_data_from_numpy(values, binary_data=number % 2 == 0))
    result = client.infer("caril_a", tensors)
    for name, values in session.run(feeds).items():
        assert np.allclose(result.as_numpy(name), values, rtol=1e-4, atol=1e-5)


def test_many_requests_at_a_time_get_their_own_answers(
    port: int, logits: Mapping[str, np.ndarray]
) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}", concurrency=8) as client:
        waiting = [
            (number % 3, client.async_infer("net", [entry(PIXELS[number % 3 :], "FP32")]))
            for number in range(200)
        ]
        for first, request in waiting:
            found = request.get_result().as_numpy("logits")
            assert np.allclose(found, logits["2"][first:], rtol=1e-5, atol=1e-5)


def test_unloading_loading_and_versions_reach_every_worker(
    port: int, client: Client, logits: Mapping[str, np.ndarray]
) -> None:
    def everywhere(path: str, expected: int) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while {status for status, _ in ask_every_worker(port, 2, path)} != {expected}:
            assert time.monotonic() < give_up_s, f"{path}: not {expected} everywhere"

    client.unload_model("net")
    everywhere("/v2/models/net/ready", 503)
    assert client.is_server_ready()
    client.load_model("net")
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("POST", "/v1/models/net/versions/1/load")
    assert connection.getresponse().read() == b""
    connection.close()
    for version in logits:
        everywhere(f"/v2/models/net/versions/{version}/ready", 200)
    for _ in range(8):
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as other:
            for version, expected in logits.items():
                result = other.infer("net", [entry(PIXELS, "FP32")], model_version=version)
                assert result.get_response()["model_version"] == version
                assert np.allclose(result.as_numpy("logits"), expected, rtol=1e-6, atol=1e-6)
            assert other.get_model_metadata("net")["versions"] == ["1", "2"]


def test_statistics_are_those_of_all_workers(port: int) -> None:
    def count(client: Client, model: str = "net") -> Any:
        (statistics,) = client.get_inference_statistics(model, "2")["model_stats"]
        return statistics["inference_count"], statistics["inference_stats"]["success"]["count"]

    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        rows, requests = count(client)
        for _ in range(8):
            with triton.InferenceServerClient(f"127.0.0.1:{port}") as other:
                other.infer("net", [entry(PIXELS, "FP32")], model_version="2")
        assert count(client) == (rows + 24, requests + 8)
        everything = client.get_inference_statistics()["model_stats"]
        assert {"net", "pair"} <= {statistics["name"] for statistics in everything}


def test_errors_reach_the_user_in_words(client: Client) -> None:
    with pytest.raises(InferenceServerException) as error:
        client.infer("nte", [entry(PIXELS, "FP32")])
    assert "net" in message_of(error, 404)
    with pytest.raises(InferenceServerException) as error:
        client.infer("net", [entry(PIXELS, "FP32")], model_version="9")
    assert "'9'" in message_of(error, 404)
    wrong = np.zeros((1, 2), np.float32)
    for binary in (True, False):
        with pytest.raises(InferenceServerException) as error:
            client.infer("net", [entry(wrong, "FP32", binary=binary)])
        assert all(
            word in message_of(error, 400) for word in ("'image'", "[1, 2]", "[-1, 1, 8, 8]")
        )
    with pytest.raises(InferenceServerException) as error:
        client.infer("net", [entry(PIXELS.astype(np.float64), "FP64")])
    assert all(word in message_of(error, 400) for word in ("'image'", "FP64", "FP32"))
    with pytest.raises(InferenceServerException) as error:
        client.infer("net", [entry(PIXELS, "FP32")], outputs=[asked("probs")])
    assert all(word in message_of(error, 400) for word in ("'probs'", "'logits'"))
    with pytest.raises(InferenceServerException) as error:
        client.load_model("broken")
    assert "sidecar" in message_of(error, 400)


def test_extensions_that_are_not_offered_say_so(client: Client) -> None:
    for ask in (
        client.get_log_settings,
        client.get_trace_settings,
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
    ):
        with pytest.raises(InferenceServerException) as error:
            ask()
        assert "not offered" in message_of(error, 501)
    tensor = triton.InferInput("image", [1, 1, 8, 8], "FP32")
    tensor.set_shared_memory("region", 256)
    with pytest.raises(InferenceServerException) as error:
        client.infer("net", [tensor])
    assert "shared memory" in message_of(error, 501)


# What only other clients do.


def test_a_body_that_is_too_large_or_a_bomb_is_refused_and_the_connection_goes_on(
    port: int,
) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    path = "/v2/models/net/infer"
    bomb = gzip.compress(bytes(33 << 20))
    for body, headers in ((bytes(33 << 20), {}), (bomb, {"Content-Encoding": "gzip"})):
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        assert answer.status == 413
        assert "33,554,432" in json.loads(answer.read())["error"]
    connection.request("GET", "/v2/health/live")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_client_that_leaves_in_the_middle_of_its_body_does_no_harm(
    port: int, client: Client
) -> None:
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as rude:
            head = b"POST /v2/models/net/infer HTTP/1.1\r\nHost: localhost\r\n"
            rude.sendall(head + b"Content-Length: 100\r\n\r\n{")
    assert client.is_server_ready()
