"""Counts the pixels by which a red light differs from a green one, in both cameras of the agent.

A vehicle stands alone before every light, the light changes, and the two pictures are compared.
What does not differ in a pixel cannot be learnt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

from agent.way_ahead import HALF_LENGTH_M
from bicameral.errors import RouteError
from bicameral.statistics import share
from bicameral.tables import Table, percent_cell, print_table, row, table_of
from bicameral.types import AGENT_CAMERA, PACE_CAMERA, LightState, Pose, Route, StopLine
from sim.client.ego import CameraSetup, Ego
from sim.client.simulator import ServerChoice, Simulator
from sim.client.traffic import TrafficDensity
from sim.collection.scenes import Scene, SceneStage
from sim.evaluation.others import find_stop_lines
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes
from studies.measurements import read_records, write_records
from studies.study import DATA, Study

MAPS = "CARLA_MAPS"
TOWNS = ("Millbrook", "Varied01", "Town01", "Town04", "Town10HD")
#: From the front bumper to the light's stop line.
DISTANCES_M = (12.0, 16.0, 20.0, 30.0, 40.0)
SHOWN_M = (12.0, 20.0, 40.0)
KINDS = ("left", "right", "straight")
PER_KIND = 8
SEED = 0
#: A channel differs if it does by more than this.
LEVELS = 40
#: Fewer pixels than this are none: one may be a matter of where the lamp falls between two.
FEW = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LampPixels:
    """A light at a distance, as a row of the record: pixels that differ in each camera."""

    town: str
    light: int
    distance_m: float
    agent_px: int
    pace_px: int


def run(folder: Path, quick: bool) -> int:
    """Look at the lights, write the record, and return whether the pace camera shows more."""
    maps = os.environ.get(MAPS)
    towns = TOWNS if maps and not quick else TOWNS[:1]
    server = ServerChoice(seed=SEED, map_folders=(Path(maps),) if maps else ())
    seen: list[LampPixels] = []
    with closing(Simulator(server)) as simulator:
        for town in towns:
            seen += look_at_lights(simulator, town, 1 if quick else PER_KIND)
    write_records(folder / "lamp_pixels.csv", seen, LampPixels)
    print_table(table_of_lamps(seen))
    return int(_few([one.pace_px for one in seen]) >= _few([one.agent_px for one in seen]))


def look_at_lights(simulator: Simulator, town: str, per_kind: int) -> Iterator[LampPixels]:
    """Yield what is seen of the lights on some routes of a town, each light once."""
    with simulator.town(town) as world:
        planner = RoutePlanner(world.get_map(), town)
        routes = list(_routes(planner, per_kind))
        start = _before(routes[0], 5.0)
        setup = CameraSetup(pace=PACE_CAMERA)
        with (
            Ego(world, start, camera=AGENT_CAMERA, camera_setup=setup) as ego,
            SceneStage(simulator.client, world, ego, planner.network) as stage,
        ):
            stage.hire(TrafficDensity(), np.random.default_rng(SEED))
            known: set[int] = set()
            for route in routes:
                for line in find_stop_lines(world, planner.network.carla_map, route):
                    light = line.light
                    if light is not None and light.id not in known:
                        known.add(light.id)
                        yield from _look_at(stage, town, route, _RouteLight(line.s_m, light))


def _routes(planner: RoutePlanner, per_kind: int) -> Iterator[Route]:
    for kind in KINDS:
        request = RouteRequest(
            kind=kind, count=per_kind, seed=SEED, min_length_m=90.0, max_length_m=180.0
        )
        try:
            yield from sample_routes(planner, request)
        except RouteError:
            continue  # a town without such turns


class _RouteLight(NamedTuple):
    """A light of a route, and where its line is."""

    s_m: float
    light: carla.TrafficLight


def _look_at(stage: SceneStage, town: str, route: Route, line: _RouteLight) -> Iterator[LampPixels]:
    for distance_m in DISTANCES_M:
        s_m = line.s_m - distance_m - HALF_LENGTH_M
        if s_m < 0.0:
            continue
        scene = Scene(
            route=route,
            pose=_before(route, s_m),
            speed_mps=0.0,
            others=(),
            lines=(StopLine(s_m=line.s_m, light=LightState.RED),),
            lights=(line.light,),
        )
        red = stage.show(scene, ticks_before=0)
        other = (StopLine(s_m=line.s_m, light=LightState.GREEN),)
        green = stage.show(replace(scene, lines=other), ticks_before=0)
        yield LampPixels(
            town=town,
            light=line.light.id,
            distance_m=distance_m,
            agent_px=_differing(red.image, green.image),
            pace_px=_differing(red.pace_image, green.pace_image),
        )


def _before(route: Route, s_m: float) -> Pose:
    x_m, y_m, z_m = (float(np.interp(s_m, route.s_m, route.xyz_m[:, axis])) for axis in range(3))
    yaw_rad = float(np.interp(s_m, route.s_m, route.yaw_rad))
    return Pose(x_m=x_m, y_m=y_m, z_m=z_m, yaw_rad=yaw_rad)


def _differing(first: NDArray[np.uint8] | None, second: NDArray[np.uint8] | None) -> int:
    assert first is not None and second is not None  # noqa: S101, PT018 - both cameras are mounted
    away = np.abs(first.astype(np.int16) - second).max(axis=-1)
    return int((away > LEVELS).sum())


def read_lamps(path: Path = DATA / "driving" / "lamp_pixels.csv") -> tuple[LampPixels, ...]:
    """Read the record."""
    return read_records(path, LampPixels)


def table_of_lamps(seen: Sequence[LampPixels]) -> Table:
    """Summarise by town and distance."""
    rows = []
    for town in dict.fromkeys(one.town for one in seen):
        for distance_m in SHOWN_M:
            here = [one for one in seen if (one.town, one.distance_m) == (town, distance_m)]
            if not here:
                continue
            cells = [
                cell
                for pixels in ([one.agent_px for one in here], [one.pace_px for one in here])
                for cell in (
                    f"{np.median(pixels):.0f}",
                    percent_cell(share(_few(pixels), len(pixels)), 0),
                )
            ]
            rows.append(row(town, f"{distance_m:.0f}", len(here), *cells))
    heads = (
        "town",
        "before the line, m",
        "lights",
        "agent's camera: median px",
        "below 2 px, %",
        "pace camera: median px",
        "below 2 px, %",
    )
    return table_of("Pixels by which red differs from green", heads, rows)


def _few(pixels: Sequence[int]) -> int:
    return sum(count < FEW for count in pixels)


STUDY = Study(
    claim=(
        "The camera for the pace shows more lights than the agent's: red differs from green in two "
        "pixels or more."
    ),
    setting=(
        "Pocket simulator, clear day, up to 24 routes on each of five towns, 12 to 40 m before "
        "every light of theirs, seed 0; about 1 CPU minute. --quick: three routes of Millbrook."
    ),
    run=run,
    needs=f"{MAPS}: a folder with CARLA's Town01, Town04 and Town10HD as .xodr files",
)
