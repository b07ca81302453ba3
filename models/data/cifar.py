"""CIFAR-10 in its binary version (https://www.cs.toronto.edu/~kriz/cifar.html).

A file is one record after another: a byte for the class, then 1,024 red, 1,024 green and 1,024 blue
values. The Python version of the data set holds pickles, which may run code, and is not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bicameral.errors import DataError
from models.data.dataset import LabelledImages, SourceImages

_CLASS_NAMES = "batches.meta.txt"
_TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST_BATCH = "test_batch"
_SUFFIX = ".bin"
_PLANES = (3, 32, 32)
_RECORD_BYTES = 1 + 3 * 32 * 32


def is_cifar10_folder(folder: Path) -> bool:
    """Return whether a folder holds one of CIFAR-10's training files, of whichever version."""
    return any(
        (folder / f"{name}{end}").is_file() for name in _TRAIN_BATCHES for end in ("", _SUFFIX)
    )


def read_cifar10_folder(folder: Path) -> SourceImages:
    """Read the folder ``cifar-10-batches-bin``.

    Returns:
        Training and test images, (N, 32, 32, 3) RGB.

    Raises:
        DataError: If a file is absent, damaged or of the Python version.
    """
    if (folder / _TRAIN_BATCHES[0]).is_file():
        raise DataError(
            f"{folder} holds the Python version of CIFAR-10, whose files are pickles; get the "
            "binary version (cifar-10-binary.tar.gz) from https://www.cs.toronto.edu/~kriz/cifar.html"
        )
    labels = tuple(_read(folder / _CLASS_NAMES).decode("utf-8", "replace").split())
    batches = [_read_batch(folder / f"{name}{_SUFFIX}", len(labels)) for name in _TRAIN_BATCHES]
    return SourceImages(
        name="cifar-10",
        labels=labels,
        color="RGB",
        mirror_allowed=True,
        train=LabelledImages(
            images=np.concatenate([batch.images for batch in batches]),
            labels=np.concatenate([batch.labels for batch in batches]),
        ),
        test=_read_batch(folder / f"{_TEST_BATCH}{_SUFFIX}", len(labels)),
    )


def _read_batch(path: Path, classes: int) -> LabelledImages:
    content = _read(path)
    if not content or len(content) % _RECORD_BYTES:
        raise DataError(
            f"{path} has {len(content)} bytes, expected a multiple of {_RECORD_BYTES}; fetch it "
            "again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= classes:
        raise DataError(f"{path} holds the class {labels.max()}, expected 0..{classes - 1}")
    planes = records[:, 1:].reshape(-1, *_PLANES)
    return LabelledImages(images=np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels=labels)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}; CIFAR-10 is the files {_CLASS_NAMES}, "
            f"{_TRAIN_BATCHES[0]}{_SUFFIX} to {_TRAIN_BATCHES[-1]}{_SUFFIX} and "
            f"{_TEST_BATCH}{_SUFFIX} in one folder"
        ) from error
