"""Whole episodes over a WebSocket: the application of one worker, with the shipped agents."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Any, Self

import cv2
import httpx
import numpy as np
import pytest
from starlette.types import ASGIApp, Message, Scope

from agent.loading import load_agent
from bicameral.types import AGENT_CAMERA, Decision, Observation, Pose, RoadOption, Route
from edge.dual_head import DualHeadModel
from edge.shipped import shipped_model, weights_folder
from server.app import create_app
from server.errors import RequestError
from server.limits import RequestLimits, ServerSettings, StreamLimits

Writer = Callable[..., Path]
Serve = Callable[..., Any]

PATH = "/v1/drive/caril_a/stream"
PIXELS = AGENT_CAMERA.height * AGENT_CAMERA.width


def bend(length_m: int = 100) -> Route:
    """Return a route that bends to the right, is to be left behind to the left, and slows down."""
    s_m = np.arange(0.0, length_m + 1.0)
    yaw_rad = s_m**2 / 9000.0
    return Route(
        name="bend",
        town="nowhere",
        kind="curves",
        xyz_m=np.stack([s_m, s_m**3 / 27000.0, np.zeros_like(s_m)], axis=1),
        yaw_rad=yaw_rad,
        s_m=s_m,
        command=np.where(s_m < 3, RoadOption.LANE_FOLLOW, RoadOption.LEFT).astype(np.int8),
        in_junction=s_m > 50,
        lane_width_m=np.full(len(s_m), 3.5),
        speed_limit_mps=np.full(len(s_m), 8.0),
        target_speed_mps=np.linspace(8.0, 4.1, len(s_m)),
    )


def route_message(route: Route) -> dict[str, Any]:
    """Return what a client sends of a route."""
    return {
        "name": route.name,
        "town": route.town,
        "kind": route.kind,
        "xyz_m": route.xyz_m.tolist(),
        "yaw_rad": route.yaw_rad.tolist(),
        "s_m": route.s_m.tolist(),
        "command": [RoadOption(value).name.lower() for value in route.command.tolist()],
        "in_junction": route.in_junction.tolist(),
        "lane_width_m": route.lane_width_m.tolist(),
        "speed_limit_mps": route.speed_limit_mps.tolist(),
        "target_speed_mps": route.target_speed_mps.tolist(),
    }


class Socket:
    """One WebSocket of an ASGI application, as a server gives it to it."""

    def __init__(self, app: ASGIApp, path: str, **headers: str) -> None:
        self._app = app
        self._scope = {
            "type": "websocket",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "subprotocols": headers.get("sec_websocket_protocol", "").split(),
            "extensions": {"websocket.http.response": {}},
        }
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(
            self._app(self._scope, self._to_app.get, self._from_app.put)  # type: ignore[arg-type]
        )
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.opening = await self._from_app.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task

    def send(self, *messages: Any) -> None:
        """Send bytes as they are, text likewise, and everything else as JSON."""
        for message in messages:
            if isinstance(message, bytes):
                self._to_app.put_nowait({"type": "websocket.receive", "bytes": message})
            else:
                text = message if isinstance(message, str) else json.dumps(message)
                self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    async def receive(self) -> Message:
        return await self._from_app.get()

    async def ask(self, *messages: Any) -> Any:
        """Send messages and return the parsed answer."""
        self.send(*messages)
        return json.loads((await self.receive())["text"])


@pytest.fixture
def folder(tmp_path: Path, write_classifier: Writer) -> Path:
    """The shipped agents caril_a and caril_b, and the classifier "shoes"."""
    folder = tmp_path / "models"
    folder.mkdir()
    for path in weights_folder().glob("caril_[ab].*"):
        shutil.copy(path, folder)
    write_classifier(folder, "shoes")
    return folder


@pytest.fixture(autouse=True)
def nothing_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.message for record in caplog.get_records("call") if record.levelno > 30] == []


@pytest.fixture
def serve(folder: Path, serving_app: Serve) -> Serve:
    """Run the application while a context is open; keywords set limits of streams."""

    @asynccontextmanager
    async def run(
        *, authorise: Any = None, max_pixels: int = 10**6, **limits: Any
    ) -> AsyncIterator[tuple[ASGIApp, httpx.AsyncClient]]:
        settings = ServerSettings(
            requests=RequestLimits(max_pixels=max_pixels), streams=StreamLimits(**limits)
        )
        apps: list[ASGIApp] = []

        def make(run_folder: Any) -> ASGIApp:
            apps.append(create_app(settings, [folder], run_folder, authorise))
            return apps[0]

        async with serving_app(make) as client:
            yield apps[0], client

    return run


@pytest.fixture(scope="module")
def views() -> np.ndarray:
    """Twelve camera pictures (H, W, 3) RGB, from dark to bright, with noise."""
    rng = np.random.default_rng(3)
    level = np.linspace(5, 200, 12)[:, None, None, None]
    shape = (12, AGENT_CAMERA.height, AGENT_CAMERA.width, 3)
    return np.clip(level + rng.normal(0, 25, shape), 0, 255).astype(np.uint8)


def begin_message(**changes: Any) -> dict[str, Any]:
    return {"route": route_message(bend()), **changes}


def tick_message(tick: int) -> dict[str, Any]:
    # Numbers with all their digits: none may be lost on the way.
    pose = {"x_m": 0.4 * tick, "y_m": tick / 7, "yaw_rad": tick / 300, "z_m": 0.1, "roll_rad": 0.01}
    return {"frame": tick, "time_s": tick / 20, "pose": pose, "speed_mps": 8.0 - tick / 3}


def decisions_in_process(
    views: Sequence[np.ndarray], correction: str, second: str | None, seed: int, delay_ticks: int
) -> list[Decision]:
    agent = load_agent("caril_a", correction, second, delay_ticks=delay_ticks)
    agent.begin(bend(), seed)
    decisions = []
    for tick, view in enumerate(views):
        message = tick_message(tick)
        decisions.append(
            agent.act(
                Observation(
                    frame=tick,
                    time_s=message["time_s"],
                    image=view,
                    pose=Pose(**message["pose"]),
                    speed_mps=message["speed_mps"],
                )
            )
        )
    return decisions


def encoded(view: np.ndarray, form: str) -> bytes:
    if form == "rgb":
        return view.tobytes()
    if form == "bgra":
        return cv2.cvtColor(view, cv2.COLOR_RGB2BGRA).tobytes()
    return cv2.imencode(".png", view[..., ::-1])[1].tobytes()


@pytest.mark.parametrize(
    ("form", "correction", "second"),
    [
        ("rgb", "none", None),
        ("bgra", "paper", None),
        ("encoded", "second_opinion", "caril_b"),
    ],
)
async def test_an_episode_is_the_same_as_in_process_to_the_last_bit(
    serve: Serve, views: np.ndarray, form: str, correction: str, second: str | None
) -> None:
    fingerprint = DualHeadModel.load(shipped_model("caril_a")).fingerprint
    begin = begin_message(seed=7, correction=correction, second=second, delay_ticks=2, picture=form)
    async with serve() as (app, _):
        async with Socket(app, PATH) as socket:
            begun = await socket.ask(begin)
            assert begun.pop("fingerprint") == fingerprint
            assert begun == {
                "model": "caril_a",
                "version": "1",
                "correction": correction,
                "second": second,
            }
            found = [
                await socket.ask(tick_message(tick), encoded(view, form))
                for tick, view in enumerate(views)
            ]
    expected = decisions_in_process(views, correction, second, seed=7, delay_ticks=2)
    for tick, (answer, decision) in enumerate(zip(found, expected, strict=True)):
        assert answer.pop("times_s").keys() == {"decode", "decide", "networks"}
        assert answer == {
            "frame": tick,
            "steer": decision.control.steer,
            "throttle": decision.control.throttle,
            "brake": decision.control.brake,
            "confidence": decision.confidence,
            "entropy": decision.entropy,
            "branch": decision.branch,
            "steer_raw": decision.steer_raw,
            "diagnostics": decision.diagnostics,
        }
    assert len({decision.branch for decision in expected}) > 1 or correction == "none"


async def test_connections_have_agents_of_their_own(serve: Serve, views: np.ndarray) -> None:
    begin = begin_message(correction="second_opinion", second="caril_b")
    async with serve() as (app, _):
        async with Socket(app, PATH) as first, Socket(app, PATH) as second:
            answers: list[list[Any]] = [[], []]
            await first.ask(begin)
            await second.ask(begin)
            for tick, view in enumerate(views):
                answers[0].append(await first.ask(tick_message(tick), view.tobytes()))
                answers[1].append(await second.ask(tick_message(tick), views[5].tobytes()))
            first, second = answers
    expected = decisions_in_process(views, "second_opinion", "caril_b", 0, 0)
    assert [answer["steer"] for answer in first] == [one.control.steer for one in expected]
    assert [answer["steer"] for answer in first] != [answer["steer"] for answer in second]


async def test_what_is_sent_ahead_is_answered_in_its_order(serve: Serve, views: np.ndarray) -> None:
    async with serve() as (app, _):
        async with Socket(app, PATH) as socket:
            await socket.ask(begin_message())
            for tick, view in enumerate(views):
                socket.send(tick_message(tick), view.tobytes())
            found = [json.loads((await socket.receive())["text"])["frame"] for _ in views]
    assert found == list(range(len(views)))


def ended(code: int, *words: str, text: str, end: Message) -> bool:
    """Check the last two messages: what failed, and the end with the same reason."""
    error = json.loads(text)
    assert list(error) == ["error"]
    assert all(word in error["error"] for word in words), error
    assert end["code"] == code, end
    assert error["error"].encode().startswith(end["reason"].encode())
    assert 0 < len(end["reason"].encode()) <= 123
    return True


async def end_of(app: ASGIApp, *messages: Any, after: int = 0) -> dict[str, Any]:
    """Send messages; return what comes after so many answers."""
    async with Socket(app, PATH) as socket:
        socket.send(*messages)
        for _ in range(after):
            await socket.receive()
        return {"text": (await socket.receive())["text"], "end": await socket.receive()}


def without(field: str) -> dict[str, Any]:
    return {**begin_message(), "route": {**route_message(bend()), field: [0.0]}}


CANNOT_BEGIN: list[tuple[Any, int, list[str]]] = [
    ("{", 4400, ["JSON"]),
    ([], 4400, ["object"]),
    ({}, 4400, ["route", "required"]),
    (b"bytes", 4400, ["expected JSON as text"]),
    (begin_message(spead=1), 4400, ["spead"]),
    (begin_message(correction="magic"), 4400, ["correction", "second_opinion"]),
    (begin_message(correction="second_opinion"), 4400, ["needs another agent"]),
    (begin_message(correction="second_opinion", second="caril_c"), 4404, ["caril_b"]),
    (begin_message(correction="second_opinion", second="shoes"), 4400, ["no driving agent"]),
    (begin_message(second="caril_b"), 4400, ["asks nobody"]),
    (begin_message(seed=-1), 4400, ["seed"]),
    (begin_message(delay_ticks=10**9), 4400, ["delay_ticks"]),
    (begin_message(picture="yuv"), 4400, ["picture", "bgra"]),
    (without("yaw_rad"), 4400, ["route.yaw_rad has 1 entries", "101"]),
    (without("command"), 4400, ["route.command.0", "lane_follow"]),
    ({"route": {**route_message(bend()), "s_m": [0.0] * 101}}, 4400, ["s_m", "increase"]),
    ({"route": route_message(bend(2000))}, 4413, ["2,001 points", "1,000"]),
    (json.dumps(begin_message()).replace("8.0", "NaN", 1), 4400, ["route.xyz_m.8.0"]),
]


async def test_an_episode_that_cannot_begin_is_refused_with_the_reason(serve: Serve) -> None:
    async with serve(max_route_points=1000) as (app, _):
        ends = [await end_of(app, begin) for begin, _, _ in CANNOT_BEGIN]
    for (_, code, words), end in zip(CANNOT_BEGIN, ends, strict=True):
        assert ended(code, *words, **end)


DOES_NOT_FIT: list[tuple[list[Any], str, int, list[str]]] = [
    (["{"], "rgb", 4400, ["JSON"]),
    ([{**tick_message(0), "frame": "x"}], "rgb", 4400, ["frame"]),
    ([{**tick_message(0), "speed_mps": 1e9}], "rgb", 4400, ["speed_mps"]),
    ([{**tick_message(0), "pose": {"x_m": 0.0}}], "rgb", 4400, ["pose.y_m"]),
    ([tick_message(0), tick_message(1)], "rgb", 4400, ["expected a picture"]),
    ([tick_message(0), bytes(7)], "rgb", 4400, ["7 bytes", "153,600", "160 rows of 320"]),
    ([tick_message(0), bytes(PIXELS * 3)], "bgra", 4400, ["204,800", "bgra"]),
    ([tick_message(0), b"GIF89a"], "encoded", 4415, ["picture 0"]),
    (
        [tick_message(0), encoded(np.zeros((16, 16, 3), np.uint8), "png")],
        "encoded",
        4415,
        ["(16, 16, 3)", "(160, 320, 3)"],
    ),
    (
        [tick_message(0), encoded(np.zeros((500, 500, 3), np.uint8), "png")],
        "encoded",
        4413,
        ["250,000 pixels"],
    ),
]


async def test_a_tick_that_does_not_fit_ends_the_episode_with_the_reason(serve: Serve) -> None:
    async with serve(max_pixels=100000) as (app, _):
        ends = [
            await end_of(app, begin_message(picture=form), *messages, after=1)
            for messages, form, _, _ in DOES_NOT_FIT
        ]
    for (_, _, code, words), end in zip(DOES_NOT_FIT, ends, strict=True):
        assert ended(code, *words, **end)


async def test_a_client_that_sends_nothing_for_long_is_not_waited_for(serve: Serve) -> None:
    async with serve(idle_timeout_s=0.2) as (app, _):
        found = [
            await end_of(app),
            await end_of(app, begin_message(), after=1),
            await end_of(app, begin_message(), tick_message(0), after=1),
        ]
    for end in found:
        assert ended(4408, "0.2 s", **end)


def denial(messages: Sequence[Message]) -> tuple[int, str]:
    """Return status and reason of a connection that was not opened."""
    start, body = messages
    assert start["type"] == "websocket.http.response.start", start
    assert (b"content-type", b"application/json") in start["headers"]
    assert any(name == b"x-request-id" for name, _ in start["headers"])
    return start["status"], json.loads(body["body"])["error"]


async def refusal_of(app: ASGIApp, path: str = PATH, **headers: str) -> tuple[int, str]:
    async with Socket(app, path, **headers) as socket:
        return denial([socket.opening, await socket.receive()])


async def test_a_connection_that_makes_no_sense_is_denied_as_any_other_request(
    serve: Serve,
) -> None:
    async with serve() as (app, _):
        (absent, known), (other_kind, kind), (foreign, origin) = [
            await refusal_of(app, "/v1/drive/carla_a/stream"),
            await refusal_of(app, "/v1/drive/shoes/stream"),
            await refusal_of(app, host="127.0.0.1:8000", origin="http://evil.example"),
        ]
    assert (absent, "caril_a" in known) == (404, True)
    assert (other_kind, "no driving agent" in kind) == (400, True)
    assert (foreign, "evil.example" in origin) == (403, True)


async def test_a_page_of_this_server_may_drive(serve: Serve) -> None:
    async with serve() as (app, _):
        headers = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}
        async with Socket(app, PATH, **headers) as socket:
            opening = socket.opening
    assert opening["type"] == "websocket.accept"
    assert any(name == b"x-request-id" for name, _ in opening["headers"])


async def test_who_may_not_infer_may_not_drive(serve: Serve) -> None:
    def nobody(scope: Scope, right: str) -> str:
        raise RequestError(401, f"{scope['path']} needs {right}")

    async with serve(authorise=nobody) as (app, _):
        found = await refusal_of(app)
    assert found == (401, f"{PATH} needs infer")


async def test_one_stream_more_than_allowed_is_denied_until_another_one_ends(serve: Serve) -> None:
    async with serve(max_streams=2) as (app, _):
        async with Socket(app, PATH), Socket(app, PATH):
            third = await refusal_of(app)
        async with Socket(app, PATH) as socket:
            (status, reason), opening = [third, socket.opening["type"]]
    assert (status, "2 episodes" in reason, opening) == (429, True, "websocket.accept")


async def test_a_server_whose_time_is_over_ends_the_stream_and_says_so(serve: Serve) -> None:
    async with serve() as (app, _):
        async with Socket(app, PATH) as socket:
            await socket.ask(begin_message())
            socket.task.cancel()
            end = await socket.receive()
    assert (end["code"], end["reason"]) == (1012, "the server is shutting down")


async def test_a_model_that_is_unloaded_ends_its_streams(serve: Serve, views: np.ndarray) -> None:
    async with serve() as (app, client):
        async with Socket(app, PATH) as socket:
            await socket.ask(begin_message())
            unloading = asyncio.create_task(client.post("/v2/repository/models/caril_a/unload"))
            while (await client.get("/v1/drive/caril_a")).status_code == 200:
                await asyncio.sleep(0)
            # It is kept for those who use it, for as long as the server waits when it ends.
            answer = await socket.ask(tick_message(0), views[0].tobytes())
            assert answer["frame"] == 0
            socket.send(b"nonsense")
            end = {"text": (await socket.receive())["text"], "end": await socket.receive()}
            assert (await unloading).status_code == 200
            found = end
    assert ended(4400, **found)


async def test_ticks_and_streams_are_counted(serve: Serve, views: np.ndarray) -> None:
    async with serve() as (app, client):
        async with Socket(app, PATH) as socket:
            await socket.ask(begin_message())
            for tick in range(3):
                await socket.ask(tick_message(tick), views[tick].tobytes())
            during = (await client.get("/metrics")).text
            await socket.ask(tick_message(3), b"")
        during, after = [during, (await client.get("/metrics")).text]
    labels = 'model="caril_a"'
    assert f'inference_requests_total{{{labels},outcome="success",version="1"}} 3.0' in during
    assert f'drive_streams{{{labels},version="1"}} 1.0' in during
    assert f'inference_requests_total{{{labels},outcome="client_error",version="1"}} 1.0' in after
    assert f'drive_streams{{{labels},version="1"}} 0.0' in after


class Watcher:
    """A client of the live events, as a server lets it speak to an ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._sent_request = False

    async def __aenter__(self) -> Self:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/drive/caril_a/live",
            "query_string": b"",
            "headers": [],
        }
        self.task = asyncio.create_task(
            self._app(scope, self._receive, self._from_app.put)  # type: ignore[arg-type]
        )
        self.start = await self._from_app.get()
        assert (await self._from_app.get())["body"].startswith(b": "), "it has looked once"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        await self.task

    async def _receive(self) -> Message:
        if not self._sent_request:
            self._sent_request = True
            return {"type": "http.request"}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def event(self) -> tuple[str, Any]:
        """Return the next event."""
        while True:
            text = (await self._from_app.get())["body"].decode()
            if text.startswith("event: "):
                kind, data = text.removeprefix("event: ").rstrip().split("\ndata: ")
                return kind, json.loads(data)


