"""``python -m sim.pocket.map_trial FOLDER``: build a town from FOLDER/map.xodr, or die of it.

The exit code is 0 if the map can be used; see `map_process`.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from sim.pocket.map_process import work_on_map


def _build(text: str, _folder: Path) -> None:
    """Build everything that a server builds."""
    import carla

    carla_map = carla.Map("trial", text)
    waypoints = carla_map.generate_waypoints(2.0)
    for waypoint in waypoints:
        place = waypoint.transform.location
        if not all(map(math.isfinite, (place.x, place.y, place.z))):
            raise ValueError(
                f"road {waypoint.road_id}: its geometry gives no finite place at "
                f"{waypoint.s:.1f} m; expected shapes with a direction and a finite curvature"
            )
    if not waypoints:
        raise ValueError("it holds no driving lane; expected an <OpenDRIVE> document with roads")
    carla_map.get_topology()
    carla_map.get_crosswalks()

    from sim.pocket.map_store import town_map_of
    from sim.pocket.traffic_lights import TrafficLights
    from sim.pocket.world.town import Town

    TrafficLights(carla_map)
    Town(town_map_of("trial", text), seed=0).build()


if __name__ == "__main__":
    sys.exit(work_on_map(_build))
