"""`bicameral evaluate`: drive routes in closed loop and write results and a report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from agent.correction.names import CorrectionName

if TYPE_CHECKING:
    from bicameral.types import Route
    from sim.client.simulator import ServerChoice


def evaluate(
    *,
    output: Path = Path("runs/evaluate"),
    agent: str = "caril",
    modes: tuple[CorrectionName, ...] = (),
    model: str = "path_a",
    second: str | None = None,
    also: tuple[str, ...] = (),
    town: str = "Millbrook",
    maps: tuple[Path, ...] = (),
    suite: str = "short",
    routes: Path | None = None,
    routes_subset: str = "",
    weathers: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ("clear", "patch"),
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
        modes: Corrections to compare (only for caril and served agents). Without: none and fusion,
            with a noisy map route, of networks that see the path; none, paper and second_opinion of
            others.
        model: Network A: a shipped name or an .onnx file.
        second: Network B of the second opinion and of fusion, likewise; of a served agent: the
            server's name. Without: path_b of networks that see the path, caril_b of others.
        also: Further agents for comparison: NAME drives a network without correction, A+B lets A
            ask B for a second opinion.
        town: Map to drive on: a town's name or an OpenDRIVE file.
        maps: Further folders with OpenDRIVE files for the pocket simulator.
        suite: Named set of routes: short, standard, study, validation or no_choice.
        routes: Leaderboard routes XML to use instead of a suite.
        routes_subset: Positions of the routes to drive, e.g. 0-4,7.
        weathers: clear, low_sun, fog, dense_fog, night; or, by clear day, what is wrong with the
            camera: pitch_up, pitch_down, yaw_right (by 3 degrees), sideways (0.2 m to the right),
            patch (60 x 120 pixels covered, at a place drawn from the seed).
        repetitions: Drives of every combination, each with other seeded disturbances.
        seed: Base seed.
        jobs: Processes, each with its own pocket simulator; the number of CPUs by default.
        host: A running server to drive on, real CARLA or another pocket simulator.
        port: Its port.
        delay_ticks: Ticks between a picture and the control that follows from it, beyond one.
        resume: Go on with an interrupted run.
        video: Record a video of the first repetition of each combination.
    """
    from bicameral.cli.driving_agents import AgentFlags, expert_agent, training_towns
    from bicameral.cli.extras import require_extra
    from bicameral.cli.progress import ProgressBar

    require_extra("sim")
    from sim.client.simulator import ServerChoice
    from sim.evaluation.plan import EvaluationPlan, select_routes
    from sim.evaluation.runner import Execution, Progress
    from sim.evaluation.runner import evaluate as run_evaluation

    town_file = Path(town) if town.endswith(".xodr") else None
    name = town_file.stem if town_file else town
    server = ServerChoice(
        host=host,
        port=port if host else 0,
        seed=seed,
        map_folders=maps,
        town_files={name: town_file} if town_file else {},
    )
    agents = AgentFlags(
        agent=agent, modes=modes, model=model, second=second, also=also, delay_ticks=delay_ticks
    ).specs()
    plan = EvaluationPlan(
        routes=select_routes(_routes(server, name, routes, suite), routes_subset),
        agents=agents,
        weathers=weathers,
        repetitions=repetitions,
        seed=seed,
        reference=expert_agent(),
    )
    jobs = 1 if host else (jobs or len(os.sched_getaffinity(0)))
    execution = Execution(server=server, jobs=jobs, resume=resume, videos=video)
    with ProgressBar("evaluate") as bar:

        def show(progress: Progress) -> None:
            record = progress.record
            bar.update(progress.done, progress.total, f"{record.episode_id}: {record.status}")

        run_evaluation(plan, output, execution, show)
    _write_report(output, training_towns(agents))
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


def _write_report(output: Path, training_towns: list[str] | None) -> None:
    """Write results and report, and print what came of it."""
    from rich.console import Console

    from bicameral.tables import print_table
    from sim.evaluation.results import write_results
    from sim.report.build import read_results, write_report
    from sim.report.outcome import describe_outcome
    from sim.report.tables import summary_table

    console = Console()
    written = write_results(output)
    report = write_report(output, training_towns)
    results = read_results(output)
    console.print(describe_outcome(results, training_towns), style="bold", highlight=False)
    print_table(summary_table(results["groups"]), console)
    if results["domain_mismatch"]:
        console.print(
            "The agent was trained on one simulator and driven on another: its camera never saw "
            "such pictures. Collect data there and train before judging it.",
            style="yellow",
        )
    console.print(f"results: {written}\nreport:  {report}", highlight=False)
