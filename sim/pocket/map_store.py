"""Where towns come from: given folders, CARLA's own folder, the shipped maps, the generator.

A name may be `Town04`, `Carla/Maps/Town04`, `/Game/Carla/Maps/Town04` (as CARLA's clients write
it) or the path of an `.xodr` file.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bicameral.errors import DataError, MissingExtraError, UserError, unknown_name
from bicameral.units import wrap_deg
from sim.pocket.carla_towns import CARLA_TOWNS, fetched_towns_folder, how_to_get
from sim.pocket.foreign_maps import mend, try_out
from sim.pocket.geometry import Rotation, Transform, Vector3
from sim.pocket.town.generate import generate_town
from sim.pocket.town.recipe import RECIPES

if TYPE_CHECKING:
    import carla

SHIPPED_FOLDER = Path(__file__).resolve().parent / "maps"
CARLA_MAP_FOLDER = Path("CarlaUE4/Content/Carla/Maps/OpenDrive")
SPAWN_SPACING_M = 10.0
SPAWN_HEIGHT_M = 0.5  # above the lane, so that a vehicle drops onto its wheels
_SAMPLE_M = 2.0
_JUNCTION_CLEARANCE_M = 8.0
_NARROWEST_LANE_M = 2.4


@dataclass(frozen=True, slots=True, kw_only=True)
class TownMap:
    """A town: its OpenDRIVE text, the map parsed from it, and where vehicles may be spawned."""

    name: str
    opendrive: str
    carla_map: carla.Map
    spawn_points: tuple[Transform, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSource:
    """The text of a map before it is parsed.

    Attributes:
        name: What the town will be called.
        text: OpenDRIVE text, mended if it is foreign.
        origin: Where it comes from, for errors.
        foreign: Whether somebody else made it, so that it may end carla's parser.
    """

    name: str
    text: str
    origin: str
    foreign: bool


class MapStore:
    """Finds towns by name.

    Args:
        folders: Searched first, with everything below them; the first folder that holds a name
            wins. The folder `$CARLA_ROOT` follows, then the towns that were fetched, then the
            shipped maps, then the generator.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._files: dict[str, Path] = {}
        for folder in folders:
            if not Path(folder).is_dir():
                raise UserError(f"map folder {str(folder)!r} is not a folder")
        fetched = fetched_towns_folder()
        for folder in (*map(Path, folders), *_carla_folders(), fetched, SHIPPED_FOLDER):
            self._add(folder)

    def _add(self, folder: Path) -> None:
        for file in sorted(folder.rglob("*.xodr")):
            self._files.setdefault(file.stem, file)

    def names(self) -> list[str]:
        """Return the names of all towns, sorted."""
        return sorted({*self._files, *RECIPES})

    def load(self, name: str) -> TownMap:
        """Read or generate a town.

        Args:
            name: A town's name, with or without the folders that CARLA puts before it, or the
                path of an `.xodr` file.

        Raises:
            UserError: If there is no such town.
            DataError: If the file is no OpenDRIVE map with driving lanes.
            MissingExtraError: If `carla` is not installed.
        """
        return parse(self.source(name))

    def source(self, name: str) -> MapSource:
        """Read or generate a town's text; see `load`.

        ``NAME_Opt``, CARLA's name for a town whose layers can be switched, is the town ``NAME``
        unless there is a map of that name.
        """
        path = Path(name)
        if path.suffix == ".xodr":
            return _read(path, path.stem)
        short = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        town = short.removesuffix("_Opt")
        if town not in self._files:  # it may have been fetched meanwhile
            self._add(fetched_towns_folder())
        for known in (short, town):
            if known in self._files:
                return _read(self._files[known], short)
            if known in RECIPES:
                text = generate_town(RECIPES[known])
                return MapSource(name=short, text=text, origin=f"the town {known!r}", foreign=False)
        if town in CARLA_TOWNS:
            raise UserError(f"there is no map of {town} here. {how_to_get(town)}")
        raise UserError(
            f"{unknown_name('town', short, self.names())} Any other OpenDRIVE map can be had: "
            "start the server with --maps FOLDER, or set CARLA_ROOT to a CARLA installation"
        )


