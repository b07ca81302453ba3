"""Work on a map in a process of its own, while the server goes on.

The process is started as ``python -m MODULE FOLDER``; it finds the text in FOLDER/map.xodr and
leaves what came of it there. If it cannot, FOLDER/reason.txt says why, unless the process ended
before it could be written.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LONGEST_S = 600.0


def work_on_map(work: Callable[[str, Path], None]) -> int:
    """Be such a process, whose work takes the text and the folder; returns the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = Path(sys.argv[1])
    try:
        work((folder / "map.xodr").read_text(encoding="utf-8"), folder)
    except Exception as error:
        (folder / "reason.txt").write_text(str(error) or type(error).__name__, encoding="utf-8")
        return 1
    return 0


class MapProcess:
    """A process that works on a map.

    Args:
        module: What it runs.
        text: OpenDRIVE text.

    Attributes:
        folder: Where the text is, and what the process leaves; until `end`.
    """

    def __init__(self, module: str, text: str) -> None:
        self._began_s = time.monotonic()
        self._temporary = tempfile.TemporaryDirectory(prefix="bicameral-map-")
        self.folder = Path(self._temporary.name)
        (self.folder / "map.xodr").write_text(text, encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def exit_code(self) -> int | None:
        """How it ended; None if it has not."""
        return self._process.poll()

    @property
    def reason(self) -> str | None:
        """Why it failed, in its own words; None if it has left none."""
        with contextlib.suppress(OSError):
            return (self.folder / "reason.txt").read_text(encoding="utf-8")
        return None

    @property
    def age_s(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._began_s

    @property
    def is_late(self) -> bool:
        """Whether it has taken longer than it may."""
        return self.age_s >= LONGEST_S

    def end(self) -> None:
        """Stop the process, whatever it does, and remove its files."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._temporary.cleanup()
