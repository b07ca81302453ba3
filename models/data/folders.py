"""Pictures in folders, one folder for each class.

Either ``FOLDER/CLASS/*.jpg``, of which validation and test images are then split off, or
``FOLDER/train/CLASS/*.jpg`` with ``validation`` and ``test`` beside ``train``, each of the two
optional, in the spellings of `_PARTS` and in any case. What is left out is told with counts, and
everything that stands against a folder is told at once.
"""

from __future__ import annotations

import logging
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.pictures import PICTURE_SUFFIXES, read_picture
from edge.preprocessing import canonical_from_picture
from edge.sidecar import Aspect, ImageSpec
from models.data.dataset import CHANNELS, Color, LabelledImages, SourceImages
from models.data.splits import content_keys

_LOGGER = logging.getLogger(__name__)

#: Folder names of the parts, in lower case.
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}

#: What desktops leave in folders; nobody misses it.
_DESKTOP_FILES = (".ds_store", "thumbs.db", "desktop.ini")

#: A usual photograph, 4 : 3, as a square is not worth a warning yet.
_MUCH_STRETCHED = 1.4

#: As many faults of one kind are named; the others are counted.
_NAMED = 50


@dataclass(frozen=True, slots=True)
class _Part:
    """Pictures of one part, and what is known about them before and after reading.

    Attributes:
        pictures: Path and label of each, in the order of classes and names.
        left_out: Files and folders that are no pictures of a class.
        faults: Why the folder cannot be used.
    """

    pictures: list[tuple[Path, int]] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class _Reduced(NamedTuple):
    """A canonical image, and how much wider or higher than it the picture was, at least 1."""

    image: NDArray[np.uint8]
    askew: float


def read_image_folder(
    folder: Path,
    *,
    image_size: tuple[int, int],
    color: Color,
    aspect: Aspect = "stretch",
) -> SourceImages:
    """Decode and reduce all pictures of a folder.

    Args:
        folder: Folder of class folders, or of ``train``, ``validation`` and ``test``.
        image_size: Height and width that the pictures are reduced to (area average).
        color: Colours that the pictures are turned into.
        aspect: What becomes of pictures of other proportions, see `edge.sidecar.ImageSpec`.

    Raises:
        DataError: If there are fewer than two classes, a class has no pictures, the parts have
            different classes, or a picture cannot be decoded; it names all of that.
    """
    spec = ImageSpec(
        height=image_size[0],
        width=image_size[1],
        color=color,
        aspect=aspect,
        # Pictures are only decoded and reduced here; scaling comes with the network.
        scale=1.0,
        mean=(0.0,) * CHANNELS[color],
        std=(1.0,) * CHANNELS[color],
    )
    folders = _find_parts(folder)
    labels = _class_names(folders["train"])
    parts = {name: _list_part(place, labels) for name, place in folders.items()}
    if folders["train"] != folder:
        parts["train"].left_out.extend(_other_files(folder))
    read = {name: _read_part(part, spec) for name, part in parts.items()}
    left_out = _describe_left_out([path for part in parts.values() for path in part.left_out])
    if faults := [fault for part in parts.values() for fault in part.faults]:
        raise DataError("; ".join(faults + [left_out] * bool(left_out)))
    if left_out:
        _LOGGER.warning("%s: %s", folder, left_out)
    images = {
        name: LabelledImages(
            images=np.stack([one.image for one in read[name]]),
            labels=np.asarray([label for _, label in part.pictures], np.int64),
        )
        for name, part in parts.items()
    }
    if aspect == "stretch":
        _warn_of_stretching(folder, [one.askew for every in read.values() for one in every])
    _warn_of_contradictions(folder, parts.values(), images.values())
    return SourceImages(
        name=folder.resolve().name,
        labels=labels,
        color=color,
        mirror_allowed=False,  # nobody knows
        aspect=aspect,
        train=images["train"],
        validation=images.get("validation"),
        test=images.get("test"),
    )


def _find_parts(folder: Path) -> dict[str, Path]:
    """Return the folder of each part; only ``train`` if the folder is not divided."""
    folders = _subfolders(folder)
    named = [path for path in folders if path.name.lower() in _PARTS]
    found: dict[str, Path] = {}
    for path in named:
        part = _PARTS[path.name.lower()]
        if part in found and len(named) == len(folders):
            raise DataError(
                f"{folder} has both a folder {found[part].name!r} and a folder {path.name!r}; "
                "keep one"
            )
        found.setdefault(part, path)
    # A class may well be called "train": then the others are no names of parts.
    if "train" in found and len(named) == len(folders):
        return found
    if named and any(_subfolders(path) for path in named):
        raise DataError(
            f"{folder} looks divided into parts, but holds the folders "
            f"{', '.join(path.name for path in folders)}; parts are called "
            f"{', '.join(_PARTS)} (in any case), nothing else may lie beside them and one must be "
            "for training"
        )
    return {"train": folder}


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _subfolders(folder))
    if len(names) < 2:
        raise DataError(
            f"{folder} holds {len(names)} class folders ({', '.join(names) or 'none'}), expected "
            "at least two: one folder for each class, named like it, with its pictures inside"
        )
    return names


