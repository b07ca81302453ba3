"""The IDX reader: strict about every byte, and it names the file."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.data.idx import IDX_FILES, read_idx, read_idx_folder

pytestmark = pytest.mark.unit


def _idx(array: NDArray[np.uint8]) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def _gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)  # the time would change the names of the tests


IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([2, 0, 1], np.uint8)


def _folder(folder: Path, *, compressed: bool = False) -> Path:
    for name, array in zip(IDX_FILES, (IMAGES, LABELS, IMAGES + 1, LABELS), strict=True):
        content = _idx(array)
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("compressed", [False, True])
def test_four_files_are_training_and_test_images(tmp_path: Path, compressed: bool) -> None:
    train, test = read_idx_folder(_folder(tmp_path, compressed=compressed))
    assert np.array_equal(train.images, IMAGES[..., None])
    assert np.array_equal(test.images, IMAGES[..., None] + 1)
    assert train.labels.tolist() == test.labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"\x00\x00\x08", "00 00 08"),
        (b"\x00\x00\x0d\x01" + struct.pack(">I", 1) + bytes(4), "unsigned bytes"),
        (_idx(IMAGES), "1 dimensions"),
        (b"\x00\x00\x08\x01\x00", "inside its header"),
        (_idx(LABELS)[:-1], "3 = 3 bytes and holds only 2"),
        (_idx(LABELS) + b"\x00", "holds more"),
        (_gzipped(_idx(LABELS))[:-9], "cannot read"),
        (_gzipped(_idx(LABELS))[:-8] + bytes(8), "cannot read"),
        (_gzipped(_idx(LABELS))[:10] + b"\xff" * 12, "cannot read"),
        (b"\x1f\x8b", "cannot read"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "some-labels"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_idx(path, 1)
    assert str(path) in str(error.value)


def test_a_small_file_that_unpacks_to_a_huge_one_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(_idx(LABELS) + bytes(20_000_000), compresslevel=1))
    with pytest.raises(DataError, match="holds more"):
        read_idx(path, 1)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    _folder(tmp_path)
    (tmp_path / IDX_FILES[3]).unlink()
    with pytest.raises(DataError, match=f"no {IDX_FILES[3]}"):
        read_idx_folder(tmp_path)


def test_images_and_labels_must_be_as_many(tmp_path: Path) -> None:
    _folder(tmp_path)
    (tmp_path / IDX_FILES[1]).write_bytes(_idx(LABELS[:2]))
    with pytest.raises(DataError, match=r"3 images, .* 2 labels"):
        read_idx_folder(tmp_path)


def test_an_empty_file_of_images_is_an_error(tmp_path: Path) -> None:
    _folder(tmp_path)
    (tmp_path / IDX_FILES[2]).write_bytes(_idx(IMAGES[:0]))
    (tmp_path / IDX_FILES[3]).write_bytes(_idx(LABELS[:0]))
    with pytest.raises(DataError, match="holds no pixels"):
        read_idx_folder(tmp_path)
