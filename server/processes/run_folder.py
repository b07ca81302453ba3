"""Where the processes of one server meet: a folder in memory that lives as long as the server."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Writing there never waits for a disk, and it is writable where the root file system is not.
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder below it is made by mkdtemp


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The files that the processes of one server share.

    Attributes:
        path: The folder; only its owner can enter it.
    """

    path: Path

    @property
    def desired_state(self) -> Path:
        """What every worker should serve."""
        return self.path / "desired.json"

    @property
    def metrics(self) -> Path:
        """Folder of the workers' counters."""
        return self.path / "metrics"

    def status(self, slot: int) -> Path:
        """What the worker of a slot does; absent while there is none."""
        return self.path / f"worker-{slot}.json"


@contextmanager
def temporary_run_folder() -> Iterator[RunFolder]:
    """Make a folder, in memory where possible, and remove it at the end."""
    parent = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
    path = Path(tempfile.mkdtemp(prefix=f"bicameral-serve-{os.getpid()}-", dir=parent))
    try:
        folder = RunFolder(path=path)
        folder.metrics.mkdir()
        yield folder
    finally:
        shutil.rmtree(path, ignore_errors=True)
