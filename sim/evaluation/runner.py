"""Runs all episodes of a plan: in parallel, resumable, and through crashes of the simulator."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bicameral.errors import AgentLostError, ConfigError, DataError, SimulatorLostError
from bicameral.files import write_json_atomic
from sim.client.processes import KeptInProcess, Progress, run_in_processes
from sim.client.simulator import ServerChoice
from sim.evaluation.episode import crashed_episode
from sim.evaluation.plan import EpisodeSpec, EvaluationPlan, file_name, plan_differences
from sim.evaluation.records import EpisodeRecord, read_episode, write_episode, write_route
from sim.evaluation.worker import Driver

_LOG = logging.getLogger(__name__)

#: An episode during which the simulator is lost more often than this is recorded as crashed. If an
#: agent elsewhere is, the evaluation ends: its other episodes would fare no better.
MAX_RESTARTS = 2

_RUNNING_PREFIX = ".running-"

_DRIVER = KeptInProcess(Driver)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How to run a plan; nothing here changes the outcome.

    Attributes:
        server: Which simulator to use.
        jobs: Number of processes, each with its own pocket simulator.
        resume: Keep complete episodes of an earlier run of the same plan.
        videos: Record a video of the first repetition of every combination.
        cluster: Address of a Ray cluster that has the processes, or None for this machine. Its
            nodes have to share the folder of the evaluation.
    """

    server: ServerChoice
    jobs: int = 1
    resume: bool = False
    videos: bool = False
    cluster: str | None = None


def evaluate(
    plan: EvaluationPlan,
    folder: Path,
    execution: Execution,
    on_progress: Callable[[Progress[EpisodeRecord]], None] | None = None,
) -> list[EpisodeRecord]:
    """Drive every episode of a plan and store each as soon as it is finished.

    Args:
        plan: What to drive.
        folder: Where ``plan.json``, ``routes/`` and ``episodes/`` go.
        execution: How to run it.
        on_progress: Called in this process after each episode.

    Returns:
        All records in the order of the plan.

    Raises:
        ConfigError: If the folder holds another plan, or holds this one and `resume` is not set.
        SimulatorLostError: If a simulator that is not ours to restart does not come back.
        AgentLostError: If an agent elsewhere does not come back, or is lost again and again.
    """
    execution.server.check_jobs(execution.jobs)
    folder = folder.absolute()  # every process's
    specs = plan.episodes()
    _prepare_folder(plan, folder, resume=execution.resume)
    finished = _complete_episodes(folder, specs)
    waiting = [spec for spec in specs if spec.episode_id not in finished]
    _LOG.info("%d of %d episodes are to be driven", len(waiting), len(specs))
    for record in _run_all(plan, folder, execution, waiting):
        finished.add(record.episode_id)
        if on_progress is not None:
            on_progress(Progress(done=len(finished), total=len(specs), record=record))
    return [read_episode(folder / "episodes" / spec.episode_id) for spec in specs]


def _prepare_folder(plan: EvaluationPlan, folder: Path, *, resume: bool) -> None:
    path = folder / "plan.json"
    wanted = json.loads(json.dumps(plan.describe()))
    if path.exists():
        stored = _read_plan(path)
        if not resume:
            raise ConfigError(
                f"{folder} already holds an evaluation; continue it with --resume, choose another "
                "folder, or delete this one"
            )
        different = plan_differences(stored, wanted)
        if different:
            raise ConfigError(
                f"cannot resume {folder}: it was made with other {', '.join(different)} "
                f"(compare {path}); repeat the flags of the first run or choose another folder"
            )
    for name in ("routes", "episodes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for leftover in (folder / "episodes").glob(".*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    for route in plan.routes:
        write_route(folder / "routes" / f"{file_name(route.name)}.npz", route)
    write_json_atomic(path, wanted)


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not readable: {error}; choose another folder") from error


def _complete_episodes(folder: Path, specs: list[EpisodeSpec]) -> set[str]:
    complete: set[str] = set()
    for spec in specs:
        path = folder / "episodes" / spec.episode_id
        if path.exists():
            read_episode(path)
            complete.add(spec.episode_id)
    return complete


def _run_all(
    plan: EvaluationPlan, folder: Path, execution: Execution, waiting: list[EpisodeSpec]
) -> Iterator[EpisodeRecord]:
    """Yield each record as it is finished, surviving workers that die with the carla client."""
    losses: Counter[str] = Counter()
    specs = {spec.episode_id: spec for spec in waiting}

    def work(name: str) -> tuple[Callable[..., EpisodeRecord], tuple[Any, ...]]:
        return _run_stored, (plan, folder, execution, specs[name], losses[name])

    def count_losses() -> None:
        for marker in (folder / "episodes").glob(f"{_RUNNING_PREFIX}*"):
            losses[marker.name.removeprefix(_RUNNING_PREFIX)] += 1
            marker.unlink()

    try:
        for _, record in run_in_processes(
            work,
            list(specs),
            jobs=execution.jobs,
            on_abort=count_losses,
            cluster=execution.cluster,
        ):
            yield record
    finally:
        _DRIVER.close()


def _run_stored(
    plan: EvaluationPlan,
    folder: Path,
    execution: Execution,
    spec: EpisodeSpec,
    restarts: int,
) -> EpisodeRecord:
    """Drive one episode, through restarts of the simulator, and store it. Runs in any process."""
    episodes = folder / "episodes"
    if (episodes / spec.episode_id).exists():  # stored just before its process died
        return read_episode(episodes / spec.episode_id)
    driver = _DRIVER.get(execution.server, plan.limits)
    marker = episodes / f"{_RUNNING_PREFIX}{spec.episode_id}"
    marker.touch()
    want_video = execution.videos and spec.role == "evaluation" and spec.repetition == 0
    while True:
        if restarts > MAX_RESTARTS:
            message = f"the simulator was lost {restarts} times in this episode"
            record, video = crashed_episode(spec, driver.simulator.kind, message), None
            break
        try:
            record, video = driver.run(spec, episodes if want_video else None)
            break
        except SimulatorLostError as error:
            restarts += 1
            _LOG.warning("episode %s, restart %d: %s", spec.episode_id, restarts, error)
            driver.simulator.recover()
        except AgentLostError as error:
            restarts += 1
            _LOG.warning("episode %s, restart %d: %s", spec.episode_id, restarts, error)
            if restarts > MAX_RESTARTS:
                raise AgentLostError(
                    f"{error}; finished episodes are kept, --resume goes on"
                ) from error
    record = record.model_copy(update={"restarts": restarts})
    write_episode(episodes / spec.episode_id, record, video)
    marker.unlink()
    return record
