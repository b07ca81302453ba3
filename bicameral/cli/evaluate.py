"""`bicameral evaluate`: drive routes in closed loop and write results and a report."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console

from agent.correction.names import CorrectionName
from bicameral.cli.driving_agents import AgentFlags, training_towns
from bicameral.cli.evaluated_routes import RouteFlags, choose_routes, driven_server
from bicameral.cli.extras import require_extra
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
    agent: str = "caril",
    modes: tuple[CorrectionName, ...] = (),
    model: str = "path_a",
    second: str | None = None,
    pace: str | None = None,
    also: tuple[str, ...] = (),
    town: str = "Millbrook",
    maps: tuple[Path, ...] = (),
    suite: str = "short",
    routes: Path | None = None,
    routes_subset: str = "",
    skip_unknown_towns: bool = False,
    weathers: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    traffic: int = 0,
    walkers: int = 0,
    repetitions: int = 1,
    seed: int = 0,
    jobs: int | None = None,
    cluster: str | None = None,
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
        pace: Network that slows a path network down for others and lights, likewise. Without: the
            profile of the route alone decides the speed.
        also: Further agents for comparison: NAME drives a network without correction, A+B lets A
            ask B for a second opinion.
        town: Map to drive on: a town's name or an OpenDRIVE file.
        maps: Further folders with OpenDRIVE files for the pocket simulator.
        suite: Named set of routes: short, standard, study, validation or no_choice.
        routes: Leaderboard routes XML to use instead of a suite; its scenarios are not driven.
        routes_subset: Which of them to drive, e.g. 0-4,7: ids in a file, as the leaderboard takes
            them, positions in a suite.
        skip_unknown_towns: Leave out routes of the file in towns that the simulator does not have.
        weathers: clear, low_sun, fog, dense_fog, night; or, by clear day, what is wrong with the
            camera: pitch_up, pitch_down, yaw_right (by 3 degrees), sideways (0.2 m to the right),
            patch (60 x 120 pixels covered, at a place drawn from the seed); or route, the weather
            of the file. Without: clear and patch of a suite, route of a file.
        traffic: Other cars, under CARLA's Traffic Manager. Among others red lights and stop signs
            are infractions, and `--agent expert` minds them and the others.
        walkers: Walkers on the sidewalks and crosswalks.
        repetitions: Drives of every combination, each with other seeded disturbances.
        seed: Base seed.
        jobs: Processes, each with its own pocket simulator; the number of CPUs by default.
        cluster: Address of a Ray cluster whose nodes do the work (extra 'cluster'), or auto for the
            one that this machine belongs to; all nodes have to share the output folder.
        host: A running server to drive on, real CARLA or another pocket simulator.
        port: Its port.
        delay_ticks: Ticks between a picture and the control that follows from it, beyond one.
        resume: Go on with an interrupted run.
        video: Record a video of the first repetition of each combination.
    """
    require_extra("sim")
    if cluster is not None:
        require_extra("cluster")
    from sim.client.traffic import TrafficDensity
    from sim.evaluation.runner import Execution

    server = driven_server(town, maps, seed, None if host is None else (host, port))
    agents = AgentFlags(
        agent=agent,
        modes=modes,
        model=model,
        second=second,
        pace=pace,
        also=also,
        delay_ticks=delay_ticks,
    ).specs()
    flags = RouteFlags(
        town=Path(town).stem if town.endswith(".xodr") else town,
        suite=suite,
        file=routes,
        subset=routes_subset,
        skip_unknown_towns=skip_unknown_towns,
    )
    plan = choose_routes(server, flags).plan(
        agents=agents, weathers=weathers, repetitions=repetitions, seed=seed
    )
    if others := TrafficDensity(vehicles=traffic, walkers=walkers):
        plan = replace(plan, traffic=others, limits=TRAFFIC_LIMITS)
    everywhere = -1 if cluster else len(os.sched_getaffinity(0))
    jobs = 1 if host else (jobs or everywhere)
    execution = Execution(server=server, jobs=jobs, resume=resume, videos=video, cluster=cluster)
    _run(plan, output, execution)
    _write_report(output, training_towns(agents))
    return 0


def _run(plan: EvaluationPlan, output: Path, execution: Execution) -> None:
    """Drive every episode and show how many are done."""
    from sim.evaluation.runner import Progress
    from sim.evaluation.runner import evaluate as run_evaluation

    with ProgressBar("evaluate") as bar:

        def show(progress: Progress) -> None:
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
