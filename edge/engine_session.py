"""A TensorRT engine as a `Session`, where there is a GPU: the engine of the Jetson runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from bicameral.errors import MachineError
from bicameral.protocols import TensorSpec
from edge.jetson import bicameral_jetson
from edge.session import GraphSession
from edge.sidecar import Sidecar


class EngineSession(GraphSession):
    """An engine, which takes one picture at a time."""

    def __init__(self, plan: bytes, sidecar: Sidecar) -> None:
        """Load an engine that was built on this machine from the sidecar's graph.

        Raises:
            MachineError: If TensorRT or CUDA is not here, or it is another machine's engine.
        """
        extras = [(one.name, one.dtype, one.shape) for one in sidecar.extra_inputs]
        image = sidecar.input
        inputs = [
            TensorSpec(name=name, dtype=_NUMPY[dtype], shape=(1, *shape[1:]))
            for name, dtype, shape in [(image.name, image.dtype, image.shape), *extras]
        ]
        outputs = [
            TensorSpec(name=one.name, dtype="float32", shape=(1, *one.shape[1:]))
            for one in sidecar.outputs
        ]
        super().__init__(inputs, outputs, hashlib.sha256(plan).hexdigest())
        try:
            self._engine: Any = bicameral_jetson.TensorRtEngine(
                plan, {one.name: list(one.shape) for one in inputs}
            )
        except bicameral_jetson.JetsonError as error:
            raise MachineError(
                f"cannot run the TensorRT engine of {sidecar.name!r} here: {error}"
            ) from error

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs for one picture."""
        outputs: dict[str, NDArray[Any]] = self._engine.run(dict(feeds))
        return outputs

    def close(self) -> None:
        """Release the engine."""
        self._engine = None


_NUMPY = {"FP32": "float32", "INT64": "int64", "UINT8": "uint8"}
