"""CARLA's towns on the network: where each is, and what it must hash to.

CARLA itself publishes its maps only inside its packages of many gigabytes. These are copies in
public repositories, at commits that never change. A town is listed if its copy was compared byte
for byte with a known one; for the others there is no address that could be vouched for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bicameral.download import fetch_file
from bicameral.errors import UserError, unknown_name
from bicameral.files import user_data_folder

ATTRIBUTION = (
    "CARLA's towns: CARLA Simulator, Computer Vision Center, Universitat Autonoma de Barcelona; "
    "licence CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)"
)
#: The towns that CARLA 0.9.16 has, with its additional maps.
CARLA_TOWNS = (
    "Town01", "Town02", "Town03", "Town04", "Town05", "Town06", "Town07", "Town10HD", "Town11",
    "Town12", "Town13", "Town15",
)  # fmt: skip


class PublishedTown(NamedTuple):
    """A copy of a town.

    Attributes:
        url: Where it is.
        sha256: What it hashes to, hexadecimal.
    """

    url: str
    sha256: str


_MAP_DATA = (
    "https://raw.githubusercontent.com/WATonomous/map_data/"
    "4b15bc85bda8a1d9d7223e625e43b67a46301c3a/xodr"
)
_SCENIC = (
    "https://raw.githubusercontent.com/BerkeleyLearnVerify/Scenic/"
    "edf1befd2dd1de32f86595dc5d9cc75e128d1415/assets/maps/CARLA"
)
PUBLISHED_TOWNS: Mapping[str, PublishedTown] = MappingProxyType(
    {
        "Town01": PublishedTown(
            f"{_MAP_DATA}/Town01.xodr",
            "42499eae1be93007ea6183e3102685c2c2cebadc4e3baf4fae51f78f632214a3",
        ),
        "Town04": PublishedTown(
            f"{_MAP_DATA}/Town04.xodr",
            "0dc3dd7ca5761a63305ac9445f7a367334bfd85833c47abab7f57bd7b8dbc4a1",
        ),
        "Town10HD": PublishedTown(
            f"{_SCENIC}/Town10HD.xodr",
            "5d883b799f634030af92be1e9d79d107845540ba04338e8c60e095be1aef7be7",
        ),
    }
)


def fetched_towns_folder() -> Path:
    """Return the folder in which fetched towns are kept."""
    return user_data_folder() / "maps"


def fetch_town(name: str, towns: Mapping[str, PublishedTown] = PUBLISHED_TOWNS) -> bool:
    """Fetch a town of CARLA into the user's folder, once.

    Args:
        name: Such as ``Town04``.
        towns: Where towns are.

    Returns:
        Whether it had to be fetched.

    Raises:
        UserError: If no address is known.
        DataError: If the file there is another one.
        MachineError: If it cannot be fetched.
    """
    town = towns.get(name)
    if town is None:
        raise UserError(how_to_get(name, towns))
    return fetch_file(town.url, town.sha256, fetched_towns_folder() / f"{name}.xodr")


def how_to_get(name: str, towns: Mapping[str, PublishedTown] = PUBLISHED_TOWNS) -> str:
    """Return a sentence that says how a town of CARLA that is not here can be had."""
    by_hand = (
        "copy its .xodr file from a CARLA installation and start the server with --maps FOLDER, "
        "or set CARLA_ROOT to the installation"
    )
    if name in towns:
        return f"{name} can be fetched once with `bicameral maps get {name}`; or {by_hand}"
    if name in CARLA_TOWNS:
        return (
            f"{name} is a town of CARLA for which no public copy is known whose content was "
            f"checked, so it is not fetched; {by_hand}"
        )
    return f"{unknown_name('town of CARLA', name, towns)} For any other map: {by_hand}"
