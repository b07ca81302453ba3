"""API keys: made once, known by their digests, and asked for by every request but the public ones.

The whole application of one worker answers, with a real cascade.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from bicameral.errors import ConfigError
from server.api_keys import RIGHTS, KeyFile, Right, new_api_key, read_api_keys
from server.errors import RequestError
from server.http.authorisation import KeyHolders

Writer = Callable[..., Path]
Use = Callable[[httpx.AsyncClient], Awaitable[Any]]

HOLDERS: Mapping[str, frozenset[Right]] = {
    "alice": frozenset({"infer"}),
    "bob": frozenset({"infer"}),
    "prometheus": frozenset({"metrics"}),
    "root": frozenset({"manage", "infer", "metrics"}),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


@pytest.fixture
def keys(file: Path) -> dict[str, str]:
    """The keys of `HOLDERS`, which `file` knows."""
    made = {name: new_api_key(name, rights) for name, rights in HOLDERS.items()}
    file.write_text("\n".join(table for _, table in made.values()))
    return {name: key for name, (key, _) in made.items()}


def test_a_key_is_random_and_the_file_knows_its_digest_alone(
    keys: Mapping[str, str], file: Path
) -> None:
    assert len(set(keys.values())) == len(keys)
    text = file.read_text()
    for name, key in keys.items():
        assert key.startswith("bicameral_")
        assert len(key) == len("bicameral_") + 43, "256 bits"
        assert key not in text
        assert tomllib.loads(text)[name]["sha256"] == sha256(key.encode()).hexdigest()


def test_keys_are_found_by_what_is_shown_and_nothing_else(
    keys: Mapping[str, str], file: Path
) -> None:
    known = KeyFile(file)
    for name, key in keys.items():
        found = known.find(key.encode())
        assert found is not None
        assert (found.name, found.rights) == (name, HOLDERS[name])
    digest = sha256(keys["root"].encode())
    for wrong in (b"", b"bicameral_", keys["root"][:-1].encode(), digest.hexdigest().encode()):
        assert known.find(wrong) is None
    assert known.find(digest.digest()) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "hold none"),
        ("[a]\n", "a.sha256: Field required"),
        ('[a]\nkey = "bicameral_secret"\nrights = ["infer"]', "a.key: Extra inputs"),
        ('[a]\nsha256 = "bicameral_secret"\nrights = ["infer"]', "a.sha256: String should match"),
        (f'[a]\nsha256 = "{"0" * 64}"\nrights = []', "a.rights"),
        (f'[a]\nsha256 = "{"0" * 64}"\nrights = ["all"]', "'infer', 'metrics' or 'manage'"),
        (f'["a b"]\nsha256 = "{"0" * 64}"\nrights = ["infer"]', "a b"),
        (f'[a]\nsha256 = "{"0" * 64}"\nrights = ["infer"]\n[a]', "no TOML"),
        ("".join(f'[{n}]\nsha256 = "{"0" * 64}"\nrights = ["infer"]\n' for n in "ab"), "two names"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_without_repeating_secrets(
    file: Path, text: str, words: str
) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=words) as error:
        read_api_keys(file)
    assert str(file) in str(error.value)
    assert "bicameral_secret" not in str(error.value)


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(
    keys: Mapping[str, str], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="server")
    # A worker gets it from its supervisor.
    known = pickle.loads(pickle.dumps(KeyFile(file, look_every_s=0.0)))
    for _ in range(3):
        assert known.find(keys["alice"].encode()) is not None
    assert caplog.messages == []

    carol, table = new_api_key("carol", frozenset({"infer"}))
    with file.open("a") as output:
        output.write(f"\n{table}")
    assert known.find(carol.encode()) is not None
    assert known.find(keys["alice"].encode()) is not None
    file.write_text(f"{table}\n[half")
    for _ in range(3):
        assert known.find(keys["alice"].encode()) is not None
    file.unlink()
    assert known.find(keys["alice"].encode()) is not None
    file.write_text(table)
    assert known.find(keys["alice"].encode()) is None, "her key was withdrawn"
    assert known.find(carol.encode()) is not None
    again = f"the API keys are now those of {file}"
    first, broken, gone, last = caplog.messages
    assert (first, last) == (again, again)
    assert broken.startswith("the API keys stay as they were: ")
    assert "No such file" in gone


def test_a_file_is_not_looked_at_with_every_request(keys: Mapping[str, str], file: Path) -> None:
    known = KeyFile(file, look_every_s=3600.0)
    assert known.find(keys["alice"].encode()) is not None
    file.write_text(new_api_key("carol", frozenset({"infer"}))[1])
    assert known.find(keys["alice"].encode()) is not None


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"keys\.toml: No such file"):
        read_api_keys(file)


@pytest.mark.parametrize(("name", "rights"), [("", {"infer"}), ("a.b", {"infer"}), ("a", set())])
def test_no_key_is_made_that_no_file_could_hold(name: str, rights: set[Right]) -> None:
    with pytest.raises(ConfigError, match="cannot make an API key"):
        new_api_key(name, frozenset(rights))


def test_the_command_shows_the_key_once_and_prints_what_the_file_needs(file: Path) -> None:
    main = "from bicameral.cli.app import main; main()"
    key = {}
    with file.open("a") as output:
        for name, rights in (("alice", []), ("bob", ["--rights", "infer", "manage"])):
            result = subprocess.run(
                [sys.executable, "-c", main, "keys", "new", name, *rights],
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                check=True,
                env=os.environ,
            )
            key[name] = result.stderr.split()[-1]
    known = KeyFile(file)
    for name, rights in (("alice", {"infer"}), ("bob", {"infer", "manage"})):
        found = known.find(key[name].encode())
        assert found is not None
        assert (found.name, found.rights) == (name, rights)


def shown(known: KeyFile, right: Right, kind: str = "http", **headers: str) -> str:
    """Return the name of the key by which a request may do something."""
    scope = {
        "type": kind,
        "headers": [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()],
        "state": {},
    }
    KeyHolders(known)(scope, right)
    return str(scope["state"]["api_key"])  # type: ignore[index]


def test_a_key_may_come_in_either_header_and_for_sockets_as_a_protocol(
    keys: Mapping[str, str], file: Path
) -> None:
    known, key = KeyFile(file), keys["alice"]
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert shown(known, "infer", authorization=f"{scheme} {key}") == "alice"
    assert shown(known, "infer", x_api_key=key) == "alice"
    both = {"x_api_key": keys["bob"], "authorization": "Basic eDp5"}
    assert shown(known, "infer", **both) == "bob", "another scheme may be a proxy's"
    protocols = f"bicameral, bicameral.key.{key}"
    assert shown(known, "infer", "websocket", sec_websocket_protocol=protocols) == "alice"
    with pytest.raises(RequestError, match="needs an API key"):
        shown(known, "infer", sec_websocket_protocol=protocols)


@pytest.fixture
def serve(
    models: Path,
    file: Path,
    keys: Mapping[str, str],
    write_pair: Writer,
    serving_folder: Callable[..., Any],
) -> Callable[[], Any]:
    """Run, while a context is open, an application that asks for the keys of `HOLDERS`."""
    write_pair(models)
    return lambda: serving_folder(models, KeyHolders(KeyFile(file)))


PUBLIC = [("GET", "/v2/health/live"), ("GET", "/v2/health/ready"), ("GET", "/openapi.json")]
GUARDED: list[tuple[str, str, Right]] = [
    ("GET", "/v2", "infer"),
    ("GET", "/v2/models/a", "infer"),
    ("GET", "/v2/models/a/ready", "infer"),
    ("GET", "/v2/models/stats", "infer"),
    ("POST", "/v2/models/a/infer", "infer"),
    ("POST", "/v2/repository/index", "infer"),
    ("POST", "/v1/classify/a", "infer"),
    ("GET", "/metrics", "metrics"),
    ("GET", "/v1/workers", "manage"),
    ("GET", "/v1/memory/pair", "manage"),
    ("DELETE", "/v1/memory/pair", "manage"),
    ("POST", "/v2/repository/models/a/load", "manage"),
    ("POST", "/v2/repository/models/a/unload", "manage"),
    ("POST", "/v1/models/a/versions/1/load", "manage"),
    ("POST", "/v1/models/a/versions/1/unload", "manage"),
]


async def test_every_path_asks_for_its_right(
    serve: Callable[[Use], Any], keys: Mapping[str, str]
) -> None:
    async with serve() as client:
        for method, path in PUBLIC:
            assert (await client.request(method, path)).status_code == 200
        for method, path, right in GUARDED:
            for headers, error in (
                ({}, None),
                ({"X-API-Key": "bicameral_x"}, "invalid_token"),
                ({"Authorization": f"Bearer {keys['root']}x"}, "invalid_token"),
            ):
                answer = await client.request(method, path, headers=headers)
                assert answer.status_code == 401, path
                assert "API key" in answer.json()["error"]
                challenge = answer.headers["www-authenticate"]
                assert challenge.startswith('Bearer realm="bicameral"')
                assert ("invalid_token" in challenge) == (error is not None)
            for name, rights in HOLDERS.items():
                if right in rights:
                    continue
                answer = await client.request(method, path, headers={"X-API-Key": keys[name]})
                assert answer.status_code == 403, (name, path)
                assert f"{name!r} does not allow {right!r}" in answer.json()["error"]
                assert f'scope="{right}"' in answer.headers["www-authenticate"]
        for method, path, _ in GUARDED:
            answer = await client.request(method, path, headers={"X-API-Key": keys["root"]})
            assert answer.status_code not in (401, 403), path


async def test_every_documented_path_is_guarded_or_public_on_purpose(
    serve: Callable[[Use], Any],
) -> None:
    """A route that somebody adds and forgets to guard is found here."""
    async with serve() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        for path, operations in paths.items():
            for method, operation in operations.items():
                needed = {
                    parameter["name"]: 1
                    for parameter in operation.get("parameters", ())
                    if parameter["in"] == "query" and parameter["required"]
                }
                answer = await client.request(method.upper(), path, params=needed)
                assert (method, path, answer.status_code) == (method, path, 401)
                assert {"401", "403"} <= operation["responses"].keys()


async def test_what_one_key_had_remembered_answers_no_other_key(
    serve: Callable[[Use], Any], keys: Mapping[str, str], pictures: np.ndarray
) -> None:
    picture = cv2.imencode(".png", pictures[0])[1].tobytes()

    async def hit(client: httpx.AsyncClient, name: str) -> bool:
        headers = {"Authorization": f"Bearer {keys[name]}"}
        answer = await client.post("/v1/classify/pair", content=picture, headers=headers)
        return bool(answer.json()["results"][0]["trace"]["memory_hit"])

    async with serve() as client:
        found = [await hit(client, name) for name in ("alice", "alice", "bob", "bob", "root")]
    assert found == [False, True, False, True, False]


def test_another_key_of_the_same_name_sees_nothing_of_the_first_ones(file: Path) -> None:
    namespaces = set()
    for _ in range(2):
        key, table = new_api_key("alice", frozenset(RIGHTS))
        file.write_text(table)
        found = KeyFile(file).find(key.encode())
        assert found is not None
        namespaces.add(found.namespace)
    assert len(namespaces) == 2
