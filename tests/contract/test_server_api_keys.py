"""A real server of two workers that asks for API keys and shares its memory on a real Redis."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from edge.shipped import weights_folder
from server.api_keys import Right, new_api_key

Writer = Callable[..., Path]

PATIENCE_S = 180.0
HOLDERS: Mapping[str, frozenset[Right]] = {
    "alice": frozenset({"infer"}),
    "bob": frozenset({"infer"}),
    "root": frozenset({"infer", "manage"}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    """The keys, which the file ``keys.toml`` knows."""
    made = {name: new_api_key(name, rights) for name, rights in HOLDERS.items()}
    (folder / "keys.toml").write_text("\n".join(table for _, table in made.values()))
    return {name: key for name, (key, _) in made.items()}


@pytest.fixture(scope="module")
def port(
    folder: Path,
    keys: Mapping[str, str],
    module_redis: Any,
    write_pair: Writer,
    serving: Callable[..., Any],
) -> Iterator[int]:
    models = folder / "models"
    models.mkdir()
    write_pair(models, memory={"key": "dhash_verified"})
    for path in weights_folder().glob("caril_a.*"):
        shutil.copy(path, models)
    log = folder / "serve.log"
    shared = (f"--api-keys={folder / 'keys.toml'}", f"--redis-url={module_redis.url}")
    with serving(models, log, "--workers=2", "--log-requests", *shared) as server:
        yield server.port
    assert not [name for name, key in keys.items() if key in log.read_text()]


def test_tritons_client_shows_its_key_in_a_header(
    port: int, keys: Mapping[str, str], pictures: np.ndarray
) -> None:
    alice = {"Authorization": f"Bearer {keys['alice']}"}
    root = {"X-API-Key": keys["root"]}
    images = triton.InferInput("image", [2, *pictures.shape[1:]], "UINT8")
    images.set_data_from_numpy(pictures[:2])
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        assert client.is_server_ready()
        with pytest.raises(InferenceServerException, match="this needs an API key") as error:
            client.infer("pair", [images])
        assert error.value.status() == "401"
        answer = client.infer("pair", [images], headers=alice)
        assert answer.as_numpy("probabilities").shape == (2, 5)
        with pytest.raises(InferenceServerException, match="does not allow 'manage'") as error:
            client.unload_model("a", headers=alice)
        assert error.value.status() == "403"
        client.unload_model("a", headers=root)
        assert not client.is_model_ready("a", headers=alice)


def test_thumbnails_of_one_key_never_answer_another_in_any_worker_of_a_shared_memory(
    port: int, keys: Mapping[str, str], pictures: np.ndarray
) -> None:
    encoded = [cv2.imencode(".png", image)[1].tobytes() for image in pictures[:4]]
    body = json.dumps({"images": [base64.b64encode(one).decode() for one in encoded]})

    def hits(name: str, query: str = "") -> list[bool]:
        # A connection of its own for every request, so that both workers are asked.
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        headers = {"X-API-Key": keys[name], "Content-Type": "application/json"}
        connection.request("POST", f"/v1/classify/pair{query}", body, headers)
        answer = json.load(connection.getresponse())
        connection.close()
        return [result["trace"]["memory_hit"] for result in answer["results"]]

    def known(name: str) -> bool:
        # On a busy machine Redis may take longer than it is waited for.
        return any(all(hits(name)) for _ in range(200))

    assert known("alice")
    for _ in range(20):
        assert not any(hits("bob", "?no_store=true"))
    assert known("bob")
    assert not any(hits("root", "?no_store=true"))


def test_a_stream_asks_for_a_key_which_a_browser_shows_as_a_protocol(
    port: int, keys: Mapping[str, str]
) -> None:
    def opened(**options: Any) -> str | None:
        """Return the protocol that the server chose."""
        with connect(f"ws://127.0.0.1:{port}/v1/drive/caril_a/stream", **options) as stream:
            return stream.subprotocol

    def refused(**options: Any) -> int:
        with pytest.raises(InvalidStatus) as error:
            opened(**options)
        assert "error" in json.loads(error.value.response.body)
        return error.value.response.status_code

    protocols = ["bicameral", f"bicameral.key.{keys['alice']}"]
    assert opened(additional_headers={"X-API-Key": keys["alice"]}) is None
    assert opened(subprotocols=protocols, origin=f"http://127.0.0.1:{port}") == "bicameral"
    assert refused() == 401
    assert refused(subprotocols=["bicameral", "bicameral.key.x"]) == 401
    assert refused(subprotocols=protocols, origin="https://stranger.example") == 403
