"""Checks a request's tensors against what a model takes, and joins and cuts them along the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ImageFormat, TensorSpec
from bicameral.types import Prediction
from server.errors import RequestError
from server.open_inference.datatypes import (
    DATATYPE_NAMES,
    Tensor,
    V2Spec,
    datatype_name,
    dtype_of,
)
from server.serving.computation import ROWS_OF_PIECE, Stacking, unless_many

Feeds = Mapping[str, NDArray[Any]]


def v2_specs(specs: Sequence[TensorSpec]) -> tuple[V2Spec, ...]:
    """Describe a session's tensors in the protocol's terms.

    Raises:
        DataError: If the protocol has no name for a dtype.
    """
    return tuple(
        V2Spec(name=spec.name, datatype=_datatype_name(spec), shape=spec.shape) for spec in specs
    )


def _datatype_name(spec: TensorSpec) -> str:
    try:
        return datatype_name(np.dtype(spec.dtype))
    except (KeyError, TypeError) as error:
        raise DataError(
            f"the tensor {spec.name!r} is of type {spec.dtype}, which cannot be served; expected "
            f"one of {', '.join(DATATYPE_NAMES)}"
        ) from error


def canonical_spec(name: str, image: ImageFormat) -> V2Spec:
    """Describe a tensor of canonical images."""
    return V2Spec(
        name=name, datatype="UINT8", shape=(-1, image.height, image.width, image.channels)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """What one tensor must be, taken apart because every request is compared with it."""

    spec: V2Spec
    dtype: np.dtype[Any]
    axes: int
    #: Sizes of a row; None if some of them are open, or if the first axis does not count rows.
    row_shape: tuple[int, ...] | None

    @classmethod
    def of(cls, spec: V2Spec) -> _Expected:
        first, *rest = spec.shape or (1,)
        plain = first == -1 and -1 not in rest
        return cls(
            spec=spec,
            dtype=dtype_of(spec.datatype),
            axes=len(spec.shape),
            row_shape=tuple(rest) if plain else None,
        )

    def fits(self, tensor: NDArray[Any]) -> bool:
        """Compare dtype and shape.

        ONNX Runtime says of a scalar what it says of a tensor whose shape is not known, and takes
        any shape for either.
        """
        if tensor.dtype != self.dtype or tensor.ndim != self.axes:
            return tensor.dtype == self.dtype and not self.axes
        if self.row_shape is not None:
            return tensor.shape[1:] == self.row_shape
        sizes = zip(tensor.shape, self.spec.shape, strict=True)
        return all(expected in (-1, size) for size, expected in sizes)


class InputCheck:
    """Whether tensors fit a model. A request that passes cannot spoil the batch it runs in."""

    def __init__(self, model: str, specs: Sequence[V2Spec], max_rows: int | None) -> None:
        """Prepare the check.

        Args:
            model: How messages call the model.
            specs: The tensors that it takes, all of them required.
            max_rows: Rows of one request at most; None: nobody knows whether open first axes are
                rows, so they are not compared.
        """
        self._model = model
        self._max_rows = max_rows
        self._expected = {spec.name: _Expected.of(spec) for spec in specs}
        #: Whether the first axis of all tensors counts rows.
        self.has_rows = max_rows is not None and opens_first(specs)

    def __call__(self, inputs: Mapping[str, Tensor]) -> tuple[dict[str, NDArray[Any]], int]:
        """Return the feeds of a run and their number of rows.

        Raises:
            RequestError: 400 naming the tensor, what was given and what was expected; 413 if there
                are too many rows.
        """
        self.require_names(inputs)
        feeds: dict[str, NDArray[Any]] = {}
        for name, expected in self._expected.items():
            tensor = inputs[name]
            if isinstance(tensor, list) or not expected.fits(tensor):
                raise self._misfit(tensor, expected.spec)
            # Behind a JSON header of any length a tensor may lie crooked in memory.
            feeds[name] = tensor if tensor.flags.aligned else tensor.copy()
        return feeds, self._rows(feeds) if self.has_rows else 1

    def require_names(self, inputs: Mapping[str, Tensor]) -> None:
        """Refuse tensors of other names, before anything is done with them.

        Raises:
            RequestError: 400 with the names.
        """
        if inputs.keys() != self._expected.keys():
            raise RequestError(
                400,
                f"model {self._model!r} takes the tensors {_names(self._expected)}, got "
                f"{_names(inputs)}",
            )

    def _rows(self, feeds: Mapping[str, NDArray[Any]]) -> int:
        """Return the number of rows, if all tensors have the same and not too many."""
        first, *others = feeds
        rows = len(feeds[first])
        for name in others:
            if len(feeds[name]) != rows:
                raise RequestError(
                    400,
                    f"input {name!r} of model {self._model!r} has {len(feeds[name])} rows, "
                    f"expected {rows} like {first!r}",
                )
        if self._max_rows is not None and not 0 < rows <= self._max_rows:
            raise RequestError(
                413 if rows else 400,
                f"the request for model {self._model!r} has {rows} rows, expected "
                f"1..{self._max_rows}",
            )
        return rows

    def _misfit(self, tensor: Tensor, spec: V2Spec) -> RequestError:
        if isinstance(tensor, list):
            got = f"{len(tensor)} elements of BYTES"
        else:
            got = f"{datatype_name(tensor.dtype)} of shape {list(tensor.shape)}"
        return RequestError(
            400,
            f"input {spec.name!r} of model {self._model!r} is {got}, expected {spec.datatype} of "
            f"shape {list(spec.shape)}",
        )


def opens_first(specs: Sequence[V2Spec]) -> bool:
    """Return whether all tensors may have any first size."""
    return all(spec.shape[:1] == (-1,) for spec in specs)


def _names(tensors: Mapping[str, object]) -> str:
    return ", ".join(map(repr, tensors)) or "none"


def rows_of(rows: Sequence[int], total: int) -> list[slice]:
    """Return the parts of an answer of `total` rows; refuse one with another number of them."""
    ends = list(accumulate(rows))
    if ends[-1] != total:
        raise DataError(f"an answer has {total} rows, expected {ends[-1]}")
    return [slice(end - count, end) for end, count in zip(ends, rows, strict=True)]


def _stack_feeds(payloads: Sequence[Feeds]) -> Feeds:
    return {name: np.concatenate([payload[name] for payload in payloads]) for name in payloads[0]}


def _split_feeds(answer: Feeds, rows: Sequence[int]) -> list[Feeds]:
    parts = {name: rows_of(rows, len(tensor)) for name, tensor in answer.items()}
    return [
        {name: tensor[parts[name][index]] for name, tensor in answer.items()}
        for index in range(len(rows))
    ]


def _split_prediction(answer: Prediction, rows: Sequence[int]) -> list[Prediction]:
    return [
        Prediction(
            probabilities=answer.probabilities[part],
            confidence=answer.confidence[part],
            trace=None if answer.trace is None else answer.trace[part],
        )
        for part in rows_of(rows, len(answer.confidence))
    ]


def feeds_in_pieces(run: Callable[[Feeds], Feeds]) -> Callable[[Feeds], Feeds]:
    """Let a run of very many rows be several ones, for the memory of a run stays with its graph.

    1,024 blank rows for a small network are a request of 3 kB, and were 215 MiB.

    Args:
        run: Computes each row by itself.
    """

    def run_pieces(feeds: Feeds) -> Feeds:
        rows = len(next(iter(feeds.values())))
        if rows <= ROWS_OF_PIECE:
            return run(feeds)
        return _stack_feeds([run(piece) for piece in _split_feeds(feeds, _pieces(rows))])

    return run_pieces


def images_in_pieces(
    predict: Callable[[NDArray[np.uint8]], Prediction],
) -> Callable[[NDArray[np.uint8]], Prediction]:
    """Do the same for canonical images."""

    def predict_pieces(images: NDArray[np.uint8]) -> Prediction:
        parts = [predict(images[part]) for part in rows_of(_pieces(len(images)), len(images))]
        traces = [part.trace for part in parts if part.trace is not None]
        return Prediction(
            probabilities=np.concatenate([part.probabilities for part in parts]),
            confidence=np.concatenate([part.confidence for part in parts]),
            trace=tuple(chain.from_iterable(traces)) if traces else None,
        )

    return unless_many(predict, predict_pieces)


def _pieces(rows: int) -> list[int]:
    return [min(ROWS_OF_PIECE, rows - begin) for begin in range(0, rows, ROWS_OF_PIECE)]


#: Tensors by name, with their rows on the first axis.
TENSOR_STACKING: Stacking[Feeds, Feeds] = Stacking(stack=_stack_feeds, split=_split_feeds)

#: Canonical images (N, height, width, C).
IMAGE_STACKING: Stacking[NDArray[np.uint8], Prediction] = Stacking(
    stack=np.concatenate, split=_split_prediction
)
