"""A classifier that answers after each stage: exported, loaded, run as far as wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from bicameral.errors import ConfigError, DataError
from bicameral.protocols import ClassifierSession
from edge.cascade import CascadeClassifier, CascadePolicy
from edge.cascade_sidecar import CascadeSpec, CascadeStage
from edge.export.pipeline import ExportSettings as TargetSettings
from edge.export.pipeline import export_model
from edge.loading import load_classifier, member_sha256
from edge.memory.local import LocalMemory, MemorySettings
from edge.preflight import preflight
from edge.samples import random_samples
from edge.session import RunOptions
from edge.sidecar import SUFFIX, Calibration, Sidecar, read_sidecar, write_sidecar
from edge.stages import StagedClassifier
from models.calibration import fit_temperature
from models.cascade.operating_points import run_stages
from models.classifiers.export import ExportSettings, copy_classifier, export_classifier
from models.classifiers.training import Recipe, TrainingSettings, train
from models.data.dataset import ImageDataset
from models.networks.noprop import BLOCKS

NAME = "tiny_noprop"


@pytest.fixture(scope="module")
def model(synthetic_dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and exported NoProp network."""
    folder = tmp_path_factory.mktemp("noprop")
    recipe = Recipe(epochs=4, batch_size=32)
    settings = TrainingSettings(architecture="noprop", output=folder, recipe=recipe)
    export = ExportSettings(
        output=folder, name="run", architecture="noprop", seed=0, command="test", limits="tests"
    )
    export_classifier(train(settings, synthetic_dataset), synthetic_dataset, export)
    copy_classifier(folder / "run.onnx", folder / "model", NAME)
    return folder / "model" / f"{NAME}.onnx"


@pytest.fixture
def staged(model: Path) -> StagedClassifier:
    classifier = load_classifier(model)
    assert isinstance(classifier, StagedClassifier)
    return classifier


@pytest.fixture
def images(synthetic_dataset: ImageDataset) -> NDArray[np.uint8]:
    return synthetic_dataset.test.images


def _stage(sidecar: Sidecar, threshold: float | None) -> CascadeStage:
    return CascadeStage(name=sidecar.name, sha256=member_sha256(sidecar), threshold=threshold)


def early_exit(model: Path, threshold: float, name: str = "exit") -> Path:
    """Write the sidecar of an early exit beside its classifier."""
    sidecar = read_sidecar(model)
    path = model.with_name(name + SUFFIX)
    write_sidecar(
        path,
        sidecar.model_copy(
            update={
                "schema_version": 2,
                "kind": "cascade",
                "name": name,
                "files": (),
                "stages": (),
                "calibration": Calibration(temperature=1.0, split="validation", n=1, ece=0.0),
                "cascade": CascadeSpec(
                    stages=(_stage(sidecar, threshold),),
                    score="max_probability",
                    combine="replace",
                ),
            }
        ),
    )
    return path


def policy(threshold: float) -> CascadePolicy:
    return CascadePolicy(score="max_probability", thresholds=(threshold,), combine="replace")


def test_it_learns_a_simple_task_in_seconds(model: Path, synthetic_dataset: ImageDataset) -> None:
    test = synthetic_dataset.test
    answers = load_classifier(model).predict(test.images).probabilities.argmax(axis=1)
    assert np.mean(answers == test.labels) > 0.9


def test_there_is_one_prediction_per_stage_and_the_last_is_the_whole_answer(
    staged: StagedClassifier, images: NDArray[np.uint8]
) -> None:
    assert isinstance(staged, ClassifierSession)
    answers = list(staged.predict_stages(images))
    assert len(answers) == BLOCKS
    whole = staged.predict(images)
    np.testing.assert_allclose(answers[-1].probabilities, whole.probabilities, atol=1e-5)
    np.testing.assert_allclose(answers[-1].confidence, whole.confidence, atol=1e-5)


def test_a_stage_that_nobody_fetches_is_not_computed(
    staged: StagedClassifier, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    for number, stage in enumerate(staged._stages):
        run = stage.run
        monkeypatch.setattr(
            stage, "run", lambda feeds, n=number, run=run: computed.append(n) or run(feeds)
        )
    answers = staged.predict_stages(images)
    next(answers)
    next(answers)
    assert computed == [0, 1]


def test_every_stage_has_a_temperature_fitted_on_validation_images(
    model: Path, staged: StagedClassifier, synthetic_dataset: ImageDataset
) -> None:
    sidecar = read_sidecar(model)
    assert len(sidecar.stages) == BLOCKS
    assert sidecar.stages[-1].temperature == pytest.approx(sidecar.calibration.temperature, 1e-3)
    validation = synthetic_dataset.validation
    answers = staged.predict_stages(validation.images)
    for stage, answer in zip(sidecar.stages, answers, strict=True):
        # Up to a constant of each image, which changes nothing, these are the stage's logits.
        logits = stage.temperature * np.log(np.maximum(answer.probabilities, 1e-30))
        fitted = fit_temperature(logits, validation.labels)
        assert stage.temperature == pytest.approx(fitted, rel=0.02)


def test_no_images_have_no_answers(staged: StagedClassifier) -> None:
    nothing = np.empty((0, 16, 16, 1), np.uint8)
    for answer in staged.predict_stages(nothing):
        assert answer.probabilities.shape == (0, 3)
    found = CascadeClassifier([staged], policy(0.9)).predict(nothing)
    assert found.probabilities.shape == (0, 3)
    assert found.trace == ()


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.8, 0.95, 0.999, 1.1])
def test_an_image_stops_at_the_first_stage_that_is_sure_enough(
    staged: StagedClassifier, images: NDArray[np.uint8], threshold: float
) -> None:
    answers = [answer.probabilities for answer in staged.predict_stages(images)]
    expected, used = run_stages(answers, policy(threshold))
    found = CascadeClassifier([staged], policy(threshold)).predict(images)
    assert found.trace is not None
    assert [trace.stage for trace in found.trace] == [f"block_{number}" for number in used]
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    for trace, number in zip(found.trace, used, strict=True):
        assert list(trace.stage_times_s) == [f"block_{k}" for k in range(1, number + 1)]
    first = answers[0].max(axis=1)
    np.testing.assert_allclose([trace.confidence_a for trace in found.trace], first, atol=1e-5)


