"""What running episodes look like, for those who watch them from whichever worker.

Every episode leaves its latest picture and figures in a file in the run folder, in memory. Workers
that have watchers read the files. Nothing is written while nobody watches.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
import orjson
from numpy.typing import NDArray

from bicameral.files import write_bytes_atomic

_log = logging.getLogger(__name__)

#: An episode is shown at most so often; encoding its picture takes about 0.3 ms.
SHOW_EVERY_S: Final = 0.1

#: After the last look of somebody, episodes are shown for so long.
_WATCHED_S: Final = 3.0

#: An episode that shows nothing new for so long has ended, or its worker has.
_STALE_S: Final = 10.0

_JPEG_QUALITY: Final = 80
_WATCHED, _SHOWN = "watched", "shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEvent:
    """Something that watchers get to know.

    Attributes:
        kind: ``tick``: an episode goes on; ``end``: it does not.
        data: JSON.
    """

    kind: Literal["tick", "end"]
    data: bytes


class LiveBoard:
    """The episodes of all workers, as this one shows and sees them."""

    def __init__(self, folder: Path) -> None:
        """Begin.

        Args:
            folder: Shared by all workers; made when it is needed.
        """
        self._folder = folder
        self._numbers = count(1)

    def episode(self, audience: str, about: Mapping[str, Any]) -> LiveEpisode:
        """Return what shows a new episode.

        Args:
            audience: Who may watch it; any text.
            about: What does not change in it, for JSON.
        """
        name = f"{os.getpid()}-{next(self._numbers)}"
        home = self._folder / _digest(audience)
        shown = home.with_name(f"{home.name}.{name}.{_SHOWN}")
        return LiveEpisode(shown, home.with_suffix(f".{_WATCHED}"), {"stream": name, **about})

    def news(self, audience: str, seen: dict[str, int]) -> list[LiveEvent]:
        """Look at the episodes of an audience, and make them be shown on.

        Args:
            audience: As in `episode`.
            seen: What this watcher has seen; empty at first, and changed here.
        """
        digest = _digest(audience)
        self._folder.mkdir(exist_ok=True)
        (self._folder / f"{digest}.{_WATCHED}").touch()
        events = []
        oldest_ns = time.time_ns() - int(_STALE_S * 1e9)
        present = set()
        for path in sorted(self._folder.glob(f"{digest}.*.{_SHOWN}")):
            try:
                written_ns = path.stat().st_mtime_ns
                if written_ns < oldest_ns:
                    continue
                present.add(path.name)
                if seen.get(path.name) != written_ns:
                    events.append(LiveEvent(kind="tick", data=path.read_bytes()))
                    seen[path.name] = written_ns
            except FileNotFoundError:  # it has just ended
                continue
        for name in seen.keys() - present:
            del seen[name]
            stream = name.split(".")[1]
            events.append(LiveEvent(kind="end", data=orjson.dumps({"stream": stream})))
        return events


class LiveEpisode:
    """One episode, shown while somebody watches."""

    def __init__(self, shown: Path, watched: Path, about: Mapping[str, Any]) -> None:
        """Show nothing yet.

        Args:
            shown: The file for the latest tick.
            watched: The file that watchers touch.
            about: What every tick tells beside its figures.
        """
        self._shown = shown
        self._watched = watched
        self._about = about
        self._next_s = 0.0

    def show(self, image: NDArray[np.uint8], figures: Mapping[str, Any]) -> None:
        """Show a tick, if somebody watches and the last one was shown long enough ago.

        Args:
            image: (H, W, 3) uint8 RGB, what the agent saw.
            figures: What it decided, for JSON.
        """
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + SHOW_EVERY_S
        if not self._is_watched():
            return
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        jpeg = cv2.imencode(".jpg", image[..., ::-1], quality)[1]
        picture = f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
        content = orjson.dumps({**self._about, **figures, "picture": picture})
        try:
            write_bytes_atomic(self._shown, content, mode=0o600)
        except OSError as error:  # the episode itself goes on
            _log.warning("an episode cannot be shown: %s", error)
            self._next_s = now_s + _STALE_S

    def close(self) -> None:
        """Show no more; watchers get to know."""
        self._shown.unlink(missing_ok=True)

    def _is_watched(self) -> bool:
        try:
            return time.time() - self._watched.stat().st_mtime < _WATCHED_S
        except FileNotFoundError:
            return False


def _digest(audience: str) -> str:
    """Return the name of an audience in names of files."""
    return hashlib.sha256(audience.encode()).hexdigest()[:32]
