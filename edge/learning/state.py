"""What a dual memory classifier remembers: its content, its bounds, and its file.

The file is a plain ``.npz`` of numbers and text that is read without pickle, lies beside the
sidecar, and is named after its content. So writing it, then the sidecar that names it, changes both
at once: whoever is killed in between leaves the old pair.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.learning.read_out import BETA, MixingWeights, Projection, Slots

#: Images that a class may be learned from, in all.
MAX_EXAMPLES = 256
#: Classes that a memory may hold.
MAX_CLASSES = 256
#: Images that the dynamic memory keeps of each class; the paper's.
DYNAMIC_SLOTS = 50

_LONGEST_LABEL = 64
_MAX_FILE_BYTES = 256 << 20
_SHIFTS = ("query", "key", "value", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """Features with their classes.

    Attributes:
        features: (S, D) float32 of unit length.
        classes: (S,) int64, the class of each.
    """

    features: NDArray[np.float32]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def nothing(cls, width: int) -> Remembered:
        """Return an empty memory of features of this width."""
        return cls(features=np.empty((0, width), np.float32), classes=np.empty(0, np.int64))

    def with_more(self, features: NDArray[np.float32], label: int) -> Remembered:
        """Return this and further features (N, D) of one class."""
        return Remembered(
            features=np.concatenate([self.features, features]),
            classes=np.concatenate([self.classes, np.full(len(features), label, np.int64)]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOutSettings:
    """How memories are read and filled.

    Attributes:
        weights: How much network and memories count; chosen on validation images.
        scale: Factor of the scores; chosen on validation images.
        beta: Sharpness of the similarity weights.
        min_confidence: Only images whose answer is at least this confident enter the dynamic
            memory, 0..1. 0 is the paper's: there the surest images of each class remain in any
            case. A high bound leaves classes empty of which a shift makes the network unsure.
    """

    weights: MixingWeights
    scale: float
    beta: float = BETA
    min_confidence: float = 0.0


@dataclass(frozen=True, kw_only=True)  # without slots, for what is derived once and kept
class MemoryState:
    """Everything that a dual memory classifier knows beside its network; never changed in place.

    Attributes:
        labels: Class names; those of the network come first.
        static: The examples; every class has one at least.
        dynamic: What was seen since, at most `DYNAMIC_SLOTS` for each class.
        entropies: (M,) float64, how unsure the answer for each was, in nats.
        settings: How they are read and filled.
        projection: Learned shifts, or None.
    """

    labels: tuple[str, ...]
    static: Remembered
    dynamic: Remembered
    entropies: NDArray[np.float64]
    settings: ReadOutSettings
    projection: Projection | None = field(default=None)

    def __post_init__(self) -> None:
        """Refuse what exceeds the bounds or does not fit together."""
        classes = len(self.labels)
        for label in self.labels:
            require_label(label)
        if not 2 <= classes <= MAX_CLASSES or len(set(self.labels)) != classes:
            raise DataError(
                f"a memory has {classes} classes, {len(set(self.labels))} of them different; "
                f"expected 2..{MAX_CLASSES} different ones"
            )
        counts = self.example_counts
        if absent := [label for label, count in counts.items() if not count]:
            raise DataError(f"a memory has no example of {', '.join(absent)}; each needs one")
        label, most = max(counts.items(), key=lambda item: item[1])
        if most > MAX_EXAMPLES:
            raise DataError(
                f"class {label!r} would have {most} examples, allowed are {MAX_EXAMPLES}"
            )
        held = np.bincount(self.dynamic.classes, minlength=classes)
        if len(held) > classes or held.max() > DYNAMIC_SLOTS or len(self.entropies) != held.sum():
            raise DataError(
                f"a dynamic memory holds {held.tolist()} images of {classes} classes with "
                f"{len(self.entropies)} entropies; expected up to {DYNAMIC_SLOTS} of each"
            )

    @property
    def example_counts(self) -> dict[str, int]:
        """How many examples each class was learned from."""
        counts = np.bincount(self.static.classes, minlength=len(self.labels))
        return dict(zip(self.labels, counts.tolist(), strict=False))

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.static.features.shape[1])

    @cached_property
    def static_slots(self) -> Slots:
        """The static memory, arranged to be read."""
        static = self.static
        return Slots.of(static.features, static.classes, len(self.labels), self.projection)

    @cached_property
    def dynamic_slots(self) -> Slots:
        """The dynamic memory, arranged to be read.

        The examples stand in it too, so that a class of which nothing was seen is no empty one.
        """
        features = np.concatenate([self.dynamic.features, self.static.features])
        classes = np.concatenate([self.dynamic.classes, self.static.classes])
        return Slots.of(features, classes, len(self.labels), self.projection)

    @cached_property
    def content(self) -> bytes:
        """The file's content; the same state gives the same bytes."""
        numbers = self.settings
        arrays: dict[str, NDArray[Any]] = {
            "labels": np.array(self.labels),
            "static": self.static.features,
            "static_classes": self.static.classes,
            "dynamic": self.dynamic.features,
            "dynamic_classes": self.dynamic.classes,
            "entropies": self.entropies,
            "settings": np.array(
                [
                    numbers.beta,
                    numbers.scale,
                    numbers.min_confidence,
                    numbers.weights.network,
                    numbers.weights.static,
                    numbers.weights.dynamic,
                ]
            ),
        }
        if self.projection is not None:
            arrays |= {f"shift_{name}": getattr(self.projection, name) for name in _SHIFTS}
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()

    def with_examples(self, features: NDArray[np.float32], label: str) -> MemoryState:
        """Return a state that also knows these examples; a new label is a new class.

        Args:
            features: (N, D) of unit length, N at least 1.
            label: Their class.

        Raises:
            DataError: If the label cannot be one, or a bound is exceeded.
        """
        require_label(label)
        labels = self.labels if label in self.labels else (*self.labels, label)
        static = self.static.with_more(features, labels.index(label))
        return replace(self, labels=labels, static=static)


