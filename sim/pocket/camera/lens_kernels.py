"""What lies over the whole picture: drops before the lens, and the noise of the sensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.pocket.compiled import compiled_lean


@compiled_lean
def add_noise(
    image: NDArray[np.uint8],
    noise: NDArray[np.float32],
    starts: NDArray[np.int64],
    levels: float,
    first_row: int,
    end_row: int,
) -> None:
    """Add noise to the colours of some rows of an image.

    Args:
        image: (H, W, 4) uint8, changed in place; the fourth channel stays.
        noise: (M,) float32 standard normal numbers, M a power of two.
        starts: (H,) where each row begins to read them.
        levels: Standard deviation, 8-bit levels.
        first_row: Of the rows.
        end_row: The row after the last one.
    """
    width = image.shape[1]
    mask = noise.shape[0] - 1
    for y in range(first_row, end_row):
        place = starts[y]
        for x in range(width):
            for channel in range(3):
                value = image[y, x, channel] + levels * noise[place & mask] + 0.5
                image[y, x, channel] = int(max(0.0, min(value, 255.0)))
                place += 1


@compiled_lean
def draw_drops(
    image: NDArray[np.uint8],
    drops: NDArray[np.float64],
    colour: tuple[float, float, float],
    share: float,
    first_row: int,
    end_row: int,
) -> None:
    """Draw falling drops as thin strokes into some rows of an image.

    Args:
        image: (H, W, 4) uint8, changed in place; the fourth channel stays.
        drops: (N, 4) column and row of the upper end, columns per row, rows.
        colour: Red, green and blue of the light in a drop, 0..255.
        share: How much of what is behind a stroke it hides.
        first_row: Of the rows.
        end_row: The row after the last one.
    """
    width = image.shape[1]
    for drop in range(drops.shape[0]):
        begin = int(drops[drop, 1])
        for y in range(max(begin, first_row), min(begin + int(drops[drop, 3]), end_row)):
            x = int(drops[drop, 0] + drops[drop, 2] * (y - begin))
            if 0 <= x < width:
                for channel in range(3):
                    behind = float(image[y, x, channel])
                    image[y, x, channel] = int(behind + share * (colour[2 - channel] - behind))
