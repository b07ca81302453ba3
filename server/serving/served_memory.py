"""The result memory of one served cascade: whose results it holds, and where it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ResultMemory
from bicameral.types import MemoryCounters, Prediction
from edge.cascade import GatedClassifier
from edge.memory.local import LocalMemory
from edge.memory.recall import Recall, recall
from edge.memory.redis_memory import RedisMemory, RedisServer
from edge.memory.registry import memory_from_spec, settings_from_spec
from edge.sidecar import CascadeMemory, TaskSpec
from server.serving.computation import RunCost, measure_run_cost
from server.serving.served_model import RequestContext

T = TypeVar("T")

#: Digits of a cascade's fingerprint in the keys of a memory server.
_FINGERPRINT_DIGITS = 16


class ServedMemory:
    """Keeps the results of different API keys apart, and keeps nothing that must not be stored.

    Attributes:
        backend: The memory itself.
        remote: Whether it is on a server, so that asking it is waiting.
        cost: What looking up and storing cost this process.
    """

    def __init__(
        self,
        cascade: GatedClassifier,
        spec: CascadeMemory,
        task: TaskSpec,
        redis: RedisServer | None,
    ) -> None:
        """Make an empty memory of this process, or connect to a server when first asked.

        Args:
            cascade: Whose results it holds.
            spec: What the cascade's sidecar says about its memory.
            task: The sidecar's block ``task``.
            redis: The server that several processes share; None: this process.

        Raises:
            MissingExtraError: If a server is given and the package ``redis`` is not installed.
        """
        self._fingerprint = cascade.info.fingerprint
        if redis is not None:
            # Entries of its own, so that limits and clearing concern no other model.
            own = f"{redis.prefix}:{cascade.info.fingerprint[:_FINGERPRINT_DIGITS]}"
            redis = replace(redis, prefix=own)
        self.backend: ResultMemory = memory_from_spec(spec, task=task, server=redis)
        self.remote = isinstance(self.backend, RedisMemory)
        self.cost = _measure(cascade, spec)

    def recall(self, images: NDArray[np.uint8], context: RequestContext) -> Recall:
        """Look up canonical images (N, H, W, C) uint8, N >= 1."""
        return recall(self.backend, self._namespace(context.memory_namespace), images)

    def store(
        self, images: NDArray[np.uint8], results: Prediction, context: RequestContext
    ) -> None:
        """Store what is confident, unless the request forbids it."""
        if not context.no_store:
            self.backend.store(self._namespace(context.memory_namespace), images, results)

    async def counters(self) -> MemoryCounters:
        """Return what happened so far."""
        return await self._administer(self.backend.counters)

    async def clear(self, namespace: str | None) -> None:
        """Forget what one namespace stored, or everything of this cascade.

        A memory on a server forgets it for all processes.

        Raises:
            MachineError: If the server does not answer.
        """
        key = None if namespace is None else self._namespace(namespace)
        await self._administer(lambda: self.backend.clear(key))

    def close(self) -> None:
        """Forget everything in this process; close the connections to a server."""
        if isinstance(self.backend, RedisMemory):
            self.backend.close()
        else:
            self.backend.clear()

    def _namespace(self, suffix: str) -> str:
        return f"{self._fingerprint}/{suffix}"

    async def _administer(self, action: Callable[[], T]) -> T:
        """Do something that may wait for a server, off the loop if so."""
        return await asyncio.to_thread(action) if self.remote else action()


def _measure(cascade: GatedClassifier, spec: CascadeMemory) -> RunCost:
    """Time looking up and storing on a memory that nobody uses."""
    memory = LocalMemory(settings_from_spec(spec))
    image, classes = cascade.info.image, len(cascade.info.labels)
    noise = np.random.default_rng(0).integers(
        0, 256, (1, image.height, image.width, image.channels), np.uint8
    )

    def run(rows: int) -> None:
        images = noise.repeat(rows, axis=0)
        memory.lookup("", images)
        sure = Prediction(
            probabilities=np.full((rows, classes), 1 / classes, np.float32),
            confidence=np.ones(rows, np.float32),
        )
        memory.store("", images, sure)

    return measure_run_cost(run)
