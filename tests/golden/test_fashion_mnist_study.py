"""The shipped cascade: what its sidecars claim is what the shipped files do."""

from pathlib import Path

import numpy as np
import pytest

from bicameral.protocols import ClassifierSession
from edge.cascade import CascadeClassifier, CascadePolicy
from edge.loading import load_classifier
from edge.shipped import shipped_models, weights_folder
from edge.sidecar import Sidecar, read_sidecar
from models.cascade.operating_points import run_stages
from models.cascade.pool import HeldOutPool, fit_temperatures, held_out_pool
from models.classifiers.logits import read_pool_logits
from models.data.dataset import LabelledImages
from models.data.sources import load_dataset

PREFIX = "fashion_mnist_"
CASCADE = f"{PREFIX}cascade"
LOGITS = Path(__file__).parents[2] / "studies" / "fashion_mnist" / "logits"


@pytest.fixture(scope="module")
def sidecar() -> Sidecar:
    return read_sidecar(weights_folder() / f"{CASCADE}.bicameral.json")


@pytest.fixture(scope="module")
def test_images() -> LabelledImages:
    return load_dataset("fashion-mnist").test


@pytest.fixture(scope="module")
def stored(sidecar: Sidecar) -> HeldOutPool:
    """What the networks answered to the test images when they were trained."""
    pool = read_pool_logits(LOGITS)
    assert pool.dataset_sha256 == sidecar.training.data.sha256
    return held_out_pool(pool, fit_temperatures(pool))


def claim(sidecar: Sidecar, metric: str) -> float:
    return next(claim.value for claim in sidecar.claims if claim.metric == metric)


def accuracy(classifier: ClassifierSession, images: LabelledImages) -> float:
    answers = [
        classifier.predict(images.images[k : k + 250]).probabilities.argmax(axis=1)
        for k in range(0, len(images), 250)
    ]
    return float((np.concatenate(answers) == images.labels).mean())


def test_the_cascade_reaches_its_claimed_accuracy_and_use_of_b(
    sidecar: Sidecar, test_images: LabelledImages
) -> None:
    cascade = load_classifier(CASCADE, memory="none")
    assert isinstance(cascade, CascadeClassifier)
    assert accuracy(cascade, test_images) == pytest.approx(claim(sidecar, "accuracy"), abs=3e-4)
    part = test_images.images[:2000]
    trace = cascade.predict(part).trace
    assert trace is not None
    share = np.mean([entry.stage == "b" for entry in trace])
    assert share == pytest.approx(claim(sidecar, "share of images that B sees"), abs=0.03)
    assert share < 0.3


def test_its_networks_answer_as_their_stored_logits_which_have_the_claimed_accuracy(
    sidecar: Sidecar, stored: HeldOutPool, test_images: LabelledImages
) -> None:
    assert sidecar.cascade is not None
    few = test_images.images[:2500]
    for member in sidecar.cascade.stages:
        described = read_sidecar(weights_folder() / f"{member.name}.onnx")
        answers = stored.network(member.name.removeprefix(PREFIX)).of_seed(0).argmax(axis=1)
        right = (answers == test_images.labels).mean()
        assert right == pytest.approx(claim(described, "accuracy"), abs=3e-4)
        found = load_classifier(member.name).predict(few).probabilities.argmax(axis=1)
        assert (found != answers[: len(few)]).sum() <= 2  # float16, as logits are stored


def test_the_reference_ships_and_answers(test_images: LabelledImages) -> None:
    names = [name for name in shipped_models() if name.startswith("fashion_mnist_wide_residual")]
    assert len(names) == 1
    described = read_sidecar(weights_folder() / f"{names[0]}.onnx")
    few = test_images.select(np.arange(1000))
    reached = accuracy(load_classifier(names[0]), few)
    assert reached == pytest.approx(claim(described, "accuracy"), abs=0.03)


def test_what_ships_answers_as_the_stored_logits_say(sidecar: Sidecar, stored: HeldOutPool) -> None:
    spec = sidecar.cascade
    assert spec is not None
    policy = CascadePolicy(score=spec.score, thresholds=spec.thresholds, combine=spec.combine)
    networks = [one.name.removeprefix(PREFIX) for one in spec.stages]
    answers, _ = run_stages([stored.network(name).of_seed(0) for name in networks], policy)
    right = float((answers.argmax(axis=1) == stored.labels).mean())
    assert claim(sidecar, "accuracy") == pytest.approx(right, abs=1e-4)
