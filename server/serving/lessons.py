"""What served models were taught at run time: files beside the model, a lesson each.

Every process that serves the model reads them, in the order of their names, which begin with the
time. So workers, replicas on a shared volume, and a server that is started again know the same.
"""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic
from bicameral.protocols import ClassifierSession
from edge.learning.dual_memory import DualMemoryClassifier
from server.errors import RequestError
from server.limits import LearningLimits
from server.serving.served_model import ModelVersion

_LESSONS = "_lessons"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Examples of one class for one version of a model.

    Attributes:
        of: The version of the model that it is for.
        label: The class.
        count: Number of examples.
        size_bytes: Size of the examples in memory.
        path: Its file; nobody ever changes one.
    """

    of: ModelVersion
    label: str
    count: int
    size_bytes: int
    path: Path


def lesson_files(sidecar: Path, of: ModelVersion) -> list[Path]:
    """Return the files of what a version was taught, in order.

    Args:
        sidecar: The model's.
        of: Under which name and version it is served.
    """
    return sorted(_folder(sidecar, of).glob("[!.]*.npz"))


def read_lessons(files: Iterable[Path], of: ModelVersion) -> tuple[Lesson, ...]:
    """Describe lessons.

    Raises:
        DataError: If one cannot be read.
    """
    lessons = []
    for path in files:
        label, images = _read(path)
        lessons.append(
            Lesson(of=of, label=label, count=len(images), size_bytes=images.nbytes, path=path)
        )
    return tuple(lessons)


def write_lesson(sidecar: Path, of: ModelVersion, label: str, images: NDArray[np.uint8]) -> Path:
    """Write examples beside a model; whoever serves it finds them at its next look.

    Args:
        sidecar: The model's.
        of: Under which name and version it is served.
        label: Their class.
        images: Canonical images (N, height, width, C) uint8.

    Raises:
        RequestError: 409 if the folder cannot be written.
    """
    file = io.BytesIO()
    np.savez(file, label=np.array(label), images=images, allow_pickle=False)
    path = _folder(sidecar, of) / f"{time.time_ns():020d}-{uuid.uuid4().hex}.npz"
    try:
        write_bytes_atomic(path, file.getvalue(), mode=0o600)
    except OSError as error:
        raise _unwritable(sidecar, of, error) from error
    return path


def remove_lessons(lessons: Sequence[Lesson], sidecar: Path) -> None:
    """Remove lessons; whoever serves the model forgets them at its next look.

    Raises:
        RequestError: 409 if the folder cannot be written.
    """
    for lesson in lessons:
        try:
            lesson.path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(sidecar, lesson.of, error) from error


def taught(session: ClassifierSession, lessons: Sequence[Lesson]) -> ClassifierSession:
    """Return a session that knows these lessons; without any it is the same.

    Raises:
        DataError: If it cannot learn, a file cannot be read, or label or examples do not fit.
    """
    for lesson in lessons:
        if not isinstance(session, DualMemoryClassifier):
            raise DataError(cannot_learn(session.info.name))
        session = session.with_examples(_read(lesson.path)[1], lesson.label)
    return session


def cannot_learn(model: str) -> str:
    """Say that a model learns nothing at run time."""
    return (
        f"model {model!r} cannot learn from examples; one with a memory can, see 'bicameral train "
        "classifier read_out'"
    )


def require_room(known: Collection[Lesson], new: Lesson, limits: LearningLimits) -> None:
    """Refuse a lesson that would exceed what a server keeps.

    Args:
        known: Everything that was taught so far.
        new: What shall be added.
        limits: What may be kept.

    Raises:
        RequestError: 413 naming the limit.
    """
    own = [lesson for lesson in known if lesson.of == new.of] + [new]
    figures = (
        ("classes", len({lesson.label for lesson in own}), limits.max_classes),
        (
            f"examples of {new.label!r}",
            sum(lesson.count for lesson in own if lesson.label == new.label),
            limits.max_examples,
        ),
    )
    for what, wanted, allowed in figures:
        if wanted > allowed:
            raise RequestError(
                413,
                f"model {new.of.name!r} would be taught {wanted} {what}, allowed are {allowed}; "
                "let it forget some",
            )
    size_bytes = new.size_bytes + sum(lesson.size_bytes for lesson in known)
    if size_bytes > limits.max_bytes:
        raise RequestError(
            413,
            f"the examples of all models would take {size_bytes:,} bytes, allowed are "
            f"{limits.max_bytes:,}; let a model forget some",
        )


def _folder(sidecar: Path, of: ModelVersion) -> Path:
    return sidecar.parent / _LESSONS / of.name / of.version


def _unwritable(sidecar: Path, of: ModelVersion, error: OSError) -> RequestError:
    return RequestError(
        409,
        f"model {of.name!r} cannot be taught, and forgets nothing: what it is taught is kept "
        f"beside it, and the folder {sidecar.parent} cannot be written ({error.strerror or error});"
        " serve a copy of the folder that the server may write",
    )


def _read(path: Path) -> tuple[str, NDArray[np.uint8]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(file["label"]), file["images"]
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DataError(f"cannot read the examples {path}: {error}") from error
