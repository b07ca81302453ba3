"""Training of one network: it learns, it resumes, it refuses what does not belong to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bicameral.errors import ConfigError, DataError, UserError
from edge.loading import load_classifier
from edge.sidecar import read_sidecar
from models.classifiers.augmentation import Augmentation, all_views, augment_batch
from models.classifiers.distillation import Teacher, predict_logits
from models.classifiers.export import ExportSettings, export_classifier
from models.classifiers.training import (
    Recipe,
    TrainingSettings,
    image_spec,
    load_network,
    train,
)
from models.data.dataset import ImageDataset, LabelledImages
from models.networks.architectures import ARCHITECTURES, Architecture
from models.trainer import CHECKPOINT_NAME, TrainingProgress

RECIPE = Recipe(epochs=3, batch_size=32)


def settings(output: Path, **changes: object) -> TrainingSettings:
    values: dict[str, object] = {
        "architecture": "residual8",
        "output": output,
        "recipe": RECIPE,
        "checkpoint_every": 4,
    }
    return TrainingSettings(**(values | changes))  # type: ignore[arg-type]


def weights(network: torch.nn.Module) -> list[np.ndarray]:
    return [value.numpy() for value in network.state_dict().values()]


def accuracy(network: torch.nn.Module, dataset: ImageDataset) -> float:
    logits = predict_logits(network, dataset.test.images, image_spec(dataset))
    return float((logits.argmax(axis=1) == dataset.test.labels).mean())


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", ["residual8", "squeeze16"])
def test_a_network_learns_a_simple_task(
    name: str, synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    network = train(settings(tmp_path, architecture=name), synthetic_dataset)
    assert accuracy(network, synthetic_dataset) > 0.9


@pytest.mark.parametrize("stop", [1, 6, 8, 13, 23])
def test_a_training_killed_anywhere_ends_with_the_same_bits(
    stop: int, synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    whole = train(settings(tmp_path / "whole"), synthetic_dataset)

    def kill(progress: TrainingProgress) -> None:
        if progress.step == stop:
            raise KilledError

    with pytest.raises(KilledError):
        train(settings(tmp_path / "killed"), synthetic_dataset, progress=kill)
    resumed = train(settings(tmp_path / "killed"), synthetic_dataset)
    for left, right in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_finished_training_is_not_repeated(
    synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    train(settings(tmp_path), synthetic_dataset)
    steps: list[TrainingProgress] = []
    train(settings(tmp_path), synthetic_dataset, progress=steps.append)
    assert steps == []


def test_a_folder_of_another_training_is_refused(
    synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    train(settings(tmp_path), synthetic_dataset)
    with pytest.raises(ConfigError, match="other settings or data"):
        train(settings(tmp_path, seed=1), synthetic_dataset)


def test_a_checkpoint_gives_back_the_trained_network(
    synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    trained = train(settings(tmp_path), synthetic_dataset)
    for left, right in zip(weights(trained), weights(load_network(tmp_path)), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_checkpoint_with_another_architectures_weights_is_refused(
    synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    train(settings(tmp_path), synthetic_dataset)
    path = tmp_path / CHECKPOINT_NAME
    record = torch.load(path, weights_only=True)
    record["settings"]["architecture"] = "vgg12"
    torch.save(record, path)
    with pytest.raises(DataError, match="no checkpoint of a classifier"):
        load_network(tmp_path)


def test_an_unknown_architecture_and_too_large_batches_are_refused(
    synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="unknown architecture 'resnet50'"):
        train(settings(tmp_path, architecture="resnet50"), synthetic_dataset)
    with pytest.raises(DataError, match="fewer than one batch of 512"):
        train(settings(tmp_path, recipe=Recipe(batch_size=512)), synthetic_dataset)


def test_images_whose_side_matters_are_not_mirrored(
    synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    recipe = Recipe(augmentation=Augmentation(mirror=True))
    with pytest.raises(ConfigError, match="'synthetic' must not be mirrored"):
        train(settings(tmp_path, recipe=recipe), synthetic_dataset)


def test_a_student_learns_from_its_teacher_alone(
    synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    teaching = train(settings(tmp_path / "teacher", architecture="vgg12"), synthetic_dataset)
    named = ExportSettings(
        output=tmp_path, name="teacher", architecture="vgg12", seed=0, command="-", limits="-"
    )
    export_classifier(teaching, synthetic_dataset, named)
    exported = load_classifier(tmp_path / "teacher.onnx")
    teacher = Teacher.of_classifiers([exported], synthetic_dataset.train, RECIPE.augmentation)
    student = train(
        settings(tmp_path / "student", distillation=1.0), synthetic_dataset, teacher=teacher
    )
    assert accuracy(student, synthetic_dataset) > 0.9


def test_distillation_and_a_teacher_come_together(
    synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="needs a teacher"):
        train(settings(tmp_path, distillation=0.5), synthetic_dataset)


def test_a_teachers_answers_survive_a_file(tmp_path: Path) -> None:
    teacher = Teacher(np.arange(24, dtype=np.float32).reshape(2, 4, 3))
    teacher.write(tmp_path / "answers.npy")
    assert Teacher.read(tmp_path / "answers.npy").fingerprint == teacher.fingerprint
    (tmp_path / "answers.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"answers\.npy"):
        Teacher.read(tmp_path / "answers.npy")


def test_shifted_images_move_by_at_most_the_shift_and_fill_with_black() -> None:
    images = np.full((200, 6, 6, 1), 9, np.uint8)
    shifted, _ = augment_batch(images, Augmentation(shift_px=1), np.random.default_rng(0))
    counts = set((shifted > 0).sum(axis=(1, 2, 3)).tolist())
    assert counts == {36, 30, 25}
    assert (images == 9).all()


@pytest.mark.parametrize("mirror", [False, True])
def test_a_teacher_is_asked_about_the_very_view_that_its_student_sees(mirror: bool) -> None:
    images = np.random.default_rng(1).integers(0, 256, (200, 5, 4, 3), np.uint8)
    augmentation = Augmentation(shift_px=1, mirror=mirror)
    augmented, views = augment_batch(images, augmentation, np.random.default_rng(0))
    every = np.stack(list(all_views(images, augmentation)))
    assert set(views) == set(range(len(every))) == set(range(18 if mirror else 9))
    np.testing.assert_array_equal(augmented, every[views, np.arange(200)])


def test_several_teachers_teach_the_mean_of_their_probabilities() -> None:
    answers = np.array([[0.8, 0.2], [0.4, 0.6]], np.float32)
    images = LabelledImages(images=np.zeros((1, 2, 2, 1), np.uint8), labels=np.zeros(1, np.int64))
    sessions = [SimpleNamespace(predict=_always(answer)) for answer in answers]
    teacher = Teacher.of_classifiers(sessions, images, Augmentation(shift_px=0))  # type: ignore[arg-type]
    expected = Teacher(np.log(np.array([[[0.6, 0.4]]], np.float32)))
    student, index = torch.tensor([[1.0, 0.0]]), np.zeros(1, np.int64)
    assert teacher.loss(student, index, index).item() == pytest.approx(
        expected.loss(student, index, index).item(), rel=1e-6
    )


def _always(answer: np.ndarray) -> Callable[[np.ndarray], SimpleNamespace]:
    return lambda images: SimpleNamespace(probabilities=np.tile(answer, (len(images), 1)))


def test_training_is_in_float32_unless_the_user_says_otherwise() -> None:
    assert Recipe().precision == "fp32"
    with pytest.raises(UserError, match="Did you mean 'bf16'"):
        Recipe(precision="bf61")  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture_trains_in_bfloat16_where_the_processor_has_it(
    architecture: str, synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    found = torch.cpu.get_capabilities()
    if not (found.get("avx512_bf16", False) or found.get("amx_bf16", False)):
        pytest.skip("this processor does not compute in bfloat16")
    pictures = LabelledImages(
        images=np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), np.uint8),
        labels=np.arange(64, dtype=np.int64) % 3,
    )
    few = replace(synthetic_dataset, train=pictures, validation=pictures, test=pictures)
    recipe = Recipe(epochs=1, batch_size=32, precision="bf16")
    network = train(settings(tmp_path, architecture=architecture, recipe=recipe), few)
    assert all(np.isfinite(value).all() and value.dtype != np.float16 for value in weights(network))
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    with pytest.raises(ConfigError, match="other settings"):
        train(
            settings(tmp_path, architecture=architecture, recipe=replace(recipe, precision="fp32")),
            few,
        )


class RewiredNetwork(torch.nn.Module):
    """Learns its own objective, and counts its steps in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16 * 16, 3)
        self.register_buffer("changes", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = x.flatten(1)
        logits = self.layer(features)
        return logits, features, logits.unsqueeze(1)

    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        wanted = torch.nn.functional.one_hot(labels, 3).float()
        return torch.nn.functional.mse_loss(self(images)[0], wanted)

    def after_step(self, step: int, steps: int) -> None:
        self.changes += 1
        assert step <= steps

    @property
    def extra_outputs(self) -> tuple[tuple[str, str], ...]:
        return (("stage_logits", "stage_logits"),)


@pytest.fixture
def rewired(monkeypatch: pytest.MonkeyPatch) -> str:
    entry = Architecture(
        build=lambda _: RewiredNetwork(), optimizer="adamw", learning_rate=0.01, weight_decay=0.0
    )
    monkeypatch.setitem(ARCHITECTURES, "rewired", entry)
    return "rewired"


def test_a_network_may_bring_its_own_objective_and_change_its_wiring(
    rewired: str, synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    network = train(settings(tmp_path / "whole", architecture=rewired), synthetic_dataset)
    assert accuracy(network, synthetic_dataset) > 0.8
    assert network.get_buffer("changes").item() == 3 * (256 // 32)

    def kill(progress: TrainingProgress) -> None:
        if progress.step == 13:
            raise KilledError

    resumed = settings(tmp_path / "resumed", architecture=rewired)
    with pytest.raises(KilledError):
        train(resumed, synthetic_dataset, progress=kill)
    for expected, found in zip(
        weights(network), weights(train(resumed, synthetic_dataset)), strict=True
    ):
        np.testing.assert_array_equal(expected, found)


def test_a_network_with_its_own_objective_cannot_be_distilled(
    rewired: str, synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    teacher = Teacher(np.zeros((2, 256, 3), np.float32))
    distilled = settings(tmp_path, architecture=rewired, distillation=0.5)
    with pytest.raises(ConfigError, match="objective of its own"):
        train(distilled, synthetic_dataset, teacher=teacher)


def test_further_outputs_of_a_network_are_exported(
    rewired: str, synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    network = train(settings(tmp_path, architecture=rewired), synthetic_dataset)
    export_classifier(
        network,
        synthetic_dataset,
        ExportSettings(
            output=tmp_path, name="net", architecture=rewired, seed=0, command="-", limits="-"
        ),
    )
    found = [(one.meaning, one.shape) for one in read_sidecar(tmp_path / "net.onnx").outputs]
    assert found == [("logits", (-1, 3)), ("features", (-1, 256)), ("stage_logits", (-1, 1, 3))]
