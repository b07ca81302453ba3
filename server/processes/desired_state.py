"""What every worker should serve: one file, changed by whichever worker gets a request for it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bicameral.errors import DataError
from bicameral.files import write_text_atomic
from server.serving.lessons import Lesson
from server.serving.served_model import ModelVersion

#: The file begins with ``{"revision":`` and the number.
_BEGINNING_BYTES = 32


class MemoryClear(BaseModel):
    """An order to forget results.

    Attributes:
        model: Name of the model, all versions of it.
        namespace: What to forget; None: everything.
        revision: Of the desired state that brought the order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    namespace: str | None
    revision: int


class DesiredState(BaseModel):
    """What every worker should serve.

    Attributes:
        revision: Grows by one with every change; 0: nothing has been decided yet.
        models: Name -> version -> the revision with which it was last asked for. A worker that has
            loaded the version for an earlier one looks whether its files have changed.
        clears: The last order of each kind to forget results.
        lessons: What models were taught, in order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    revision: int = 0
    models: Mapping[str, Mapping[str, int]] = {}
    clears: tuple[MemoryClear, ...] = ()
    lessons: tuple[Lesson, ...] = ()

    @property
    def versions(self) -> dict[ModelVersion, int]:
        """Return `models` by name and version."""
        return {
            ModelVersion(name=name, version=version): revision
            for name, versions in self.models.items()
            for version, revision in versions.items()
        }

    def changed(
        self, *, load: Collection[ModelVersion] = (), unload: Collection[ModelVersion] = ()
    ) -> DesiredState:
        """Return the next revision, in which these are loaded (again) and those are not."""
        revision = self.revision + 1
        versions = {model: at for model, at in self.versions.items() if model not in unload}
        versions |= dict.fromkeys(load, revision)
        models: dict[str, dict[str, int]] = {}
        for model, at in versions.items():
            models.setdefault(model.name, {})[model.version] = at
        return self.model_copy(update={"revision": revision, "models": models})

    def cleared(self, model: str, namespace: str | None) -> DesiredState:
        """Return the next revision, with an order to forget results."""
        revision = self.revision + 1
        order = MemoryClear(model=model, namespace=namespace, revision=revision)
        kept = [old for old in self.clears if (old.model, old.namespace) != (model, namespace)]
        return self.model_copy(update={"revision": revision, "clears": (*kept, order)})

    def lessons_of(self, model: ModelVersion) -> tuple[Lesson, ...]:
        """Return what a version was taught, in order."""
        return tuple(lesson for lesson in self.lessons if lesson.of == model)

    def taught(self, lesson: Lesson) -> DesiredState:
        """Return the next revision, with one more lesson."""
        lessons = (*self.lessons, lesson)
        return self.model_copy(update={"revision": self.revision + 1, "lessons": lessons})

    def forgotten(self, forgotten: Collection[Lesson]) -> DesiredState:
        """Return the next revision without some lessons."""
        lessons = tuple(lesson for lesson in self.lessons if lesson not in forgotten)
        return self.model_copy(update={"revision": self.revision + 1, "lessons": lessons})


class DesiredStateFile:
    """Reads and changes the file; safe with any number of processes and threads."""

    def __init__(self, path: Path) -> None:
        """Name the file; it need not exist yet."""
        self._path = path
        self._lock = path.with_suffix(".lock")

    def signature(self) -> bytes | None:
        """Return the file's beginning, which differs for every revision; None: there is no file.

        Times and numbers of files would not do: a file that was replaced twice within the clock's
        tick may look the same again.
        """
        try:
            with self._path.open("rb") as file:
                return file.read(_BEGINNING_BYTES)
        except FileNotFoundError:
            return None

    def read(self) -> DesiredState:
        """Return the state; one without a file has revision 0.

        Raises:
            DataError: If the file is damaged.
        """
        try:
            return DesiredState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return DesiredState()
        except ValidationError as error:
            raise DataError(f"{self._path} is no desired state of a server: {error}") from error

    def update(self, change: Callable[[DesiredState], DesiredState]) -> DesiredState:
        """Change the state; nobody else changes it meanwhile. May wait for others.

        Args:
            change: Makes the new state of the one that holds now; the same one: nothing is written.

        Raises:
            DataError: If the file is damaged.
            OSError: If it cannot be written.
        """
        with self._locked():
            before = self.read()
            after = change(before)
            if after is not before:
                write_text_atomic(self._path, after.model_dump_json())
            return after

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The lock has a file of its own, for the other one is replaced by every change. It falls
        # when the file is closed, also by the death of the process.
        with self._lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
