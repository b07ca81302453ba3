"""Collects all episodes of a plan: on several simulators at once, and resumable."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bicameral.errors import ConfigError, SimulatorLostError
from sim.client.processes import KeptInProcess, Progress, run_in_processes
from sim.client.simulator import ServerChoice, Simulator
from sim.collection.episode import Crew, Place, record_episode
from sim.collection.plan import CollectionPlan, EpisodePlan
from sim.collection.storage import read_stored_episode
from sim.evaluation.agents import AgentSpec, make_agent
from sim.evaluation.plan import plan_differences
from sim.routes.planner import RoutePlanner

_LOG = logging.getLogger(__name__)

#: An episode during which the simulator is lost more often than this ends the collection.
MAX_RESTARTS = 2

#: The carla client may abort its process now and then; more often than this, something is broken.
MAX_ABORTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRun:
    """How to collect; nothing here changes the data.

    Attributes:
        server: Which simulator to use.
        jobs: Number of processes, each with its own pocket simulator.
    """

    server: ServerChoice = field(default_factory=ServerChoice)
    jobs: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSummary:
    """What a plan's episodes hold, those of an earlier run included.

    Attributes:
        episodes: Number of episodes.
        kept: How many of them were there already.
        frames: Number of pictures.
    """

    episodes: int
    kept: int
    frames: int


def collect(
    plan: CollectionPlan,
    expert: AgentSpec,
    driver: AgentSpec | None = None,
    *,
    run: CollectionRun | None = None,
    on_progress: Callable[[Progress[dict[str, Any]]], None] | None = None,
) -> CollectionSummary:
    """Record every episode of a plan that is not there yet.

    Args:
        plan: What to collect, and where to.
        expert: The agent that labels; `agent.expert:ExpertAgent`.
        driver: The agent that steers in a DAgger round; None lets the expert drive.
        run: Which simulators; None for one pocket simulator in this process's care.
        on_progress: Called in this process after each episode, with its episode.json.

    Returns:
        How much there is now.

    Raises:
        ConfigError: If an episode of the same name was collected with other settings, or several
            jobs are to share one server.
        SimulatorLostError: If the simulator is lost again and again.
    """
    run = run or CollectionRun()
    run.server.check_jobs(run.jobs)
    name = "expert" if driver is None else f"dagger:{driver.label}"
    episodes = list(plan.episodes_of(name))
    done = {
        (episode.town, episode.episode_id): record
        for episode in episodes
        if (record := _stored(plan, episode)) is not None
    }
    kept = len(done)
    waiting = [e for e in episodes if (e.town, e.episode_id) not in done]
    _LOG.info("%d of %d episodes are to be collected", len(waiting), len(episodes))
    for record in _record_all((plan, run, expert, driver), waiting):
        done[record["town"], record["episode_id"]] = record
        if on_progress is not None:
            on_progress(Progress(done=len(done), total=len(episodes), record=record))
    return CollectionSummary(
        episodes=len(done), kept=kept, frames=sum(record["frames"] for record in done.values())
    )


#: What a worker process must know besides the episode: the plan, how to run it, who labels and who
#: steers.
_Task = tuple[CollectionPlan, CollectionRun, AgentSpec, AgentSpec | None]


class _Recorder:
    """A process's simulator, agents and maps, kept from one episode to the next."""

    def __init__(
        self, plan: CollectionPlan, run: CollectionRun, expert: AgentSpec, driver: AgentSpec | None
    ) -> None:
        self._plan = plan
        self._planners: dict[str, RoutePlanner] = {}
        self._crew = Crew(
            expert=make_agent(expert), driver=None if driver is None else make_agent(driver)
        )
        self._simulator = Simulator(run.server)

    def record(self, episode: EpisodePlan) -> dict[str, Any]:
        """Record an episode in a fresh world, through restarts of the simulator."""
        for restarts in range(MAX_RESTARTS + 1):
            try:
                return self._record(episode)
            except SimulatorLostError as error:
                if restarts == MAX_RESTARTS:
                    raise
                _LOG.warning("episode %s: %s", episode.episode_id, error)
                self._simulator.recover()
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Release the agents and end the simulator if it is ours."""
        self._crew.expert.close()
        if self._crew.driver is not None:
            self._crew.driver.close()
        self._simulator.close()

    def _record(self, episode: EpisodePlan) -> dict[str, Any]:
        if self._plan.traffic.walkers and not self._plan.scenes:
            self._simulator.prepare_walkers(episode.town)
        with self._simulator.town(episode.town) as world:
            if episode.town not in self._planners:
                self._planners[episode.town] = RoutePlanner(world.get_map(), episode.town)
            place = Place(
                client=self._simulator.client,
                world=world,
                planner=self._planners[episode.town],
                driven_on=self._simulator.kind,
            )
            return record_episode(place, self._plan, episode, self._crew)


_RECORDER = KeptInProcess(_Recorder)


def _record_all(task: _Task, waiting: list[EpisodePlan]) -> Iterator[dict[str, Any]]:
    """Yield each record as soon as its episode is stored."""
    plan, run, *_ = task
    episodes = {f"{episode.town}/{episode.episode_id}": episode for episode in waiting}
    aborts = 0

    def work(name: str) -> tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]:
        return _record_one, (task, episodes[name])

    def count_aborts() -> None:
        nonlocal aborts
        aborts += 1
        if aborts > MAX_ABORTS:
            raise SimulatorLostError(
                f"the carla client aborted {aborts} times while collecting into "
                f"{plan.output}; repeat the command to go on with what is missing"
            )

    try:
        for _, record in run_in_processes(
            work, list(episodes), jobs=run.jobs, on_abort=count_aborts
        ):
            yield record
    finally:
        _RECORDER.close()


def _record_one(task: _Task, episode: EpisodePlan) -> dict[str, Any]:
    stored = _stored(task[0], episode)  # there already if its process died just after storing it
    return stored or _RECORDER.get(*task).record(episode)


def _stored(plan: CollectionPlan, episode: EpisodePlan) -> dict[str, Any] | None:
    """Return the record of an episode that is there already, made with the same settings."""
    folder: Path = plan.output / episode.town / episode.episode_id
    if not (folder / "episode.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        return None
    record = read_stored_episode(folder).record
    wanted = json.loads(json.dumps(plan.describe()))
    if different := plan_differences(record.get("settings", {}), wanted):
        raise ConfigError(
            f"{folder} was collected with other {', '.join(different)}; choose another seed or "
            "output folder, or delete it"
        )
    return record
