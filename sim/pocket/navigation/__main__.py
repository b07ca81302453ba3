"""``python -m sim.pocket.navigation FOLDER``: write FOLDER/mesh.bin for FOLDER/map.xodr.

No file is written for a map without sidewalks.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import carla

from bicameral.files import write_bytes_atomic
from sim.pocket.navigation.detour import pack
from sim.pocket.navigation.mesh import NavigationMesh, build_mesh
from sim.pocket.navigation.walkable import find_walkable_areas
from sim.pocket.scene.opendrive import read_roads
from sim.pocket.scene.sampling import sample_sections


def navigation_mesh(opendrive: str) -> NavigationMesh | None:
    """Return the navigation mesh of a map; None if it has no sidewalk."""
    carla_map = carla.Map("walkers", opendrive)
    sections = sample_sections(carla_map, read_roads(opendrive))
    areas = find_walkable_areas(sections, carla_map)
    return None if areas is None else build_mesh(areas, sections)


def main(folder: Path) -> int:
    """Write the file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mesh = navigation_mesh((folder / "map.xodr").read_text(encoding="utf-8"))
    if mesh is not None:
        write_bytes_atomic(folder / "mesh.bin", pack(mesh))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
