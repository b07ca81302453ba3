"""Data sets by name or place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bicameral.errors import ConfigError, DataError
from models.data.dataset import ImageDataset, LabelledImages
from models.data.idx import IDX_FILES
from models.data.sources import (
    FASHION_MNIST_FOLDER,
    FASHION_MNIST_LABELS,
    DatasetOptions,
    load_dataset,
)

pytestmark = pytest.mark.unit

needs_fashion_mnist = pytest.mark.skipif(
    not FASHION_MNIST_FOLDER.is_dir(), reason="Debian's package dataset-fashion-mnist is absent"
)


@needs_fashion_mnist
def test_fashion_mnist_has_50_000_10_000_and_10_000_images() -> None:
    dataset = load_dataset("fashion-mnist")
    assert dataset.labels == FASHION_MNIST_LABELS
    assert (dataset.color, dataset.image_shape) == ("GRAY", (28, 28, 1))
    assert dataset.mirror_allowed
    for part, per_class in (
        (dataset.train, 5000),
        (dataset.validation, 1000),
        (dataset.test, 1000),
    ):
        assert np.bincount(part.labels).tolist() == [per_class] * 10
    # Changing the split makes stored logits worthless: it may not happen by accident.
    assert dataset.fingerprint.startswith("98259d057c61141b")


@needs_fashion_mnist
def test_fashion_mnist_is_known_by_its_content(tmp_path: Path) -> None:
    for name in IDX_FILES:
        (tmp_path / f"{name}.gz").symlink_to(FASHION_MNIST_FOLDER / f"{name}.gz")
    dataset = load_dataset(str(tmp_path), DatasetOptions(validation_share=0.5))
    assert (dataset.name, dataset.labels) == ("fashion-mnist", FASHION_MNIST_LABELS)
    assert dataset.mirror_allowed
    assert len(dataset.validation) == 30_000


def _write_idx(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in IDX_FILES:
        values = rng.integers(0, 256, (20, 3, 4)) if "images" in name else np.arange(20) % 5
        sizes = np.array(values.shape, ">u4").tobytes()
        header = bytes((0, 0, 8, values.ndim))
        (folder / name).write_bytes(header + sizes + values.astype(np.uint8).tobytes())
    return folder


def test_an_unknown_idx_folder_has_numbers_for_names_and_is_not_mirrored(tmp_path: Path) -> None:
    dataset = load_dataset(str(_write_idx(tmp_path)))
    assert dataset.labels == ("0", "1", "2", "3", "4")
    assert dataset.name == tmp_path.name
    assert not dataset.mirror_allowed
    assert load_dataset(str(tmp_path), DatasetOptions(mirror_allowed=True)).mirror_allowed


def test_an_image_folder_is_split_by_the_options(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(20):
            picture = rng.integers(0, 256, (6, 6, 3), np.uint8)
            for copy in range(1 + number % 2):  # every other picture lies there twice
                cv2.imwrite(str(tmp_path / label / f"{number}-{copy}.png"), picture)
    options = DatasetOptions(
        test_share=0.2, validation_share=0.25, image_size=(5, 7), color="GRAY", mirror_allowed=True
    )
    dataset = load_dataset(str(tmp_path), options)
    assert (dataset.image_shape, dataset.color) == ((5, 7, 1), "GRAY")
    assert dataset.mirror_allowed
    parts = (dataset.train, dataset.validation, dataset.test)
    assert sum(map(len, parts)) == 60
    pictures = [{image.tobytes() for image in part.images} for part in parts]
    assert sum(map(len, pictures)) == len(set.union(*pictures)) == 40


def test_an_unknown_source_says_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names fashion-mnist, a folder, or a \.toml file"):
        load_dataset(str(tmp_path / "fashion_mnist"))


@pytest.mark.parametrize(
    "changes",
    [
        {"validation_share": 0.0},
        {"test_share": 1.0},
        {"test_share": float("nan")},
        {"image_size": (0, 8)},
        {"color": "BGR"},
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        DatasetOptions(**changes)


# The data set itself


def _part(labels: list[int], **changes: Any) -> LabelledImages:
    shape = changes.get("shape", (4, 4, 1))
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] + np.zeros(shape, np.uint8)
    return LabelledImages(images=images, labels=np.array(labels, np.int64))


def _dataset(**changes: Any) -> ImageDataset:
    values: dict[str, Any] = {
        "name": "shapes",
        "labels": ("round", "square"),
        "color": "GRAY",
        "mirror_allowed": False,
        "train": _part([0, 1, 0, 1]),
        "validation": _part([0, 1]),
        "test": _part([1, 0]),
    }
    return ImageDataset(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("round",)}, "at least two"),
        ({"labels": ("round", "round")}, "different names"),
        ({"validation": _part([])}, "no validation images"),
        ({"test": _part([0, 2])}, r"test labels .* 0\.\.2, expected 0\.\.1"),
        ({"validation": _part([-1])}, "validation labels"),
        ({"test": _part([0], shape=(4, 5, 1))}, "test images of 'shapes' have shape"),
        ({"color": "RGB"}, "1 channels, RGB has 3"),
        ({"train": _part([0, 0])}, "no training image of square"),
    ],
)
def test_a_data_set_on_which_nothing_can_be_learned_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        _dataset(**changes)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 4, 8, 1), np.uint8)[:, :, ::2], np.zeros(2, np.int64)),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int32)),
    ],
)
def test_images_and_labels_have_one_form(images: Any, labels: Any) -> None:
    with pytest.raises(DataError, match="expected"):
        LabelledImages(images=images, labels=labels)


def test_the_fingerprint_covers_pixels_labels_names_and_split() -> None:
    plain = _dataset()
    assert plain.fingerprint == _dataset(name="other name").fingerprint
    pixels = _part([0, 1])
    pixels.images[0, 0, 0, 0] += 1
    for changes in (
        {"labels": ("round", "star")},
        {"test": _part([0, 1])},
        {"validation": pixels},
        {"validation": plain.test, "test": plain.validation},
        {"train": _part([0, 1, 0, 1, 0]), "validation": _part([1])},
    ):
        assert _dataset(**changes).fingerprint != plain.fingerprint
