"""What a path network answers about: distances ahead, scales of the offsets, and their classes.

Torch-free, so that evaluation can use it. Frame: the car's, x forward, y right, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Where the regression head says how far to the right the route lies: metres ahead along the route.
PATH_DISTANCES_M = (4.0, 6.0, 10.0, 15.0, 25.0)

#: Unit of the offset, and of its error, at each of `PATH_DISTANCES_M`.
OFFSET_SCALES_M = (0.5, 1.0, 2.0, 3.5, 7.0)

#: The logarithm of the error's scale, in that unit, is clipped to this range.
LOG_SCALE_RANGE = (-4.0, 3.0)

#: Labels farther to the side are cut to this: beyond it a route turns back.
OFFSET_LIMIT_M = 20.0

#: Where the input `intent` says that the wanted lane lies, and what it is divided by.
INTENT_DISTANCES_M = (25.0, 40.0)
INTENT_SCALE_M = 20.0

#: Columns of the intent: (x, y) at each distance, and whether anything is known.
INTENT_COLUMNS = 2 * len(INTENT_DISTANCES_M) + 1

#: Rows of a data set's column `ahead_m`.
AHEAD_DISTANCES_M = (4.0, 6.0, 10.0, 15.0, 25.0, 40.0)

_PATH_ROWS = [AHEAD_DISTANCES_M.index(distance) for distance in PATH_DISTANCES_M]
_INTENT_ROWS = [AHEAD_DISTANCES_M.index(distance) for distance in INTENT_DISTANCES_M]


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetBins:
    """Classes of the route's lateral offset at one distance ahead.

    Attributes:
        distance_m: How far ahead, one of `PATH_DISTANCES_M`.
        edges_m: K - 1 ascending inner edges; class k is [edge k - 1, edge k), the outer are open.
    """

    distance_m: float
    edges_m: tuple[float, ...]

    @property
    def count(self) -> int:
        """Number of classes."""
        return len(self.edges_m) + 1

    @property
    def column(self) -> int:
        """Place of the distance in `PATH_DISTANCES_M`."""
        return PATH_DISTANCES_M.index(self.distance_m)

    @property
    def centres_m(self) -> NDArray[np.float64]:
        """(K,) middle of each class; of an outer one its edge, moved by half its neighbour."""
        edges = np.asarray(self.edges_m)
        padded = np.r_[2 * edges[0] - edges[1], edges, 2 * edges[-1] - edges[-2]]
        return np.asarray((padded[1:] + padded[:-1]) / 2.0)

    def labels(self, offset_m: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the class (N,) of offsets (N,)."""
        offset = np.asarray(offset_m, np.float64)
        return np.searchsorted(np.asarray(self.edges_m), offset, "right").astype(np.int64)


def _mirrored(distance_m: float, *right_m: float) -> OffsetBins:
    edges = (*(-edge for edge in reversed(right_m)), *right_m)
    return OffsetBins(distance_m=distance_m, edges_m=edges)


#: The classification head: 13 classes at each of three distances.
OFFSET_BINS = (
    _mirrored(6.0, 0.1, 0.3, 0.6, 1.0, 1.6, 2.4),
    _mirrored(10.0, 0.15, 0.45, 0.9, 1.7, 3.0, 4.6),
    _mirrored(15.0, 0.25, 0.7, 1.5, 3.0, 5.5, 8.5),
)

#: The one whose classes decide what is drawn in training and when a network counts as unsure.
DECIDING_BINS = OFFSET_BINS[1]


def path_offsets(ahead_m: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the labels (N, 5) metres of route points (N, 6, 2) at `AHEAD_DISTANCES_M`."""
    offsets = np.asarray(ahead_m, np.float32)[:, _PATH_ROWS, 1]
    return np.clip(offsets, -OFFSET_LIMIT_M, OFFSET_LIMIT_M)


def class_labels(offsets_m: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the classes (N, 3) of offsets (N, 5) at the distances of `OFFSET_BINS`."""
    return np.stack([bins.labels(offsets_m[:, bins.column]) for bins in OFFSET_BINS], axis=1)


def intent_points(ahead_m: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the route's points (N, 2, 2) metres at `INTENT_DISTANCES_M`."""
    return np.asarray(ahead_m, np.float32)[:, _INTENT_ROWS]


def intent_input(points_m: NDArray[np.floating], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the input `intent` (N, 5): the points divided by 20, then 1; zeros where not known.

    Args:
        points_m: (N, 2, 2) as `intent_points` gives them, in the car's frame.
        known: (N,) whether the network is told.
    """
    flat = np.asarray(points_m, np.float32).reshape(len(points_m), -1) / INTENT_SCALE_M
    intent = np.concatenate([flat, np.ones((len(points_m), 1), np.float32)], axis=1)
    return np.where(known[:, None], intent, np.float32(0.0))
