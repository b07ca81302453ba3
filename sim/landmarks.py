"""What the signs and signals of a map apply to: its lanes, by road and lane id."""

from __future__ import annotations

import carla

#: More lanes than any road has on one side.
_MOST_LANES = 8


def lights_by_lane(world: carla.World) -> dict[tuple[int, int], carla.TrafficLight]:
    """Return the light of each lane by (road, lane), as the client reads the map's signals."""
    lights = world.get_actors().filter("traffic.traffic_light*")
    return {
        (point.road_id, point.lane_id): light
        for light in sorted(lights, key=lambda actor: actor.id)
        for point in light.get_affected_lane_waypoints()
    }


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
