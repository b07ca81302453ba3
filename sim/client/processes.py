"""Many drives at once: one process per simulator, and none lost when the carla client aborts.

The official client can end its whole process: an exception on one of its own C++ threads (seen:
``std::bad_weak_ptr`` while a world is loaded) calls ``std::terminate``. The work of such a process
is handed to a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from joblib.externals.loky import as_completed, get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from bicameral.errors import MachineError

Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)

#: How many results per process a cluster hands over at once.
_CALLS_A_PROCESS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Generic[Result]):
    """One more episode is finished.

    Attributes:
        done: Finished episodes, those kept from an earlier run included.
        total: All episodes of the plan.
        record: Of the one that has just finished.
    """

    done: int
    total: int
    record: Result


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
    cluster: str | None = None,
) -> Iterator[tuple[str, Result]]:
    """Yield every name with its result, as soon as it is there.

    Even a single job has a process of its own, so that an abort of the client does not end the
    caller.

    Args:
        work: Gives the function and the arguments for a name; asked anew when the work has to be
            repeated. Both must be picklable.
        names: What to do.
        jobs: Number of processes; on a cluster -1 for one per processor.
        on_abort: Called after a process died, before its work is handed out again; raises to give
            up.
        cluster: Address of a Ray cluster whose nodes have the processes; None: this machine.

    Raises:
        MachineError: If there is no such cluster.
    """
    left = dict.fromkeys(names)
    while left:
        try:
            results = _on_this_machine if cluster is None else partial(_on_cluster, cluster)
            for name, result in results([(name, *work(name)) for name in left], jobs):
                del left[name]
                yield name, result
        except _DiedError:
            _LOG.warning("a worker process died; its work is repeated: %s", sorted(left))
            on_abort()


class _DiedError(Exception):
    """A process died, and what it worked on is not done."""


_Work: TypeAlias = Sequence[tuple[str, Callable[..., Any], tuple[Any, ...]]]


def _on_this_machine(work: _Work, jobs: int) -> Iterator[tuple[str, Any]]:
    executor = get_reusable_executor(max_workers=jobs, timeout=None)
    try:
        for call in as_completed([executor.submit(_call, *one) for one in work]):
            yield call.result()
    except TerminatedWorkerError as error:
        raise _DiedError from error
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _on_cluster(address: str, work: _Work, jobs: int) -> Iterator[tuple[str, Any]]:
    import ray
    from ray.exceptions import RayError
    from ray.util.joblib import register_ray

    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise MachineError(
            f"cannot join the Ray cluster {address!r}: {error}; start one with 'ray start --head' "
            "and name its address"
        ) from error
    register_ray()
    try:
        with parallel_config(backend="ray", n_jobs=jobs), Parallel(batch_size=1) as parallel:
            # This backend hands over nothing before all of a call is done.
            step = _CALLS_A_PROCESS * effective_n_jobs(jobs)
            for begin in range(0, len(work), step):
                yield from parallel(delayed(_call)(*one) for one in work[begin : begin + step])
    except RayError as error:
        raise _DiedError from error


def _call(
    name: str, function: Callable[..., Result], arguments: tuple[Any, ...]
) -> tuple[str, Result]:
    return name, function(*arguments)
