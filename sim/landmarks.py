"""What the signs and signals of a map apply to."""

from __future__ import annotations

import carla

#: More lanes than any road has on one side.
_MOST_LANES = 8


def lanes_of(landmark: carla.Landmark) -> list[int]:
    """Return the ids of the lanes that a sign or signal is valid for, lowest first.

    One that names no lanes stands for all lanes of the direction that it faces; where it faces
    both ways, for all. The road may have fewer.
    """
    named = {
        lane
        for first, last in landmark.get_lane_validities()
        for lane in range(min(first, last), max(first, last) + 1)
    } - {0}
    if named:
        return sorted(named)
    positive = landmark.orientation == carla.LandmarkOrientation.Positive
    negative = landmark.orientation == carla.LandmarkOrientation.Negative
    rightward = () if negative else range(-_MOST_LANES, 0)
    leftward = () if positive else range(1, _MOST_LANES + 1)
    return [*rightward, *leftward]
