"""What can be measured: something that is done to a number of items, as often as one likes."""

from __future__ import annotations

from typing import Protocol


class Workload(Protocol):
    """Items that are worked off one by one, in passes that are all alike."""

    @property
    def name(self) -> str:
        """Unique among what is measured together."""

    @property
    def items_per_pass(self) -> int:
        """Items of one pass, at least 1."""

    def touch(self) -> None:
        """Do a little of the same work, so that the caches are the workload's own again."""

    def begin_pass(self) -> None:
        """Forget what earlier passes left behind, e.g. in a result memory."""

    def run(self, begin: int, end: int) -> None:
        """Work off items of a pass, by their place in it."""
