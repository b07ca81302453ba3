"""What the commands that look at models take as data: a set, recorded frames, or noise."""

from __future__ import annotations

from typing import Literal

from edge.samples import Samples, random_samples
from edge.sidecar import Sidecar
from models.samples import default_source, load_samples

Split = Literal["train", "validation", "test"]

#: Training images that show the range of every tensor to a quantiser.
_CALIBRATION = 500
#: Random images where neither data are given nor a data set of that name is known.
_RANDOM = 256


def read_samples(
    sidecar: Sidecar, data: str | None, split: Split, limit: int | None = None
) -> Samples:
    """Load samples for a model.

    Without `data` it is the data set that the model was trained on, if that can be had by name,
    and else noise, which the description says.

    Args:
        sidecar: The model.
        data: Data set, folder or ``.npz`` file.
        split: Which part.
        limit: At most so many, evenly spaced; None: all.
    """
    source = data or default_source(sidecar)
    if source is None:
        return random_samples(sidecar, _RANDOM)
    return load_samples(sidecar, source, split, limit)


def calibration_samples(sidecar: Sidecar, data: str | None) -> Samples:
    """Load what int8 is calibrated with: training images, never those that a figure is of."""
    return read_samples(sidecar, data, "train", _CALIBRATION)
