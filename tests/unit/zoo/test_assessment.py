"""Measuring many models alike, into one folder."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import ConfigError, DataError, UserError
from edge.loading import load_classifier
from edge.sidecar import read_sidecar, sidecar_path, write_sidecar
from models.classifiers.dataset import ImageDataset, LabelledImages
from models.classifiers.logits import read_pool_logits
from models.zoo.assessment import AssessmentSettings, assess_zoo, entry_name
from models.zoo.evaluation import (
    CorruptionSettings,
    judge,
    log_probabilities,
    macro_f1,
    model_files,
)
from models.zoo.records import packed, unpacked
from models.zoo.results import ZooEvaluation, read_evaluation

QuickTraining = Callable[..., Path]


@pytest.fixture(scope="module")
def models(quick: QuickTraining) -> tuple[str, ...]:
    """Two trainings of one entry, one of another."""
    return tuple(map(str, (quick("squeeze16"), quick("squeeze16", 1), quick("residual8"))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(scope="module")
def evaluation(models: tuple[str, ...], folder: Path, stripes_dataset: ImageDataset):
    return assess_zoo(settings(models, folder), stripes_dataset)


def settings(models: tuple[str, ...], output: Path) -> AssessmentSettings:
    return AssessmentSettings(models=models, output=output, command="bicameral assess zoo")


def test_trainings_of_an_entry_are_joined_and_the_best_entry_comes_first(
    evaluation: ZooEvaluation, models: tuple[str, ...], stripes_dataset: ImageDataset
) -> None:
    squeeze = evaluation.entry("squeeze16")
    assert squeeze is not None
    assert squeeze.accuracy_of_seeds.seeds == (0, 1)
    test = stripes_dataset.test
    for path, found in zip(models, squeeze.accuracy_of_seeds.values, strict=False):
        answers = load_classifier(Path(path)).predict(test.images).probabilities.argmax(axis=1)
        assert found == pytest.approx((answers == test.labels).mean())
    assert squeeze.accuracy.n_seeds == 2
    assert squeeze.accuracy.low <= squeeze.accuracy.value <= squeeze.accuracy.high
    values = [one.accuracy.value for one in evaluation.entries]
    assert values == sorted(values, reverse=True)
    assert all(one.cpu_us > 0 for one in evaluation.entries)
    assert len(squeeze.corrupted) == 15
    mean = np.mean([one.accuracy.mean for one in squeeze.corrupted])
    assert squeeze.robustness.value == pytest.approx(mean)


def test_the_files_hold_what_was_measured(evaluation: ZooEvaluation, folder: Path) -> None:
    assert read_evaluation(folder / "evaluation.json") == evaluation
    rows = list(csv.DictReader((folder / "evaluation.csv").read_text("utf-8").splitlines()))
    assert [row["name"] for row in rows] == [one.name for one in evaluation.entries]
    assert float(rows[0]["accuracy"]) == pytest.approx(
        evaluation.entries[0].accuracy.value, abs=1e-6
    )


def test_the_logits_are_a_pool_that_answers_as_the_models_do(
    evaluation: ZooEvaluation, folder: Path, stripes_dataset: ImageDataset
) -> None:
    pool = read_pool_logits(folder / "logits")
    assert [(net.architecture, net.seed) for net in pool.networks] == [
        ("residual8", 0), ("squeeze16", 0), ("squeeze16", 1),
    ]  # fmt: skip
    for network in pool.networks:
        one = evaluation.entry(network.architecture)
        assert one is not None
        assert network.cpu_us == one.cpu_us
        accuracy = (network.test.argmax(axis=1) == stripes_dataset.test.labels).mean()
        of_seeds = dict(zip(one.accuracy_of_seeds.seeds, one.accuracy_of_seeds.values, strict=True))
        assert accuracy == pytest.approx(of_seeds[network.seed])


def test_what_is_finished_is_not_measured_again(
    evaluation: ZooEvaluation,
    models: tuple[str, ...],
    folder: Path,
    stripes_dataset: ImageDataset,
) -> None:
    notes: list[str] = []
    again = assess_zoo(
        settings(models, folder), stripes_dataset, lambda done, total, note: notes.append(note)
    )
    assert again == evaluation
    assert all(note.endswith("done") for note in notes)


def test_a_stopped_run_goes_on_behind_the_last_finished_model(
    models: tuple[str, ...], tmp_path: Path, stripes_dataset: ImageDataset
) -> None:
    def stop_in_the_second(done: int, total: int, note: str) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assess_zoo(settings(models, tmp_path), stripes_dataset, stop_in_the_second)
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["residual8-s0.json"]
    notes: list[str] = []
    assess_zoo(
        settings(models, tmp_path), stripes_dataset, lambda done, total, note: notes.append(note)
    )
    assert not any(note.startswith("residual8") and "clean" in note for note in notes)
    assert (tmp_path / "evaluation.json").exists()


def test_corrupting_fewer_images_is_another_measurement_of_the_same_ones(
    models: tuple[str, ...], tmp_path: Path, stripes_dataset: ImageDataset
) -> None:
    few = replace(settings(models[2:], tmp_path), corruptions=CorruptionSettings(images=20))
    found = assess_zoo(few, stripes_dataset)
    assert found.n_corrupted == found.entries[0].robustness.n_images == 20
    assert found.entries[0].accuracy.n_images == len(stripes_dataset.test)
    everything = assess_zoo(settings(models[2:], tmp_path), stripes_dataset)
    assert everything.n_corrupted == len(stripes_dataset.test)
    with pytest.raises(ConfigError, match="expected at least 1"):
        CorruptionSettings(images=0)


def test_a_model_that_was_trained_again_is_measured_again(
    models: tuple[str, ...], tmp_path: Path, stripes_dataset: ImageDataset
) -> None:
    path = tmp_path / "stripes_residual8.bicameral.json"
    for source in sidecar_path(Path(models[2])).parent.iterdir():
        shutil.copy(source, tmp_path)
    first = assess_zoo(settings((str(path),), tmp_path / "out"), stripes_dataset).entries[0]
    sidecar = read_sidecar(path)
    hotter = sidecar.calibration.model_copy(update={"temperature": 50.0})
    write_sidecar(path, sidecar.model_copy(update={"calibration": hotter}))
    second = assess_zoo(settings((str(path),), tmp_path / "out"), stripes_dataset).entries[0]
    assert second.accuracy == first.accuracy
    assert second.nll.mean > first.nll.mean


def test_a_broken_model_is_found_before_anything_is_measured_and_loses_nothing(
    evaluation: ZooEvaluation,
    models: tuple[str, ...],
    folder: Path,
    tmp_path: Path,
    stripes_dataset: ImageDataset,
) -> None:
    for source in sidecar_path(Path(models[2])).parent.iterdir():
        shutil.copy(source, tmp_path)
    graph = tmp_path / "stripes_residual8.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    with pytest.raises(
        DataError, match=r"stripes_residual8\.onnx is not the file.*fetch or export"
    ):
        assess_zoo(settings((models[0], str(graph)), folder), stripes_dataset)
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before


def test_images_of_another_size_and_a_training_given_twice_are_refused(
    models: tuple[str, ...], tmp_path: Path, stripes_dataset: ImageDataset
) -> None:
    def cut(part: LabelledImages) -> LabelledImages:
        return replace(part, images=np.ascontiguousarray(part.images[:, :20]))

    smaller = replace(
        stripes_dataset,
        train=cut(stripes_dataset.train),
        validation=cut(stripes_dataset.validation),
        test=cut(stripes_dataset.test),
    )
    with pytest.raises(DataError, match=r"images of \(20, 28, 1\).*expects"):
        assess_zoo(settings(models, tmp_path), smaller)
    with pytest.raises(DataError, match="are both 'squeeze16' with seed 0"):
        assess_zoo(settings((models[0], models[0]), tmp_path), stripes_dataset)
    with pytest.raises(UserError, match="unknown shipped model"):
        assess_zoo(settings(("fashion_mnist_squeze",), tmp_path), stripes_dataset)
    with pytest.raises(DataError, match="no model ships"):
        assess_zoo(settings((), tmp_path), stripes_dataset)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "entry"),
    [
        ("fashion_mnist_noprop", "noprop"),
        ("squeeze16_distilled-s2", "squeeze16_distilled"),
        ("fashion_mnist_vgg24-s10", "vgg24"),
        ("cifar10_vgg24", "cifar10_vgg24"),
    ],
)
def test_an_entry_is_called_without_data_set_and_seed(model: str, entry: str) -> None:
    assert entry_name(model, "fashion-mnist") == entry


def test_answers_are_judged_as_the_definitions_say() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]], np.float32)
    labels = np.array([0, 1, 1])
    answers = judge(probabilities, labels)
    assert answers.accuracy == pytest.approx(2 / 3)
    assert answers.nll == pytest.approx(-np.log([0.7, 0.8, 0.3]).mean(), rel=1e-6)
    # Class 0: precision 1/2, recall 1; class 1: 1 and 1/2; class 2 neither occurs nor is answered.
    assert answers.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    np.testing.assert_array_equal(unpacked(answers.correct, 3), [True, True, False])


def test_a_perfect_classifier_has_an_f1_score_of_one() -> None:
    labels = np.array([0, 1, 2, 2, 1])
    assert macro_f1(labels, labels, 3) == 1.0


def test_no_logarithm_of_a_probability_is_infinite() -> None:
    found = log_probabilities(np.array([[1.0, 0.0]], np.float32))
    assert np.isfinite(found).all()
    assert found[0, 0] == 0.0


def test_packed_answers_come_back() -> None:
    correct = np.random.default_rng(0).random(1001) < 0.5
    np.testing.assert_array_equal(unpacked(packed(correct), 1001), correct)
    with pytest.raises(DataError, match="evaluate again"):
        unpacked(packed(correct), 2000)


def test_running_a_cascade_takes_the_files_of_both_members() -> None:
    from edge.shipped import shipped_model

    cascade, a, b = (
        model_files(shipped_model(f"fashion_mnist_{name}"))
        for name in ("cascade", "squeeze16_distilled", "vgg24_distilled")
    )
    assert cascade.bytes == a.bytes + b.bytes
    assert cascade.parameters == a.parameters + b.parameters
