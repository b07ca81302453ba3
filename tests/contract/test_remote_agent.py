"""A driving agent in a real server: how episodes begin, are watched, end and are cut off."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from agent.remote import API_KEY_VARIABLE, RemoteAgent, describe_remote
from bicameral.errors import AgentLostError, ConfigError, DataError, UserError
from bicameral.types import AGENT_CAMERA, Observation, Pose, Route
from edge.shipped import weights_folder
from server.api_keys import new_api_key

#: Servers start here, perhaps on a busy machine.
pytestmark = pytest.mark.timeout(300)

PATIENCE_S = 120.0
MakeRoute = Callable[..., Route]
VIEW = np.full((AGENT_CAMERA.height, AGENT_CAMERA.width, 3), 90, np.uint8)


class Server:
    """A server with one worker, which knows caril_a and caril_b and asks for a key."""

    def __init__(self, process: Any, key: str) -> None:
        self.process, self.port, self.key = process, process.port, key
        self.url = f"{process.url}/v1/drive/caril_a"

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        request = Request(f"{self.process.url}{path}", headers=headers)
        return urlopen(request, timeout=PATIENCE_S)


@contextmanager
def running(serving: Callable[..., Any], folder: Path, drain_s: float = 10.0) -> Iterator[Server]:
    for path in weights_folder().glob("caril_[ab].*"):
        shutil.copy(path, folder)
    key, table = new_api_key("driver", frozenset({"infer"}))
    (folder / "keys").mkdir()
    keys = folder / "keys" / "keys.toml"
    keys.write_text(table)
    limits = ("--requests.max-body-bytes=300000", f"--api-keys={keys}", f"--drain-s={drain_s}")
    with serving(folder, folder / "server.log", "--workers=1", *limits) as process:
        yield Server(process, key)


@pytest.fixture
def start(
    tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Any]
) -> Iterator[Callable[..., Server]]:
    with ExitStack() as servers:
        yield lambda **settings: servers.enter_context(
            running(serving, tmp_path_factory.mktemp("models"), **settings)
        )


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Any]
) -> Iterator[Server]:
    with running(serving, tmp_path_factory.mktemp("models")) as server:
        yield server


@pytest.fixture
def server(shared: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv(API_KEY_VARIABLE, shared.key)
    return shared


def observation(frame: int = 0, image: np.ndarray | None = VIEW) -> Observation:
    return Observation(
        frame=frame, time_s=frame / 20, image=image, pose=Pose(x_m=1.0, y_m=0.0), speed_mps=5.0
    )


def test_it_drives_one_episode_after_the_other(server: Server, straight_route: MakeRoute) -> None:
    agent = RemoteAgent(server.url, "second_opinion", "caril_b")
    assert (agent.name, agent.privileged, agent.camera) == ("remote-caril_a", False, AGENT_CAMERA)
    steers = []
    with closing(agent):
        for seed in range(2):
            agent.begin(straight_route(), seed)
            steers.append([agent.act(observation(frame)).control.steer for frame in range(5)])
    assert steers[0] == steers[1]


def test_what_the_server_does_not_accept_is_the_users_error(
    server: Server, straight_route: MakeRoute
) -> None:
    with closing(RemoteAgent(server.url)) as agent:
        with pytest.raises(RuntimeError, match="before begin"):
            agent.act(observation())
        agent.begin(straight_route(), 0)
        with pytest.raises(DataError, match="frame 3 has no picture"):
            agent.act(observation(3, None))
        with pytest.raises(ConfigError, match=r"ended the episode.*12 bytes, expected 153,600"):
            agent.act(observation(3, np.zeros((2, 2, 3), np.uint8)))
        with pytest.raises(ConfigError, match="ended the episode"):
            agent.begin(straight_route(20_000), 0)  # a longer message than allowed
    with pytest.raises(UserError, match="unknown correction 'magic'; known: none, paper"):
        RemoteAgent(server.url, "magic")
    with pytest.raises(ConfigError, match="needs a second network"):
        RemoteAgent(server.url, "second_opinion")
    with pytest.raises(UserError, match=r"second agent .* 'caril_c'; known: caril_b"):
        RemoteAgent(server.url, "second_opinion", "caril_c")


def test_another_network_than_the_expected_one_does_not_drive(
    server: Server, straight_route: MakeRoute
) -> None:
    known = describe_remote(server.url).fingerprint
    with closing(RemoteAgent(server.url, fingerprint=known)) as agent:
        agent.begin(straight_route(), 0)
    with (
        closing(RemoteAgent(server.url, fingerprint="0" * 64)) as agent,
        pytest.raises(AgentLostError, match=f"another one by now: version 1 .* {known[:12]}"),
    ):
        agent.begin(straight_route(), 0)


def test_a_server_that_asks_for_a_key_gets_the_one_in_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, straight_route: MakeRoute
) -> None:
    agent = RemoteAgent(server.url)
    monkeypatch.delenv(API_KEY_VARIABLE)
    with pytest.raises(ConfigError, match=f"401.*needs an API key.*{API_KEY_VARIABLE}"):
        describe_remote(server.url)
    with pytest.raises(ConfigError, match=f"401.*needs an API key.*{API_KEY_VARIABLE}"):
        agent.begin(straight_route(), 0)


def test_a_browser_shows_its_key_as_a_protocol(server: Server) -> None:
    url = f"{server.url.replace('http', 'ws')}/stream"
    protocols: list[Any] = ["bicameral", f"bicameral.key.{server.key}"]
    with connect(url, subprotocols=protocols) as socket_:
        assert socket_.subprotocol == "bicameral"
    for origin, status in ((f"http://127.0.0.1:{server.port}", 401), ("http://evil.example", 403)):
        with pytest.raises(InvalidStatus) as refusal, connect(url, origin=origin):  # type: ignore[arg-type]
            pass
        assert refusal.value.response.status_code == status
        assert list(json.loads(refusal.value.response.body or b"")) == ["error"]


def test_who_watches_gets_every_episode_as_events(
    server: Server, straight_route: MakeRoute
) -> None:
    with (
        server.get("/v1/drive/caril_a/live") as live,
        closing(RemoteAgent(server.url)) as agent,
    ):
        assert live.headers["Content-Type"].startswith("text/event-stream")
        assert live.readline() == b": nothing new\n"
        agent.begin(straight_route(), 0)
        decision = agent.act(observation(7))
        live.readline()
        assert live.readline() == b"event: tick\n"
        tick = json.loads(live.readline().removeprefix(b"data: "))
        assert (tick["frame"], tick["steer"]) == (7, decision.control.steer)
        assert tick["picture"].startswith("data:image/jpeg;base64,")
        agent.close()
        live.readline()
        assert live.readline() == b"event: end\n"


def test_an_episode_that_ends_in_time_is_finished_when_the_server_ends(
    start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, straight_route: MakeRoute
) -> None:
    server = start(drain_s=60.0)
    monkeypatch.setenv(API_KEY_VARIABLE, server.key)
    with closing(RemoteAgent(server.url)) as agent:
        agent.patience_s = 0.0
        agent.begin(straight_route(), 0)
        agent.act(observation(0))
        with server.get("/v1/drive/caril_a/live") as live:
            server.process.process.terminate()
            live.read()  # those who only watch do not hold it up, and hear of the end after that:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port)).close()
        assert [agent.act(observation(frame)).branch for frame in range(1, 20)] == ["none"] * 19
        agent.close()
        assert server.process.process.wait(PATIENCE_S) == 0
        with pytest.raises(AgentLostError, match="cannot reach"):
            agent.begin(straight_route(), 0)


def test_an_episode_that_does_not_end_in_time_is_told_why(
    start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, straight_route: MakeRoute
) -> None:
    server = start(drain_s=1.0)
    monkeypatch.setenv(API_KEY_VARIABLE, server.key)
    with closing(RemoteAgent(server.url)) as agent:
        agent.begin(straight_route(), 0)
        assert server.process.end() == 0
        with pytest.raises(AgentLostError, match="the server is shutting down"):
            agent.act(observation(0))


def test_it_waits_for_a_server_that_starts_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, straight_route: MakeRoute
) -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{placeholder.getsockname()[1]}/v1/drive/caril_a"
        with closing(RemoteAgent(server.url)) as agent:
            agent._url = url
            threading.Timer(1.0, lambda: setattr(agent, "_url", server.url)).start()
            agent.begin(straight_route(), 0)
            assert agent.act(observation()).branch == "none"
