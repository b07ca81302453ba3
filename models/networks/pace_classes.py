"""What a pace network answers about: how fast others and lights let one drive, and why.

Torch-free, so that evaluation can use it. The speed of the route itself is no part of the answer:
a navigation system knows it, and the slower of the two is driven.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.networks.steering_classes import NETWORK_IMAGE

#: The whole picture of `bicameral.types.PACE_CAMERA`, not reduced.
PACE_IMAGE = NETWORK_IMAGE.model_copy(update={"height": 160, "width": 320, "crop": None})
#: Heads of lights are in these upper rows: the horizon is in row 84.
LAMP_ROWS = 96

#: Beside the picture of now the network sees the one of so many ticks before: how fast others are.
EARLIER_TICKS = 6

#: Inner edges of the speed classes, m/s: class 0 is to stop or stand, the last one is free to go.
SPEED_EDGES_MPS = (0.5, 2.0, 4.0, 6.0, 8.0, 10.0)
SPEED_CLASSES = len(SPEED_EDGES_MPS) + 1
#: Speeds above this, and nothing in the way, are this.
FREE_MPS = 12.0
#: Unit of the speed's error.
SPEED_SCALE_MPS = 4.0

#: Vehicles and lights farther off than this are none.
SEEN_M = 50.0
#: Nearer than this to its line a light is out of the picture.
HIDDEN_LIGHT_M = 6.0
#: Columns of the answer about lights: none, red, yellow, green.
LIGHTS = ("none", "red", "yellow", "green")


class PaceLabels(NamedTuple):
    """What N frames teach.

    Attributes:
        speed_mps: (N,) float32, at most `FREE_MPS`.
        speed_class: (N,) int64.
        lead: (N, 2) float32, distance in `SEEN_M` and speed in `FREE_MPS` of the vehicle ahead, at
            most 1; without one the distance is 1 and the speed not a number.
        stop_line: (N,) float32, distance to the line of the light in `SEEN_M`; 1 without a light.
        light: (N,) int64, index into `LIGHTS`.
    """

    speed_mps: NDArray[np.float32]
    speed_class: NDArray[np.int64]
    lead: NDArray[np.float32]
    stop_line: NDArray[np.float32]
    light: NDArray[np.int64]


def speed_classes(speed_mps: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the class (N,) of speeds (N,)."""
    return np.searchsorted(np.asarray(SPEED_EDGES_MPS), speed_mps, "right").astype(np.int64)


def pace_labels(others: NDArray[np.floating]) -> PaceLabels:
    """Return what rows of `models.caril.dataset.Frames.others` (N, 5) teach."""
    allowed_mps, lead_m, lead_mps, light, line_m = np.asarray(others, np.float32).T
    speed_mps = np.minimum(np.where(np.isnan(allowed_mps), FREE_MPS, allowed_mps), FREE_MPS)
    seen = (light > 0) & (light < len(LIGHTS)) & (line_m > HIDDEN_LIGHT_M) & (line_m < SEEN_M)
    near = lead_m < SEEN_M
    lead_speed = np.clip(lead_mps / FREE_MPS, 0.0, 1.0)
    return PaceLabels(
        speed_mps=speed_mps,
        speed_class=speed_classes(speed_mps),
        lead=np.column_stack(
            [
                np.where(near, np.maximum(lead_m, 0.0) / SEEN_M, 1.0),
                np.where(near, lead_speed, np.nan),
            ]
        ).astype(np.float32),
        stop_line=np.where(seen, line_m / SEEN_M, 1.0).astype(np.float32),
        light=np.where(seen, light, 0).astype(np.int64),
    )
