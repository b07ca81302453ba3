"""The seams of the house: what a part must offer so that another can use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from bicameral.types import CameraSpec, Decision, Observation, Route


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
