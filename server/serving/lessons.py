"""What served models were taught at run time: pictures with a label, in their order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession, SupportsLearning
from server.errors import RequestError
from server.limits import LearningLimits
from server.serving.served_model import ModelVersion


class Lesson(BaseModel):
    """Examples of one class for one version of a model.

    Attributes:
        model: Name of the model.
        version: Its version.
        label: The class.
        count: Number of examples.
        size_bytes: Size of their file.
        examples: File of canonical images (N, height, width, C) uint8, which all processes can
            read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    version: str
    label: str
    count: int
    size_bytes: int
    examples: Path

    @property
    def of(self) -> ModelVersion:
        """The version of the model that it is for."""
        return ModelVersion(name=self.model, version=self.version)


def taught(session: ClassifierSession, lessons: Sequence[Lesson]) -> ClassifierSession:
    """Return a session that knows these lessons; without any it is the same.

    Raises:
        DataError: If it cannot learn, a file cannot be read, or label or examples do not fit.
    """
    for lesson in lessons:
        if not isinstance(session, SupportsLearning):
            raise DataError(cannot_learn(session.info.name))
        session = session.with_examples(_read(lesson.examples), lesson.label)
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
                f"model {new.model!r} would be taught {wanted} {what}, allowed are {allowed}; let "
                "it forget some",
            )
    size_bytes = new.size_bytes + sum(lesson.size_bytes for lesson in known)
    if size_bytes > limits.max_bytes:
        raise RequestError(
            413,
            f"the examples of all models would take {size_bytes:,} bytes, allowed are "
            f"{limits.max_bytes:,}; let a model forget some",
        )


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        examples: NDArray[np.uint8] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read the examples {path}: {error}") from error
    return examples
