"""Keys: what shares one, what does not, and that the flags of a key say the truth."""

from __future__ import annotations

import numpy as np
import pytest

from bicameral.errors import DataError, UserError
from edge.memory.keys import (
    KEYS,
    content_digests,
    noise_proof_dhash_keys,
    noise_proof_dhash_probes,
)
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from studies.paper_keys import PAPER_KEY, paper_dhash_keys
from tests.remembered import blobs

pytestmark = pytest.mark.unit

ALL_KEYS = {**KEYS, PAPER_KEY.name: PAPER_KEY}


def test_an_exact_key_belongs_to_one_content() -> None:
    images = blobs(2)
    images[1] = images[0]
    images[1, 27, 27, 0] ^= 1
    first, second = content_digests(images)
    assert first != second
    assert content_digests(images[:1].copy()) == [first]


def test_an_exact_key_knows_shape_and_dtype() -> None:
    flat = np.arange(16, dtype=np.uint8)
    variants = [
        flat.reshape(1, 4, 4, 1),
        flat.reshape(1, 2, 8, 1),
        flat.reshape(1, 4, 4, 1).view(np.int8),
        flat.view(np.float32).reshape(1, 4, 1, 1),
    ]
    assert len({content_digests(variant)[0] for variant in variants}) == 4


def test_an_exact_key_does_not_depend_on_the_memory_layout() -> None:
    images = blobs(3)
    strided = np.repeat(images, 2, axis=2)[:, :, ::2]
    assert not strided.flags.c_contiguous
    assert content_digests(strided) == content_digests(images)


def test_the_papers_hash_is_right_brighter_than_left() -> None:
    ramp = np.linspace(0, 255, 28).astype(np.uint8)
    rising = np.broadcast_to(ramp[None, None, :, None], (1, 28, 28, 1)).copy()
    assert paper_dhash_keys(rising) == [b"\xff" * 8]
    assert paper_dhash_keys(rising[:, :, ::-1].copy()) == [b"\0" * 8]
    assert paper_dhash_keys(np.full((1, 28, 28, 1), 9, np.uint8)) == [b"\0" * 8]


def test_noise_on_a_flat_background_changes_the_papers_key_and_not_ours() -> None:
    flat = np.full((50, 28, 28, 1), 100, np.uint8)
    noisy = flat + np.random.default_rng(0).integers(0, 9, flat.shape, dtype=np.uint8)
    assert len(set(paper_dhash_keys(noisy))) == 50
    assert len(set(noise_proof_dhash_keys(noisy))) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_nearly_all_noisy_images_have_their_key_among_the_probes(channels: int) -> None:
    images = blobs(300, channels)
    noise = np.random.default_rng(1).normal(0, 4, images.shape)
    noisy = np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)
    keys, probes = noise_proof_dhash_keys(images), noise_proof_dhash_probes(noisy)
    found = sum(key in tried for key, tried in zip(keys, probes, strict=True))
    assert found >= 255


def test_an_image_is_filed_under_its_first_probe_and_all_probes_differ() -> None:
    images = blobs(10, channels=3)
    probes = noise_proof_dhash_probes(images)
    assert [tried[0] for tried in probes] == noise_proof_dhash_keys(images)
    assert all(len(set(tried)) == 8 for tried in probes)


@pytest.mark.parametrize("name", sorted(ALL_KEYS))
@pytest.mark.parametrize("channels", [1, 3])
def test_a_key_is_the_same_alone_and_within_a_batch(name: str, channels: int) -> None:
    images = blobs(7, channels)
    keys = ALL_KEYS[name].keys(images)
    assert keys == [ALL_KEYS[name].keys(images[index : index + 1])[0] for index in range(7)]
    assert [tried[0] for tried in ALL_KEYS[name].probes(images)] == keys


@pytest.mark.parametrize("name", sorted(ALL_KEYS))
def test_no_key_is_blind_to_orientation(name: str) -> None:
    images = blobs(50)
    turned = [
        *(np.rot90(images, quarter, (1, 2)).copy() for quarter in (1, 2, 3)),
        images[:, ::-1].copy(),
        images[:, :, ::-1].copy(),
    ]
    scheme = ALL_KEYS[name]
    keys = scheme.keys(images)
    shared = [
        sum(a == b for a, b in zip(keys, scheme.keys(other), strict=True)) for other in turned
    ]
    assert shared == [0] * 5


@pytest.mark.parametrize("name", sorted(ALL_KEYS))
def test_no_images_have_no_keys(name: str) -> None:
    nothing = np.empty((0, 28, 28, 3), np.uint8)
    assert list(ALL_KEYS[name].keys(nothing)) == []
    assert list(ALL_KEYS[name].probes(nothing)) == []


@pytest.mark.parametrize("name", sorted(set(ALL_KEYS) - {"exact"}))
def test_perceptual_keys_refuse_what_is_no_picture(name: str) -> None:
    with pytest.raises(DataError, match="use the key 'exact'"):
        ALL_KEYS[name].probes(np.zeros((1, 28, 28, 1), np.float32))


def test_the_papers_keys_refuse_other_numbers_of_channels() -> None:
    with pytest.raises(DataError, match="expected 1 or 3"):
        ALL_KEYS["dhash_unverified"].keys(np.zeros((1, 28, 28, 4), np.uint8))


def test_an_unknown_key_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="Did you mean 'dhash_verified'"):
        LocalMemory(MemorySettings(key="dhash_verifed"))
