"""The expert drives random routes of 500 m and more, beginning a little beside the lane centre.

One route per town by default; the full check, with its figures, is ``pytest
tests/closed_loop/test_expert_routes.py --expert-routes 13 --timeout 1800 --log-cli-level INFO``.
"""

import logging
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import RouteError
from sim.client.simulator import ServerChoice
from sim.evaluation.agents import AgentSpec
from sim.evaluation.limits import Status
from sim.evaluation.perturbation import Perturbation
from sim.evaluation.plan import EvaluationPlan
from sim.evaluation.runner import Execution, evaluate
from sim.pocket.map_store import MapStore
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes

_LOG = logging.getLogger(__name__)

REAL_TOWNS = Path(__file__).resolve().parents[3] / "shared" / "towns"
KINDS = ("mixed", "left", "right", "straight", "curves", "highway")
HALF_CAR_WIDTH_M = 1.082
#: The car's nose and tail are still in the junction when its middle has left it.
JUNCTION_MARGIN_M = 6.0


def random_routes(town, store, count):
    """Routes of every kind that the town holds, in turn."""
    planner = RoutePlanner(store.load(town).carla_map, town)
    routes, seed = [], 0
    while len(routes) < count:
        request = RouteRequest(
            kind=KINDS[seed % len(KINDS)],
            count=1,
            seed=100 + seed,
            min_length_m=500.0,
            max_length_m=800.0,
        )
        seed += 1
        try:
            routes += sample_routes(planner, request)
        except RouteError:  # the town holds no such route
            continue
    return routes


def near_junction(route, progress_m):
    inside_m = route.s_m[route.in_junction]
    if len(inside_m) == 0:
        return np.zeros(len(progress_m), dtype=bool)
    return np.abs(progress_m[:, None] - inside_m[None, :]).min(axis=1) < JUNCTION_MARGIN_M


@pytest.mark.parametrize("town", ["Harbour", "Millbrook", "Ridgeway", "Town01", "Town04"])
def test_the_expert_completes_its_routes_within_its_lane(town, tmp_path, request):
    if town.startswith("Town") and not (REAL_TOWNS / f"{town}.xodr").is_file():
        pytest.skip(f"{town}.xodr of CARLA is not at {REAL_TOWNS}")
    folders = (REAL_TOWNS,) if town.startswith("Town") else ()
    count = request.config.getoption("--expert-routes", 1)
    routes = random_routes(town, MapStore(folders), count)
    plan = EvaluationPlan(
        routes=tuple(routes),
        agents=(AgentSpec(name="expert", correction="none", target="agent.expert:ExpertAgent"),),
        perturbation=Perturbation(steer=0.0),
    )
    execution = Execution(server=ServerChoice(map_folders=folders))
    records = evaluate(plan, tmp_path, execution)
    assert len(records) == len(routes)
    for route, record in zip(routes, records, strict=True):
        drive = record.trajectory
        off_m = np.abs(drive.cross_track_m)
        width_m = np.interp(drive.progress_m, route.s_m, route.lane_width_m)
        free = ~near_junction(route, drive.progress_m)
        room_m = (width_m / 2.0 - HALF_CAR_WIDTH_M - off_m)[free]
        _LOG.info(
            "%s: %.0f m, %s, cross-track mean %.3f m max %.2f m, room to the edge %.2f m, "
            "%d collisions",
            route.name,
            route.length_m,
            record.status,
            off_m.mean(),
            off_m.max(),
            room_m.min(initial=9.9),
            len(record.collisions),
        )
        assert record.status == Status.COMPLETED, route.name
        assert record.collisions == (), route.name
        assert off_m.mean() <= 0.2, route.name
        assert room_m.min(initial=9.9) > 0.0, route.name
