"""Splitting a source: by content, per class, and never a copy on both sides."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.data.dataset import ImageDataset, LabelledImages, SourceImages
from models.data.splits import content_keys, split_source

pytestmark = pytest.mark.unit


def _images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 5, 1), np.uint8)


def _labelled(images: NDArray[np.uint8], labels: list[int] | NDArray[np.int64]) -> LabelledImages:
    return LabelledImages(images=images, labels=np.asarray(labels, np.int64))


def _source(
    train: LabelledImages,
    validation: LabelledImages | None = None,
    test: LabelledImages | None = None,
) -> SourceImages:
    return SourceImages(
        name="shapes",
        labels=("round", "square"),
        color="GRAY",
        mirror_allowed=False,
        train=train,
        validation=validation,
        test=test,
    )


def _split(source: SourceImages, seed: int = 0) -> ImageDataset:
    return split_source(source, validation_share=0.25, test_share=0.2, seed=seed)


def _pictures(part: LabelledImages) -> set[bytes]:
    return {image.tobytes() for image in part.images}


def test_each_class_gives_its_share() -> None:
    dataset = _split(_source(_labelled(_images(100), [0] * 60 + [1] * 40)))
    assert np.bincount(dataset.test.labels).tolist() == [12, 8]
    assert np.bincount(dataset.validation.labels).tolist() == [12, 8]
    assert np.bincount(dataset.train.labels).tolist() == [36, 24]


def test_no_image_is_lost_or_in_two_parts() -> None:
    images = _images(50)
    dataset = _split(_source(_labelled(images, [0, 1] * 25)))
    parts = [_pictures(part) for part in (dataset.train, dataset.validation, dataset.test)]
    assert set.union(*parts) == {image.tobytes() for image in images}
    assert sum(map(len, parts)) == 50


def test_the_split_does_not_depend_on_the_order_of_the_files() -> None:
    images, labels = _images(40), np.array([0, 1] * 20)
    backwards = _source(_labelled(images[::-1].copy(), labels[::-1].copy()))
    one, other = _split(_source(_labelled(images, labels))), _split(backwards)
    assert _pictures(one.test) == _pictures(other.test)
    assert _pictures(one.validation) == _pictures(other.validation)


def test_a_seed_always_gives_its_split_and_another_seed_another() -> None:
    source = _source(_labelled(_images(40), [0, 1] * 20))
    assert _split(source, 1).fingerprint == _split(source, 1).fingerprint
    assert _split(source, 1).fingerprint != _split(source, 2).fingerprint


def test_copies_of_a_picture_stay_together() -> None:
    images = np.repeat(_images(20), 3, axis=0)
    dataset = _split(_source(_labelled(images, [0] * 30 + [1] * 30)))
    parts = [_pictures(part) for part in (dataset.train, dataset.validation, dataset.test)]
    assert sum(map(len, parts)) == 20
    assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == 60


def test_a_picture_in_two_classes_stays_together_too() -> None:
    images = np.concatenate([_images(20), _images(10), _images(20, seed=1)])
    dataset = _split(_source(_labelled(images, [0] * 20 + [1] * 30)))
    parts = [_pictures(part) for part in (dataset.train, dataset.validation, dataset.test)]
    assert sum(map(len, parts)) == 40


def test_given_parts_are_kept() -> None:
    train, validation, test = (_labelled(_images(6, seed), [0, 1] * 3) for seed in range(3))
    dataset = _split(_source(train, validation, test))
    assert (dataset.train, dataset.validation, dataset.test) == (train, validation, test)


def test_a_test_picture_leaves_the_other_parts(caplog: pytest.LogCaptureFixture) -> None:
    images = _images(8)
    labels = [0, 1] * 4
    given = _source(
        _labelled(images, labels),
        _labelled(images[4:].copy(), labels[4:]),
        _labelled(images[6:].copy(), labels[6:]),
    )
    with caplog.at_level(logging.WARNING):
        dataset = _split(given)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [4, 2, 2]
    assert "2 validation images are also test images" in caplog.text
    assert "2 training images are also test images" in caplog.text


def test_even_a_tiny_class_is_in_every_part() -> None:
    dataset = _split(_source(_labelled(_images(23), [0] * 20 + [1] * 3)))
    for part in (dataset.train, dataset.validation, dataset.test):
        assert (part.labels == 1).sum() == 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0] * 20 + [1] * 2, "in 'shapes': class 'square' has 1;"),
        ([0, 1], "in 'shapes': class 'round' has 1, class 'square' has 1;"),
    ],
)
def test_all_classes_too_small_to_split_are_named(labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _split(_source(_labelled(_images(len(labels)), labels)))


def test_keys_tell_pictures_apart_and_copies_not() -> None:
    images = np.concatenate([_images(5), _images(5)])
    keys = content_keys(images)
    assert np.array_equal(keys[:5], keys[5:])
    assert len(set(keys.tolist())) == 5
    assert not np.array_equal(keys, content_keys(images, seed=1))
