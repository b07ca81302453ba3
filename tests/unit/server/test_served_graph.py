"""A single network behind its queue: its graph's tensors, pictures, and calibrated answers."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bicameral.errors import DataError
from bicameral.protocols import TensorSpec
from bicameral.types import Prediction
from edge.loading import load_classifier
from edge.preprocessing import tensor_from_canonical
from edge.session import OnnxSession
from server.errors import RequestError
from server.open_inference.datatypes import V2Spec
from server.serving.graph_model import GraphModel
from server.serving.served_model import (
    ModelVersion,
    RequestContext,
    ServedClassifier,
    ServedModel,
    ServingParts,
)
from server.serving.tensors import IMAGE_STACKING, TENSOR_STACKING, v2_specs

Writer = Callable[..., Path]
PartsMaker = Callable[..., ServingParts]

CONTEXT = RequestContext()
SERVED_AS = ModelVersion(name="net", version="7")


@pytest.fixture
def path(tmp_path: Path, write_classifier: Writer) -> Path:
    return write_classifier(tmp_path, "net", calibration={"temperature": 2.0})


@pytest.fixture
def model(path: Path, make_parts: PartsMaker) -> GraphModel:
    return GraphModel.load(path, SERVED_AS, make_parts())


def _png(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def _together(*requests: Any) -> list[Any]:
    async def body() -> list[Any]:
        return await asyncio.gather(*requests, return_exceptions=True)

    return asyncio.run(body())


def _answer(request: Any) -> Any:
    async def body() -> Any:
        return await request

    return asyncio.run(body())


def test_it_is_a_served_classifier_that_describes_itself(model: GraphModel) -> None:
    assert isinstance(model, ServedModel)
    assert isinstance(model, ServedClassifier)
    assert (model.name, model.version, model.platform) == ("net", "7", "onnxruntime_onnx")
    assert model.inputs == (V2Spec(name="image", datatype="FP32", shape=(-1, 1, 8, 8)),)
    assert model.outputs == (V2Spec(name="logits", datatype="FP32", shape=(-1, 5)),)
    assert model.labels == ("cat", "dog", "ship", "shoe", "tree")
    figures = model.concurrency()
    assert figures.in_place, "a network of some microseconds runs on the loop"
    assert figures.first_row_s > 0
    assert (figures.queued_requests, figures.running_rows) == (0, 0)


def test_tensors_go_through_the_graph_as_they_are(
    model: GraphModel, path: Path, pictures: np.ndarray
) -> None:
    classifier = load_classifier(path)
    tensor = tensor_from_canonical(pictures, classifier.info.image)
    requests = [model.infer({"image": tensor[n : n + 3]}, context=CONTEXT) for n in range(9)]
    answers = _together(*requests)
    whole = classifier._session.run({"image": tensor})["logits"]
    for n, answer in enumerate(answers):
        assert list(answer) == ["logits"]
        np.testing.assert_allclose(answer["logits"], whole[n : n + 3], atol=1e-5)


def test_concurrent_requests_share_runs(
    model: GraphModel, pictures: np.ndarray, batches: list[Any]
) -> None:
    tensor = tensor_from_canonical(pictures, model.image)
    _together(*(model.infer({"image": tensor[n : n + 1]}, context=CONTEXT) for n in range(12)))
    assert [record.rows for _, record in batches] == [1, 11]
    assert {served_as for served_as, _ in batches} == {SERVED_AS}


def test_encoded_pictures_are_decoded_and_prepared(
    model: GraphModel, path: Path, pictures: np.ndarray
) -> None:
    encoded = [_png(image) for image in pictures[:4]]
    from_pictures = _answer(model.infer({"image": encoded}, context=CONTEXT))
    tensor = tensor_from_canonical(pictures[:4], model.image)
    from_tensor = _answer(model.infer({"image": tensor}, context=CONTEXT))
    np.testing.assert_array_equal(from_pictures["logits"], from_tensor["logits"])


def test_a_graph_that_takes_pixels_takes_pictures_too(
    tmp_path: Path, write_classifier: Writer, make_parts: PartsMaker, pictures: np.ndarray
) -> None:
    path = write_classifier(tmp_path, "net", in_graph=True)
    model = GraphModel.load(path, SERVED_AS, make_parts())
    assert model.inputs[0] == V2Spec(name="image", datatype="UINT8", shape=(-1, 8, 8, 1))
    pixels, encoded = _together(
        model.infer({"image": pictures[:2]}, context=CONTEXT),
        model.infer({"image": [_png(image) for image in pictures[:2]]}, context=CONTEXT),
    )
    np.testing.assert_array_equal(pixels["logits"], encoded["logits"])


def test_classify_gives_the_answers_of_the_classifier(
    model: GraphModel, path: Path, pictures: np.ndarray
) -> None:
    parts = [pictures[:1], pictures[1:6], pictures[6:]]
    answers = _together(*(model.classify(part, context=CONTEXT) for part in parts))
    expected = load_classifier(path).predict(pictures)
    got = np.concatenate([answer.probabilities for answer in answers])
    np.testing.assert_allclose(got, expected.probabilities, atol=1e-6)
    assert [len(answer.confidence) for answer in answers] == [1, 5, 42]
    assert all(answer.trace is None for answer in answers)


def test_a_large_picture_is_decoded_in_a_thread_and_becomes_the_same_image(
    model: GraphModel, path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 500), np.uint8)
    images = _answer(model.prepare([_png(noise), _png(noise[:8, :8])]))
    expected = load_classifier(path).prepare([noise[..., None], noise[:8, :8, None]])
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize(
    ("inputs", "status", "message"),
    [
        ({}, 400, "takes the tensors 'image', got none"),
        ({"images": np.zeros((1, 1, 8, 8), np.float32)}, 400, "takes .* 'image', got 'images'"),
        (
            {"image": np.zeros((1, 1, 8, 8))},
            400,
            r"input 'image' of model 'net' is FP64 of shape \[1, 1, 8, 8\], expected FP32 of "
            r"shape \[-1, 1, 8, 8\]",
        ),
        ({"image": np.zeros((1, 8, 8, 1), np.float32)}, 400, r"is FP32 of shape \[1, 8, 8, 1\]"),
        ({"image": np.zeros((1, 1, 8), np.float32)}, 400, r"is FP32 of shape \[1, 1, 8\]"),
        ({"image": np.ones((), np.float32)}, 400, r"is FP32 of shape \[\]"),
        ({"image": np.zeros((0, 1, 8, 8), np.float32)}, 400, r"has 0 rows, expected 1\.\.40"),
        ({"image": np.zeros((41, 1, 8, 8), np.float32)}, 413, r"has 41 rows, expected 1\.\.40"),
        ({"image": []}, 400, r"has 0 pictures, expected 1\.\.40"),
        ({"image": [b""] * 41}, 413, r"has 41 pictures, expected 1\.\.40"),
        ({"image": [b"GIF89a"]}, 400, "input 'image' of model 'net': picture 0: not a picture"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    path: Path, make_parts: PartsMaker, inputs: dict[str, Any], status: int, message: str
) -> None:
    model = GraphModel.load(path, SERVED_AS, make_parts(requests={"max_rows": 40}))
    with pytest.raises(RequestError, match=message) as refused:
        _answer(model.infer(inputs, context=CONTEXT))
    assert refused.value.status == status


def test_a_bad_request_does_not_disturb_those_beside_it(
    model: GraphModel, pictures: np.ndarray
) -> None:
    good = tensor_from_canonical(pictures[:1], model.image)
    bad = (np.zeros((1, 1, 9, 8), np.float32), good.astype(np.float64), [b"\xff\xd8\xff"], good[:0])
    answers = _together(
        *(
            model.infer({"image": tensor}, context=CONTEXT)
            for pair in zip(bad, [good] * 4, strict=True)
            for tensor in pair
        )
    )
    assert [isinstance(answer, RequestError) for answer in answers] == [True, False] * 4
    for answer in answers[1::2]:
        assert np.isfinite(answer["logits"]).all()


def test_numbers_that_are_none_stay_in_their_row(model: GraphModel) -> None:
    tensors = [np.full((1, 1, 8, 8), value, np.float32) for value in (0.5, np.nan, np.inf, 0.5)]
    answers = _together(*(model.infer({"image": one}, context=CONTEXT) for one in tensors))
    assert np.isnan(answers[1]["logits"]).any()
    for answer in (answers[0], answers[3]):
        assert np.isfinite(answer["logits"]).all()


def test_a_tensor_that_lies_crooked_in_memory_gives_the_same_answer(
    model: GraphModel, pictures: np.ndarray
) -> None:
    straight = tensor_from_canonical(pictures[:2], model.image)
    body = b"{}?" + straight.tobytes()
    crooked = np.frombuffer(body, np.float32, offset=3).reshape(straight.shape)
    assert not crooked.flags.aligned
    one, other = _together(
        model.infer({"image": straight}, context=CONTEXT),
        model.infer({"image": crooked}, context=CONTEXT),
    )
    np.testing.assert_array_equal(one["logits"], other["logits"])


def test_pixels_are_counted_over_all_pictures_before_any_is_decoded(
    path: Path, make_parts: PartsMaker
) -> None:
    model = GraphModel.load(path, SERVED_AS, make_parts(requests={"max_pixels": 100}))
    small = _png(np.zeros((7, 7), np.uint8))
    assert _answer(model.prepare([small, small])).shape == (2, 8, 8, 1)
    bomb = bytearray(small)  # a header that claims more than there is; its checksum is mended
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bytes(bomb[12:29])).to_bytes(4, "big")
    for pictures, pixels in (([small] * 3, "147"), ([small, bytes(bomb)], "3,600,000,049")):
        with pytest.raises(RequestError, match=f"have {pixels} pixels, allowed are 100") as refused:
            _answer(model.prepare(pictures))
        assert refused.value.status == 413


def test_a_picture_that_cannot_be_decoded_is_named(model: GraphModel) -> None:
    good = _png(np.zeros((8, 8), np.uint8))
    for bad in (b"no picture", good[:-20], _png(np.zeros((900, 900), np.uint8))[:-20]):
        with pytest.raises(RequestError, match="picture 1: "):
            _answer(model.prepare([good, bad]))


def test_too_many_large_pictures_at_once_are_refused(path: Path, make_parts: PartsMaker) -> None:
    model = GraphModel.load(path, SERVED_AS, make_parts(batching={"max_queued_requests": 2}))
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)
    answers = _together(*(model.prepare([_png(noise)]) for _ in range(4)))
    refused = [answer for answer in answers if isinstance(answer, RequestError)]
    assert [(error.status, error.headers) for error in refused] == [(429, {"Retry-After": "1"})] * 2
    assert sum(isinstance(answer, np.ndarray) for answer in answers) == 2


def test_a_request_of_many_rows_runs_in_pieces_with_the_same_answers(
    model: GraphModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    run = OnnxSession.run

    def counted(self: Any, feeds: Any) -> Any:
        rows.append(len(feeds["image"]))
        return run(self, feeds)

    images = np.random.default_rng(0).random((150, 1, 8, 8), np.float32)
    one_by_one = [_answer(model.infer({"image": one[None]}, context=CONTEXT)) for one in images]
    monkeypatch.setattr(OnnxSession, "run", counted)
    answer = _answer(model.infer({"image": images}, context=CONTEXT))
    assert max(rows, default=0) <= 64
    expected = np.concatenate([one["logits"] for one in one_by_one])
    np.testing.assert_allclose(answer["logits"], expected, rtol=1e-5, atol=1e-6)
    pictures = np.random.default_rng(0).integers(0, 256, (150, 8, 8, 1), np.uint8)
    predicted = _answer(model.classify(pictures, context=CONTEXT))
    assert predicted.probabilities.shape[0] == len(predicted.confidence) == 150


def test_a_slow_network_runs_in_a_thread(
    path: Path, make_parts: PartsMaker, batches: list[Any]
) -> None:
    model = GraphModel.load(path, SERVED_AS, make_parts(batching={"in_place_s": 0.0}))
    assert not model.concurrency().in_place
    _answer(model.infer({"image": np.zeros((1, 1, 8, 8), np.float32)}, context=CONTEXT))
    assert [record.in_place for _, record in batches] == [False]


def test_a_closed_model_refuses(model: GraphModel) -> None:
    model.close()
    with pytest.raises(RequestError, match="being unloaded"):
        _answer(model.infer({"image": np.zeros((1, 1, 8, 8), np.float32)}, context=CONTEXT))


def test_answers_of_another_length_are_never_cut() -> None:
    with pytest.raises(DataError, match="an answer has 3 rows, expected 4"):
        TENSOR_STACKING.split({"x": np.zeros((3, 2))}, [1, 3])
    short = Prediction(probabilities=np.zeros((3, 2)), confidence=np.zeros(3))
    with pytest.raises(DataError, match="an answer has 3 rows, expected 4"):
        IMAGE_STACKING.split(short, [1, 3])


def test_a_kind_of_number_that_has_no_name_is_refused_when_loading() -> None:
    with pytest.raises(DataError, match=re.escape("'words' is of type tensor(string)")):
        v2_specs([TensorSpec(name="words", dtype="tensor(string)", shape=(-1,))])
