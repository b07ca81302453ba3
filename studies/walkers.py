"""Fifty walkers that find their way for five simulated minutes: how far, and over what ground.

The official client plans their ways on the mesh that the pocket simulator makes from the map. What
a walker stands on is told from the lanes and crosswalks of the map itself, twice a second; only a
crossing that the map does not have is told from the mesh.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import carla
import numpy as np
import shapely
from numpy.typing import NDArray

from bicameral.simulation import TICK_S
from bicameral.types import Pose
from sim.client.connection import open_town
from sim.client.local_server import LocalServer
from sim.client.traffic import Traffic, TrafficDensity, prepare_walkers
from sim.pocket.navigation.walkable import (
    WalkableAreas,
    crosswalk_outlines,
    find_walkable_areas,
)
from sim.pocket.scene.opendrive import read_roads
from sim.pocket.scene.sampling import sample_sections
from studies.measurements import write_rows
from studies.study import Study

SEED = 3
WALKERS, DURATION_S = 50, 300.0
QUICK_WALKERS, QUICK_DURATION_S = 6, 20.0
OWN_TOWNS = ("Harbour", "Ridgeway", "Valley", "Train01")
CARLA_TOWNS = ("Town01", "Town04", "Town10HD")
_SAMPLE_TICKS = 10
_FAR_M = 20.0
#: Of walkers who shall begin anywhere.
_FAR_AWAY = Pose(x_m=1e6, y_m=0.0, z_m=0.0, pitch_rad=0.0, yaw_rad=0.0, roll_rad=0.0)
_KINDS = ("sidewalk", "crosswalk", "crossing added", "elsewhere")
_HEADER = (
    "town",
    "crosswalks of the map, leading to sidewalks",
    f"further than {_FAR_M:.0f} m",
    "median m",
    *(f"{kind} %" for kind in _KINDS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What came of the walkers of one town.

    Attributes:
        town: Its name.
        lengths_m: (W,) how far each came.
        shares: Of all samples, by what was below the walker.
        crosswalks: Of the map: all, and those that lead from sidewalk to sidewalk.
    """

    town: str
    lengths_m: NDArray[np.float64]
    shares: dict[str, float]
    crosswalks: tuple[int, int]

    @property
    def far(self) -> int:
        """How many came further than 20 m."""
        return int((self.lengths_m > _FAR_M).sum())

    @property
    def in_place(self) -> float:
        """Share of the samples on a sidewalk or a crossing."""
        return 1.0 - self.shares["elsewhere"]


class Ground:
    """Tells what a place is, by the map.

    Args:
        carla_map: The map.
    """

    def __init__(self, carla_map: carla.Map) -> None:
        sections = sample_sections(carla_map, read_roads(carla_map.to_opendrive()))
        areas = find_walkable_areas(sections, carla_map)
        if areas is None:
            raise SystemExit(f"{carla_map.name} has no sidewalk")
        self.areas: WalkableAreas = areas
        outlines = [shapely.Polygon(ring[:, :2]) for ring in crosswalk_outlines(carla_map)]
        self._kinds = {
            "sidewalk": areas.raised,
            "crosswalk": shapely.union_all(outlines),
            "crossing added": areas.crosswalks,
        }

    def shares(self, places: NDArray[np.float64]) -> dict[str, float]:
        """Return the share of (N, 2) places on each kind of ground; the first that fits counts."""
        left = np.ones(len(places), bool)
        found = {}
        for kind, shape in self._kinds.items():
            here = left & shapely.contains_xy(shape, places[:, 0], places[:, 1])
            found[kind] = float(here.mean())
            left &= ~here
        return found | {"elsewhere": float(left.mean())}


def run(folder: Path, quick: bool) -> int:
    """Let them walk in every town; return whether too few walked, or too often elsewhere."""
    count, duration_s = (QUICK_WALKERS, QUICK_DURATION_S) if quick else (WALKERS, DURATION_S)
    with (
        tempfile.TemporaryDirectory() as cache,
        patch.dict(os.environ, {"CARLA_CACHE_DIR": cache}),
        LocalServer() as server,
    ):
        client = server.connect()
        known = {name.rsplit("/", 1)[-1] for name in client.get_available_maps()}
        towns = OWN_TOWNS[:1] if quick else (*OWN_TOWNS, *(t for t in CARLA_TOWNS if t in known))
        walks = []
        for town in towns:
            walks.append(walk(client, town, count, duration_s))
            write_rows(folder / "walkers.csv", _HEADER, list(map(_values, walks)))
    good = all(w.far >= 0.9 * count and w.in_place >= 0.98 for w in walks)
    return 0 if good else 1


def walk(client: carla.Client, town: str, count: int, duration_s: float) -> Walk:
    """Let walkers walk in a town."""
    prepare_walkers(client, open_town(client, town))
    world = open_town(client, town)
    ground = Ground(world.get_map())
    ticks, track = round(duration_s / TICK_S), []
    with Traffic(
        client, world, TrafficDensity(walkers=count), start=_FAR_AWAY, seed=SEED
    ) as traffic:
        began_s = time.perf_counter()
        for tick in range(ticks):
            world.tick()
            if tick % _SAMPLE_TICKS == 0:
                here = [body.get_location() for body in traffic.walkers]
                track.append([(place.x, place.y) for place in here])
        took_s = time.perf_counter() - began_s
    places = np.array(track)
    added = ground.areas.added_count
    print(f"{town}: {added} crossings added, {ticks / took_s:.0f} ticks/s of wall time", flush=True)
    return Walk(
        town=town,
        lengths_m=np.linalg.norm(np.diff(places, axis=0), axis=2).sum(axis=0),
        shares=ground.shares(places.reshape(-1, 2)),
        crosswalks=(ground.areas.crosswalk_count, ground.areas.reached_count),
    )


def _values(walk: Walk) -> tuple[str, ...]:
    found, reached = walk.crosswalks
    return (
        walk.town,
        f"{found}, {reached}",
        f"{walk.far} of {len(walk.lengths_m)}",
        f"{np.median(walk.lengths_m):.0f}",
        *(f"{100.0 * walk.shares[kind]:.2f}" for kind in _KINDS),
    )


STUDY = Study(
    claim="Of 50 walkers at least 45 come further than 20 m in 5 simulated minutes, and at least "
    "98 % of all samples are on sidewalks or crosswalks, in every town.",
    setting="The official client 0.9.16, one seed, 50 walkers, 6,000 ticks and 30,000 samples a "
    "town; about 4 minutes of CPU time.",
    needs="CARLA's Town01, Town04 and Town10HD for their rows: CARLA_ROOT",
    run=run,
)
