"""An early exit: chosen on validation images, judged on test images, written as a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bicameral.errors import ConfigError, DataError
from edge.cascade import CascadeClassifier
from edge.loading import load_classifier
from edge.sidecar import read_sidecar
from models.cascade.early_exit import (
    EARLY_EXIT_NAME,
    EarlyExitResults,
    EarlyExitSettings,
    StageAnswers,
    assess_early_exit,
    choose_policy,
    exit_table,
    require_staged,
    stage_table,
    write_early_exit,
)
from models.cascade.operating_points import ALWAYS, NEVER
from models.classifiers.export import ExportSettings, export_classifier
from models.classifiers.training import image_shape
from models.data.dataset import ImageDataset, LabelledImages
from models.networks.architectures import build_network
from models.records import read_record

N = 400


def answers(sure: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Two classes, class 0 is true: 0.95 for the answer where sure, else 0.6."""
    high = np.where(sure, 0.95, 0.6)
    first = np.where(right, high, 1.0 - high)
    return np.stack([first, 1.0 - first], axis=1).astype(np.float32)


@pytest.fixture
def helped() -> StageAnswers:
    """The first stage errs on every fourth image and knows it; the second one is always right."""
    weak = np.arange(N) % 4 == 0
    always = np.ones(N, np.bool_)
    return StageAnswers(
        probabilities=(answers(~weak, ~weak), answers(always, always), answers(always, always)),
        labels=np.zeros(N, np.int64),
        macs=(10, 30, 100),
    )


def test_only_the_images_that_need_it_go_on(helped: StageAnswers) -> None:
    found = helped.run(choose_policy(helped, max_loss=0.0))
    assert found.accuracy == 1.0
    np.testing.assert_array_equal(found.used, np.where(np.arange(N) % 4 == 0, 2, 1))
    assert found.macs == 0.75 * 10 + 0.25 * 40


def test_what_may_be_lost_is_not_paid_for(helped: StageAnswers) -> None:
    assert helped.run(choose_policy(helped, max_loss=0.25)).macs == 10


@pytest.fixture(scope="module")
def dataset() -> ImageDataset:
    """Noise: what is answered does not matter here."""
    rng = np.random.default_rng(0)

    def images(count: int) -> LabelledImages:
        pixels = rng.integers(0, 256, (count, 8, 8, 1), np.uint8)
        return LabelledImages(images=pixels, labels=rng.integers(0, 3, count))

    return ImageDataset(
        name="noise",
        labels=("x", "y", "z"),
        color="GRAY",
        train=images(40),
        validation=images(80),
        test=images(60),
        mirror_allowed=False,
    )


@pytest.fixture(scope="module")
def measured(
    dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, EarlyExitResults, Path]:
    """The results, their folder, and the sidecar of the early exit."""
    folder = tmp_path_factory.mktemp("early_exit")
    network = build_network("noprop", image_shape(dataset)).eval()
    export = ExportSettings(
        output=folder, name="noise", architecture="noprop", seed=0, command="test", limits="tests"
    )
    export_classifier(network, dataset, export)
    model = folder / "noise.onnx"
    staged = require_staged(load_classifier(model), "noise")
    settings = EarlyExitSettings(timed=3, rounds=1)
    results = assess_early_exit(staged, dataset, settings, "bicameral", lambda *_: None)
    return folder / "out", results, write_early_exit(folder / "out", model, results)


def test_the_shown_exits_reach_from_the_first_stage_to_all(
    measured: tuple[Path, EarlyExitResults, Path],
) -> None:
    _, results, _ = measured
    first, last = results.exits[0], results.exits[-1]
    assert (first.threshold, last.threshold) == (NEVER, ALWAYS)
    assert (first.test_stages, last.test_stages) == (1.0, 10.0)
    assert first.test_accuracy == results.stages[0].test_accuracy
    assert last.test_macs == results.stages[-1].total_macs
    assert first.stopped_at == (60, *[0] * 9)
    assert all(record.cpu_us.median > 0.0 for record in results.exits)


def test_the_choice_is_written_as_a_model_that_answers_by_it(
    measured: tuple[Path, EarlyExitResults, Path], dataset: ImageDataset
) -> None:
    folder, results, path = measured
    assert path == folder / "model" / "noise_early_exit.bicameral.json"
    classifier = load_classifier(path)
    assert isinstance(classifier, CascadeClassifier)
    assert classifier.policy.thresholds[0] == results.choice.threshold
    found = classifier.predict(dataset.test.images)
    right = found.probabilities.argmax(axis=1) == dataset.test.labels
    assert right.mean() == pytest.approx(results.choice.test_accuracy)
    assert read_sidecar(path).claims[0].value == pytest.approx(right.mean(), abs=1e-4)


def test_the_figures_can_be_read_again(measured: tuple[Path, EarlyExitResults, Path]) -> None:
    folder, results, _ = measured
    written = read_record(folder / EARLY_EXIT_NAME, EarlyExitResults, what="figures", remedy="")
    assert written == results


def test_the_choice_is_marked_in_the_table(
    measured: tuple[Path, EarlyExitResults, Path],
) -> None:
    _, results, _ = measured
    assert [line.marked for line in exit_table(results).rows].index(True) == results.chosen
    assert len(stage_table(results).rows) == 10


def test_a_classifier_without_stages_is_refused() -> None:
    with pytest.raises(DataError, match="'fashion_mnist_vgg24_distilled' answers only once"):
        require_staged(
            load_classifier("fashion_mnist_vgg24_distilled"), "fashion_mnist_vgg24_distilled"
        )


def test_a_loss_that_is_no_share_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_loss is 5\.0"):
        EarlyExitSettings(max_loss=5.0)