def _list_part(folder: Path, labels: tuple[str, ...]) -> _Part:
    """List the pictures of one part, whose folders must be exactly the classes."""
    part = _Part(left_out=_other_files(folder))
    names = tuple(path.name for path in _subfolders(folder))
    if names != labels:
        missing, unknown = sorted(set(labels) - set(names)), sorted(set(names) - set(labels))
        part.faults.append(
            f"{folder} does not hold the classes of the training pictures: "
            f"missing {', '.join(missing) or 'none'}; unknown {', '.join(unknown) or 'none'}"
        )
    for label, name in enumerate(labels):
        if name in names:
            _list_class(folder / name, label, part)
    return part


def _list_class(folder: Path, label: int, part: _Part) -> None:
    """List the pictures of a class folder, sorted by name."""
    if nested := _subfolders(folder):
        part.faults.append(
            f"the class folder {folder} holds the folder{'s' * (len(nested) > 1)} "
            f"{_listed(repr(path.name) for path in nested)}; pictures must lie directly in the "
            "folder of their class"
        )
    others = _other_files(folder)
    found = sorted(path for path in others if _is_picture(path))
    part.left_out.extend(path for path in others if not _is_picture(path))
    part.pictures.extend((path, label) for path in found)
    if not found and not nested:
        part.faults.append(
            f"the class folder {folder} holds no pictures ({', '.join(PICTURE_SUFFIXES)})"
        )


def _read_part(part: _Part, spec: ImageSpec) -> list[_Reduced]:
    """Decode and reduce the pictures of a part; those that cannot be read become one fault."""
    with _quiet_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:  # without Python's lock
        read = list(pool.map(lambda one: _read_one(one[0], spec), part.pictures))
    broken = [str(error) for error in read if isinstance(error, DataError)]
    if broken:
        part.faults.append(
            f"{len(broken)} of {len(read)} pictures cannot be read: {_listed(broken, '; ')}"
        )
    return [image for image in read if not isinstance(image, DataError)]


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from writing about each broken picture itself."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _warn_of_stretching(folder: Path, askew: list[float]) -> None:
    """Say that most pictures are distorted much, because a network learns better from others."""
    if (usual := statistics.median(askew)) > _MUCH_STRETCHED:
        _LOGGER.warning(
            "%s: half of the pictures are stretched by a factor of %.2f or more to the images' "
            "height and width; choose other ones, or crop pictures to their proportions "
            "(--image-size, --aspect crop)",
            folder,
            usual,
        )


def _warn_of_contradictions(
    folder: Path, parts: Iterable[_Part], images: Iterable[LabelledImages]
) -> None:
    """Name pictures that lie in two classes, in the pixels that a network sees."""
    seen: dict[int, tuple[Path, int]] = {}
    pairs = []
    for part, labelled in zip(parts, images, strict=True):
        keys = content_keys(labelled.images).tolist()
        for key, (path, label) in zip(keys, part.pictures, strict=True):
            first, first_label = seen.setdefault(key, (path, label))
            if label != first_label:
                pairs.append(f"{first.relative_to(folder)} = {path.relative_to(folder)}")
    if pairs:
        _LOGGER.warning(
            "%s: %d pictures lie in two classes: %s; remove them from one",
            folder,
            len(pairs),
            _listed(pairs),
        )


def _describe_left_out(paths: list[Path]) -> str:
    """Say how many files of which kind are left out; empty if none is."""
    if not paths:
        return ""
    kinds = Counter((path.suffix.lower() or "without a suffix", path.parent) for path in paths)
    counts = (f"{count} {kind} in {place}" for (kind, place), count in kinds.most_common())
    return (
        f"{len(paths)} file{'s are' if len(paths) > 1 else ' is'} left out: {_listed(counts)}; "
        f"read are {', '.join(PICTURE_SUFFIXES)} in class folders, no names that start with a dot"
    )


def _listed(names: Iterable[str], separator: str = ", ") -> str:
    """Join the first names, and count the others."""
    every = list(names)
    more = [f"and {len(every) - _NAMED} more"] if len(every) > _NAMED else []
    return separator.join(every[:_NAMED] + more)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def _read_one(path: Path, spec: ImageSpec) -> _Reduced | DataError:
    if path.exists() and not path.is_file():
        return DataError(f"{path} is no file, but a pipe, socket or device")
    try:
        picture = read_picture(path, spec)
        image = canonical_from_picture(picture, spec)
    except DataError as error:
        return error
    by = picture.shape[1] * spec.height / (picture.shape[0] * spec.width)
    return _Reduced(image, max(by, 1.0 / by))


def _other_files(folder: Path) -> list[Path]:
    """List what is no subfolder of classes: files, and hidden folders."""
    return [
        path
        for path in _entries(folder)
        if (path.name.startswith(".") or not path.is_dir())
        and not path.name.startswith("._")  # a Mac's second half of a file
        and path.name.lower() not in _DESKTOP_FILES
    ]


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir() and not path.name.startswith(".")]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror or error}") from error
