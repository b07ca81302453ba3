"""A cascade behind its queue and its memory: the same answers, whoever asks and whichever way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.cascade import CascadeClassifier
from edge.loading import load_classifier
from edge.memory.local import LocalMemory
from server.errors import RequestError
from server.open_inference.datatypes import V2Spec
from server.serving.cascade_model import CascadeModel
from server.serving.served_model import (
    ModelVersion,
    RequestContext,
    ServedClassifier,
    ServedModel,
    ServingParts,
)

Writer = Callable[..., Path]
PartsMaker = Callable[..., ServingParts]

SERVED_AS = ModelVersion(name="pair", version="3")
PUBLIC = RequestContext()


@pytest.fixture
def path(tmp_path: Path, write_pair: Writer) -> Path:
    return write_pair(tmp_path, member={"calibration": {"temperature": 2.0}}, threshold=0.9)


@pytest.fixture
def plain(path: Path) -> CascadeClassifier:
    """The same cascade without server and memory."""
    cascade = load_classifier(path, memory="none")
    assert isinstance(cascade, CascadeClassifier)
    return cascade


@pytest.fixture(params=["on the loop", "in the thread"])
def model(request: pytest.FixtureRequest, path: Path, make_parts: PartsMaker) -> CascadeModel:
    """Asks its memory, and runs, on the loop or in its thread."""
    batching = {} if request.param == "on the loop" else {"in_place_s": 0.0}
    return CascadeModel.load(path, SERVED_AS, make_parts(batching=batching))


def _together(*requests: Any) -> list[Any]:
    async def body() -> list[Any]:
        return await asyncio.gather(*requests)

    return asyncio.run(body())


def _infer(model: CascadeModel, images: Any, context: RequestContext = PUBLIC) -> Any:
    return _together(model.infer({"image": images}, context=context))[0]


def test_it_is_a_served_classifier_that_describes_itself(model: CascadeModel) -> None:
    assert isinstance(model, ServedModel)
    assert isinstance(model, ServedClassifier)
    assert (model.name, model.version, model.platform) == ("pair", "3", "bicameral_cascade")
    assert model.inputs == (V2Spec(name="image", datatype="UINT8", shape=(-1, 8, 8, 1)),)
    assert [(one.name, one.datatype, one.shape) for one in model.outputs] == [
        ("probabilities", "FP32", (-1, 5)),
        ("confidence", "FP32", (-1,)),
        ("stage", "BYTES", (-1,)),
        ("memory_hit", "BOOL", (-1,)),
    ]
    assert model.image.height == 8
    assert model.concurrency().first_row_s > 0


def test_it_answers_as_the_cascade_does(
    model: CascadeModel, plain: CascadeClassifier, pictures: np.ndarray
) -> None:
    expected = plain.predict(pictures)
    assert expected.trace is not None
    requests = [
        model.infer({"image": pictures[n : n + 4]}, context=PUBLIC) for n in range(0, 48, 4)
    ]
    answers = _together(*requests)
    joined = {
        name: np.concatenate([answer[name] for answer in answers])
        for name in ("probabilities", "confidence", "memory_hit")
    }
    np.testing.assert_allclose(joined["probabilities"], expected.probabilities, atol=1e-6)
    np.testing.assert_allclose(joined["confidence"], expected.confidence, atol=1e-6)
    stages = [stage for answer in answers for stage in answer["stage"]]
    assert stages == [entry.stage.encode() for entry in expected.trace]
    assert {b"a", b"b"} == set(stages)
    assert joined["memory_hit"].dtype == np.bool_
    assert not joined["memory_hit"].any()
    assert sum(model.stage_counts().values()) == 48


def test_what_was_answered_before_is_answered_by_the_memory_and_marked(
    model: CascadeModel, pictures: np.ndarray
) -> None:
    first = _infer(model, pictures[:10])
    second = _infer(model, pictures[5:15])
    assert second["memory_hit"].tolist() == [True] * 5 + [False] * 5
    assert second["stage"][:5] == [b"memory"] * 5
    np.testing.assert_array_equal(second["probabilities"][:5], first["probabilities"][5:])
    np.testing.assert_array_equal(second["confidence"][:5], first["confidence"][5:])
    assert model.stage_counts()["memory"] == 5
    assert model.memory is not None
    counters = asyncio.run(model.memory.counters())
    assert (counters.lookups, counters.hits, counters.entries) == (20, 5, 15)


def test_a_hit_of_this_process_needs_no_run(
    path: Path, make_parts: PartsMaker, pictures: np.ndarray, batches: list[Any]
) -> None:
    model = CascadeModel.load(path, SERVED_AS, make_parts())
    _infer(model, pictures[:3])
    assert [record.rows for _, record in batches] == [3]
    _infer(model, pictures[:5])
    assert [record.rows for _, record in batches] == [3, 2], "only what was not known ran"
    _infer(model, pictures[:5])
    assert len(batches) == 2


def test_classify_gives_the_trace(model: CascadeModel, pictures: np.ndarray) -> None:
    for stage in ("memory_miss", "memory"):
        (prediction,) = _together(model.classify(pictures[:4], context=PUBLIC))
        assert prediction.trace is not None
        for entry in prediction.trace:
            assert entry.memory_hit == (stage == "memory")
            assert next(iter(entry.stage_times_s)) == "memory", "looking up is a stage of its own"
            assert ("a" in entry.stage_times_s) == (stage == "memory_miss")


def test_no_store_leaves_nothing_behind_but_may_be_answered_from_what_is_known(
    model: CascadeModel, pictures: np.ndarray
) -> None:
    secret = RequestContext(no_store=True)
    for _ in range(2):
        assert not _infer(model, pictures[:4], secret)["memory_hit"].any()
    assert model.memory is not None
    assert asyncio.run(model.memory.counters()).entries == 0
    assert not _infer(model, pictures[:2])["memory_hit"].any()
    assert _infer(model, pictures[:4], secret)["memory_hit"].tolist() == [True, True, False, False]


def test_namespaces_never_see_each_others_results_even_in_one_batch(
    model: CascadeModel, pictures: np.ndarray
) -> None:
    contexts = [RequestContext(memory_namespace=name) for name in ("alice", "bob", "")]
    requests = [
        model.infer({"image": pictures[:3]}, context=context)
        for context in contexts
        for _ in range(2)
    ]
    _together(*requests)
    assert model.memory is not None
    assert asyncio.run(model.memory.counters()).entries == 9, "three images for each of three"
    _infer(model, pictures[3:4], contexts[0])
    assert _infer(model, pictures[3:4], contexts[0])["memory_hit"].all()
    for other in contexts[1:]:
        assert not _infer(
            model,
            pictures[3:4],
            RequestContext(memory_namespace=other.memory_namespace, no_store=True),
        )["memory_hit"].any()
    asyncio.run(model.memory.clear("alice"))
    assert not _infer(model, pictures[:3], contexts[0])["memory_hit"].any()
    assert _infer(model, pictures[:3], contexts[1])["memory_hit"].all()
    asyncio.run(model.memory.clear(None))
    assert asyncio.run(model.memory.counters()).entries == 0


def test_requests_at_once_get_their_own_answers(
    model: CascadeModel, plain: CascadeClassifier, pictures: np.ndarray
) -> None:
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(40), 3))
    answers = _together(
        *(model.infer({"image": pictures[index : index + 1]}, context=PUBLIC) for index in order)
    )
    expected = plain.predict(pictures).probabilities
    got = np.concatenate([answer["probabilities"] for answer in answers])
    np.testing.assert_allclose(got, expected[order], atol=1e-6)


def test_pictures_give_the_same_answers_as_their_pixels(
    model: CascadeModel, pictures: np.ndarray
) -> None:
    encoded = [bytes(cv2.imencode(".png", image)[1]) for image in pictures[:3]]
    from_pictures = _infer(model, encoded, RequestContext(no_store=True))
    from_pixels = _infer(model, pictures[:3])
    for name in ("probabilities", "confidence"):
        np.testing.assert_array_equal(from_pictures[name], from_pixels[name])
    (images,) = _together(model.prepare(encoded))
    np.testing.assert_array_equal(images, pictures[:3])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "takes the tensors 'image', got none"),
        ({"image": [b"x"], "mask": [b"y"]}, "takes the tensors 'image', got 'image', 'mask'"),
        ({"image": [b"BM"]}, "input 'image' of model 'pair': picture 0: "),
        ({"image": np.zeros((1, 8, 8, 1), np.float32)}, "is FP32 of shape .*, expected UINT8"),
        ({"image": np.zeros((1, 1, 8, 8), np.uint8)}, r"expected UINT8 of shape \[-1, 8, 8, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    model: CascadeModel, inputs: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message) as refused:
        _together(model.infer(inputs, context=PUBLIC))
    assert refused.value.status == 400


def test_without_remembering_nothing_is_kept(
    path: Path, make_parts: PartsMaker, pictures: np.ndarray
) -> None:
    model = CascadeModel.load(path, SERVED_AS, make_parts(remember=False))
    assert model.memory is None
    for _ in range(2):
        assert not _infer(model, pictures[:4])["memory_hit"].any()


def test_closing_forgets_what_it_remembered(model: CascadeModel, pictures: np.ndarray) -> None:
    _infer(model, pictures[:4])
    assert model.memory is not None
    memory = model.memory.backend
    assert isinstance(memory, LocalMemory)
    model.close()
    assert memory.counters().entries == 0
    with pytest.raises(RequestError, match="being unloaded"):
        _infer(model, pictures[4:5])
