"""A cascade with its result memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession
from bicameral.types import Prediction
from edge.cascade import GatedClassifier
from edge.loading import load_classifier
from edge.sidecar import Sidecar, read_sidecar
from server.serving.computation import Computation, current_record
from server.serving.lessons import Lesson, taught
from server.serving.served_memory import ServedMemory
from server.serving.served_model import ModelVersion, RequestContext, ServingParts
from server.serving.session_model import SessionModel
from server.serving.tensors import Tensor, V2Spec


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
        cascade: GatedClassifier,
        parts: ServingParts,
    ) -> None:
        """Join a cascade with its queue and its memory, and warm it up.

        Args:
            served_as: Name and version for requests.
            sidecar: Describes it; its block ``memory`` decides what is remembered.
            cascade: Without a memory; this model closes it.
            parts: What all models share.

        Raises:
            MissingExtraError: If the memory is on a server and the package ``redis`` is absent.
        """
        super().__init__(served_as, sidecar, cascade, parts)
        self._cascade = cascade
        self._stages: Counter[str] = Counter()
        self.memory = self._make_memory()
        #: Computations that ask the memory, by what must not be mixed in one run.
        self._recalling: dict[tuple[str, bool], Computation[NDArray[np.uint8], Prediction]] = {}
        if self.memory is not None and self.memory.remote:
            self._main = self._recalling_computation(self.memory, RequestContext())

    @classmethod
    def load(
        cls,
        path: Path,
        served_as: ModelVersion,
        parts: ServingParts,
        lessons: Sequence[Lesson] = (),
    ) -> CascadeModel:
        """Load a sidecar with the members beside it.

        Raises:
            DataError: If a file is absent or damaged, a member is not the one it names, or it
                shall have learned something.
            MissingExtraError: If the memory is on a server and the package ``redis`` is absent.
        """
        cascade = taught(load_classifier(path, memory="none"), lessons)
        if not isinstance(cascade, GatedClassifier):
            raise DataError(f"{path} describes no cascade")
        return cls(served_as, read_sidecar(path), cascade, parts)

    def stage_counts(self) -> Mapping[str, int]:
        """Return how many images each stage has answered so far: ``memory``, ``a``, ``b``."""
        return dict(self._stages)

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
        memory = self.memory
        if memory is None:
            prediction = await self._submit(self._compute, images, context)
        elif memory.remote or memory.cost.seconds(len(images)) > self._parts.batching.in_place_s:
            computation = self._recalling_computation(memory, context)
            prediction = await self._submit(computation, images, context)
        else:
            recalled = memory.recall(images, context)
            computed = None
            if recalled.unknown_rows:
                computed = await self._submit(self._compute, recalled.unknown, context)
                memory.store(recalled.unknown, computed, context)
            prediction = recalled.completed(computed)
        record = current_record.get()
        for entry in prediction.trace or ():
            self._stages[entry.stage] += 1
            if record is not None:
                record.stages[entry.stage] += 1
        return prediction

    def _recalling_computation(
        self, memory: ServedMemory, context: RequestContext
    ) -> Computation[NDArray[np.uint8], Prediction]:
        """Return the computation that asks the memory for requests like this one."""
        key = context.memory_namespace, context.no_store
        found = self._recalling.get(key)
        if found is None:
            namespace, no_store = key
            alike = RequestContext(memory_namespace=namespace, no_store=no_store)
            found = self._recalling[key] = replace(
                self._compute,
                name="recall and classify",
                run=partial(self._recall_and_compute, memory, alike),
                cost=self._compute.cost + memory.cost,
                blocking=memory.remote,
            )
        return found

    def _recall_and_compute(
        self, memory: ServedMemory, context: RequestContext, images: NDArray[np.uint8]
    ) -> Prediction:
        recalled = memory.recall(images, context)
        computed = None
        if recalled.unknown_rows:
            computed = self._cascade.predict(recalled.unknown)
            memory.store(recalled.unknown, computed, context)
        return recalled.completed(computed)

    def _make_memory(self) -> ServedMemory | None:
        spec = None if self.sidecar.cascade is None else self.sidecar.cascade.memory
        if spec is None or not self._parts.remember:
            return None
        return ServedMemory(self._cascade, spec, self.sidecar.task, self._parts.redis)
