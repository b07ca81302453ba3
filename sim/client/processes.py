"""Many drives at once: one process per simulator, and none lost when the carla client aborts.

The official client can end its whole process: an exception on one of its own C++ threads (seen:
``std::bad_weak_ptr`` while a world is loaded) calls ``std::terminate``. The work of such a process
is handed to a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)


def run_in_processes(
    work: Callable[[str], tuple[Callable[..., Result], tuple[Any, ...]]],
    names: Sequence[str],
    *,
    jobs: int,
    on_abort: Callable[[], None],
) -> Iterator[tuple[str, Result]]:
    """Yield every name with its result, as soon as it is there.

    Args:
        work: Gives the function and the arguments for a name; asked anew when the work has to be
            repeated. Both must be picklable if there are several jobs.
        names: What to do.
        jobs: Number of processes; 1 runs in this one, where an abort of the client ends all.
        on_abort: Called after a process died, before its work is handed out again; raises to give
            up.
    """
    left = dict.fromkeys(names)
    while left:
        pool = Parallel(
            n_jobs=jobs,
            backend="loky" if jobs > 1 else "sequential",
            return_as="generator_unordered" if jobs > 1 else "generator",
            pre_dispatch="all" if jobs > 1 else 1,
            batch_size=1,
        )
        try:
            for name, result in pool(delayed(_call)(name, *work(name)) for name in left.copy()):
                del left[name]
                yield name, result
        except TerminatedWorkerError:
            _LOG.warning("a worker process died; its work is repeated: %s", sorted(left))
            on_abort()
        finally:
            if jobs > 1:
                get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _call(
    name: str, function: Callable[..., Result], arguments: tuple[Any, ...]
) -> tuple[str, Result]:
    return name, function(*arguments)
