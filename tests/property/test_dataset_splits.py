"""Properties of splitting a data set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bicameral.errors import DataError
from models.data.dataset import LabelledImages, SourceImages
from models.data.splits import split_source

pytestmark = pytest.mark.property

SHARES = st.floats(0.01, 0.99)
#: Which of a few pictures an image shows, and its class: many copies, some with two classes.
IMAGES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 1)), min_size=1, max_size=40)


def _part(images: list[tuple[int, int]]) -> LabelledImages:
    pixels = np.array([picture for picture, _ in images], np.uint8)
    return LabelledImages(
        images=np.tile(pixels[:, None, None, None], (1, 2, 2, 1)),
        labels=np.array([label for _, label in images], np.int64),
    )


@settings(max_examples=150, deadline=None)
@given(IMAGES, st.none() | IMAGES, st.none() | IMAGES, SHARES, SHARES, st.integers(0, 2**63))
def test_no_picture_is_in_two_parts_and_no_picture_is_lost(
    train: list[tuple[int, int]],
    validation: list[tuple[int, int]] | None,
    test: list[tuple[int, int]] | None,
    validation_share: float,
    test_share: float,
    seed: int,
) -> None:
    source = SourceImages(
        name="shapes",
        labels=("round", "square"),
        color="GRAY",
        mirror_allowed=False,
        train=_part(train),
        validation=None if validation is None else _part(validation),
        test=None if test is None else _part(test),
    )
    try:
        dataset = split_source(
            source, validation_share=validation_share, test_share=test_share, seed=seed
        )
    except DataError:
        return
    parts = [
        {int(image[0, 0, 0]) for image in part.images}
        for part in (dataset.train, dataset.validation, dataset.test)
    ]
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]
    given_pictures = {picture for picture, _ in [*train, *(validation or []), *(test or [])]}
    assert set.union(*parts) == given_pictures
