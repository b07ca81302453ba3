"""What all models of a process share, and what every one of them does alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from edge.memory.redis_memory import RedisServer
from edge.sidecar import Sidecar
from server.limits import BatchLimits, RequestLimits, ServerSettings
from server.serving.batching import MicroBatcher
from server.serving.computation import BatchRecord, Computation
from server.serving.picture_input import PictureDecoder
from server.serving.run_cost import RunCost, measure_run_cost
from server.serving.served_model import ConcurrencyFigures, ModelVersion, V2Spec

#: Told about every run of every model, on the event loop.
BatchObserver = Callable[[ModelVersion, BatchRecord], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingParts:
    """What models are built from.

    Attributes:
        requests: Limits of a single request.
        batching: Limits of each model's queue.
        decoder: Decodes everybody's pictures.
        on_batch: Told about every run, or None.
        remember: Whether cascades keep the result memory that their sidecars describe.
        redis: Where they keep it; None: in this process.
    """

    requests: RequestLimits
    batching: BatchLimits
    decoder: PictureDecoder
    on_batch: BatchObserver | None = None
    remember: bool = True
    redis: RedisServer | None = None

    @classmethod
    def from_settings(
        cls, settings: ServerSettings, on_batch: BatchObserver | None = None
    ) -> ServingParts:
        """Make what a server's settings ask for."""
        url = settings.redis_url
        return cls(
            requests=settings.requests,
            batching=settings.batching,
            decoder=PictureDecoder(settings.requests, settings.batching),
            on_batch=on_batch,
            remember=settings.remember,
            redis=None if url is None else RedisServer(url=url),
        )


class BatchedModel:
    """What every `ServedModel` has: an identity, tensors, and a queue.

    A subclass sets `_main`, the computation by which its speed is reported.
    """

    _main: Computation[Any, Any]

    def __init__(
        self,
        served_as: ModelVersion,
        sidecar: Sidecar,
        tensors: tuple[tuple[V2Spec, ...], tuple[V2Spec, ...]],
        parts: ServingParts,
    ) -> None:
        """Begin with an empty queue.

        Args:
            served_as: Its name and version for requests.
            sidecar: Everything else about it.
            tensors: Inputs and outputs.
            parts: What all models share.
        """
        self._served_as = served_as
        self._sidecar = sidecar
        self._inputs, self._outputs = tensors
        self._parts = parts
        observer = None if parts.on_batch is None else partial(parts.on_batch, served_as)
        self._batcher = MicroBatcher(served_as.name, parts.batching, observer)

    @property
    def name(self) -> str:
        """Name under which it is served."""
        return self._served_as.name

    @property
    def version(self) -> str:
        """Version under which it is served."""
        return self._served_as.version

    @property
    def sidecar(self) -> Sidecar:
        """Everything else that is known about it."""
        return self._sidecar

    @property
    def inputs(self) -> tuple[V2Spec, ...]:
        """The tensors that `infer` takes."""
        return self._inputs

    @property
    def outputs(self) -> tuple[V2Spec, ...]:
        """The tensors that `infer` returns."""
        return self._outputs

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of logits and probabilities."""
        return self._sidecar.labels

    def concurrency(self) -> ConcurrencyFigures:
        """Return how it runs, and what waits."""
        cost = self._main.cost
        return ConcurrencyFigures(
            in_place=cost.first_row_s <= self._parts.batching.in_place_s
            and not self._main.blocking,
            first_row_s=cost.first_row_s,
            next_row_s=cost.next_row_s,
            queued_requests=self._batcher.queued_requests,
            running_rows=self._batcher.running_rows,
        )

    def _warmed(self, run: Callable[[int], object]) -> RunCost:
        """Measure a run by its rows, and make one of the largest batch that will occur.

        The largest one lets ONNX Runtime allocate now what it will need.
        """
        cost = measure_run_cost(run)
        limits = self._parts.batching
        run(min(limits.max_rows, cost.rows_within(limits.max_run_s)))
        return cost