def test_a_threshold_of_0_never_runs_the_second_stage_and_one_above_1_always_all(
    staged: StagedClassifier, images: NDArray[np.uint8]
) -> None:
    for threshold, stage in ((0.0, "block_1"), (1.1, f"block_{BLOCKS}")):
        found = CascadeClassifier([staged], policy(threshold)).predict(images)
        assert {trace.stage for trace in found.trace or ()} == {stage}


def test_an_early_exit_is_loaded_by_its_sidecar_and_remembers(
    model: Path, images: NDArray[np.uint8]
) -> None:
    memory = LocalMemory(MemorySettings(key="exact", store_min_confidence=0.0))
    classifier = load_classifier(early_exit(model, 0.9), memory=memory)
    assert isinstance(classifier, CascadeClassifier)
    first, second = classifier.predict(images[:4]), classifier.predict(images[:4])
    assert {trace.stage for trace in second.trace or ()} == {"memory"}
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


def test_an_early_exit_is_a_member_of_a_cascade(
    model: Path, staged: StagedClassifier, images: NDArray[np.uint8]
) -> None:
    path = early_exit(model, 0.9)
    member = read_sidecar(path)
    spec = CascadeSpec(
        stages=(_stage(member, 1.1), _stage(read_sidecar(model), None)),
        score="margin",
        combine="replace",
    )
    pair = path.with_name("pair" + SUFFIX)
    write_sidecar(pair, member.model_copy(update={"name": "pair", "cascade": spec}))
    found = load_classifier(pair).predict(images)
    np.testing.assert_allclose(found.probabilities, staged.predict(images).probabilities, atol=1e-5)


def test_the_whole_graph_and_every_stage_are_what_a_jetson_nano_reads(model: Path) -> None:
    for path in sorted(model.parent.glob("*.onnx")):
        findings = preflight(path, "jetson-nano")
        assert {finding.rule for finding in findings} <= {"dynamic-shape"}
        assert [item.version for item in onnx.load(path).opset_import] == [13]


def test_an_export_for_a_target_has_the_whole_graph_and_no_stages(
    model: Path, tmp_path: Path
) -> None:
    settings = TargetSettings(
        model=model, target="jetson-nano", precision="fp32", batch=1, output=tmp_path / "out"
    )
    check = random_samples(read_sidecar(model), 8)
    exported = read_sidecar(export_model(settings, check).sidecar)
    assert exported.stages == ()
    run_on = RunOptions(target="jetson-nano")
    answering = load_classifier(tmp_path / "out" / f"{NAME}.onnx", run_on=run_on)
    assert not isinstance(answering, StagedClassifier)


def test_a_copy_by_its_sidecar_or_its_graph_has_the_new_name_throughout(
    model: Path, tmp_path: Path
) -> None:
    for number, source in enumerate((model, model.with_name(NAME + SUFFIX))):
        copy_classifier(source, tmp_path / str(number), "other")
        assert isinstance(load_classifier(tmp_path / str(number) / "other.onnx"), StagedClassifier)
        assert all(path.name.startswith("other.") for path in (tmp_path / str(number)).iterdir())


def test_a_damaged_stage_is_named(model: Path, tmp_path: Path) -> None:
    copy_classifier(model, tmp_path, NAME)
    stage = tmp_path / f"{NAME}.stage_03.onnx"
    stage.write_bytes(stage.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"stage_03\.onnx is not the file.*1000 bytes"):
        load_classifier(tmp_path / f"{NAME}.onnx")


def test_stages_in_the_wrong_order_are_refused(model: Path, tmp_path: Path) -> None:
    sidecar = copy_classifier(model, tmp_path, NAME)
    turned = sidecar.model_copy(update={"stages": sidecar.stages[::-1]})
    write_sidecar(tmp_path / (NAME + SUFFIX), turned)
    with pytest.raises(DataError, match="stage 1 of 'tiny_noprop' takes"):
        load_classifier(tmp_path / f"{NAME}.onnx")


def test_an_early_exit_of_a_classifier_without_stages_says_what_is_missing(
    model: Path, tmp_path: Path
) -> None:
    sidecar = copy_classifier(model, tmp_path, NAME)
    write_sidecar(tmp_path / (NAME + SUFFIX), sidecar.model_copy(update={"stages": ()}))
    path = early_exit(tmp_path / f"{NAME}.onnx", 0.9)
    with pytest.raises(DataError, match="must be a classifier with stages"):
        load_classifier(path)


def test_an_early_exit_cannot_be_exported_for_a_device_and_says_what_can(
    model: Path, tmp_path: Path
) -> None:
    settings = TargetSettings(
        model=early_exit(model, 0.9),
        target="jetson-nano",
        precision="fp32",
        batch=1,
        output=tmp_path / "out",
    )
    with pytest.raises(ConfigError, match=f"give '{NAME}' itself"):
        export_model(settings, random_samples(read_sidecar(model), 8))