def source_of_text(name: str, text: str) -> MapSource:
    """Return the source of a text that a client sent.

    Raises:
        DataError: If it is no XML.
    """
    return _foreign(name, text, f"the OpenDRIVE text of {name!r}")


def _foreign(name: str, text: str, origin: str) -> MapSource:
    try:
        return MapSource(name=name, text=mend(text), origin=origin, foreign=True)
    except DataError as error:
        raise _refusal(origin, str(error)) from error


def _refusal(origin: str, reason: str) -> DataError:
    return DataError(f"{origin} cannot be parsed: {reason}; expected OpenDRIVE 1.4 XML")


def _carla_folders() -> list[Path]:
    """Return the map folders of the CARLA installation that `$CARLA_ROOT` names."""
    root = os.environ.get("CARLA_ROOT")
    if not root:
        return []
    return [folder for folder in (Path(root) / CARLA_MAP_FOLDER, Path(root)) if folder.is_dir()]


def _read(path: Path, name: str) -> MapSource:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no map file {str(path)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the map file {str(path)!r}: {error}") from error
    origin = f"the map file {str(path)!r}"
    if path.parent == SHIPPED_FOLDER:
        return MapSource(name=name, text=text, origin=origin, foreign=False)
    return _foreign(name, text, origin)


def parse(source: MapSource) -> TownMap:
    """Parse a map; a foreign one that was never tried is tried in a process of its own first.

    Raises:
        DataError: If it is no OpenDRIVE map with driving lanes.
        MissingExtraError: If `carla` is not installed.
    """
    try:
        import carla  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("carla", "sim") from error
    reason = try_out(source.text) if source.foreign else ""
    if reason:
        raise _refusal(source.origin, reason)
    return town_map_of(source.name, source.text)


def town_map_of(name: str, text: str) -> TownMap:
    """Parse a map that is known to be sound."""
    import carla

    carla_map = carla.Map(name, text)
    return TownMap(
        name=name,
        opendrive=text,
        carla_map=carla_map,
        spawn_points=_find_spawn_points(carla_map.generate_waypoints(_SAMPLE_M)),
    )


def _find_spawn_points(waypoints: Sequence[Any]) -> tuple[Transform, ...]:
    """Choose evenly spaced places on driving lanes, clear of junctions and of each other.

    Returns:
        Transforms in the frame of CARLA, `SPAWN_HEIGHT_M` above the lane, yaw in (-180, 180]; in
        the order of road, section, lane and distance, which does not depend on the parser's order.
    """
    candidates = sorted(
        (w for w in waypoints if not w.is_junction and w.lane_width >= _NARROWEST_LANE_M),
        key=lambda w: (w.road_id, w.section_id, w.lane_id, w.s),
    )
    chosen: list[Transform] = []
    # Where vehicles were put in a cell of a grid and in those around it.
    near: defaultdict[tuple[int, int], list[Vector3]] = defaultdict(list)
    for waypoint in candidates:
        transform = waypoint.transform
        location = transform.location
        place = Vector3(location.x, location.y, location.z + SPAWN_HEIGHT_M)
        column, row = (math.floor(value / SPAWN_SPACING_M) for value in place[:2])
        taken = any(math.dist(place, other) < SPAWN_SPACING_M for other in near[column, row])
        if not taken and _is_clear_of_junctions(waypoint):
            chosen.append(Transform(place, _normalised(transform.rotation)))
            for dx, dy in itertools.product((-1, 0, 1), repeat=2):
                near[column + dx, row + dy].append(place)
    return tuple(chosen)


def _is_clear_of_junctions(waypoint: Any) -> bool:
    """Is the lane the same way on, a few metres before and behind?"""
    around = (waypoint.next(_JUNCTION_CLEARANCE_M), waypoint.previous(_JUNCTION_CLEARANCE_M))
    return all(near and not any(w.is_junction for w in near) for near in around)


def _normalised(rotation: Any) -> Rotation:
    """CARLA's parser leaves yaw beyond a turn and pitch near 360 degrees."""
    yaw_deg = wrap_deg(rotation.yaw)
    return Rotation(
        wrap_deg(rotation.pitch), 180.0 if yaw_deg == -180.0 else yaw_deg, wrap_deg(rotation.roll)
    )
