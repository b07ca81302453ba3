"""`bicameral evaluate`: drive routes in closed loop and write results and a report."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console

from bicameral.cli.driving_agents import SHIPPED_AGENTS, AgentFlags, training_towns
from bicameral.cli.evaluated_routes import SHORT_SUITE, RouteFlags, choose_routes, driven_server
from bicameral.cli.extras import require_extra
from bicameral.cli.numbers import CarlaPort, Jobs, Seed
from bicameral.cli.progress import ProgressBar
from bicameral.tables import print_table
from sim.evaluation.limits import TRAFFIC_LIMITS
from sim.report.tables import summary_table

if TYPE_CHECKING:
    from sim.evaluation.plan import EvaluationPlan
    from sim.evaluation.runner import Execution


def evaluate(
    *,
    output: Path = Path("runs/evaluate"),
    agents: Annotated[AgentFlags, Parameter(name="*")] = SHIPPED_AGENTS,
    routes: Annotated[RouteFlags, Parameter(name="*")] = SHORT_SUITE,
    maps: tuple[Path, ...] = (),
    weathers: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    traffic: int = 0,
    walkers: int = 0,
    repetitions: int = 1,
    seed: Seed = 0,
    jobs: Jobs | None = None,
    cluster: str | None = None,
    host: str | None = None,
    port: CarlaPort = 2000,
    resume: bool = False,
    video: bool = True,
) -> int:
    """Drive routes with an agent in every correction mode, then write results and a report.

    Without --host it starts pocket simulators of its own. With --host it drives the CARLA 0.9.16
    server there. Every finished episode is kept: repeat the command with --resume to go on.

    Args:
        output: Folder of the run: episodes, results.json, report.html.
        agents: Which agents to drive.
        routes: Which routes to drive.
        maps: Further folders with OpenDRIVE files for the pocket simulator.
        weathers: clear, low_sun, fog, dense_fog, night; or, by clear day, what is wrong with the
            camera: pitch_up, pitch_down, yaw_right (by 3 degrees), sideways (0.2 m to the right),
            patch (60 x 120 pixels covered, at a place drawn from the seed); or route, the weather
            of the file. Without: clear and yaw_right of a suite, route of a file.
        traffic: Other cars, under CARLA's Traffic Manager. Among others red lights and stop signs
            are infractions, `--agent expert` minds them and the others, and a path network drives
            at the pace of `pace_a`.
        walkers: Walkers on the sidewalks and crosswalks.
        repetitions: Drives of every combination, each with other seeded disturbances.
        seed: Base seed.
        jobs: Processes, each with its own pocket simulator; the number of CPUs by default.
        cluster: Address of a Ray cluster whose nodes do the work (extra 'cluster'), or auto for the
            one that this machine belongs to; all nodes have to share the output folder.
        host: A running server to drive on, real CARLA or another pocket simulator.
        port: Its port.
        resume: Go on with an interrupted run.
        video: Record a video of the first repetition of each combination.
    """
    require_extra("sim")
    if cluster is not None:
        require_extra("cluster")
    from sim.client.traffic import TrafficDensity
    from sim.evaluation.runner import Execution

    server = driven_server(routes.town, maps, seed, None if host is None else (host, port))
    others = TrafficDensity(vehicles=traffic, walkers=walkers)
    specs = (agents.among_others() if others else agents).specs()
    plan = choose_routes(server, routes).plan(
        agents=specs, weathers=weathers, repetitions=repetitions, seed=seed
    )
    if others:
        plan = replace(plan, traffic=others, limits=TRAFFIC_LIMITS)
    everywhere = -1 if cluster else len(os.sched_getaffinity(0))
    jobs = 1 if host else (jobs or everywhere)
    execution = Execution(server=server, jobs=jobs, resume=resume, videos=video, cluster=cluster)
    _run(plan, output, execution)
    _write_report(output, training_towns(specs))
    return 0


def _run(plan: EvaluationPlan, output: Path, execution: Execution) -> None:
    """Drive every episode and show how many are done."""
    from sim.client.processes import Progress
    from sim.evaluation.records import EpisodeRecord
    from sim.evaluation.runner import evaluate as run_evaluation

    with ProgressBar("evaluate") as bar:

        def show(progress: Progress[EpisodeRecord]) -> None:
            record = progress.record
            bar.update(progress.done, progress.total, f"{record.episode_id}: {record.status}")

        run_evaluation(plan, output, execution, show)


def _write_report(output: Path, towns: list[str] | None) -> None:
    """Write results and report, and print what came of it."""
    from sim.evaluation.results import write_results
    from sim.report.build import read_results, write_report
    from sim.report.outcome import describe_omissions, describe_outcome

    console = Console()
    written = write_results(output)
    report = write_report(output, towns)
    results = read_results(output)
    console.print(describe_outcome(results, towns), style="bold", highlight=False)
    for sentence in describe_omissions(results["plan"]):
        console.print(sentence, style="yellow", highlight=False)
    print_table(summary_table(results["groups"]), console)
    if results["domain_mismatch"]:
        console.print(
            "The agent was trained on one simulator and driven on another: its camera never saw "
            "such pictures. Collect data there and train before judging it.",
            style="yellow",
        )
    console.print(f"results: {written}\nreport:  {report}", highlight=False)
