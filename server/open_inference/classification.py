"""The extension ``classification``: the highest values of a tensor as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def top_classes(
    values: NDArray[Any], classes: int, labels: Sequence[str]
) -> tuple[list[bytes], tuple[int, ...]]:
    """Return the highest values along the last axis, the highest one first.

    Of equal values the one with the lower index comes first. NaN counts as the highest, so that
    nobody overlooks it.

    Args:
        values: (..., C) numbers, with one axis at least.
        classes: How many to return, 1 or more; C if there are no more.
        labels: Names of the C classes; names of another number of classes are not used.

    Returns:
        Elements of a BYTES tensor, ``value:index`` or ``value:index:label``, row by row, and their
        shape (..., min(classes, C)).
    """
    total = values.shape[-1]
    # Ascending from the end, so that equal values are in order once it is turned round.
    order = np.argsort(values[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    indices = total - 1 - order[..., :classes]
    highest = np.take_along_axis(values, indices, axis=-1)
    form = "f" if values.dtype.kind == "f" else "d"
    endings = [f":{label}" for label in labels] if len(labels) == total else [""] * total
    elements = [
        f"{value:{form}}:{index}{endings[index]}".encode()
        for value, index in zip(highest.ravel().tolist(), indices.ravel().tolist(), strict=True)
    ]
    return elements, indices.shape
