"""Steering classes: the bins of the classification head, and the picture it sees.

Torch-free, so that evaluation can use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.sidecar import ImageSpec

SteeringVariant = Literal["paper", "conditional"]

#: Rows 32..160 of the 320x160 camera (the sky is left out), reduced by 2 to 160x64.
NETWORK_IMAGE = ImageSpec(
    height=64,
    width=160,
    color="RGB",
    crop=(0, 32, 320, 160),
    scale=1.0 / 255.0,
    mean=(0.45, 0.45, 0.45),
    std=(0.25, 0.25, 0.25),
)

#: Unit of the regression loss: raw steer times 4 (CARIL, preprocess_data.py: 1.0 is a raw 0.25).
STEERING_SCALE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringClasses:
    """Eleven classes over raw steer.

    Attributes:
        edges: 12 ascending edges. Class k is [edge k, edge k+1), the last one closed; the same rule
            labels training data and looks up bins at run time.
        clip_outside: True if labels beyond the outer edges belong to the outer classes; False if
            such frames are left out of the training data.
    """

    edges: tuple[float, ...]
    clip_outside: bool

    @property
    def count(self) -> int:
        """Number of classes."""
        return len(self.edges) - 1

    @property
    def centres(self) -> NDArray[np.float64]:
        """(K,) middle of each bin."""
        edges = np.asarray(self.edges)
        return np.asarray((edges[1:] + edges[:-1]) / 2.0)

    def labels(self, steer: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the class (N,) of raw steering values (N,)."""
        index = np.searchsorted(np.asarray(self.edges), np.asarray(steer, np.float64), "right") - 1
        return np.clip(index, 0, self.count - 1).astype(np.int64)

    def contains(self, steer: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return True (N,) for values that may be trained on."""
        if self.clip_outside:
            return np.ones(np.shape(steer), bool)
        return np.asarray((steer >= self.edges[0]) & (steer <= self.edges[-1]))


#: `paper`: 11 equal bins over raw +-0.25; frames beyond are dropped, as CARIL does. `conditional`:
#: finer around straight, and nothing is dropped: the outer classes take all that lies beyond. A
#: curve of 8 m needs about 0.28, so an outer edge of 0.4 keeps those bins from being mostly empty.
STEERING_CLASSES: dict[SteeringVariant, SteeringClasses] = {
    "paper": SteeringClasses(
        edges=tuple(float(edge) for edge in np.linspace(-0.25, 0.25, 12)), clip_outside=False
    ),
    "conditional": SteeringClasses(
        edges=(-0.4, -0.17, -0.12, -0.07, -0.035, -0.012, 0.012, 0.035, 0.07, 0.12, 0.17, 0.4),
        clip_outside=True,
    ),
}
