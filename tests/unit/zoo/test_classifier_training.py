"""Training of one classifier by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bicameral.cli.app import app
from bicameral.errors import ConfigError, DataError, UserError
from edge.loading import load_classifier
from edge.sidecar import read_sidecar
from models.data.sources import DatasetOptions
from models.zoo.training import ClassifierTraining, train_classifier


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two easy classes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for label, level in (("dark", 40), ("light", 180)):
        (folder / label).mkdir()
        for number in range(300):
            noise = rng.integers(0, 60, (16, 16), np.uint8)
            cv2.imwrite(str(folder / label / f"{number}.png"), noise + np.uint8(level))
    return folder


def training(source: Path, output: Path, **changes: object) -> ClassifierTraining:
    values: dict[str, object] = {
        "entry": "squeeze16",
        "source": str(source),
        "output": output,
        "prefix": "easy",
        "options": DatasetOptions(image_size=(16, 16), color="GRAY"),
        "epochs": 12,
        "command": "bicameral train classifier",
        "limits": "For tests.",
    }
    return ClassifierTraining(**(values | changes))  # type: ignore[arg-type]


def test_one_call_trains_and_writes_a_model_that_classifies(pictures: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    path = train_classifier(training(pictures, tmp_path), lambda *step: steps.append(step))
    assert path == tmp_path / "model" / "easy_squeeze16.bicameral.json"
    assert read_sidecar(path).claims[0].value > 0.9
    assert steps[-1][0] == steps[-1][1]
    classifier = load_classifier(path)
    images = np.stack([np.full((16, 16, 1), level, np.uint8) for level in (70, 210)])
    found = classifier.predict(images).probabilities.argmax(axis=1)
    assert [classifier.info.labels[index] for index in found] == ["dark", "light"]


def test_a_student_of_a_trained_model_says_so_in_its_name(pictures: Path, tmp_path: Path) -> None:
    teacher = train_classifier(training(pictures, tmp_path, epochs=1), lambda *_: None)
    student = training(pictures, tmp_path, entry="residual8", epochs=1, teachers=(str(teacher),))
    path = train_classifier(student, lambda *_: None)
    assert path == tmp_path / "model" / "easy_residual8_distilled.bicameral.json"
    assert len(list((tmp_path / "answers").iterdir())) == 1


def test_the_command_trains_on_a_users_pictures_in_their_own_size_and_proportions(
    pictures: Path, tmp_path: Path
) -> None:
    words = ["train", "classifier", "squeeze16", str(pictures), "--output", str(tmp_path)]
    looks = ["--image-size", "12", "16", "--color", "GRAY", "--aspect", "crop", "--mirror"]
    assert app([*words, *looks, "--epochs", "1", "--name", "easy"]) == 0
    image = read_sidecar(tmp_path / "model" / "easy_squeeze16.onnx").input.image
    assert (image.height, image.width, image.color, image.aspect) == (12, 16, "GRAY", "crop")


@pytest.mark.parametrize(
    ("source", "flags", "message"),
    [
        ("fashion-mnist", ["--image-size", "64"], "no folder of pictures"),
        ("pictures", ["--image-size", "1", "2", "3"], "expected height and width"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    source: str, flags: list[str], message: str, pictures: Path, tmp_path: Path
) -> None:
    place = str(pictures) if source == "pictures" else source
    with pytest.raises(ConfigError, match=message):
        app(["train", "classifier", "squeeze16", place, "--output", str(tmp_path), *flags])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entry": "squeze16"}, "Did you mean 'squeeze16'"),
        ({"base": "fashion_mnist_squeeze16_distilled"}, "leave out --base"),
        (
            {"entry": "read_out", "base": "any", "epochs": None, "teachers": ("any",)},
            "leave out --teachers",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(
    changes: dict[str, object], message: str, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        training(pictures, tmp_path, **changes)


def test_another_training_in_the_same_folder_is_refused_and_loses_nothing(
    pictures: Path, tmp_path: Path
) -> None:
    path = train_classifier(training(pictures, tmp_path, epochs=1), lambda *_: None)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="other settings or data"):
        train_classifier(training(pictures, tmp_path, epochs=2), lambda *_: None)
    assert path.read_bytes() == before


def test_too_few_pictures_are_refused_and_the_folder_is_free_for_more(
    pictures: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    for folder in pictures.iterdir():
        (few / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:20]:
            (few / folder.name / path.name).symlink_to(path)
    with pytest.raises(DataError, match="fewer than one batch of 128; add pictures until"):
        train_classifier(training(few, tmp_path / "run"), lambda *_: None)
    assert not (tmp_path / "run").exists()


def test_no_epochs_are_not_as_many_as_the_architecture_needs(
    pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="epochs is 0"):
        train_classifier(training(pictures, tmp_path, epochs=0), lambda *_: None)
