"""The IDX format of the MNIST family (yann.lecun.com/exdb/mnist), gzip-compressed or plain.

A file starts with two zero bytes, one byte for the type (8: unsigned byte) and one for the number
of dimensions, then the sizes as big-endian 32-bit integers, then the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.data.dataset import LabelledImages

_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20

#: The four files of a data set, without ``.gz``.
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def has_idx_files(folder: Path) -> bool:
    """Return whether a folder holds at least one of the four files."""
    return any(_find(folder, name) is not None for name in IDX_FILES)


def read_idx_folder(folder: Path) -> tuple[LabelledImages, LabelledImages]:
    """Read the training and the test images of a folder.

    Returns:
        Training and test images, each (N, H, W, 1).

    Raises:
        DataError: If a file is absent or damaged, or images and labels do not fit.
    """
    train_images, train_labels, test_images, test_labels = (
        _require(folder, name) for name in IDX_FILES
    )
    return _read_pair(train_images, train_labels), _read_pair(test_images, test_labels)


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read one file of unsigned bytes.

    Args:
        path: The file; gzip is recognised by its content, not by its name.
        dimensions: How many dimensions it must have.

    Raises:
        DataError: If it cannot be read, is another format, or is shorter or longer than its header
            says.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _parse(path, raw, dimensions)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _parse(path, unpacked, dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read the IDX file {path}: {error}; fetch it again") from error


def _parse(path: Path, file: BufferedIOBase, dimensions: int) -> NDArray[np.uint8]:
    header_size = 4 + 4 * dimensions
    header = file.read(header_size)
    expected = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if header[:4] != expected:
        raise DataError(
            f"{path} starts with the bytes {header[:4].hex(' ') or 'of an empty file'}, an IDX "
            f"file of unsigned bytes in {dimensions} dimensions starts with {expected.hex(' ')}"
        )
    if len(header) < header_size:
        raise DataError(f"{path} ends inside its header; fetch it again")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size = math.prod(shape)
    # One byte more than announced, so that a longer file is noticed, and a small file that
    # unpacks to a huge one is not read to its end.
    content = bytearray()
    while len(content) <= size:
        chunk = file.read(min(_CHUNK_BYTES, size + 1 - len(content)))
        if not chunk:
            break
        content += chunk
    if len(content) != size:
        found = f"only {len(content)}" if len(content) < size else "more"
        raise DataError(
            f"{path} announces {' x '.join(map(str, shape))} = {size} bytes and holds {found}; "
            "fetch it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_pair(images_path: Path, labels_path: Path) -> LabelledImages:
    images = read_idx(images_path, 3)
    labels = read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, {labels_path} {len(labels)} labels"
        )
    if images.size == 0:
        raise DataError(f"{images_path} holds no pixels (shape {images.shape})")
    return LabelledImages(images=images[..., None], labels=labels.astype(np.int64))


def _find(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _require(folder: Path, name: str) -> Path:
    path = _find(folder, name)
    if path is None:
        raise DataError(
            f"there is no {name} or {name}.gz in {folder}; an IDX data set is the four files "
            f"{', '.join(IDX_FILES)}, each of them gzip-compressed or not"
        )
    return path
