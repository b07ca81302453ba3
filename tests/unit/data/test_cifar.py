"""CIFAR-10's binary version; the other one is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from models.data.cifar import is_cifar10_folder, read_cifar10_folder
from models.data.sources import load_dataset

pytestmark = pytest.mark.unit

LABELS = [0, 1, 2, 1]
FILES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


def _pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (len(LABELS), 3072), np.uint8)


def _batch(seed: int) -> bytes:
    return np.column_stack([np.array(LABELS, np.uint8), _pixels(seed)]).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # The published list of names ends with an empty line.
    (tmp_path / "batches.meta.txt").write_text("airplane\nautomobile\nbird\n\n")
    for seed, name in enumerate(FILES):
        (tmp_path / name).write_bytes(_batch(seed))
    return tmp_path


def test_the_published_files_are_read(folder: Path) -> None:
    source = read_cifar10_folder(folder)
    assert source.labels == ("airplane", "automobile", "bird")
    assert (source.color, source.mirror_allowed) == ("RGB", True)
    assert source.train.images.shape == (5 * len(LABELS), 32, 32, 3)
    assert source.train.labels.tolist() == LABELS * 5
    assert source.test is not None
    # Red, green and blue planes one after the other, each by rows.
    expected = _pixels(5).reshape(-1, 3, 32, 32)
    assert np.array_equal(source.test.images.transpose(0, 3, 1, 2), expected)


def test_a_folder_is_loaded_by_its_files(folder: Path) -> None:
    assert load_dataset(str(folder)).name == "cifar-10"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_2.bin", b"", "has 0 bytes"),
        ("data_batch_2.bin", _batch(0)[:-100], r"multiple of 3073; fetch it again"),
        ("test_batch.bin", b"\x03" + bytes(3072), r"holds the class 3, expected 0\.\.2"),
        ("batches.meta.txt", b"airplane", r"data_batch_1\.bin holds the class 2, expected 0\.\.0"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_cifar10_folder(folder)


@pytest.mark.parametrize("name", ["data_batch_4.bin", "batches.meta.txt"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert is_cifar10_folder(folder)
    with pytest.raises(DataError, match=rf"cannot read .*{name}: No such file"):
        read_cifar10_folder(folder)


def test_pickles_are_not_opened_and_the_version_to_get_is_named(tmp_path: Path) -> None:
    assert not is_cifar10_folder(tmp_path)
    for name in ("batches.meta", "data_batch_1", "test_batch"):
        (tmp_path / name).write_bytes(pickle.dumps({b"labels": LABELS}))
    with pytest.raises(DataError, match=r"Python version .* binary version \(cifar-10-binary"):
        load_dataset(str(tmp_path))
