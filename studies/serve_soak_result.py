"""What happened in a soak of the server."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from bicameral.statistics import Estimate
from studies.measurements import Measured, single

#: What the allocator has given out, and the memory that is there.
IN_USE, RESIDENT = "bytes in use", "resident memory"


@dataclass(slots=True, kw_only=True)
class SoakResult:
    """What happened.

    Attributes:
        answered: Right answers by question.
        absent: Answers that a visitor is not there, while it came and went.
        refused: Answers that the server has too much to do; they were asked again.
        wrong: Descriptions of wrong answers and unexpected statuses.
        unexplained: Descriptions of connections that ended although no worker was killed.
        resets: Connections that ended when the worker was killed.
        repeated: Their requests, all of which were answered when asked again.
        left: Requests whose client left before the answer.
        visits: How often a model was loaded and unloaded.
        killed_pid: The worker that was killed.
        replaced_s: Time from its end until another one served in its place.
        exit_code: The server's; 0: it ended in good order.
        growth: Of every worker that lived long enough, in MiB/h, by its process and by what grew:
            `IN_USE` or `RESIDENT`.
    """

    answered: Counter[str] = field(default_factory=Counter)
    absent: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    resets: int = 0
    repeated: int = 0
    left: int = 0
    visits: int = 0
    killed_pid: int = 0
    replaced_s: float = 0.0
    exit_code: int = 0
    growth: dict[tuple[int, str], Estimate] = field(default_factory=dict)


def soak_measurements(result: SoakResult) -> Measured:
    """Return what was counted and measured."""
    measured: Measured = {
        (question, "soak", "right answers"): single(count, "1", count)
        for question, count in sorted(result.answered.items())
    }
    for quantity, count in (
        ("wrong answers", len(result.wrong)),
        ("unexplained ends", len(result.unexplained)),
        ("resets by the killed worker", result.resets),
        ("their requests, answered when asked again", result.repeated),
        ("refusals, asked again", result.refused),
        ("clients that left", result.left),
        ("loads of the visitor", result.visits),
        ("answers that it is not there", result.absent),
        ("exit code of the server", result.exit_code),
    ):
        measured["all", "soak", quantity] = single(count, "1", result.answered.total())
    measured["all", "soak", "time until the worker was replaced"] = single(result.replaced_s, "s")
    numbers = {
        pid: number for number, pid in enumerate(dict.fromkeys(pid for pid, _ in result.growth), 1)
    }
    for (pid, what), growth in result.growth.items():
        measured[f"worker {numbers[pid]}", "soak", f"growth of {what}"] = growth
    return measured
