"""The tensors of one graph, for whatever kind of model it belongs to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import Session
from edge.preprocessing import feed_from_canonical
from edge.session import open_model
from edge.sidecar import Sidecar, read_sidecar
from server.open_inference.datatypes import DATATYPES, Tensor, V2Spec
from server.serving.computation import Computation
from server.serving.picture_input import PictureTarget
from server.serving.served_model import ModelVersion, PictureModel, RequestContext, ServingParts
from server.serving.tensors import (
    TENSOR_STACKING,
    Feeds,
    InputCheck,
    canonical_spec,
    feeds_in_pieces,
    v2_specs,
)


class GraphTensorModel(PictureModel):
    """A model with a graph whose tensors requests may give and get as they are."""

    #: Triton's name for an ONNX file that ONNX Runtime runs.
    platform = "onnxruntime_onnx"

    def __init__(
        self, served_as: ModelVersion, sidecar: Sidecar, session: Session, parts: ServingParts
    ) -> None:
        """Join a session with its queue, and warm it up.

        Args:
            served_as: Name and version for requests.
            sidecar: Describes the graph.
            session: Runs it; this model closes it.
            parts: What all models share.

        Raises:
            DataError: If the graph is not what the sidecar describes, or cannot be served.
        """
        target = self._joined(sidecar, session)
        inputs, outputs = self._inputs(sidecar, session), v2_specs(session.outputs)
        super().__init__(served_as, sidecar, (inputs, outputs), target, parts)
        self._session = session
        self._image_input = sidecar.input.name
        decoded = [self._decoded_spec(spec) for spec in inputs]
        self._check_decoded = InputCheck(self.name, decoded, parts.settings.requests.max_rows)
        stacking = TENSOR_STACKING if self._check.has_rows else None
        run: Callable[[Feeds], Feeds] = session.run
        run_decoded: Callable[[Feeds], Feeds] = self._run_decoded
        if stacking is not None:
            run, run_decoded = feeds_in_pieces(run), feeds_in_pieces(run_decoded)
        cost = self._warmed(lambda rows: session.run(_blank(inputs, rows)))
        self._main = self._tensors = Computation(
            name="tensors", run=run, cost=cost, stacking=stacking
        )
        self._pictures = replace(self._tensors, name="pictures", run=run_decoded)

    @classmethod
    def load(cls, path: Path, served_as: ModelVersion, parts: ServingParts) -> Self:
        """Load a sidecar with its graph.

        Raises:
            DataError: If a file is absent or damaged, or does not fit the other.
        """
        sidecar = read_sidecar(path)
        return cls(served_as, sidecar, open_model(path, sidecar), parts)

    @abstractmethod
    def _joined(self, sidecar: Sidecar, session: Session) -> PictureTarget:
        """Join a graph with what asks it; return what becomes of encoded pictures."""

    @staticmethod
    def _inputs(sidecar: Sidecar, session: Session) -> tuple[V2Spec, ...]:
        """Describe what the graph takes; of pictures of any size only those of the sidecar's."""
        image = sidecar.input
        return tuple(
            replace(spec, shape=(spec.shape[0], *image.shape[1:]))
            if spec.name == image.name
            else spec
            for spec in v2_specs(session.inputs)
        )

    async def infer(
        self, inputs: Mapping[str, Tensor], *, context: RequestContext
    ) -> Mapping[str, Tensor]:
        """Run the graph; see `ServedModel.infer`."""
        computation, check = self._tensors, self._check
        given, inputs = inputs, await self._decoded(inputs, self._image_input)
        if inputs is not given:
            computation, check = self._pictures, self._check_decoded
        feeds, rows = check(inputs)
        return await self._batcher.submit(computation, feeds, rows, deadline_s=context.deadline_s)

    def close(self) -> None:
        """Refuse what waits and release the graph."""
        super().close()
        self._session.close()

    def _decoded_spec(self, spec: V2Spec) -> V2Spec:
        """Return what a tensor must be after its pictures were decoded."""
        if spec.name != self._image_input:
            return spec
        return canonical_spec(spec.name, self.sidecar.input.image)

    def _run_decoded(self, feeds: Feeds) -> Mapping[str, NDArray[Any]]:
        tensor = feed_from_canonical(feeds[self._image_input], self.sidecar.input)
        return self._session.run({**feeds, self._image_input: tensor})


def _blank(specs: tuple[V2Spec, ...], rows: int) -> Feeds:
    """Return zeros of so many rows; other open sizes are 1."""
    return {
        spec.name: np.zeros(
            [
                rows if axis == 0 and size == -1 else max(size, 1)
                for axis, size in enumerate(spec.shape)
            ],
            DATATYPES[spec.datatype].dtype,
        )
        for spec in specs
    }
