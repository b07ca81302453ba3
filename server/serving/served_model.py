"""What the endpoints know of a model: tensors in, tensors out, and for many of them pictures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ImageFormat
from bicameral.types import Prediction
from edge.memory.redis_memory import RedisServer
from edge.sidecar import Sidecar
from server.errors import RequestError
from server.limits import ServerSettings
from server.open_inference.datatypes import Tensor, V2Spec
from server.serving.batching import MicroBatcher
from server.serving.computation import BatchRecord, Computation, RunCost, measure_run_cost
from server.serving.picture_input import PictureDecoder, PictureTarget
from server.serving.tensors import InputCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """Name and version under which a model is served."""

    name: str
    version: str

    @property
    def key(self) -> str:
        """Return both as one word."""
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """What a request says beside its tensors.

    Attributes:
        deadline_s: Refuse if the run has not begun by then, on `time.monotonic`'s clock; None:
            wait as long as it takes.
        no_store: The result memory keeps nothing of this request. It may answer from what it has.
        memory_namespace: Requests of different namespaces never share remembered results: the name
            of the API key.
    """

    deadline_s: float | None = None
    no_store: bool = False
    memory_namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFigures:
    """How much memory a model takes.

    Attributes:
        file_bytes: Size of its model files.
        allocated_bytes: Growth of what the process has allocated (glibc's ``mallinfo2``) while the
            model was loaded and warmed up with its largest batch; ONNX Runtime's arenas are in it.
            Requests that were answered meanwhile blur it by what they held at the moment. None
            where the C library cannot tell.
    """

    file_bytes: int
    allocated_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyFigures:
    """How a model is run, and what it is doing.

    Attributes:
        in_place: Whether single rows run on the event loop; otherwise in the model's thread.
        first_row_s: Seconds of a run of one row, measured at warm-up.
        next_row_s: Seconds for every further row of a run.
        queued_requests: Requests that wait.
        running_rows: Rows of the run that goes on in the thread.
    """

    in_place: bool
    first_row_s: float
    next_row_s: float
    queued_requests: int
    running_rows: int


#: What a model is.
ModelKind = Literal["classifier", "cascade", "agent", "tensors"]

#: Told about every run of every model, on the event loop.
BatchObserver = Callable[[ModelVersion, BatchRecord], None]


class ServingParts:
    """What models are built from.

    Attributes:
        settings: Limits, and whether cascades remember results.
        decoder: Decodes everybody's pictures.
        on_batch: Told about every run, or None.
        redis: Where cascades keep their result memory; None: in this process.
    """

    def __init__(self, settings: ServerSettings, on_batch: BatchObserver | None = None) -> None:
        """Make what a server's settings ask for."""
        self.settings, self.on_batch = settings, on_batch
        self.decoder = PictureDecoder(settings.requests, settings.batching)
        url = settings.redis_url
        self.redis = None if url is None else RedisServer(url=url)


class ServedModel(ABC):
    """A model that answers requests, on one event loop; it is warm when it has been made.

    A subclass sets `_main`, the computation by which its speed is reported.

    Attributes:
        served_as: Name and version under which it is served.
        name: The name.
        version: The version.
        platform: What the protocol calls the platform, e.g. ``onnxruntime_onnx``.
        kind: What it is: a kind of sidecar, or ``tensors``.
        inputs: The tensors that `infer` takes.
        outputs: The tensors that `infer` returns.
        labels: Class names, in the order of the columns of logits and probabilities.
    """

    platform: str
    kind: ModelKind
    labels: tuple[str, ...] = ()
    _main: Computation[Any, Any]

    def __init__(
        self,
        served_as: ModelVersion,
        tensors: tuple[tuple[V2Spec, ...], tuple[V2Spec, ...]],
        parts: ServingParts,
    ) -> None:
        """Begin with an empty queue.

        Args:
            served_as: Its name and version for requests.
            tensors: Inputs and outputs.
            parts: What all models share.
        """
        self.served_as = served_as
        self.name, self.version = served_as.name, served_as.version
        self.inputs, self.outputs = tensors
        self._parts = parts
        observer = None if parts.on_batch is None else partial(parts.on_batch, served_as)
        self._batcher = MicroBatcher(self.name, parts.settings.batching, observer)

    @property
    def most_values(self) -> int:
        """Values of all inputs of the largest request in JSON."""
        limits = self._parts.settings.requests
        shapes = [spec.shape[1:] for spec in self.inputs]
        if any(size < 0 for shape in shapes for size in shape):
            return limits.max_json_values
        return min(limits.max_json_values, limits.max_rows * sum(map(math.prod, shapes)))

    @abstractmethod
    async def infer(
        self, inputs: Mapping[str, Tensor], *, context: RequestContext
    ) -> Mapping[str, Tensor]:
        """Compute all outputs.

        Raises:
            RequestError: 400 if a tensor does not fit; 413 if there are too many rows; 429 and 503
                as `MicroBatcher.submit`.
        """

    def concurrency(self) -> ConcurrencyFigures:
        """Return how it runs, and what waits."""
        cost = self._main.cost
        return ConcurrencyFigures(
            in_place=cost.first_row_s <= self._parts.settings.batching.in_place_s
            and not self._main.blocking,
            first_row_s=cost.first_row_s,
            next_row_s=cost.next_row_s,
            queued_requests=self._batcher.queued_requests,
            running_rows=self._batcher.running_rows,
        )

    def close(self) -> None:
        """Refuse what waits and release memory; a subclass releases what it runs."""
        self._batcher.close()

    def _warmed(self, run: Callable[[int], object]) -> RunCost:
        """Measure a run by its rows, and make two of the largest batch that will occur.

        ONNX Runtime plans its memory at the first run of a size, and allocates that at the second
        one: 4 MiB for a network of 28x28 pixels, which would come some time later.
        """
        cost = measure_run_cost(run)
        limits = self._parts.settings.batching
        for _ in range(2):
            run(min(limits.max_rows, cost.rows_within(limits.max_run_s)))
        return cost


class PictureModel(ServedModel):
    """A served model with a sidecar, which takes encoded pictures as well as tensors.

    The image tensor may come to `infer` as BYTES: one encoded picture per row, which is decoded and
    prepared as the sidecar says. Beside what `ServedModel.infer` raises it then raises 400 if a
    picture cannot be decoded, and 413 if there are too many pixels.

    Attributes:
        sidecar: Everything else that is known about it.
        prepare: Decodes encoded pictures into canonical images (N, height, width, C) uint8; see
            `PictureDecoder.canonical`.
    """

    def __init__(
        self,
        served_as: ModelVersion,
        sidecar: Sidecar,
        tensors: tuple[tuple[V2Spec, ...], tuple[V2Spec, ...]],
        target: PictureTarget,
        parts: ServingParts,
    ) -> None:
        """Begin with an empty queue.

        Args:
            served_as: Its name and version for requests.
            sidecar: Everything else about it.
            tensors: Inputs and outputs.
            target: What becomes of encoded pictures.
            parts: What all models share.
        """
        super().__init__(served_as, tensors, parts)
        self.sidecar = sidecar
        self.kind, self.labels = sidecar.kind, sidecar.labels
        self.prepare = partial(parts.decoder.canonical, target=target)
        self._check = InputCheck(self.name, self.inputs, parts.settings.requests.max_rows)

    async def _decoded(self, inputs: Mapping[str, Tensor], name: str) -> Mapping[str, Tensor]:
        """Return a request's tensors, with canonical images where it has encoded pictures.

        Raises:
            RequestError: 400 if a picture cannot be decoded, or the tensors have other names; and
                as `PictureDecoder.canonical`.
        """
        pictures = inputs.get(name)
        if not isinstance(pictures, list):
            return inputs
        self._check.require_names(inputs)
        try:
            return {**inputs, name: await self.prepare(pictures)}
        except RequestError as error:
            if error.status != 415:  # the body is what it should be, a part of it is not
                raise
            text = f"input {name!r} of model {self.name!r}: {error}"
            raise RequestError(400, text) from error


class ServedClassifier(PictureModel):
    """A served model that classifies pictures; a subclass sets `_classification`.

    Attributes:
        image: The canonical image.
    """

    image: ImageFormat
    _classification: Computation[NDArray[np.uint8], Prediction]

    async def classify(self, images: NDArray[np.uint8], *, context: RequestContext) -> Prediction:
        """Classify canonical images (N, height, width, C) uint8, as `prepare` makes them.

        Raises:
            RequestError: 429 and 503 as `MicroBatcher.submit`.
        """
        return await self._batcher.submit(
            self._classification, images, len(images), deadline_s=context.deadline_s
        )
