"""An evaluation on a Ray cluster equals the same one on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import ray

from bicameral.types import Route
from sim.client.simulator import ServerChoice
from sim.evaluation.agents import AgentSpec
from sim.evaluation.plan import EvaluationPlan
from sim.evaluation.records import VOLATILE_COLUMNS, VOLATILE_FIELDS
from sim.evaluation.runner import Execution, evaluate
from sim.pocket.map_store import MapStore
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of this machine, with two workers."""
    ray.init(num_cpus=2, include_dashboard=False)
    yield "auto"
    ray.shutdown()


def short(route: Route) -> Route:
    """The first 30 m of a route."""
    keep = route.s_m <= 30.0
    names = {entry.name for entry in fields(Route)} - {"name", "town", "kind"}
    return replace(route, **{name: getattr(route, name)[keep] for name in names})


def drive(folder: Path, cluster: str | None) -> tuple[list[dict[str, object]], list[int]]:
    """Drive six episodes; return what is the same for two equal runs, and the progress shown."""
    planner = RoutePlanner(MapStore().load("Harbour").carla_map, "Harbour")
    request = RouteRequest(kind="right", count=2, seed=5, min_length_m=120.0, max_length_m=200.0)
    expert = AgentSpec(name="expert", correction="none", target="agent.expert:ExpertAgent")
    plan = EvaluationPlan(
        routes=tuple(map(short, sample_routes(planner, request))), agents=(expert,), repetitions=3
    )
    execution = Execution(server=ServerChoice(), jobs=-1 if cluster else 2, cluster=cluster)
    shown: list[int] = []
    records = evaluate(plan, folder, execution, lambda progress: shown.append(progress.done))
    lasting = []
    for record in records:
        columns = record.trajectory.columns()
        lasting.append(
            record.model_dump(mode="json", exclude=set(VOLATILE_FIELDS))
            | {name: columns[name].tobytes() for name in columns.keys() - set(VOLATILE_COLUMNS)}
        )
    return lasting, shown


def test_episodes_on_a_cluster_are_those_of_one_machine(cluster: str, tmp_path: Path) -> None:
    there, shown = drive(tmp_path / "there", cluster)
    here, _ = drive(tmp_path / "here", None)
    assert there == here
    assert shown == [1, 2, 3, 4, 5, 6]
