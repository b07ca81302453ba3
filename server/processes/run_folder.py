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
    def metrics(self) -> Path:
        """Folder of the workers' counters."""
        return self.path / "metrics"

    @property
    def workers(self) -> Path:
        """Folder with a file for each worker that serves, named by its process."""
        return self.path / "workers"

    @property
    def served(self) -> Path:
        """There once a worker has begun to serve."""
        return self.path / "served"

    @property
    def notes(self) -> Path:
        """Folder of what the workers tell each other, see `server.serving.notes`."""
        return self.path / "notes"

    @property
    def live(self) -> Path:
        """Folder of what running episodes look like; made when somebody watches."""
        return self.path / "live"

    def count_there(self) -> None:
        """Let prometheus-client count there, in this process and those that it starts."""
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.metrics)

    @contextmanager
    def registered(self) -> Iterator[None]:
        """List this process among the workers meanwhile."""
        file = self.workers / str(os.getpid())
        file.touch()
        try:
            yield
        finally:
            file.unlink(missing_ok=True)

    def worker_pids(self) -> list[int]:
        """Return the processes of all workers that serve."""
        return sorted(int(file.name) for file in self.workers.iterdir())

    def forget_worker(self, pid: int) -> None:
        """Remove what a dead worker had at the moment; what it counted stays."""
        from prometheus_client.multiprocess import mark_process_dead

        (self.workers / str(pid)).unlink(missing_ok=True)
        for shown in self.live.glob(f"*.{pid}-*"):
            shown.unlink(missing_ok=True)
        mark_process_dead(pid, str(self.metrics))  # type: ignore[no-untyped-call]


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
        folder.workers.mkdir()
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