async def test_who_watches_sees_what_the_agent_sees_and_decides(
    serve: Serve, views: np.ndarray
) -> None:
    async with serve() as (app, _):
        async with Watcher(app) as watcher:
            async with Socket(app, PATH) as socket:
                await socket.ask(begin_message(correction="paper"))
                answer = await socket.ask(tick_message(4), views[4].tobytes())
                tick = await watcher.event()
            start, answer, (kind, shown), (last_kind, last) = [
                watcher.start,
                answer,
                tick,
                await watcher.event(),
            ]
    assert start["status"] == 200
    assert (b"content-type", b"text/event-stream; charset=utf-8") in start["headers"]
    assert (b"cache-control", b"no-store") in start["headers"]
    assert (kind, last_kind) == ("tick", "end")
    assert last == {"stream": shown.pop("stream")}
    assert shown.pop("picture").startswith("data:image/jpeg;base64,")
    assert shown == {
        "model": "caril_a",
        "version": "1",
        "correction": "paper",
        "second": None,
        "route": "bend",
        "town": "nowhere",
        "time_s": 0.2,
        "speed_mps": tick_message(4)["speed_mps"],
        **answer,
    }


async def test_watching_ends_when_the_worker_ends(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = Event()
    monkeypatch.setattr("server.app.ENDING", ending)
    async with serve() as (app, _):
        async with Watcher(app) as watcher:
            ending.set()
            await asyncio.wait_for(watcher.task, 60)


async def test_watching_what_does_not_drive_is_refused(serve: Serve) -> None:
    async with serve() as (_, client):
        names = ("shoes", "carla_a")
        shoes, absent = [await client.get(f"/v1/drive/{name}/live") for name in names]
    assert (shoes.status_code, "no driving agent" in shoes.json()["error"]) == (400, True)
    assert (absent.status_code, "caril_a" in absent.json()["error"]) == (404, True)
