"""Progress on a terminal as a bar, anywhere else as a line now and then."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

#: Without a terminal, a line is printed when this many seconds have passed since the last one.
LINE_INTERVAL_S = 10.0


class ProgressBar:
    """One task with a known number of steps.

    Args:
        title: What is being done.
        console: Where to draw; standard error by default, so that output can be piped.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._title = title
        self._last_line_s = 0.0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=None, note="")

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` steps are finished, with a short remark."""
        self._bar.update(self._task, completed=done, total=total, note=note)
        if self._console.is_terminal:
            return
        now_s = time.monotonic()
        if done >= total or now_s - self._last_line_s >= LINE_INTERVAL_S:
            self._last_line_s = now_s
            self._console.print(f"{self._title}: {done}/{total} {note}", highlight=False)
