"""How far the other workers have got, and waiting for them."""

from __future__ import annotations

import asyncio

from server.errors import RequestError
from server.processes.assignment import Assignment
from server.processes.worker_status import WorkerStatus, read_statuses
from server.serving.served_model import ModelVersion

#: How often a worker that waits for the others reads their statuses.
_ASK_EVERY_S = 0.01


class FollowingWorkers:
    """The workers of a server, as their statuses tell."""

    def __init__(self, assignment: Assignment, answer_s: float) -> None:
        """Know where they meet.

        Args:
            assignment: Which worker this is.
            answer_s: How long to wait for the others.
        """
        self._assignment = assignment
        self._answer_s = answer_s

    def statuses(self) -> dict[int, WorkerStatus]:
        """Return the status of every worker that lives."""
        return read_statuses(self._assignment.folder, self._assignment.workers)

    async def followed(self, revision: int, model: ModelVersion | None = None) -> None:
        """Wait until all workers that live have applied a revision.

        Args:
            revision: Of the desired state.
            model: What they have to serve by then; None: whatever.

        Raises:
            RequestError: 503 if one of them has not in time, or cannot serve the model so.
        """
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._answer_s
        while True:
            statuses = self.statuses()
            behind = [slot for slot, status in statuses.items() if status.revision < revision]
            if not behind:
                break
            if loop.time() > give_up_s:
                raise RequestError(
                    503,
                    f"the change is made here, but not yet by the workers {behind} after "
                    f"{self._answer_s:g} s; they follow as soon as they can",
                    {"Retry-After": "1"},
                )
            await asyncio.sleep(_ASK_EVERY_S)
        for slot, status in statuses.items():
            if model is not None and (reason := status.failures.get(model.key)) is not None:
                raise RequestError(
                    503,
                    f"worker {slot} could not load model {model.name!r} version "
                    f"{model.version!r}: {reason}",
                )
