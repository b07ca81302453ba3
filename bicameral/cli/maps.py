"""`bicameral maps get`: fetch CARLA's towns for the pocket simulator."""

from __future__ import annotations

import sys


def get_maps(*towns: str) -> int:
    """Fetch CARLA's town maps into the user's data folder, once.

    Each file is kept only if it hashes to what is expected. Beside them a folder is made that can
    stand for a CARLA installation.

    Args:
        towns: Names such as Town04; all that can be fetched if none is given.
    """
    from bicameral.cli.extras import require_extra

    require_extra("sim")
    from sim.pocket.carla_launcher import carla_root, write_launcher
    from sim.pocket.carla_towns import (
        ATTRIBUTION,
        PUBLISHED_TOWNS,
        fetch_town,
        fetched_towns_folder,
    )

    root = carla_root()
    launcher = write_launcher(root)
    for name in towns or PUBLISHED_TOWNS:
        what = "fetched" if fetch_town(name) else "here already"
        sys.stdout.write(f"{name}: {what}, {fetched_towns_folder() / name}.xodr\n")
    sys.stdout.write(
        f"{ATTRIBUTION}\n"
        f"For evaluators that start CARLA themselves: CARLA_ROOT={root}, whose {launcher.name} "
        "starts the pocket simulator.\n"
    )
    return 0
