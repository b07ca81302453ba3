"""Measuring many models alike, into one folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.loading import load_classifier
from edge.shipped import shipped_model
from edge.sidecar import read_sidecar, sidecar_path, write_sidecar
from models.classifiers.logits import read_pool_logits
from models.data.dataset import ImageDataset, LabelledImages
from models.zoo.results import ZooEvaluation, read_evaluation
from studies.measurements import read_measurements
from studies.paper_tables import ATTACKED, RIGHT
from studies.paper_tables import CLEAN as CLEAN_IMAGES
from studies.zoo import entry_name, measure_zoo, model_files
from studies.zoo_summary import CLEAN, judge, log_probabilities, macro_f1

QuickTraining = Callable[..., Path]


@pytest.fixture(scope="module")
def models(quick: QuickTraining) -> list[Path]:
    """Two trainings of one entry, one of another."""
    return [quick("squeeze16"), quick("squeeze16", 1), quick("residual8")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(scope="module")
def evaluation(models: list[Path], folder: Path, stripes_dataset: ImageDataset) -> ZooEvaluation:
    return measured(models, stripes_dataset, folder)


def measured(
    models: list[Path], dataset: ImageDataset, folder: Path, corrupted: int = 2500
) -> ZooEvaluation:
    return measure_zoo(models, dataset, folder, corrupted=corrupted, tell=lambda _: None)


def test_trainings_of_an_entry_are_joined_and_the_best_entry_comes_first(
    evaluation: ZooEvaluation, models: list[Path], stripes_dataset: ImageDataset, folder: Path
) -> None:
    squeeze = evaluation.entry("squeeze16")
    assert squeeze is not None
    test = stripes_dataset.test
    table = read_measurements(folder / "evaluation.csv")
    of_seeds = []
    for seed, path in enumerate(models[:2]):
        answers = load_classifier(path).predict(test.images).probabilities.argmax(axis=1)
        of_seeds.append((answers == test.labels).mean())
        found = table[f"squeeze16-s{seed}", CLEAN, "accuracy"]
        assert found.value == pytest.approx(of_seeds[-1])
        assert found.n == len(test)
    assert squeeze.accuracy.value == pytest.approx(np.mean(of_seeds))
    assert squeeze.accuracy.seeds == 2
    assert squeeze.accuracy.low <= squeeze.accuracy.value <= squeeze.accuracy.high
    values = [one.accuracy.value for one in evaluation.entries]
    assert values == sorted(values, reverse=True)
    assert all(one.cpu_us > 0 for one in evaluation.entries)
    assert len(squeeze.corrupted) == 15
    assert squeeze.robustness.value == pytest.approx(np.mean(list(squeeze.corrupted.values())))


def test_one_training_has_no_interval_over_trainings(evaluation: ZooEvaluation) -> None:
    single, two = evaluation.entry("residual8"), evaluation.entry("squeeze16")
    assert single is not None
    assert two is not None
    assert (single.nll.low, single.nll.high) == (None, None)
    assert two.nll.low <= two.nll.value <= two.nll.high


def test_the_record_holds_what_was_measured(evaluation: ZooEvaluation, folder: Path) -> None:
    assert read_evaluation(folder / "evaluation.json") == evaluation


def test_the_logits_are_a_pool_that_answers_as_the_models_do(
    evaluation: ZooEvaluation, folder: Path, stripes_dataset: ImageDataset
) -> None:
    pool = read_pool_logits(folder / "logits")
    assert [(net.architecture, net.seed) for net in pool.networks] == [
        ("residual8", 0), ("squeeze16", 0), ("squeeze16", 1),
    ]  # fmt: skip
    table = read_measurements(folder / "evaluation.csv")
    for network in pool.networks:
        one = evaluation.entry(network.architecture)
        assert one is not None
        assert network.cpu_us == one.cpu_us
        accuracy = (network.test.argmax(axis=1) == stripes_dataset.test.labels).mean()
        found = table[f"{network.architecture}-s{network.seed}", CLEAN, "accuracy"]
        assert accuracy == pytest.approx(found.value)


def test_corrupting_fewer_images_leaves_the_others_as_they_are(
    models: list[Path], tmp_path: Path, stripes_dataset: ImageDataset
) -> None:
    found = measured(models[2:], stripes_dataset, tmp_path, corrupted=20)
    assert found.n_corrupted == found.entries[0].robustness.n == 20
    assert found.entries[0].accuracy.n == len(stripes_dataset.test)


def test_a_broken_model_is_found_before_anything_is_measured(
    models: list[Path], tmp_path: Path, stripes_dataset: ImageDataset
) -> None:
    for source in sidecar_path(models[2]).parent.iterdir():
        shutil.copy(source, tmp_path)
    graph = tmp_path / "stripes_residual8.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    with pytest.raises(
        DataError, match=r"stripes_residual8\.onnx is not the file.*fetch or export"
    ):
        measured([models[0], graph], stripes_dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_images_and_other_classes_are_refused(
    models: list[Path], tmp_path: Path, stripes_dataset: ImageDataset
) -> None:
    def cut(part: LabelledImages) -> LabelledImages:
        return replace(part, images=np.ascontiguousarray(part.images[:, :20]))

    smaller = replace(
        stripes_dataset,
        train=cut(stripes_dataset.train),
        validation=cut(stripes_dataset.validation),
        test=cut(stripes_dataset.test),
    )
    with pytest.raises(DataError, match="images"):
        measured(models, smaller, tmp_path)
    renamed = replace(stripes_dataset, labels=("a", "b", "c"))
    with pytest.raises(DataError, match="knows the classes"):
        measured(models, renamed, tmp_path)
    assert not list(tmp_path.iterdir())


def test_trainings_of_different_networks_are_no_entry(
    models: list[Path], tmp_path: Path, stripes_dataset: ImageDataset
) -> None:
    for source in models[2].parent.iterdir():
        shutil.copy(source, tmp_path)
    path = tmp_path / models[2].name
    sidecar = read_sidecar(path)
    other = sidecar.training.model_copy(update={"seed": 5})
    write_sidecar(path, sidecar.model_copy(update={"name": "stripes_squeeze16", "training": other}))
    with pytest.raises(DataError, match="they are different networks"):
        measured([models[0], path], stripes_dataset, tmp_path / "out", corrupted=10)


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
    np.testing.assert_array_equal(answers.correct, [True, True, False])


def test_a_perfect_classifier_has_an_f1_score_of_one() -> None:
    labels = np.array([0, 1, 2, 2, 1])
    assert macro_f1(labels, labels, 3) == 1.0


def test_no_logarithm_of_a_probability_is_infinite() -> None:
    found = log_probabilities(np.array([[1.0, 0.0]], np.float32))
    assert np.isfinite(found).all()
    assert found[0, 0] == 0.0


def test_running_a_cascade_takes_the_files_of_both_members() -> None:
    from edge.shipped import shipped_model

    cascade, a, b = (
        model_files(shipped_model(f"fashion_mnist_{name}"))
        for name in ("cascade", "squeeze16_student", "wide_residual32")
    )
    assert cascade == (a[0] + b[0], a[1] + b[1])


def test_the_shipped_network_claims_what_the_record_of_attacks_says() -> None:
    name, record = "pgd_trained", read_measurements(ATTACKED)
    sidecar = read_sidecar(shipped_model(f"fashion_mnist_{name}"))
    claimed = {one.metric: (one.value, one.ci95, one.n, one.seeds) for one in sidecar.claims}
    assert claimed["accuracy"][0] == pytest.approx(record[name, CLEAN_IMAGES, RIGHT].value)
    for condition in ("PGD 0.05", "PGD 0.1"):
        one = record[name, condition, RIGHT]
        interval = pytest.approx((one.low, one.high), abs=1e-4)
        assert claimed[f"accuracy under {condition}"][1] == interval
        assert claimed[f"accuracy under {condition}"][0] == pytest.approx(one.value, abs=1e-4)
        assert claimed[f"accuracy under {condition}"][2:] == (one.n, one.seeds)
