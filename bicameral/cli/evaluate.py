"""`bicameral evaluate`: drive routes in closed loop and write results and a report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bicameral.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from bicameral.types import Route
    from sim.client.simulator import ServerChoice
    from sim.evaluation.agents import AgentSpec

Mode = Literal["none", "paper", "second_opinion"]

#: Models that ship and that an evaluation uses unless told otherwise.
DEFAULT_MODEL = "caril_a"
DEFAULT_SECOND = "caril_b"

EXPERT_TARGET = "agent.expert:ExpertAgent"
NETWORK_TARGET = "agent.caril:CarilAgent.load"


def evaluate(
    *,
    output: Path = Path("runs/evaluate"),
    agent: str = "caril",
    modes: tuple[Mode, ...] = ("none", "paper", "second_opinion"),
    model: str = DEFAULT_MODEL,
    second: str = DEFAULT_SECOND,
    also: tuple[str, ...] = (),
    town: str = "Ridgeway",
    maps: tuple[Path, ...] = (),
    suite: str = "standard",
    routes: Path | None = None,
    routes_subset: str = "",
    weathers: tuple[str, ...] = ("clear",),
    repetitions: int = 1,
    seed: int = 0,
    jobs: int | None = None,
    host: str | None = None,
    port: int = 2000,
    delay_ticks: int = 0,
    resume: bool = False,
    video: bool = True,
) -> int:
    """Drive routes with an agent in every correction mode, then write results and a report.

    Without --host it starts pocket simulators of its own. With --host it drives the CARLA 0.9.16
    server there. Every finished episode is kept: repeat the command with --resume to go on.

    Args:
        output: Folder of the run: episodes, results.json, report.html.
        agent: caril, expert, module:Class of your own DrivingAgent, or the address of an agent that
            'bicameral serve' runs, http://HOST:PORT/v1/drive/NAME.
        modes: Corrections to compare (only for caril and served agents).
        model: Network A: a shipped name or an .onnx file.
        second: Network B of the second opinion, likewise; of a served agent: the server's name.
        also: Further agents for comparison: NAME drives a network without correction, A+B lets A
            ask B for a second opinion.
        town: Map to drive on: a town's name or an OpenDRIVE file.
        maps: Further folders with OpenDRIVE files for the pocket simulator.
        suite: Named set of routes: standard, study, validation or no_choice.
        routes: Leaderboard routes XML to use instead of a suite.
        routes_subset: Positions of the routes to drive, e.g. 0-4,7.
        weathers: clear, low_sun, fog, night.
        repetitions: Drives of every combination, each with other seeded disturbances.
        seed: Base seed.
        jobs: Processes, each with its own pocket simulator; the number of CPUs by default.
        host: A running server to drive on, real CARLA or another pocket simulator.
        port: Its port.
        delay_ticks: Ticks between a picture and the control that follows from it, beyond one.
        resume: Go on with an interrupted run.
        video: Record a video of the first repetition of each combination.
    """
    from rich.console import Console

    from bicameral.cli.extras import require_extra
    from bicameral.cli.progress import ProgressBar

    require_extra("sim")
    from sim.client.simulator import ServerChoice
    from sim.evaluation.plan import EvaluationPlan, select_routes
    from sim.evaluation.results import write_results
    from sim.evaluation.runner import Execution, Progress
    from sim.evaluation.runner import evaluate as run_evaluation
    from sim.report.build import write_report

    console = Console()
    town_files = {Path(town).stem: Path(town)} if town.endswith(".xodr") else {}
    server = ServerChoice(
        host=host,
        port=port if host else 0,
        seed=seed,
        map_folders=maps,
        town_files=town_files,
    )
    agents = (
        *_agents(agent, modes, model, second, delay_ticks),
        *(_compared(entry, delay_ticks) for entry in also),
    )
    all_routes = _routes(server, Path(town).stem if town_files else town, routes, suite)
    plan = EvaluationPlan(
        routes=select_routes(all_routes, routes_subset),
        agents=agents,
        weathers=weathers,
        repetitions=repetitions,
        seed=seed,
        reference=_expert(),
    )
    execution = Execution(
        server=server,
        jobs=1 if host else (jobs or len(os.sched_getaffinity(0))),
        resume=resume,
        videos=video,
    )
    with ProgressBar("evaluate") as bar:

        def show(progress: Progress) -> None:
            record = progress.record
            bar.update(progress.done, progress.total, f"{record.episode_id}: {record.status}")

        run_evaluation(plan, output, execution, show)
    results = write_results(output)
    training_towns = _training_towns(agents)
    report = write_report(output, training_towns)
    _print_summary(console, output, training_towns)
    console.print(f"results: {results}\nreport:  {report}", highlight=False)
    return 0


def _routes(server: ServerChoice, town: str, file: Path | None, suite: str) -> list[Route]:
    """Plan the routes on the map that the simulator itself reports."""
    from contextlib import ExitStack, closing

    from sim.client.simulator import Simulator
    from sim.routes.planner import RoutePlanner
    from sim.routes.suites import routes_of_suite
    from sim.routes.xml import plan_definition, read_routes

    with ExitStack() as stack:
        simulator = stack.enter_context(closing(Simulator(server)))

        def planner(name: str) -> RoutePlanner:
            return RoutePlanner(stack.enter_context(simulator.town(name)).get_map(), name)

        if file is None:
            return routes_of_suite(planner(town), suite)
        definitions = read_routes(file)
        planners = {name: planner(name) for name in {d.town for d in definitions}}
        return [plan_definition(planners[d.town], d, kind="mixed") for d in definitions]


def _agents(
    agent: str, modes: tuple[Mode, ...], model: str, second: str, delay_ticks: int
) -> tuple[AgentSpec, ...]:
    from sim.evaluation.agents import AgentSpec

    if agent == "expert":
        return (_expert(),)
    if "://" in agent:
        return _served(agent, modes, second, delay_ticks)
    if agent != "caril":
        if ":" not in agent:
            raise ConfigError(
                f"unknown agent {agent!r}; known: caril, expert, module:Class of your own, or "
                "http://HOST:PORT/v1/drive/NAME of a server"
            )
        return (AgentSpec(name=agent.partition(":")[2], correction="none", target=agent),)
    return tuple(
        _network(model, mode, delay_ticks, second=second if mode == "second_opinion" else None)
        for mode in modes
    )


def _served(
    url: str, modes: tuple[Mode, ...], second: str, delay_ticks: int
) -> tuple[AgentSpec, ...]:
    """Describe an agent of a server in every mode, if the server has it."""
    from urllib.parse import urlsplit

    from agent.remote import describe_remote
    from sim.evaluation.agents import AgentSpec

    driver = describe_remote(url)
    specs = []
    for mode in modes:
        asked = second if mode == "second_opinion" else None
        driver.require(mode, asked)
        specs.append(
            AgentSpec(
                # Another name than the model's own, so that --also can compare the two.
                name=f"{driver.model}@{urlsplit(url).netloc}",
                correction=mode,
                target="agent.remote:RemoteAgent",
                kwargs={
                    "url": url,
                    "correction": mode,
                    "second": asked,
                    "delay_ticks": delay_ticks,
                    # Nobody shall exchange it halfway, nor between a run and its resumption.
                    "fingerprint": driver.fingerprint,
                },
                trained_on=driver.trained_on,
            )
        )
    return tuple(specs)


def _compared(entry: str, delay_ticks: int) -> AgentSpec:
    first, plus, second = entry.partition("+")
    if plus:
        return _network(first, "second_opinion", delay_ticks, second=second)
    return _network(first, "none", delay_ticks)


def _network(
    model: str, correction: Mode, delay_ticks: int, second: str | None = None
) -> AgentSpec:
    """Describe the CARIL agent with one network, or with a second one to ask."""
    from edge.dual_head import DualHeadModel
    from edge.shipped import resolve_model
    from sim.evaluation.agents import AgentSpec

    path = resolve_model(model)
    kwargs: dict[str, Any] = {
        "model": model,
        "correction": correction,
        "delay_ticks": delay_ticks,
    }
    if second is not None:
        kwargs["second"] = second
    loaded = DualHeadModel.load(path)
    trained_on = loaded.agent.trained_on
    name = loaded.name
    loaded.close()
    return AgentSpec(
        name=name,
        correction=correction,
        target=NETWORK_TARGET,
        kwargs=kwargs,
        trained_on=trained_on,
    )


def _expert() -> AgentSpec:
    from sim.evaluation.agents import AgentSpec

    return AgentSpec(name="expert", correction="none", target=EXPERT_TARGET)


def _training_towns(agents: tuple[AgentSpec, ...]) -> list[str] | None:
    """Return the towns that any of the agents' networks saw, or None if that is not known."""
    from edge.shipped import resolve_model
    from edge.sidecar import read_sidecar

    towns: list[str] = []
    for spec in agents:
        if spec.target != NETWORK_TARGET:
            return None
        for key in ("model", "second"):
            if key in spec.kwargs:
                described = read_sidecar(resolve_model(spec.kwargs[key])).agent
                towns += described.towns if described is not None else ()
    return towns


def _print_summary(console: Console, output: Path, training_towns: list[str] | None) -> None:
    from bicameral.tables import print_table
    from sim.report.build import read_results
    from sim.report.outcome import describe_outcome
    from sim.report.tables import summary_table

    results = read_results(output)
    console.print(describe_outcome(results, training_towns), style="bold", highlight=False)
    print_table(summary_table(results["groups"]), console)
    if results["domain_mismatch"]:
        console.print(
            "The agent was trained on one simulator and driven on another: its camera never saw "
            "such pictures. Collect data there and train before judging it.",
            style="yellow",
        )
