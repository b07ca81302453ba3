"""The shipped agent drives the same over HTTP as in process: real simulator, real server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bicameral.cli.app import main
from bicameral.errors import AgentLostError
from bicameral.types import Route
from edge.shipped import weights_folder
from sim.client.simulator import ServerChoice
from sim.evaluation.agents import AgentSpec
from sim.evaluation.limits import Status
from sim.evaluation.plan import EvaluationPlan
from sim.evaluation.records import VOLATILE_COLUMNS, read_episode
from sim.evaluation.runner import Execution, evaluate
from sim.pocket.map_store import MapStore
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes

#: A simulator and a server start here, perhaps on a busy machine.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Any]) -> Iterator[Any]:
    """A server with the agents caril_a and caril_b."""
    folder = tmp_path_factory.mktemp("models")
    for path in weights_folder().glob("caril_[ab].*"):
        shutil.copy(path, folder)
    with serving(folder, folder / "server.log", "--workers=1") as server:
        yield server


@pytest.fixture(scope="module")
def route() -> Route:
    planner = RoutePlanner(MapStore().load("Harbour").carla_map, "Harbour")
    request = RouteRequest(kind="right", count=1, seed=5, min_length_m=120.0, max_length_m=200.0)
    (route,) = sample_routes(planner, request)
    return cut(route, 40.0)


def cut(route: Route, length_m: float) -> Route:
    keep = route.s_m <= length_m
    arrays = {
        entry.name: getattr(route, entry.name)[keep]
        for entry in fields(Route)
        if entry.name not in ("name", "town", "kind")
    }
    return replace(route, **arrays)


def test_the_command_drives_the_same_trajectory_as_in_process_to_the_last_bit(
    server: Any, route: Route, tmp_path: Path
) -> None:
    ends = "".join(
        f'<position x="{x}" y="{y}" z="{z}"/>' for x, y, z in route.xyz_m[[0, -1]].tolist()
    )
    xml = f'<routes><route id="7" town="Harbour"><waypoints>{ends}</waypoints></route></routes>'
    (tmp_path / "routes.xml").write_text(xml)
    folder = tmp_path / "run"
    flags = {
        "--agent": f"{server.url}/v1/drive/caril_a",
        "--modes": "second_opinion",
        "--also": "caril_a+caril_b",
        "--weathers": "patch",
        "--routes": tmp_path / "routes.xml",
        "--output": folder,
        "--jobs": 1,
    }
    words = [str(word) for flag in flags.items() for word in flag]
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "--no-video", *words])
    assert exit_.value.code == 0
    local, remote = (
        read_episode(path) for path in sorted((folder / "episodes").glob("*second-opinion*"))
    )
    assert (local.agent, remote.agent) == ("caril_a", f"caril_a@127.0.0.1:{server.port}")
    assert (local.status, remote.status) == (Status.COMPLETED, Status.COMPLETED)
    assert remote.branches == local.branches
    assert len(local.branches) > 1, "nothing was asked of the second network"
    files = [
        np.load(folder / "episodes" / record.episode_id / "trajectory.npz")
        for record in (local, remote)
    ]
    with files[0] as in_process, files[1] as served:
        assert in_process.files == served.files
        assert len(in_process["steer"]) > 60
        for name in set(in_process.files) - set(VOLATILE_COLUMNS):
            assert in_process[name].tobytes() == served[name].tobytes(), name


INTERRUPTED = '''
import os
import select
import signal
from pathlib import Path

from agent.remote import RemoteAgent


class Interrupted(RemoteAgent):
    """Kills the server's worker at its 20th tick, in the next attempt the whole server."""

    def __init__(self, url, server, notes):
        super().__init__(url=url)
        self.server, self.notes = server, Path(notes)

    def begin(self, route, seed):
        self.ticks = 0
        self.patience_s = 0.5 if (self.notes / "server").exists() else 120.0
        super().begin(route, seed)

    def act(self, observation):
        self.ticks += 1
        if self.ticks == 20:
            if not (self.notes / "worker").exists():
                (self.notes / "worker").touch()
                self.kill_worker()
            elif not (self.notes / "server").exists():
                (self.notes / "server").touch()
                self.stop_server()
        return super().act(observation)

    def kill_worker(self):
        for child in Path(f"/proc/{self.server}/task/{self.server}/children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)

    def stop_server(self):
        ended = os.pidfd_open(self.server)
        for _ in range(2):  # the second signal ends it at once
            os.kill(self.server, signal.SIGTERM)
        select.select([ended], [], [])  # readable once it has ended
        os.close(ended)
'''


def test_a_lost_server_process_costs_a_restart_and_a_lost_server_an_exit_that_can_be_resumed(
    server: Any,
    route: Route,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "interrupted_agent.py").write_text(INTERRUPTED)
    monkeypatch.syspath_prepend(tmp_path)
    agent = AgentSpec(
        name="remote",
        correction="none",
        target="interrupted_agent:Interrupted",
        kwargs={
            "url": f"{server.url}/v1/drive/caril_a",
            "server": server.process.pid,  # the supervisor's, which replaces a worker that dies
            "notes": str(tmp_path),
        },
    )
    plan = EvaluationPlan(routes=(route,), agents=(agent,))
    execution = Execution(server=ServerChoice(), resume=True)
    with pytest.raises(AgentLostError, match=r"cannot reach the agent at ws://.*--resume"):
        evaluate(plan, tmp_path / "run", execution)
    assert "restart 1" in capfd.readouterr().err
    assert not list((tmp_path / "run" / "episodes").glob("[!.]*")), "nothing is recorded"
    server.process.wait()
    server.start()
    server.wait_until_ready()
    (record,) = evaluate(plan, tmp_path / "run", execution)
    assert (record.status, record.restarts) == (Status.COMPLETED, 0)


@pytest.mark.parametrize(
    ("address", "flags", "code", "words"),
    [
        ("{server}/v1/drive/carla_a", (), 2, ["404", "carla_a", "caril_a"]),
        ("{server}/v1/classify/caril_a", (), 2, ["no address of an agent"]),
        ("{server}/v1/drive/caril_a", ("--second", "caril_c"), 2, ["caril_c", "caril_b"]),
        ("http://127.0.0.1:1/v1/drive/caril_a", (), 4, ["cannot reach", "bicameral serve"]),
        ("ftp://127.0.0.1/v1/drive/caril_a", (), 2, ["no address of an agent"]),
    ],
)
def test_the_command_ends_at_once_where_there_is_no_such_agent(
    server: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    address: str,
    flags: tuple[str, ...],
    code: int,
    words: list[str],
) -> None:
    url = address.format(server=server.url)
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "--agent", url, "--output", str(tmp_path / "run"), *flags])
    assert exit_.value.code == code
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "run").exists()
