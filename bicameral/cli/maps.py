"""`bicameral maps get`: fetch CARLA's towns for the pocket simulator."""

from __future__ import annotations

import sys


def get_maps(*towns: str) -> int:
    """Fetch CARLA's town maps into the user's data folder, once.

    Each file is kept only if it hashes to what is expected.

    Args:
        towns: Names such as Town04; all that can be fetched if none is given.
    """
    from bicameral.cli.extras import require_extra

    require_extra("sim")
    from sim.pocket.carla_towns import (
        ATTRIBUTION,
        PUBLISHED_TOWNS,
        fetch_town,
        fetched_towns_folder,
    )

    for name in towns or PUBLISHED_TOWNS:
        what = "fetched" if fetch_town(name) else "here already"
        sys.stdout.write(f"{name}: {what}, {fetched_towns_folder() / name}.xodr\n")
    sys.stdout.write(f"{ATTRIBUTION}\n")
    return 0
