"""CIFAR-10's pickles: read as plain data, never obeyed."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bicameral.errors import DataError
from models.data.cifar import is_cifar10_folder, read_cifar10_folder

pytestmark = pytest.mark.unit

NAMES = [b"airplane", b"automobile", b"bird"]
ROWS = 4


def _python2_string(value: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(value)) + value


def _python2_batch(data: np.ndarray, labels: list[int]) -> bytes:
    """Write the operations that Python 2 used for the published batches (protocol 2)."""
    shape = b"".join(b"M" + struct.pack("<H", size) for size in data.shape)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01b\x87q\n"
        b"Rq\x0b(K\x01"
        + shape
        + b"\x86q\x0ccnumpy\ndtype\nq\rU\x02u1q\x0eK\x00K\x01\x87q\x0fRq\x10"
        b"(K\x03U\x01|q\x11NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + _python2_string(data.tobytes())
        + b"tb"
    )
    label_items = b"".join(b"K" + bytes([label]) for label in labels)
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03"
        b"U\x06labelsq\x04]q\x05(" + label_items + b"eU\x04dataq\x06" + array + b"u."
    )


def _pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (ROWS, 3072), np.uint8)


def _folder(folder: Path) -> Path:
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": NAMES}, 2))
    for seed, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        (folder / name).write_bytes(_python2_batch(_pixels(seed), [0, 1, 2, 1]))
    return folder


def test_the_published_files_are_read(tmp_path: Path) -> None:
    source = read_cifar10_folder(_folder(tmp_path))
    assert source.labels == ("airplane", "automobile", "bird")
    assert (source.color, source.mirror_allowed) == ("RGB", True)
    assert source.train.images.shape == (5 * ROWS, 32, 32, 3)
    assert source.train.labels.tolist() == [0, 1, 2, 1] * 5
    assert source.test is not None
    # Red, green and blue planes one after the other, each by rows.
    expected = _pixels(5).reshape(ROWS, 3, 32, 32)
    assert np.array_equal(source.test.images[2, :, :, 1], expected[2, 1])


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_batches_that_python_3_wrote_are_read_too(
    tmp_path: Path, protocol: int, order: Any
) -> None:
    data = np.array(_pixels(5), order=order)
    batch = {"data": data, "labels": [2, 1, 0, 0]}
    (_folder(tmp_path) / "test_batch").write_bytes(pickle.dumps(batch, protocol))
    test = read_cifar10_folder(tmp_path).test
    assert test is not None
    assert np.array_equal(test.images.transpose(0, 3, 1, 2).reshape(ROWS, 3072), data)
    assert test.labels.tolist() == [2, 1, 0, 0]


class _Command:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("it-ran",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(_Command()),
        pickle.dumps({b"data": _Command(), b"labels": []}),
        b"cbuiltins\neval\n(U\x0f__import__('os')tR.",
        b"cnumpy\nload\n(U\x01xtR.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"Psomewhere\n.",
    ],
)
def test_a_pickle_that_asks_for_anything_else_is_refused(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (_folder(tmp_path) / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=r"refused to read .*data_batch_3: it (asks|refers)"):
        read_cifar10_folder(tmp_path)
    assert not (tmp_path / "it-ran").exists()


def test_a_pickle_cannot_change_the_reader(tmp_path: Path) -> None:
    for name in (b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n"):
        (_folder(tmp_path) / "test_batch").write_bytes(name + b"}U\x08__call__K\x01sb.")
        with pytest.raises(DataError, match="no readable pickle"):
            read_cifar10_folder(tmp_path)


def _batch(**changes: Any) -> bytes:
    return pickle.dumps({"data": _pixels(0), "labels": [0, 1, 2, 1]} | changes, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no readable pickle"),
        (_batch()[:-100], "no readable pickle"),
        (pickle.dumps([1, 2]), "holds a list"),
        (_batch(data=[1, 2]), "no array 'data'"),
        (_batch(labels=None), "no list 'labels'"),
        (_batch(data=_pixels(0).astype(np.float32)), "not one of unsigned bytes"),
        (_batch(data=np.array([None])), "not one of unsigned bytes"),
        (_batch(data=_pixels(0)[:3]), r"shape \(3, 3072\) and 4 labels"),
        (_batch(data=_pixels(0)[:, :3000]), r"shape \(4, 3000\)"),
        (_batch(labels=[0, 1, 2, 3]), r"in 0\.\.2"),
        (_batch(labels=[0, 1, 2, -1]), r"in 0\.\.2"),
        (_batch(labels=[0, 1, 2, "1"]), r"in 0\.\.2"),
        (_python2_batch(_pixels(0), [0]).replace(b"M\x04\x00", b"M\x05\x00"), "unsigned bytes"),
    ],
    ids=range(13),
)
def test_a_damaged_batch_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (_folder(tmp_path) / "data_batch_2").write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_cifar10_folder(tmp_path)
    assert "data_batch_2" in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert not is_cifar10_folder(tmp_path)
    (_folder(tmp_path) / "data_batch_4").unlink()
    assert is_cifar10_folder(tmp_path)
    with pytest.raises(DataError, match=r"cannot read .*data_batch_4: No such file"):
        read_cifar10_folder(tmp_path)


def test_class_names_are_needed(tmp_path: Path) -> None:
    (_folder(tmp_path) / "batches.meta").write_bytes(pickle.dumps({b"label_names": 3}, 2))
    with pytest.raises(DataError, match="'label_names'"):
        read_cifar10_folder(tmp_path)
