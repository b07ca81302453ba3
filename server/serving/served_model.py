"""What the endpoints know of a model: tensors in, tensors out, and for classifiers pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ImageFormat
from bicameral.types import Prediction
from edge.sidecar import Sidecar

#: A tensor of a request or an answer; a list holds the elements of a BYTES tensor, row by row.
Tensor = NDArray[Any] | list[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class V2Spec:
    """Name, datatype (a name of the Open Inference Protocol) and shape; -1 stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


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
        request_id: For logs; None if it has none.
        deadline_s: Refuse if the run has not begun by then, on `time.monotonic`'s clock; None:
            wait as long as it takes.
        no_store: The result memory keeps nothing of this request. It may answer from what it has.
        memory_namespace: Requests of different namespaces never share remembered results: the name
            of the API key.
    """

    request_id: str | None = None
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


@runtime_checkable
class ServedModel(Protocol):
    """A model that answers requests, on one event loop; it is warm when it has been made."""

    @property
    def name(self) -> str:
        """Name under which it is served."""

    @property
    def version(self) -> str:
        """Version under which it is served."""

    @property
    def platform(self) -> str:
        """What the protocol calls the platform, e.g. ``onnxruntime_onnx``."""

    @property
    def sidecar(self) -> Sidecar:
        """Everything else that is known about it."""

    @property
    def inputs(self) -> tuple[V2Spec, ...]:
        """The tensors that `infer` takes."""

    @property
    def outputs(self) -> tuple[V2Spec, ...]:
        """The tensors that `infer` returns."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of logits and probabilities."""

    async def infer(
        self, inputs: Mapping[str, Tensor], *, context: RequestContext
    ) -> Mapping[str, Tensor]:
        """Compute all outputs.

        The image tensor may come as BYTES instead: one encoded picture per row, which is decoded
        and prepared as the sidecar says.

        Raises:
            RequestError: 400 if a tensor does not fit, or a picture cannot be decoded; 413 if
                there are too many rows or pixels; 429 and 503 as `MicroBatcher.submit`.
        """

    def concurrency(self) -> ConcurrencyFigures:
        """Return how it runs, and what waits."""

    def close(self) -> None:
        """Refuse what waits and release memory."""


@runtime_checkable
class ServedClassifier(ServedModel, Protocol):
    """A served model that answers for pictures."""

    @property
    def image(self) -> ImageFormat:
        """The canonical image."""

    async def prepare(self, pictures: Sequence[bytes]) -> NDArray[np.uint8]:
        """Decode encoded pictures into canonical images (N, height, width, C) uint8.

        Raises:
            DataError: If one of them cannot be decoded; the message tells which.
            RequestError: 413 if there are too many pictures or pixels; 429 if too many pictures
                wait to be decoded.
        """

    async def classify(self, images: NDArray[np.uint8], *, context: RequestContext) -> Prediction:
        """Classify canonical images (N, height, width, C) uint8.

        Raises:
            RequestError: As `infer`.
        """


_IS_CLASSIFIER: dict[type, bool] = {}


def is_classifier(model: ServedModel) -> TypeGuard[ServedClassifier]:
    """Return whether a model answers for pictures.

    Asking that of a class once is enough, and `isinstance` takes as long as a tiny network for a
    protocol of this size.
    """
    kind = type(model)
    found = _IS_CLASSIFIER.get(kind)
    if found is None:
        found = _IS_CLASSIFIER[kind] = isinstance(model, ServedClassifier)
    return found
