"""A grid over the whole town: where roads lie, how high, and what ground is taken.

Height questions ("is another road below this slope?") and placing questions ("is this plot free?")
become look-ups. Rows are y, columns are x.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.pocket.scene.sampling import LaneStrip, SampledSection
from sim.pocket.scene.surfaces import ASPHALT, VERGE, surface_of_lane

Array = NDArray[np.float64]

CELL_M = 0.5
LARGEST_SIDE = 4096
"""Towns wider than 2 km get coarser cells instead of more memory."""
_SUBPIXEL_BITS = 6


class GroundPlan:
    """Grids of road heights and of taken ground.

    Attributes:
        origin: (2,) x and y of the grid's corner, metres.
        cell_m: Side of one cell.
        lowest: (H, W) float32, height of the lowest road surface in a cell; +inf where none is.
        driven: (H, W) float32, height of the lowest driving lane, without its outermost half
            metre; +inf where none is.
        taken: (H, W) uint8, non-zero where nothing more may stand.
        road_distance_m: (H, W) float32, distance to the nearest road surface.
    """

    def __init__(self, sections: Sequence[SampledSection], paving: Array, margin_m: float) -> None:
        """Draw all roads into grids.

        Args:
            sections: The roads.
            paving: (N, 3, 3) triangles paved between them, metres.
            margin_m: How far the grids reach beyond the roads.
        """
        points = np.concatenate([edge for s in sections for edge in s.edges] or [np.zeros((1, 3))])
        low, high = points[:, :2].min(axis=0) - margin_m, points[:, :2].max(axis=0) + margin_m
        self.cell_m = max(CELL_M, float((high - low).max()) / LARGEST_SIDE)
        self.origin = low
        columns, rows = (int(n) for n in np.ceil((high - low) / self.cell_m) + 1)
        shape = (rows, columns)
        strips = [(s, strip) for s in sections for strip in s.strips]
        strips = [pair for pair in strips if pair[0].surface(pair[1]) is not VERGE]
        quads, heights = _quads_of(strip for _, strip in strips)
        # a triangle is a quad whose last corner comes twice
        quads = np.concatenate([quads, paving[:, [0, 1, 2, 2], :2]])
        heights = np.concatenate([heights, paving[..., 2].mean(axis=1)])
        lanes = [strip for _, strip in strips if surface_of_lane(strip.lane.kind) is ASPHALT]
        self.lowest = self._draw(quads, heights, np.full(shape, np.inf, np.float32))
        driven = self._draw(*_quads_of(lanes), np.full(shape, np.inf, np.float32))
        self.driven = np.asarray(cv2.dilate(driven, np.ones((3, 3), np.uint8)), np.float32)
        self.taken = np.isfinite(self.lowest).astype(np.uint8)
        self.road_distance_m = (
            cv2.distanceTransform(1 - self.taken, cv2.DIST_L2, 5).astype(np.float32) * self.cell_m
        )

    def _draw(self, quads: Array, heights: Array, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fill quads into a grid so that the lowest height stays on top."""
        for index in np.argsort(-heights, kind="stable"):
            corners = self._fixed_point(quads[index])
            cv2.fillConvexPoly(
                grid, corners, float(heights[index]), lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS
            )
        return grid

    def _fixed_point(self, corners: Array) -> NDArray[np.int32]:
        scaled: Array = (corners[:, :2] - self.origin) / self.cell_m * (1 << _SUBPIXEL_BITS)
        return np.rint(scaled).astype(np.int32)

    def cells(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the (row, column) of places; places outside fall on the border cells."""
        shape = self.taken.shape
        column = np.rint((np.asarray(x, float) - self.origin[0]) / self.cell_m).astype(np.int64)
        row = np.rint((np.asarray(y, float) - self.origin[1]) / self.cell_m).astype(np.int64)
        return np.clip(row, 0, shape[0] - 1), np.clip(column, 0, shape[1] - 1)

    def is_free(self, corners: Array) -> bool:
        """Tell whether a convex polygon, (N, 2) metres, touches nothing taken."""
        points = self._fixed_point(corners)
        low = np.maximum((points.min(axis=0) >> _SUBPIXEL_BITS) - 1, 0)
        high = (points.max(axis=0) >> _SUBPIXEL_BITS) + 2
        window = self.taken[low[1] : high[1], low[0] : high[0]]
        if window.size == 0:
            return False
        if not window.any():
            return True
        mask = np.zeros(window.shape, np.uint8)
        shifted = points - (low << _SUBPIXEL_BITS).astype(np.int32)
        cv2.fillConvexPoly(mask, shifted, 1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
        return not bool((mask & (window != 0)).any())

    def take(self, corners: Array) -> None:
        """Mark a convex polygon, (N, 2) metres, as taken."""
        cv2.fillConvexPoly(
            self.taken, self._fixed_point(corners), 1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS
        )


def _quads_of(strips: Iterable[LaneStrip]) -> tuple[Array, Array]:
    """Return the strips' quads (N, 4, 2) and their mean heights (N,), metres."""
    corners = np.concatenate([np.empty((0, 4, 3)), *(strip.quads for strip in strips)])
    return corners[..., :2], corners[..., 2].mean(axis=1)
