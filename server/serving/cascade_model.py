"""A cascade with its result memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession, ResultMemory
from bicameral.types import MemoryCounters, Prediction
from edge.cascade import CascadeClassifier
from edge.cascade_sidecar import CascadeMemory
from edge.memory.local import LocalMemory
from edge.memory.recall import recall
from edge.memory.redis_memory import RedisMemory, RedisServer
from edge.memory.registry import memory_from_spec
from edge.memory.settings import MemorySettings
from edge.share_alarm import WINDOW, ShareAlarm
from edge.sidecar import Sidecar
from server.open_inference.datatypes import Tensor, V2Spec
from server.serving.computation import Computation, RunCost, current_record, measure_run_cost
from server.serving.served_model import ModelVersion, RequestContext, ServingParts
from server.serving.session_model import SessionModel

T = TypeVar("T")

#: Digits of a cascade's fingerprint in the keys of a memory server.
_FINGERPRINT_DIGITS = 16


class CascadeModel(SessionModel):
    """A `SessionModel` for a sidecar of kind ``cascade``; ``infer`` also tells who answered.

    A memory of this process is asked before a request enters the queue, because that takes
    microseconds: what it knows is answered at once, and only the rest is computed, together with
    what is left of other requests. A memory on a server is asked in the model's thread, and so is
    any memory about very many images. An answer does not depend on which way it took.

    Attributes:
        memory: The result memory, or None.
    """

    #: A name of our own: no other server runs cascades.
    platform = "bicameral_cascade"

    def __init__(
        self,
        served_as: ModelVersion,
        sidecar: Sidecar,
        cascade: ClassifierSession,
        parts: ServingParts,
    ) -> None:
        """Join a cascade with its queue and its memory, and warm it up.

        Args:
            served_as: Name and version for requests.
            sidecar: Describes it; its block ``memory`` decides what is remembered.
            cascade: Without a memory; this model closes it.
            parts: What all models share.

        Raises:
            DataError: If it is no cascade.
            MissingExtraError: If the memory is on a server and the package ``redis`` is absent.
        """
        if not isinstance(cascade, CascadeClassifier):
            raise DataError(f"{sidecar.name!r} describes no cascade")
        super().__init__(served_as, sidecar, cascade, parts)
        self._cascade = cascade
        self._stages: Counter[str] = Counter()
        #: Images since the alarm last judged.
        self._unjudged = 0
        assert sidecar.cascade is not None  # noqa: S101 - else it were no CascadeClassifier
        self._alarm = ShareAlarm(sidecar.name, cascade.stages, sidecar.cascade)
        self.memory = self._make_memory()
        #: Computations that ask the memory, by what must not be mixed in one run.
        self._recalling: dict[tuple[str, bool], Computation[NDArray[np.uint8], Prediction]] = {}
        if self.memory is not None and self.memory.remote:
            self._main = self._recalling_computation(self.memory, RequestContext())

    def stage_counts(self) -> Mapping[str, int]:
        """Return how many images each stage has answered so far: ``memory``, ``a``, ``b``, ..."""
        return dict(self._stages)

    def share_alarms(self) -> Mapping[str, bool]:
        """Return by stage whether it sees another share of the images than on validation images."""
        return self._alarm.raised

    def close(self) -> None:
        """Refuse what waits and release members and memory."""
        super().close()
        if self.memory is not None:
            self.memory.close()

    @staticmethod
    def _described(session: ClassifierSession) -> tuple[V2Spec, ...]:
        return (
            *SessionModel._described(session),
            V2Spec(name="stage", datatype="BYTES", shape=(-1,)),
            V2Spec(name="memory_hit", datatype="BOOL", shape=(-1,)),
        )

    def _tensors(self, prediction: Prediction) -> Mapping[str, Tensor]:
        trace = prediction.trace or ()
        return {
            **super()._tensors(prediction),
            "stage": [entry.stage.encode() for entry in trace],
            "memory_hit": np.array([entry.memory_hit for entry in trace], np.bool_),
        }

    async def classify(self, images: NDArray[np.uint8], *, context: RequestContext) -> Prediction:
        """Answer from the memory as far as it goes; see `ServedClassifier.classify`."""
        memory, rows, deadline_s = self.memory, len(images), context.deadline_s
        submit = self._batcher.submit
        if memory is None:
            prediction = await submit(self._classification, images, rows, deadline_s=deadline_s)
        elif memory.remote or memory.cost.seconds(rows) > self._parts.settings.batching.in_place_s:
            computation = self._recalling_computation(memory, context)
            prediction = await submit(computation, images, rows, deadline_s=deadline_s)
        else:
            namespace = memory.prefix + context.memory_namespace
            recalled = recall(memory.backend, namespace, images)
            computed = None
            if recalled.unknown_rows:
                unknown, rows = recalled.unknown, len(recalled.unknown_rows)
                computed = await submit(self._classification, unknown, rows, deadline_s=deadline_s)
                if not context.no_store:
                    memory.backend.store(namespace, unknown, computed)
            prediction = recalled.completed(computed)
        record = current_record.get()
        for entry in prediction.trace or ():
            self._stages[entry.stage] += 1
            if record is not None:
                record.stages[entry.stage] += 1
        self._unjudged += len(images)
        if self._unjudged >= WINDOW:
            self._unjudged = 0
            self._alarm.observe(self._stages)
        return prediction

    def _recalling_computation(
        self, memory: ServedMemory, context: RequestContext
    ) -> Computation[NDArray[np.uint8], Prediction]:
        """Return the computation that asks the memory for requests like this one."""
        key = context.memory_namespace, context.no_store
        found = self._recalling.get(key)
        if found is None:
            found = self._recalling[key] = replace(
                self._classification,
                name="recall and classify",
                run=partial(
                    self._cascade.recall_or_compute,
                    memory=memory.backend,
                    namespace=memory.prefix + context.memory_namespace,
                    store=not context.no_store,
                ),
                cost=self._classification.cost + memory.cost,
                blocking=memory.remote,
            )
        return found

    def _make_memory(self) -> ServedMemory | None:
        spec = None if self.sidecar.cascade is None else self.sidecar.cascade.memory
        if spec is None or not self._parts.settings.remember:
            return None
        return ServedMemory(self._cascade, spec, self._parts.redis)


class ServedMemory:
    """The result memory of one cascade, which keeps the results of different API keys apart.

    Attributes:
        backend: The memory itself.
        prefix: Of its namespaces; what follows is a sender's own.
        remote: Whether it is on a server, so that asking it is waiting.
        cost: What looking up and storing cost this process.
    """

    def __init__(
        self, cascade: CascadeClassifier, spec: CascadeMemory, redis: RedisServer | None
    ) -> None:
        """Make an empty memory of this process, or connect to a server when first asked.

        Args:
            cascade: Whose results it holds.
            spec: What the cascade's sidecar says about its memory.
            redis: The server that several processes share; None: this process.

        Raises:
            MissingExtraError: If a server is given and the package ``redis`` is not installed.
        """
        fingerprint = cascade.info.fingerprint
        if redis is not None:
            # Entries of its own, so that limits and clearing concern no other model.
            own = f"{redis.prefix}:{fingerprint[:_FINGERPRINT_DIGITS]}"
            redis = replace(redis, prefix=own)
        self.prefix = f"{fingerprint}/"
        self.backend: ResultMemory = memory_from_spec(spec, server=redis)
        self.remote = isinstance(self.backend, RedisMemory)
        self.cost = _memory_cost(cascade, spec)

    async def counters(self) -> MemoryCounters:
        """Return what happened so far."""
        return await self._administer(self.backend.counters)

    async def clear(self, namespace: str | None) -> None:
        """Forget what one sender stored, or everything of this cascade.

        A memory on a server forgets it for all processes.

        Raises:
            MachineError: If the server does not answer.
        """
        key = None if namespace is None else self.prefix + namespace
        await self._administer(lambda: self.backend.clear(key))

    def close(self) -> None:
        """Forget everything in this process; close the connections to a server."""
        if isinstance(self.backend, RedisMemory):
            self.backend.close()
        else:
            self.backend.clear()

    async def _administer(self, action: Callable[[], T]) -> T:
        """Do something that may wait for a server, off the loop if so."""
        return await asyncio.to_thread(action) if self.remote else action()


def _memory_cost(cascade: CascadeClassifier, spec: CascadeMemory) -> RunCost:
    """Time looking up and storing on a memory that nobody uses."""
    memory = LocalMemory(MemorySettings(**spec.model_dump()))
    image, classes = cascade.info.image, len(cascade.info.labels)
    shape = (1, image.height, image.width, image.channels)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def run(rows: int) -> None:
        images = noise.repeat(rows, axis=0)
        memory.lookup("", images)
        sure = Prediction(
            probabilities=np.full((rows, classes), 1 / classes, np.float32),
            confidence=np.ones(rows, np.float32),
        )
        memory.store("", images, sure)

    return measure_run_cost(run)
