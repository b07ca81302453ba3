"""Where the processes of one server meet: a folder in memory that lives as long as the server."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "bicameral-serve-"

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

    @property
    def lessons(self) -> Path:
        """Folder of the examples that models were taught; made when there are any."""
        return self.path / "lessons"

    @property
    def live(self) -> Path:
        """Folder of what running episodes look like; made when somebody watches."""
        return self.path / "live"

    def status(self, slot: int) -> Path:
        """What the worker of a slot does; absent while there is none."""
        return self.path / f"worker-{slot}.json"


@contextmanager
def temporary_run_folder(parent: Path | None = None) -> Iterator[RunFolder]:
    """Make a folder and remove it at the end, and those that killed servers have left.

    Args:
        parent: Where to make it; by default in memory, or else in the folder for temporary files.
    """
    if parent is None:
        in_memory = os.access(_MEMORY, os.W_OK | os.X_OK)
        parent = _MEMORY if in_memory else Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        if _is_abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        folder = RunFolder(path=path)
        folder.metrics.mkdir()
        yield folder
    finally:
        os.close(handle)
        shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path) -> bool:
    """Whether the server that made a folder is gone.

    Its process number alone would not do: it may have been given away again, or belong to another
    container that shares the memory. The lock alone would not do either: it is not there yet when
    the folder is made.
    """
    try:
        os.kill(int(path.name.removeprefix(_PREFIX).partition("-")[0]), 0)
    except ProcessLookupError:
        pass
    except (OSError, ValueError):
        return False
    else:
        return False
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # somebody else's
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