def require_label(label: str) -> None:
    """Refuse names that no class should have.

    Raises:
        DataError: If it is empty, too long, begins or ends with a space, or has characters that
            cannot be seen.
    """
    if (
        not label
        or len(label) > _LONGEST_LABEL
        or label != label.strip()
        or not label.isprintable()
    ):
        raise DataError(
            f"the label {label[:_LONGEST_LABEL]!r} cannot be the name of a class; expected 1 to "
            f"{_LONGEST_LABEL} printable characters, none of them a space at the beginning or end"
        )


def read_state(path: Path, sha256: str | None) -> MemoryState:
    """Read a memory's file.

    Args:
        path: The file.
        sha256: The digest that the sidecar gives; None: it gives none.

    Raises:
        DataError: If it is absent, damaged, another one, or does not hold a memory.
    """
    try:
        content = path.read_bytes() if path.stat().st_size <= _MAX_FILE_BYTES else None
    except OSError as error:
        raise DataError(f"cannot read the memory {path}: {error.strerror or error}") from error
    if content is None:
        raise DataError(f"the memory {path} has more than {_MAX_FILE_BYTES:,} bytes")
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256:
        raise DataError(
            f"{path} is not the memory that its sidecar describes: its sha256 is {digest}, "
            f"expected {sha256}; fetch or write it again"
        )
    try:
        return _from_arrays(_arrays(content))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, DataError) as error:
        raise DataError(f"{path} is no memory of a classifier: {error}") from error


def _arrays(content: bytes) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > _MAX_FILE_BYTES:
        raise ValueError(f"it holds {size:,} bytes, allowed are {_MAX_FILE_BYTES:,}")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)


def _from_arrays(arrays: dict[str, NDArray[Any]]) -> MemoryState:
    labels = tuple(map(str, arrays["labels"].tolist()))
    width = arrays["static"].shape[1]
    beta, scale, min_confidence, network, static, dynamic = map(float, arrays["settings"])
    shifts = {name: arrays[f"shift_{name}"] for name in _SHIFTS if f"shift_{name}" in arrays}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    for name, shift in shifts.items():
        if shift.shape[-1:] != (width,):
            raise ValueError(f"the shift {name} has shape {shift.shape}, features {width} numbers")
    return MemoryState(
        labels=labels,
        static=_remembered(arrays["static"], arrays["static_classes"], width, len(labels)),
        dynamic=_remembered(arrays["dynamic"], arrays["dynamic_classes"], width, len(labels)),
        entropies=np.asarray(arrays["entropies"], np.float64),
        settings=ReadOutSettings(
            weights=MixingWeights(network=network, static=static, dynamic=dynamic),
            scale=scale,
            beta=beta,
            min_confidence=min_confidence,
        ),
        projection=Projection(**shifts) if shifts else None,
    )


def _remembered(
    features: NDArray[Any], classes: NDArray[Any], width: int, class_count: int
) -> Remembered:
    if features.dtype != np.float32 or features.shape != (len(classes), width):
        raise ValueError(f"features have shape {features.shape} and dtype {features.dtype}")
    if classes.dtype != np.int64 or (
        len(classes) and not 0 <= classes.min() <= classes.max() < class_count
    ):
        raise ValueError(f"classes are {classes.dtype} and not all in 0..{class_count - 1}")
    return Remembered(features=features, classes=classes)
