"""Many drives at once: one process per simulator, and none lost when the carla client aborts.

The official client can end its whole process: an exception on one of its own C++ threads (seen:
``std::bad_weak_ptr`` while a world is loaded) calls ``std::terminate``. The work of such a process
is handed to a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from joblib.externals.loky import as_completed, get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)


class Closable(Protocol):
    """What has to be released."""

    def close(self) -> None:
        """Release it."""


Kept = TypeVar("Kept", bound=Closable)


class KeptInProcess(Generic[Kept]):
    """Something costly that a process makes once and keeps from one call of its work to the next.

    A process works for one purpose at a time, so that other settings replace what was kept.

    Args:
        make: Makes it from its settings, which can be compared.
    """

    def __init__(self, make: Callable[..., Kept]) -> None:
        self._make = make
        self._settings: tuple[Any, ...] = ()
        self._kept: Kept | None = None

    def get(self, *settings: Any) -> Kept:
        """Return what was made with these settings; it is made at the first call."""
        if self._settings != settings:
            self.close()
        if self._kept is None:
            self._kept, self._settings = self._make(*settings), settings
        return self._kept

    def close(self) -> None:
        """Release what was made, if anything was."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()


def run_in_processes(
    work: Callable[[str], tuple[Callable[..., Result], tuple[Any, ...]]],
    names: Sequence[str],
    *,
    jobs: int,
    on_abort: Callable[[], None],
) -> Iterator[tuple[str, Result]]:
    """Yield every name with its result, as soon as it is there.

    Even a single job has a process of its own, so that an abort of the client does not end the
    caller.

    Args:
        work: Gives the function and the arguments for a name; asked anew when the work has to be
            repeated. Both must be picklable.
        names: What to do.
        jobs: Number of processes.
        on_abort: Called after a process died, before its work is handed out again; raises to give
            up.
    """
    left = dict.fromkeys(names)
    while left:
        executor = get_reusable_executor(max_workers=jobs, timeout=None)
        try:
            calls = [executor.submit(_call, name, *work(name)) for name in left]
            for call in as_completed(calls):
                name, result = call.result()
                del left[name]
                yield name, result
        except TerminatedWorkerError:
            _LOG.warning("a worker process died; its work is repeated: %s", sorted(left))
            on_abort()
        finally:
            executor.shutdown(wait=True, kill_workers=True)


def _call(
    name: str, function: Callable[..., Result], arguments: tuple[Any, ...]
) -> tuple[str, Result]:
    return name, function(*arguments)
