"""What a server knows about each version of each model that it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from server.serving.lessons import Lesson
from server.serving.model_folder import FoundModel, Revision, revision_of
from server.serving.notes import Order
from server.serving.served_model import ModelVersion

ModelState = Literal["READY", "LOADING", "UNAVAILABLE"]

READY: Final[tuple[ModelState, str]] = ("READY", "")
NOT_LOADED: Final[tuple[ModelState, str]] = ("UNAVAILABLE", "not loaded")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """One version of one model.

    Attributes:
        name: Its name.
        version: Its version; empty if that could not be found out.
        state: Whether it answers.
        reason: Why it does not; of one that does: why its changed files could not replace it, or
            empty.
    """

    name: str
    version: str
    state: ModelState
    reason: str


@dataclass(slots=True, eq=False)
class ModelSlot:
    """What is known about one version.

    Attributes:
        found: Where it lies.
        status: State and reason; one value, so that nobody can read half a change.
        seen: Its files as they were when it was last loaded, or left alone.
        failed: Whether it could not be loaded from these files.
        ordered: What was asked of it by request; unloaded so, it does not come back by itself.
        glimpsed: Its files as they were at the last look into the folders; None: not looked at.
        lessons: Files of what it was taught, as they were when it was last loaded, or left alone.
        taught: What it had been taught at run time when it was last loaded.
    """

    found: FoundModel
    status: tuple[ModelState, str] = NOT_LOADED
    seen: Revision | None = None
    failed: bool = False
    ordered: Order | None = None
    glimpsed: Revision | None = None
    lessons: list[Path] = field(default_factory=list)
    taught: tuple[Lesson, ...] = ()

    @property
    def version(self) -> ModelVersion:
        """Its name and version for requests."""
        return ModelVersion(name=self.found.name, version=self.found.version)

    @property
    def withdrawn(self) -> bool:
        """Whether it was unloaded by request."""
        return self.ordered == "unload"

    def look(self) -> bool:
        """Look at its files; return whether they are as they were at the last look.

        Somebody may just be writing or exchanging them. Whether they are whole, only their digests
        in the sidecar tell.
        """
        before, self.glimpsed = self.glimpsed, revision_of(self.found.path)
        return self.glimpsed in (before, self.seen)
