"""What happened to one request inside of its model, for those who want to know it of each."""

from __future__ import annotations

import time
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field

from server.serving.computation import BatchRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A run that a request took part in.

    Attributes:
        batch: The run.
        wait_s: How long the request waited for it.
        end_ns: When it ended, on `time.time_ns`'s clock.
    """

    batch: BatchRecord
    wait_s: float
    end_ns: int


@dataclass(slots=True, kw_only=True, eq=False)
class RequestRecord:
    """Filled while a request is answered.

    Attributes:
        runs: The runs that it took part in, in their order.
        stages: Its images by the stage of a cascade that answered: ``memory``, ``a``, ``b``.
    """

    runs: list[RecordedRun] = field(default_factory=list)
    stages: Counter[str] = field(default_factory=Counter)

    def note_run(self, batch: BatchRecord, wait_s: float) -> None:
        """Note a run that has just ended."""
        self.runs.append(RecordedRun(batch=batch, wait_s=wait_s, end_ns=time.time_ns()))


#: The record of the request that is being answered; None: nobody wants one.
current_record: ContextVar[RequestRecord | None] = ContextVar("current_record", default=None)
