"""The seams of the house: what a part must offer so that another can use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bicameral.types import (
    CameraSpec,
    Decision,
    MemoryCounters,
    Observation,
    Prediction,
    Route,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Name, dtype (numpy name) and shape of a tensor; -1 stands for any size."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@runtime_checkable
class Session(Protocol):
    """Tensors in, tensors out: ONNX Runtime, TensorRT, a recorded replay."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that `run` takes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that `run` returns."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the answer."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs for one batch."""

    def close(self) -> None:
        """Release memory; the session must not be used afterwards."""


@runtime_checkable
class ImageFormat(Protocol):
    """The pictures that a classifier sees; `edge.sidecar.ImageSpec` is one."""

    @property
    def height(self) -> int:
        """Rows of a canonical image."""

    @property
    def width(self) -> int:
        """Columns of a canonical image."""

    @property
    def channels(self) -> int:
        """1 (grey) or 3."""

    @property
    def color(self) -> str:
        """``GRAY``, ``RGB`` or ``BGR``."""

    @property
    def invert(self) -> bool:
        """Whether a canonical image is the negative of the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a classifier says about itself.

    Attributes:
        name: Name of the model.
        version: Version of its weights.
        labels: Class names, in the order of the columns of `Prediction.probabilities`.
        image: The canonical image.
        fingerprint: Hash of everything that decides the answer; a result memory's namespace.
        macs: Multiply-accumulates for one image; of a cascade the expected number for one that no
            memory knows: macs of A + share of B * macs of B, on the data that the policy was
            chosen on. None: unknown.
    """

    name: str
    version: str
    labels: tuple[str, ...]
    image: ImageFormat
    fingerprint: str
    macs: int | None


@runtime_checkable
class ClassifierSession(Protocol):
    """Images in, calibrated class probabilities out: one network, a cascade, or anything else.

    Thread-safe; never changes the images it is given. The temperature is applied here and nowhere
    else.
    """

    @property
    def info(self) -> ModelInfo:
        """What it says about itself; another value where what it has seen changed it."""

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Turn decoded pictures (H, W, C) into canonical images (N, height, width, channels)."""

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        """Classify canonical images (N, height, width, channels) uint8; N may be 0."""

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run blank batches of these sizes, so that the first real one is not the slow one."""

    def close(self) -> None:
        """Release memory; the session must not be used afterwards."""


@runtime_checkable
class ResultMemory(Protocol):
    """Remembers results of images that were seen before, per namespace (a model's fingerprint)."""

    def lookup(self, namespace: str, images: NDArray[np.uint8]) -> list[Prediction | None]:
        """Return a `Prediction` of one row, or None, for each canonical image (N, H, W, C)."""

    def store(self, namespace: str, images: NDArray[np.uint8], results: Prediction) -> None:
        """Remember the results of canonical images, in order, as far as they are confident."""

    def clear(self, namespace: str | None = None) -> None:
        """Forget one namespace, or everything."""

    def counters(self) -> MemoryCounters:
        """Return what happened so far."""


@runtime_checkable
class DrivingAgent(Protocol):
    """Something that drives a route; `sim` knows agents only through this protocol."""

    @property
    def name(self) -> str:
        """Short name for tables and files."""

    @property
    def privileged(self) -> bool:
        """True if it knows more than a camera and a navigator tell, e.g. the lane centre."""

    @property
    def camera(self) -> CameraSpec | None:
        """The camera to mount, or None if it needs no image."""

    def begin(self, route: Route, seed: int) -> None:
        """Forget the last episode and prepare for this route."""

    def act(self, observation: Observation) -> Decision:
        """Decide the control for the next tick. Called once per tick, in order."""

    def close(self) -> None:
        """Release what the agent holds."""
