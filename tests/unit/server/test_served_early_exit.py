"""An early exit behind a queue: served by its sidecar alone, like a cascade of two networks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from edge.cascade import CascadeClassifier
from edge.loading import load_classifier
from edge.shipped import shipped_model
from server.serving.cascade_model import CascadeModel
from server.serving.model_folder import model_files
from server.serving.served_model import ModelVersion, RequestContext, ServingParts

NAME = "fashion_mnist_noprop_early_exit"


@pytest.fixture(scope="module")
def plain() -> CascadeClassifier:
    """The same without a server."""
    classifier = load_classifier(NAME, memory="none")
    assert isinstance(classifier, CascadeClassifier)
    return classifier


@pytest.fixture(scope="module")
def images(plain: CascadeClassifier) -> np.ndarray:
    """Noise of different strength, so that images stop after different blocks."""
    rng = np.random.default_rng(0)
    levels = np.linspace(10, 256, 24).astype(int)
    return np.stack([rng.integers(0, level, (28, 28, 1), np.uint8) for level in levels])


def test_it_answers_and_traces_like_the_classifier_itself(
    plain: CascadeClassifier, images: np.ndarray, make_parts: Callable[..., ServingParts]
) -> None:
    served_as = ModelVersion(name=NAME, version="1")
    model = CascadeModel.load(shipped_model(NAME), served_as, make_parts())
    found = asyncio.run(model.infer({"image": images}, context=RequestContext()))
    expected = plain.predict(images)
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=1e-6)
    stages = [trace.stage for trace in expected.trace or ()]
    assert [stage.decode() for stage in found["stage"]] == stages
    assert len(set(stages)) > 1
    assert model.stage_counts() == {stage: stages.count(stage) for stage in set(stages)}
    model.close()


def test_the_graphs_of_its_stages_belong_to_its_files() -> None:
    names = {path.name for path in model_files(shipped_model(NAME))}
    assert {f"fashion_mnist_noprop.stage_{number:02d}.onnx" for number in range(1, 11)} <= names
    assert "fashion_mnist_noprop.onnx" in names
