"""Addresses of agents elsewhere, and what may be found there instead of one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from agent.remote import RemoteDriver, describe_remote
from bicameral.errors import AgentLostError, ConfigError, UserError
from bicameral.types import AGENT_CAMERA

DRIVER = RemoteDriver(
    model="net",
    version="2",
    fingerprint="abc",
    trained_on="pocket",
    camera=AGENT_CAMERA,
    corrections=("none", "second_opinion"),
    second=("other",),
)


@pytest.fixture
def answering() -> Iterator[Callable[[int, Any], str]]:
    """Start a server that knows one path and gives one answer; returns its host and port."""
    started: list[HTTPServer] = []

    def start(status: int, answer: Any) -> str:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/v1/drive/net" else 418)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        started.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("address", ["http://{}/v1/drive/net", "ws://{}/v1/drive/net/stream/"])
def test_an_agent_is_found_by_its_address_over_either_protocol(
    answering: Callable[[int, Any], str], address: str
) -> None:
    host = answering(200, {**asdict(DRIVER), "commands": ["left"]})
    assert describe_remote(address.format(host)) == DRIVER


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http://host",
        "http://host/v1/drive/",
        "http://host/v1/drive/a/b",
        "file:///v1/drive/a",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ConfigError, match="no address of an agent; expected http://HOST:PORT"):
        describe_remote(address)


@pytest.mark.parametrize(
    ("status", "answer", "error", "words"),
    [
        (404, {"error": "unknown model"}, ConfigError, "answers 404: unknown model"),
        (401, {"error": "no key"}, ConfigError, "401: no key; .* BICAMERAL_API_KEY"),
        (503, {"error": "loading"}, AgentLostError, "answers 503: loading"),
        (429, {"error": "busy"}, AgentLostError, "answers 429: busy"),
        (500, b"<h1>oh</h1>", AgentLostError, "answers 500: <h1>oh</h1>"),
        (200, b"<h1>hello</h1>", ConfigError, "does not answer as a server of driving agents"),
        (200, {**asdict(DRIVER), "camera": {}}, ConfigError, "does not answer as a server"),
        (200, [], ConfigError, "does not answer as a server"),
    ],
)
def test_what_a_server_answers_instead_of_an_agent_is_told(
    answering: Callable[[int, Any], str],
    status: int,
    answer: Any,
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        describe_remote(f"http://{answering(status, answer)}/v1/drive/net")


def test_what_an_agent_cannot_do_is_refused() -> None:
    DRIVER.require("none", None)
    DRIVER.require("second_opinion", "other")
    with pytest.raises(UserError, match="unknown correction 'paper'; known: none, second_opinion"):
        DRIVER.require("paper", None)
    with pytest.raises(UserError, match="unknown second agent for 'net' 'others'; known: other"):
        DRIVER.require("second_opinion", "others")
    with pytest.raises(ConfigError, match="needs a second network"):
        DRIVER.require("second_opinion", None)
