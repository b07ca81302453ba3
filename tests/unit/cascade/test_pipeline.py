"""From a data set to files that load: the whole way, with tiny trainings."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import ConfigError, UserError
from bicameral.statistics import Resampling
from edge.cascade import CascadeClassifier
from edge.loading import load_classifier
from edge.sidecar import read_sidecar
from models.cascade.pipeline import PipelineSettings, _members, train_cascade
from models.cascade.plan import EvaluationSettings
from models.cascade.report import EVALUATION_NAME
from models.cascade.results import CascadeEvaluation
from models.cascade.search import MaxCost
from models.classifiers.pool_training import PoolSettings
from models.classifiers.training import Recipe
from models.data.sources import load_dataset
from models.records import read_record


def write_idx(folder: Path, prefix: str, images: np.ndarray, labels: np.ndarray) -> None:
    head = struct.pack(">4i", 0x00000803, *images.shape)
    (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
    head = struct.pack(">2i", 0x00000801, len(labels))
    (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.tobytes()))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes told by where the picture is bright, hard enough to make mistakes."""
    folder = tmp_path_factory.mktemp("idx")
    for prefix, count, seed in (("train", 384, 1), ("t10k", 160, 2)):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, count).astype(np.uint8)
        images = rng.integers(0, 200, (count, 16, 16), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 * label : 4 * label + 6] += 35
        write_idx(folder, prefix, images, labels)
    return folder


@pytest.fixture(scope="module")
def settings(source: Path, tmp_path_factory: pytest.TempPathFactory) -> PipelineSettings:
    return PipelineSettings(
        pool=PoolSettings(
            source=str(source),
            output=tmp_path_factory.mktemp("run"),
            recipe=Recipe(epochs=3, batch_size=32),
            command="bicameral train cascade",
            limits="For tests.",
        ),
        small=("residual8", "squeeze16"),
        evaluation=EvaluationSettings(
            references=("wide_residual32",),
            requirement=MaxCost(cost=1e12),
            resampling=Resampling(replicates=200),
            splits=4,
        ),
        finalist_seeds=2,
        prefix="bands",
    )


def test_a_trained_cascade_loads_and_answers_as_it_was_evaluated(
    settings: PipelineSettings, source: Path
) -> None:
    result = train_cascade(settings)
    cascade = load_classifier(result.sidecar, memory="none")
    assert isinstance(cascade, CascadeClassifier)
    dataset = load_dataset(str(source))
    answer = cascade.predict(dataset.test.images)
    correct = answer.probabilities.argmax(axis=1) == dataset.test.labels
    claims = {claim.metric: claim for claim in read_sidecar(result.sidecar).claims}
    assert claims["accuracy"].value == pytest.approx(correct.mean(), abs=0.02)
    assert answer.trace is not None
    path = settings.pool.output / EVALUATION_NAME
    stored = read_record(path, CascadeEvaluation, what="evaluation", remedy="")
    assert stored == result.evaluation
    assert "<html" in result.report.read_text("utf-8")


def test_the_files_of_a_cascade_say_where_they_come_from(settings: PipelineSettings) -> None:
    result = train_cascade(settings)
    sidecar = read_sidecar(result.sidecar)
    assert sidecar.cascade is not None
    assert sidecar.cascade.memory is not None
    assert sidecar.cascade.memory.key == "dhash_verified"
    assert sidecar.files == ()
    folder = result.sidecar.parent
    reference = read_sidecar(folder / "bands_wide_residual32.onnx")
    assert sidecar.cost.macs < reference.cost.macs
    for stage in sidecar.cascade.stages:
        assert read_sidecar(folder / f"{stage.name}.onnx").training.seed == 0


def test_finalists_are_trained_with_further_seeds_and_repeating_trains_nothing(
    settings: PipelineSettings,
) -> None:
    result = train_cascade(settings)
    trained = {net.architecture: net.test_accuracy.seeds for net in result.evaluation.networks}
    assert trained["wide_residual32"] == (0, 1)
    steps: list[object] = []
    assert train_cascade(settings, steps.append).evaluation == result.evaluation
    assert steps == []


def test_students_train_twice_as_long_as_others_from_the_first_training_of_the_reference(
    settings: PipelineSettings,
) -> None:
    members = _members(replace(settings, distil="wide_residual32", students=("squeeze16",)))
    assert [member.name for member in members] == [
        "wide_residual32-s0",
        "residual8-s0",
        "squeeze16-s0",
        "squeeze16_distilled-s0",
    ]
    assert members[-1].teachers == (settings.pool.model(members[0]),)
    assert (settings.pool.recipe.epochs, members[-1].epochs) == (3, 6)


def test_wrong_names_and_numbers_are_refused_before_any_training(
    settings: PipelineSettings,
) -> None:
    with pytest.raises(UserError, match="Did you mean 'residual8'"):
        replace(settings, small=("residual9", "vgg12"))
    with pytest.raises(UserError, match="reference to distil from"):
        replace(settings, distil="residual8")
    with pytest.raises(ConfigError, match="'residual8' cannot be a student"):
        replace(settings, students=("residual8",))
    with pytest.raises(ConfigError, match="finalist_seeds is 0"):
        replace(settings, finalist_seeds=0)
