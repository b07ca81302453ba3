"""What workers and replicas tell each other about models: small files that all of them look at.

Which versions were loaded and unloaded by request is noted beside the model, so that it holds for
every server that shares the folder, and after a restart. Where that cannot be written, it is noted
in the server's own folder, for its workers and as long as it runs. When result memories were
cleared concerns processes, so it is always noted there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from bicameral.files import write_text_atomic
from server.serving.model_folder import FoundModel

_log = logging.getLogger(__name__)

#: What was asked of a version last.
Order = Literal["load", "unload"]

_ORDERS = "_orders"
_CLEARS = "clears"


class Notes:
    """Reads and writes the notes; safe with any number of processes and threads."""

    def __init__(self, own: Path | None = None) -> None:
        """Know where to look.

        Args:
            own: The folder that the workers of this server share; None: it has one process.
        """
        self._own = own

    def order(self, model: FoundModel, order: Order) -> None:
        """Note what was asked of a version."""
        beside, *own = self._places(model)
        try:
            if model.path.parent.is_dir():
                write_text_atomic(beside, order)
        except OSError as error:
            _log.info("%s of %s holds for this server, until it ends: %s", order, model.path, error)
            for place in own:
                write_text_atomic(place, order)
        else:
            for place in own:
                place.unlink(missing_ok=True)

    def ordered(self, model: FoundModel) -> Order | None:
        """Return what was asked of a version last; None: nothing."""
        found = None
        for place in self._places(model):
            with suppress(OSError):
                text = place.read_text("utf-8")
                found = next((order for order in get_args(Order) if order == text), found)
        return found

    def note_clear(self, name: str) -> None:
        """Note that the memories of a model, all versions of it, shall forget everything."""
        if self._own is not None:
            write_text_atomic(self._own / _CLEARS / name, "")

    def cleared_ns(self, name: str) -> int:
        """Return when that was noted last, in nanoseconds of the file system's clock; 0: never."""
        if self._own is not None:
            with suppress(FileNotFoundError):
                return (self._own / _CLEARS / name).stat().st_mtime_ns
        return 0

    def _places(self, model: FoundModel) -> Iterator[Path]:
        """Yield where an order may be noted; what comes later counts more."""
        for home in (model.path.parent, self._own):
            if home is not None and model.version:
                yield home / _ORDERS / model.name / model.version
