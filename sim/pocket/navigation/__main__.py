"""``python -m sim.pocket.navigation FOLDER``: write FOLDER/mesh.bin for FOLDER/map.xodr.

No file is written for a map without sidewalks. Where none can be made, FOLDER/reason.txt says why.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import replace
from pathlib import Path

import carla
import shapely

from bicameral.files import write_bytes_atomic
from sim.pocket.navigation import detour
from sim.pocket.navigation.mesh import NavigationMesh, build_mesh
from sim.pocket.navigation.walkable import find_walkable_areas
from sim.pocket.scene.opendrive import read_roads
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


def main(folder: Path) -> int:
    """Write the file; returns the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        mesh = navigation_mesh((folder / "map.xodr").read_text(encoding="utf-8"))
        if mesh is not None:
            write_bytes_atomic(folder / "mesh.bin", detour.pack(mesh))
    except Exception as error:
        (folder / "reason.txt").write_text(str(error) or type(error).__name__, encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
