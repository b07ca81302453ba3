"""CARLA's byte encodings of depth and semantic tags."""

from __future__ import annotations

import numpy as np
import pytest

from sim.pocket.camera.encode import depth_bgra, semantic_bgra

pytestmark = pytest.mark.unit


def decoded(bgra):
    """CARLA's formula for the metres of (H, W, 4) depth bytes."""
    blue, green, red = (bgra[..., channel].astype(np.float64) for channel in range(3))
    return (red + 256.0 * green + 65536.0 * blue) / (2**24 - 1) * 1000.0


def test_depth_is_red_plus_256_green_plus_65536_blue_over_two_to_the_24_minus_1_of_a_kilometre():
    bgra = depth_bgra(np.array([[0.0, 1.0, 500.0, 1000.0]], np.float32)).astype(np.int64)
    code = bgra[0, :, 2] + 256 * bgra[0, :, 1] + 65536 * bgra[0, :, 0]
    np.testing.assert_allclose(code / (2**24 - 1) * 1000.0, [0, 1, 500, 1000], atol=3e-5)
    assert (bgra[..., 3] == 255).all()


def test_decoding_inverts_encoding_to_within_a_step():
    depth_m = np.random.default_rng(0).uniform(0.1, 1000.0, (40, 30)).astype(np.float32)
    np.testing.assert_allclose(decoded(depth_bgra(depth_m)), depth_m, atol=1e-4)


def test_depth_beyond_the_range_is_clipped():
    bgra = depth_bgra(np.array([[5000.0, -1.0]], np.float32))
    assert bgra.tolist() == [[[255, 255, 255, 255], [0, 0, 0, 255]]]


def test_the_semantic_tag_is_in_the_red_channel():
    bgra = semantic_bgra(np.array([[1, 24], [11, 0]], np.uint8))
    assert bgra[..., 2].tolist() == [[1, 24], [11, 0]]
    assert (bgra[..., :2] == 0).all()
    assert (bgra[..., 3] == 255).all()
