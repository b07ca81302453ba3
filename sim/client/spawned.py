"""What is spawned in a world for the length of a ``with`` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from sim.client.connection import is_lost_simulator


class Spawned(ABC):
    """A context manager: leaving its block destroys everything that it spawned."""

    @abstractmethod
    def destroy(self, *, reachable: bool = True) -> None:
        """Remove everything that was spawned. Safe to call twice.

        Args:
            reachable: False if the simulator is lost: then nothing is asked of it, because every
                call would wait its whole time-out.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.destroy(reachable=not is_lost_simulator(error))
