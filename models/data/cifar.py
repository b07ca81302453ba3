"""CIFAR-10 from its "python version" (cs.toronto.edu/~kriz/cifar.html), read without trusting it.

The files are pickles, and a pickle may name any function to be called while it is read. This reader
knows the five names that a pickled array of bytes uses and puts harmless stand-ins of its own in
their place; a file that names anything else is refused.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.data.dataset import LabelledImages, SourceImages

_META = "batches.meta"
_TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST_BATCH = "test_batch"
_IMAGE_SHAPE = (3, 32, 32)


def is_cifar10_folder(folder: Path) -> bool:
    """Return whether a folder holds one of CIFAR-10's files."""
    return any((folder / name).is_file() for name in (_META, *_TRAIN_BATCHES))


def read_cifar10_folder(folder: Path) -> SourceImages:
    """Read the folder ``cifar-10-batches-py``.

    Returns:
        Training and test images, (N, 32, 32, 3) RGB.

    Raises:
        DataError: If a file is absent or damaged, or holds what a batch does not.
    """
    labels = _read_class_names(folder / _META)
    batches = [_read_batch(folder / name, len(labels)) for name in _TRAIN_BATCHES]
    train = LabelledImages(
        images=np.concatenate([batch.images for batch in batches]),
        labels=np.concatenate([batch.labels for batch in batches]),
    )
    return SourceImages(
        name="cifar-10",
        labels=labels,
        color="RGB",
        mirror_allowed=True,
        train=train,
        test=_read_batch(folder / _TEST_BATCH, len(labels)),
    )


def _read_class_names(path: Path) -> tuple[str, ...]:
    names = _read_pickle(path).get("label_names")
    if not isinstance(names, list) or not all(isinstance(name, (bytes, str)) for name in names):
        raise DataError(f"{path} holds no list 'label_names'; fetch the data set again")
    return tuple(_text(name) for name in names)


def _read_batch(path: Path, classes: int) -> LabelledImages:
    batch = _read_pickle(path)
    data, labels = batch.get("data"), batch.get("labels")
    values = math.prod(_IMAGE_SHAPE)
    if not isinstance(data, _PickledArray) or not isinstance(labels, list):
        raise DataError(f"{path} holds no array 'data' or no list 'labels'; fetch it again")
    images = data.to_numpy(path)
    if images.ndim != 2 or images.shape[1] != values or len(images) != len(labels):
        raise DataError(
            f"{path} holds pixels of shape {images.shape} and {len(labels)} labels, expected "
            f"(N, {values}) and N"
        )
    if not all(type(label) is int and 0 <= label < classes for label in labels):
        raise DataError(f"{path} holds labels that are not whole numbers in 0..{classes - 1}")
    # Stored as 1,024 red values, then the green, then the blue ones.
    planes = images.reshape(-1, *_IMAGE_SHAPE)
    return LabelledImages(
        images=np.ascontiguousarray(planes.transpose(0, 2, 3, 1)),
        labels=np.array(labels, np.int64),
    )


def _read_pickle(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of plain values and arrays of bytes."""
    try:
        with path.open("rb") as file:
            content = _PlainUnpickler(file, encoding="bytes").load()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}; CIFAR-10 is the files {_META}, "
            f"{_TRAIN_BATCHES[0]} to {_TRAIN_BATCHES[-1]} and {_TEST_BATCH} in one folder"
        ) from error
    except DataError as error:
        raise DataError(f"refused to read {path}: {error}") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise DataError(f"{path} is no readable pickle: {error!r}; fetch it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, expected a dictionary")
    return {_text(key): value for key, value in content.items() if isinstance(key, (bytes, str))}


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class _PickledArray:
    """What a pickle says about an array; nothing is built from it before it has been checked."""

    __slots__ = ("_state",)

    def __setstate__(self, state: object) -> None:
        self._state = state

    def to_numpy(self, path: Path) -> NDArray[np.uint8]:
        """Return the array if it is one of unsigned bytes."""
        match getattr(self, "_state", None):
            case (
                int(),
                tuple() as shape,
                _PickledDtype(name="u1"),
                bool() | int() as is_fortran,
                bytes() as content,
            ):
                if all(type(size) is int and size >= 0 for size in shape) and math.prod(
                    shape
                ) == len(content):
                    flat = np.frombuffer(content, np.uint8)
                    return flat.reshape(shape, order="F" if is_fortran else "C")
        raise DataError(f"{path} holds an array that is not one of unsigned bytes; fetch it again")


class _PickledDtype:
    """What a pickle says about an array's type."""

    __slots__ = ("name",)

    def __init__(self, name: object) -> None:
        self.name = _text(name) if isinstance(name, bytes) else name

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment: unsigned bytes have neither."""


class _Reconstruct:
    """Stands for ``numpy.core.multiarray._reconstruct``."""

    __slots__ = ()

    def __call__(self, *_: object) -> _PickledArray:
        return _PickledArray()


class _MakeDtype:
    """Stands for ``numpy.dtype``."""

    __slots__ = ()

    def __call__(self, name: object, *_: object) -> _PickledDtype:
        return _PickledDtype(name)


class _Encode:
    """Stands for ``_codecs.encode``, with which Python 3 writes bytes for Python 2."""

    __slots__ = ()

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
            raise DataError(f"it encodes a {type(text).__name__} as {encoding!r}")
        return text.encode("latin1")


#: What a pickle may name. The stand-ins have no attributes, so a pickle cannot change them either.
_STAND_INS: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _MakeDtype(),
    ("_codecs", "encode"): _Encode(),
}


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values and arrays of bytes."""

    def find_class(self, module: str, name: str, /) -> object:
        """Return the stand-in for a name, or refuse it."""
        if (module, name) not in _STAND_INS:
            raise DataError(
                f"it asks for {module}.{name}, which a CIFAR-10 batch does not need; it may be "
                "meant to run code: do not open it with other programs either"
            )
        return _STAND_INS[module, name]

    def persistent_load(self, pid: object) -> object:
        """Refuse: a batch refers to nothing outside itself."""
        raise DataError(f"it refers to an object outside itself ({pid!r})")
