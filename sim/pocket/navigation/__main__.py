"""``python -m sim.pocket.navigation FOLDER``: write FOLDER/mesh.bin for FOLDER/map.xodr.

No file is written for a map without sidewalks; see `map_process`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import carla
import shapely

from bicameral.files import write_bytes_atomic
from sim.opendrive import read_roads
from sim.pocket.map_process import work_on_map
from sim.pocket.navigation import detour
from sim.pocket.navigation.mesh import NavigationMesh, build_mesh
from sim.pocket.navigation.walkable import find_walkable_areas
from sim.pocket.scene.sampling import sample_sections


def navigation_mesh(opendrive: str) -> NavigationMesh | None:
    """Return the navigation mesh of a map; None if it has no sidewalk.

    A map that is too large for one file is meshed without its roads: then nobody crosses them but
    on crosswalks.
    """
    carla_map = carla.Map("walkers", opendrive)
    sections = sample_sections(carla_map, read_roads(opendrive))
    areas = find_walkable_areas(sections, carla_map)
    if areas is None:
        return None
    mesh = build_mesh(areas, sections)
    if max(len(mesh.vertices), len(mesh.triangles)) < detour.MOST_CORNERS:
        return mesh
    return build_mesh(replace(areas, roads=shapely.Polygon()), sections)


def _write(opendrive: str, folder: Path) -> None:
    mesh = navigation_mesh(opendrive)
    if mesh is not None:
        write_bytes_atomic(folder / "mesh.bin", detour.pack(mesh))


if __name__ == "__main__":
    sys.exit(work_on_map(_write))
