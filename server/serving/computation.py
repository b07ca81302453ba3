"""What a model computes for a request, and how requests share a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from server.serving.run_cost import RunCost

P = TypeVar("P")
A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacking(Generic[P, A]):
    """How several requests become one, and one answer several.

    Attributes:
        stack: Joins payloads along their rows, in order.
        split: Cuts an answer into parts of so many rows, in order.
    """

    stack: Callable[[Sequence[P]], P]
    split: Callable[[A, Sequence[int]], Sequence[A]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Computation(Generic[P, A]):
    """Something that a model computes. Only requests for the same object share a batch.

    Attributes:
        name: How records and messages call it.
        run: Computes; called by one thread at a time, on the event loop or another one.
        cost: How long it takes.
        stacking: How requests share a run; None: each runs alone.
        blocking: It waits for something else than the processor, so it never runs on the loop.
    """

    name: str
    run: Callable[[P], A]
    cost: RunCost
    stacking: Stacking[P, A] | None = None
    blocking: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """What happened in one run.

    Attributes:
        computation: Name of the computation.
        rows: Rows of all its requests.
        waits_s: How long each request waited in the queue.
        run_s: How long the run took, on the wall clock.
        in_place: Whether it ran on the event loop.
    """

    computation: str
    rows: int
    waits_s: tuple[float, ...]
    run_s: float
    in_place: bool
