"""Pictures of which a part is missing: what was not observed, and what it is filled with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bicameral.errors import DataError
from edge.encoded_pictures import read_encoded_picture
from edge.loading import load_classifier
from edge.masked_classifier import MaskedClassifier
from edge.pictures import decode_with_opacity
from tests.masked_model import pictures_of_two_classes

SEEN = np.ones((2, 12, 12), bool)
SEEN[:, 3:9, 2:7] = False


@pytest.fixture(scope="module")
def classifier(masked_model: Path) -> MaskedClassifier:
    loaded = load_classifier(masked_model)
    assert isinstance(loaded, MaskedClassifier)
    return loaded


def test_what_was_hidden_makes_no_difference_and_the_rest_stays(
    classifier: MaskedClassifier,
) -> None:
    images = pictures_of_two_classes(2)
    prediction, completed = classifier.predict_masked(images, SEEN)
    changed = np.where(SEEN[..., None], images, np.uint8(255) - images)
    again, completed_again = classifier.predict_masked(changed, SEEN)
    assert np.array_equal(prediction.probabilities, again.probabilities)
    assert np.array_equal(completed, completed_again)
    assert completed.dtype == np.uint8
    assert np.array_equal(completed[SEEN], images[SEEN])


def test_where_all_was_observed_it_answers_as_without_a_mask(classifier: MaskedClassifier) -> None:
    images = pictures_of_two_classes(5)
    prediction, completed = classifier.predict_masked(images, np.ones((5, 12, 12), bool))
    np.testing.assert_allclose(
        prediction.probabilities, classifier.predict(images).probabilities, atol=1e-5
    )
    assert np.array_equal(completed, images)


def test_no_picture_is_answered_with_none(classifier: MaskedClassifier) -> None:
    prediction, completed = classifier.predict_masked(
        np.empty((0, 12, 12, 1), np.uint8), np.empty((0, 12, 12), bool)
    )
    assert prediction.probabilities.shape == (0, 2)
    assert completed.shape == (0, 12, 12, 1)


def test_a_mask_of_another_size_is_refused(classifier: MaskedClassifier) -> None:
    with pytest.raises(DataError, match=r"observed of shape \(2, 11, 12\)"):
        classifier.predict_masked(pictures_of_two_classes(2), SEEN[:, 1:])


def test_a_transparent_part_of_a_png_counts_as_not_observed(classifier: MaskedClassifier) -> None:
    picture = np.full((24, 36, 4), 255, np.uint8)
    picture[4:7, 10:20, 3] = 0  # rows 2..3 and columns 3..6 of 12 are touched
    encoded = read_encoded_picture(cv2.imencode(".png", picture)[1].tobytes())
    pixels, opacity = decode_with_opacity(encoded, classifier.info.image)
    observed = classifier.observed(opacity)
    expected = np.ones((12, 12), bool)
    expected[2:4, 3:7] = False
    assert pixels.shape == (24, 36, 1)
    assert np.array_equal(observed, expected)


def test_the_opacity_of_a_turned_photo_is_turned_with_it(classifier: MaskedClassifier) -> None:
    picture = np.full((2, 3, 4), 255, np.uint8)
    picture[0, 2, 3] = 0
    encoded = read_encoded_picture(cv2.imencode(".png", picture)[1].tobytes())
    _, opacity = decode_with_opacity(replace(encoded, orientation=6), classifier.info.image)
    assert opacity[..., 0].tolist() == [[255, 255], [255, 255], [255, 0]]
