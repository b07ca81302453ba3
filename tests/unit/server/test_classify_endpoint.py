"""Pictures to labels over HTTP: the whole application of one worker, real models and pictures."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from starlette.types import ASGIApp, Message

from edge.loading import load_classifier
from server.app import create_app
from server.limits import RequestLimits, ServerSettings

Writer = Callable[..., Path]
Serve = Callable[..., Any]
Use = Callable[[httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture
def folder(models: Path, write_pair: Writer) -> Path:
    """The cascade "pair" with a memory, and its members "a" and "b"."""
    write_pair(models, member={"calibration": {"temperature": 2.0}}, threshold=0.9)
    return models


@pytest.fixture
def serve(folder: Path, serving_folder: Serve) -> Serve:
    return lambda **limits: serving_folder(folder, requests=RequestLimits(**limits))


def encoded(image: np.ndarray, ending: str = ".png") -> bytes:
    return cv2.imencode(ending, image)[1].tobytes()


def base64_body(*pictures: bytes) -> dict[str, list[str]]:
    return {"images": [base64.b64encode(picture).decode() for picture in pictures]}


def refused(answer: httpx.Response, status: int, *words: str) -> bool:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert all(word in answer.json()["error"] for word in words), answer.text
    return True


async def test_base64_may_have_line_breaks_and_be_a_data_uri(
    serve: Serve, pictures: np.ndarray
) -> None:
    content = encoded(pictures[0])
    text = base64.b64encode(content).decode()
    forms = [text, base64.encodebytes(content).decode(), f"data:image/png;base64,{text}"]
    identity = {"Content-Encoding": "Identity"}
    async with serve() as client:
        body = {"images": forms}
        answer = await client.post("/v1/classify/pair", json=body, headers=identity)
    labels = {result["label"] for result in answer.json()["results"]}
    assert len(labels) == 1


async def test_it_answers_as_the_cascade_itself_does(
    serve: Serve, folder: Path, pictures: np.ndarray
) -> None:
    async with serve() as client:
        body = base64_body(*map(encoded, pictures))
        answered = await client.post("/v1/classify/pair?top_k=5", json=body)
    answer = answered.json()
    cascade = load_classifier(folder / "pair.bicameral.json", memory="none")
    expected = cascade.predict(pictures)
    assert (answer["model"], answer["version"]) == ("pair", "1")
    assert len(answer["results"]) == len(pictures)
    stages = set()
    for result, probabilities, confidence, trace in zip(
        answer["results"],
        expected.probabilities,
        expected.confidence,
        expected.trace or (),
        strict=True,
    ):
        found = {one["label"]: one["probability"] for one in result["top"]}
        assert [found[label] for label in cascade.info.labels] == pytest.approx(
            probabilities.tolist(), abs=1e-6
        )
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert result["label"] == cascade.info.labels[probabilities.argmax()] == next(iter(found))
        assert result["confidence"] == pytest.approx(confidence, abs=1e-6)
        assert result["abstained"] is False
        assert result["trace"]["stage"] == trace.stage
        assert result["trace"]["memory_hit"] is False
        assert result["trace"]["confidence_a"] == pytest.approx(trace.confidence_a, abs=1e-6)
        assert result["trace"]["stage_times_s"].keys() == {"memory", *trace.stage_times_s}
        stages.add(trace.stage)
    assert stages == {"a", "b"}


async def test_the_body_may_be_a_picture_a_form_or_json(serve: Serve, pictures: np.ndarray) -> None:
    first, second = encoded(pictures[0]), encoded(pictures[1])
    async with serve() as client:
        path = "/v1/classify/a"
        files = [("x", ("1.png", first, "image/png")), ("x", ("2.png", second, "image/png"))]
        found = [
            await client.post(path, content=first, headers={"Content-Type": "image/png"}),
            await client.post(path, content=first),
            await client.post(path, content=first, headers={"Content-Type": "text/plain"}),
            await client.post(path, json=base64_body(first, second)),
            await client.post(path, files=files),
        ]
    answers = [answer.json()["results"] for answer in found]
    assert answers[0] == answers[1] == answers[2] == answers[3][:1]
    assert answers[3] == answers[4]
    assert len(answers[4]) == 2
    assert answers[0][0]["trace"] is None


async def test_a_request_without_parameters_is_answered_as_one_with_the_defaults(
    serve: Serve, pictures: np.ndarray
) -> None:
    picture = encoded(pictures[0])
    cases = (
        ("a", picture),
        ("a", b"no picture"),
        ("a", bytes(2000)),
        ("no%20model", picture),
        ("no/model", picture),
        ("", picture),
    )
    async with serve(max_body_bytes=1000) as client:
        answers = [
            (
                await client.post(f"/v1/classify/{path}", content=body),
                await client.post(f"/v1/classify/{path}?top_k=1", content=body),
            )
            for path, body in cases
        ]
    assert [plain.status_code for plain, _ in answers] == [200, 415, 413, 404, 404, 404]
    for plain, with_parameters in answers:
        assert plain.status_code == with_parameters.status_code
        assert plain.json() == with_parameters.json()
        assert plain.headers["content-type"] == with_parameters.headers["content-type"]


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".bmp"])
async def test_every_format_is_known_by_its_content(
    serve: Serve, pictures: np.ndarray, ending: str
) -> None:
    async with serve() as client:
        found = await client.post("/v1/classify/pair", content=encoded(pictures[0], ending))
    assert found.status_code == 200


async def test_a_form_or_json_parsed_in_a_thread_gives_the_same(serve: Serve) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (640, 640), np.uint8)
    picture = encoded(noise)
    assert len(picture) > 256 << 10
    async with serve() as client:
        path = "/v1/classify/a"
        found = [
            await client.post(path, content=picture),
            await client.post(path, files={"x": ("1.png", picture)}),
            await client.post(path, json=base64_body(picture)),
        ]
    plain, form, json = (answer.json() for answer in found)
    assert plain == form == json


async def test_what_is_less_sure_than_asked_for_is_withheld(
    serve: Serve, pictures: np.ndarray
) -> None:
    body = base64_body(*map(encoded, pictures))
    async with serve() as client:
        path = "/v1/classify/a"
        found = [
            await client.post(path, json=body),
            await client.post(f"{path}?min_confidence=0.7", json=body),
        ]
    everything, sure = (answer.json()["results"] for answer in found)
    assert {result["abstained"] for result in sure} == {True, False}
    for before, after in zip(everything, sure, strict=True):
        abstained = before["confidence"] < 0.7
        assert after == {
            **before,
            "abstained": abstained,
            "label": None if abstained else before["label"],
        }


async def test_a_result_is_remembered_unless_the_request_forbids_it(
    serve: Serve, pictures: np.ndarray
) -> None:
    picture = encoded(pictures[0])
    async with serve() as client:
        path = "/v1/classify/pair"
        found = [
            await client.post(f"{path}?no_store=true", content=picture),
            await client.post(path, content=picture, headers={"Cache-Control": "no-store"}),
            await client.post(path, content=picture, headers={"Cache-Control": "No-Store"}),
            await client.post(
                path,
                content=picture,
                headers=[("Cache-Control", "no-store"), ("Cache-Control", "max-age=0")],
            ),
            await client.post(path, content=picture),
            await client.post(path, content=picture),
        ]
    hits = [answer.json()["results"][0]["trace"]["memory_hit"] for answer in found]
    assert hits == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("top_k=0", ["top_k"]),
        ("top_k=6", ["top_k is 6", "1..5"]),
        ("top_k=many", ["top_k"]),
        ("min_confidence=1.5", ["min_confidence"]),
        ("min_confidence=nan", ["min_confidence"]),
        ("no_store=perhaps", ["no_store"]),
        ("topk=1", ["topk"]),
    ],
)
async def test_a_wrong_parameter_is_named(
    serve: Serve, pictures: np.ndarray, query: str, words: list[str]
) -> None:
    async with serve() as client:
        found = await client.post(f"/v1/classify/a?{query}", content=encoded(pictures[0]))
    assert refused(found, 400, *words)


@pytest.mark.parametrize(
    ("content", "content_type", "words"),
    [
        (b"{", "application/json", ["no JSON"]),
        (b"[]", "application/json", ["images"]),
        (b'{"images": "x"}', "application/json", ["images"]),
        (b'{"images": [], "more": 1}', "application/json", ["images"]),
        (b'{"images": []}', "application/json; charset=utf-8", ["0 pictures"]),
        (b'{"images": [7]}', "application/json", ["images[0]", "7"]),
        (b'{"images": ["%%"]}', "application/json", ["images[0]", "base64"]),
        ('{"images": ["é"]}'.encode(), "application/json", ["images[0]", "base64"]),
        (b"--x--\r\n", "multipart/form-data", ["boundary"]),
        (b"hello", "multipart/form-data; boundary=x", ["form"]),
        (
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nabc',
            "multipart/form-data; boundary=x",
            ["cut off"],
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n3\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            ["top_k", "no file"],
        ),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_refused(
    serve: Serve, content: bytes, content_type: str, words: list[str]
) -> None:
    async with serve() as client:
        headers = {"Content-Type": content_type}
        found = await client.post("/v1/classify/a", content=content, headers=headers)
    assert refused(found, 400, *words)


async def test_what_is_no_picture_is_named(serve: Serve, pictures: np.ndarray) -> None:
    good = encoded(pictures[0])
    async with serve() as client:
        path = "/v1/classify/pair"
        nothing, gif, cut_off = [
            await client.post(path, content=b""),
            await client.post(path, content=b"GIF89a"),
            await client.post(path, json=base64_body(good, good[:-9])),
        ]
    assert refused(nothing, 415, "picture 0")
    assert refused(gif, 415, "picture 0")
    assert refused(cut_off, 415, "picture 1")


async def test_what_is_too_large_is_refused(serve: Serve, pictures: np.ndarray) -> None:
    picture = encoded(pictures[0])
    large = encoded(np.zeros((64, 64), np.uint8))
    async with serve(max_body_bytes=2500, max_rows=2, max_pixels=1000) as client:
        path = "/v1/classify/pair"
        files = [("x", ("1.png", picture))] * 3
        answers = [
            await client.post(path, content=bytes(3000)),
            await client.post(path, json=base64_body(picture, picture, picture)),
            await client.post(path, files=files),
            await client.post(path, content=large),
        ]
    words = ["2,500", "2 pictures", "2 pictures", "1,000"]
    assert all(refused(answer, 413, word) for answer, word in zip(answers, words, strict=True))


async def test_an_unknown_model_is_answered_with_the_known_ones(serve: Serve) -> None:
    async with serve() as client:
        found = await client.post("/v1/classify/pear", content=b"x")
    assert refused(found, 404, "pear", "pair")


async def test_requests_are_counted_for_their_model(serve: Serve, pictures: np.ndarray) -> None:
    async with serve() as client:
        await client.post("/v1/classify/pair", content=encoded(pictures[0]))
        found = (await client.get("/metrics")).text
    lines = [line for line in found.splitlines() if "inference_requests_total{" in line]
    assert any('model="pair"' in line and line.endswith(" 1.0") for line in lines), lines


async def test_the_document_describes_the_route(serve: Serve) -> None:
    async with serve() as client:
        found = await client.get("/openapi.json")
    route = found.json()["paths"]["/v1/classify/{model}"]["post"]
    assert {"image/jpeg", "multipart/form-data", "application/json"} <= set(
        route["requestBody"]["content"]
    )
    names = {parameter["name"] for parameter in route["parameters"]}
    assert names == {"model", "top_k", "min_confidence", "no_store"}
    assert {"200", "400", "404", "413", "415"} <= set(route["responses"])


async def test_a_client_that_went_away_is_answered_nothing(
    folder: Path, serving_app: Serve
) -> None:
    apps: list[ASGIApp] = []
    sent: list[Message] = []

    def make(run_folder: Any) -> ASGIApp:
        apps.append(create_app(ServerSettings(), [folder], run_folder))
        return apps[0]

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async with serving_app(make):
        path = "/v1/classify/pair"
        scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
        await apps[0](scope, receive, send)
    assert sent == []
