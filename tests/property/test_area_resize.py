"""Properties of the integer area resize."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.preprocessing import resize_area_int

pytestmark = pytest.mark.property

SIZES = st.integers(1, 9)


def _reduce_by_definition(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Average exactly, with fractions, over the area that an output pixel covers."""
    rows, columns, channels = image.shape

    def weights(size: int, reduced: int, index: int) -> list[Fraction]:
        begin, end = Fraction(index * size, reduced), Fraction((index + 1) * size, reduced)
        return [
            max(Fraction(0), min(end, Fraction(place + 1)) - max(begin, Fraction(place)))
            for place in range(size)
        ]

    out = np.empty((height, width, channels), np.uint8)
    for i in range(height):
        for j in range(width):
            wy, wx = weights(rows, height, i), weights(columns, width, j)
            for c in range(channels):
                total = sum(
                    wy[r] * wx[k] * int(image[r, k, c]) for r in range(rows) for k in range(columns)
                )
                out[i, j, c] = int(total / (sum(wy) * sum(wx)) + Fraction(1, 2))
    return out


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 2**32 - 1))
def test_every_ratio_gives_the_exact_rounded_mean(
    rows: int, columns: int, height: int, width: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (rows, columns, 1), dtype=np.uint8)
    expected = _reduce_by_definition(image, height, width)
    assert (resize_area_int(image, height, width) == expected).all()


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 255))
def test_a_constant_picture_stays_constant(
    rows: int, columns: int, height: int, width: int, level: int
) -> None:
    image = np.full((rows, columns, 3), level, np.uint8)
    assert (resize_area_int(image, height, width) == level).all()
