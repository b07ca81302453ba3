"""Any ONNX graph, served as it is: what it takes, what it gives and its batches follow from it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import TensorSpec
from edge.session import OnnxSession
from server.open_inference.datatypes import Tensor, V2Spec, dtype_of
from server.serving.computation import Computation, RunCost
from server.serving.served_model import ModelVersion, RequestContext, ServedModel, ServingParts
from server.serving.tensors import (
    TENSOR_STACKING,
    Feeds,
    InputCheck,
    feeds_in_pieces,
    opens_first,
    v2_specs,
)

_log = logging.getLogger(__name__)

#: What open sizes may be in trials, until a graph runs: networks for pictures and sound often need
#: some multiple of their strides. 1 comes last, for much is the same there that is not elsewhere.
_TRIAL_SIZES = (16, 32, 48, 64, 96, 128, 224, 320, 512, 576, 640, 1)
#: Values of a trial's tensors.
_MOST_TRIAL_VALUES = 1 << 22

#: Largest difference of a batch's answers from those of its rows alone, relative to the largest
#: value, that sums in another order account for. On noise a network was seen to differ by 0.003.
_SAME = 0.01

#: What a run costs as long as nobody has seen one.
_UNKNOWN_COST = RunCost(first_row_s=0.01, next_row_s=0.01)

#: Shapes of requests that are told apart, so that those of one shape may share a run.
_MOST_SHAPES = 64

#: What Triton reads beside a model.
_TRITON_CONFIGURATION = "config.pbtxt"


class TensorModel(ServedModel):
    """A `ServedModel` for a graph without a sidecar.

    Requests share runs where the first size of every input and output is open and a trial shows
    that no row depends on another.

    Attributes:
        description: What whoever made the graph says about it.
    """

    platform = "onnxruntime_onnx"
    kind = "tensors"

    def __init__(self, served_as: ModelVersion, session: OnnxSession, parts: ServingParts) -> None:
        """Join a session with its queue, and warm it up.

        Args:
            served_as: Name and version for requests.
            session: Runs the graph; this model closes it.
            parts: What all models share.

        Raises:
            DataError: If the protocol has no datatype for an input, or for all of the outputs.
        """
        inputs = v2_specs(session.inputs)
        outputs = _described(served_as, session.outputs)
        super().__init__(served_as, (inputs, outputs), parts)
        self.description = session.description()
        self._session = session
        self._check = InputCheck(self.name, inputs, None)
        self._has_rows = opens_first(inputs) and opens_first(outputs)
        self._main = self._tried()
        #: Of each shape of a row, for only requests of the same shape can share a run.
        self._computation = lru_cache(maxsize=_MOST_SHAPES)(self._of_shape)

    @classmethod
    def load(cls, path: Path, served_as: ModelVersion, parts: ServingParts) -> Self:
        """Load a graph, with what it keeps in files beside it.

        Raises:
            DataError: If it cannot be loaded, or as `TensorModel`.
        """
        configuration = path.parent.parent / _TRITON_CONFIGURATION
        if path.parent.name == served_as.version and configuration.exists():
            _log.info("%s is not read: what it says follows from the graph", configuration)
        return cls(served_as, OnnxSession(path, name=served_as.name), parts)

    @property
    def most_values(self) -> int:
        """Values of all inputs of the largest request in JSON."""
        return self._parts.settings.requests.max_json_values

    async def infer(
        self, inputs: Mapping[str, Tensor], *, context: RequestContext
    ) -> Mapping[str, Tensor]:
        """Run the graph; see `ServedModel.infer`.

        Raises:
            DataError: If the graph rejects the tensors.
        """
        feeds, _ = self._check(inputs)
        computation, rows = self._main, 1
        if computation.stacking is not None:
            sizes = {len(tensor) for tensor in feeds.values()}
            rows = sizes.pop()
            computation = self._computation(tuple(one.shape[1:] for one in feeds.values()))
            if sizes or not rows:  # it may still broadcast, or take nothing
                computation, rows = replace(computation, stacking=None), 1
        return await self._batcher.submit(computation, feeds, rows, deadline_s=context.deadline_s)

    def close(self) -> None:
        """Refuse what waits and release the graph."""
        super().close()
        self._session.close()

    def _of_shape(self, _: tuple[tuple[int, ...], ...]) -> Computation[Feeds, Feeds]:
        return replace(self._main)

    def _run(self, feeds: Feeds) -> Mapping[str, NDArray[Any]]:
        return self._session.run(feeds)

    def _tried(self) -> Computation[Feeds, Feeds]:
        """Return what runs the graph, after finding out what that costs."""
        size = self._runnable_size()
        alone = Computation(name="tensors", run=self._run, cost=_UNKNOWN_COST, blocking=True)
        if size is None:
            _log.info("%s is not warm: no trial of its open sizes ran", self.name)
            return alone
        stacking = None
        if self._has_rows and self._rows_are_apart(size):
            stacking = TENSOR_STACKING
            alone = replace(alone, run=feeds_in_pieces(self._run))
        cost = self._warmed(lambda rows: self._run(self._trial(rows, size)))
        if stacking is None:  # then there are no further rows
            cost = replace(cost, next_row_s=cost.first_row_s)
        counted = 0 if stacking is None else 1  # the rows, which the cost knows
        fixed = all(spec.shape and -1 not in spec.shape[counted:] for spec in self.inputs)
        return replace(alone, cost=cost, stacking=stacking, blocking=not fixed)

    def _runnable_size(self) -> int | None:
        """Return a size with which the graph runs, for all that are open; None: not found."""
        for size in _TRIAL_SIZES:
            shapes = [self._trial_shape(spec, 1, size) for spec in self.inputs]
            if sum(map(math.prod, shapes)) > _MOST_TRIAL_VALUES:
                continue
            try:
                self._run(self._trial(1, size))
            except DataError:
                continue
            return size
        return None

    def _rows_are_apart(self, size: int) -> bool:
        """Return whether two rows are answered together as each is alone."""
        feeds = self._trial(2, size)
        try:
            both = self._run(feeds)
            for row in range(2):
                alone = self._run({name: one[row : row + 1] for name, one in feeds.items()})
                for name, values in both.items():
                    if not _same(values[row : row + 1], alone[name]) or len(values) != 2:
                        return False
        except DataError:
            return False
        return True

    def _trial(self, rows: int, size: int) -> dict[str, NDArray[Any]]:
        """Return tensors of noise: normal numbers, whole ones of 0 and 1, texts of one digit."""
        rng = np.random.default_rng(0)
        feeds = {}
        for spec in self.inputs:
            shape = self._trial_shape(spec, rows, size)
            dtype = dtype_of(spec.datatype)
            if dtype.kind == "f":
                feeds[spec.name] = rng.standard_normal(shape).astype(dtype)
            else:
                numbers = rng.integers(0, 2, shape)
                texts = numbers.astype(str) if spec.datatype == "BYTES" else numbers
                feeds[spec.name] = np.asarray(texts, dtype)
        return feeds

    def _trial_shape(self, spec: V2Spec, rows: int, size: int) -> list[int]:
        shape = [size if length < 0 else length for length in spec.shape]
        return [rows, *shape[1:]] if self._has_rows else shape


def _described(served_as: ModelVersion, specs: Sequence[TensorSpec]) -> tuple[V2Spec, ...]:
    """Describe the outputs that the protocol has a datatype for, of which there must be one."""
    found: list[V2Spec] = []
    for spec in specs:
        try:
            found += v2_specs([spec])
        except DataError as error:
            _log.info("an output of %s is left out: %s", served_as.name, error)
    if not found:
        raise DataError(
            f"the graph of {served_as.name!r} gives no tensor that can be served; expected one at "
            "least"
        )
    return tuple(found)


def _same(values: NDArray[Any], alone: NDArray[Any]) -> bool:
    if values.shape != alone.shape:
        return False
    if values.dtype.kind != "f":
        return bool(np.array_equal(values, alone))
    scale = float(np.abs(alone[np.isfinite(alone)]).max(initial=1.0))
    return np.allclose(values, alone, rtol=0.0, atol=_SAME * scale, equal_nan=True)
