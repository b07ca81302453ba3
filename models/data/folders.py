"""Pictures in folders, one folder for each class.

Either ``FOLDER/CLASS/*.jpg``, of which validation and test images are then split off, or
``FOLDER/train/CLASS/*.jpg`` with ``validation`` (or ``val``) and ``test`` beside ``train``, each of
the two optional. Names that start with a dot, and files without a picture's suffix, are left out.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.pictures import PICTURE_SUFFIXES, read_picture
from edge.preprocessing import canonical_from_picture
from edge.sidecar import ImageSpec
from models.data.dataset import CHANNELS, Color, LabelledImages, SourceImages

#: Folder names of the parts.
_PARTS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def read_image_folder(
    folder: Path, *, image_size: tuple[int, int], color: Color, mirror_allowed: bool
) -> SourceImages:
    """Decode and reduce all pictures of a folder.

    Args:
        folder: Folder of class folders, or of ``train``, ``validation`` and ``test``.
        image_size: Height and width that the pictures are reduced to (area average; the aspect
            ratio is not kept).
        color: Colours that the pictures are turned into.
        mirror_allowed: Whether a mirrored picture keeps its label.

    Raises:
        DataError: If there are fewer than two classes, a class has no pictures, the parts have
            different classes, or a picture cannot be decoded.
    """
    spec = ImageSpec(
        height=image_size[0],
        width=image_size[1],
        color=color,
        # Pictures are only decoded and reduced here; scaling comes with the network.
        scale=1.0,
        mean=(0.0,) * CHANNELS[color],
        std=(1.0,) * CHANNELS[color],
    )
    parts = _find_parts(folder)
    labels = _class_names(parts["train"])
    images = {name: _read_part(part, labels, spec) for name, part in parts.items()}
    return SourceImages(
        name=folder.resolve().name,
        labels=labels,
        color=color,
        mirror_allowed=mirror_allowed,
        train=images["train"],
        validation=images.get("validation"),
        test=images.get("test"),
    )


def _find_parts(folder: Path) -> dict[str, Path]:
    """Return the folder of each part; only ``train`` if the folder is not divided."""
    names = [path.name for path in _subfolders(folder)]
    # A class may well be called "train": then the others are no names of parts.
    if "train" not in names or not set(names) <= set(_PARTS):
        return {"train": folder}
    if {"val", "validation"} <= set(names):
        raise DataError(f"{folder} has both a folder 'val' and a folder 'validation'; keep one")
    return {_PARTS[name]: folder / name for name in names}


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _subfolders(folder))
    if len(names) < 2:
        raise DataError(
            f"{folder} holds {len(names)} class folders ({', '.join(names) or 'none'}), expected "
            "at least two: one folder for each class, named like it, with its pictures inside"
        )
    return names


def _read_part(folder: Path, labels: tuple[str, ...], spec: ImageSpec) -> LabelledImages:
    """Read one part, whose folders must be exactly the classes."""
    names = tuple(path.name for path in _subfolders(folder))
    if names != labels:
        missing, unknown = sorted(set(labels) - set(names)), sorted(set(names) - set(labels))
        raise DataError(
            f"{folder} does not hold the classes of the training pictures: "
            f"missing {', '.join(missing) or 'none'}; unknown {', '.join(unknown) or 'none'}"
        )
    pictures = [_pictures(folder / label) for label in labels]
    # Decoding runs outside of Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = list(pool.map(lambda path: _read_one(path, spec), chain.from_iterable(pictures)))
    return LabelledImages(
        images=np.stack(images),
        labels=np.repeat(np.arange(len(labels), dtype=np.int64), list(map(len, pictures))),
    )


def _pictures(folder: Path) -> list[Path]:
    """List the pictures of a class folder, sorted by name."""
    if nested := _subfolders(folder):
        raise DataError(
            f"the class folder {folder} holds the folder {nested[0].name!r}; pictures must lie "
            "directly in the folder of their class"
        )
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise DataError(
            f"the class folder {folder} holds no pictures ({', '.join(PICTURE_SUFFIXES)})"
        )
    return found


def _read_one(path: Path, spec: ImageSpec) -> NDArray[np.uint8]:
    return canonical_from_picture(read_picture(path, spec), spec)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror or error}") from error
