"""`bicameral collect`: record pictures with the expert's steering."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from bicameral.cli.driving_agents import collecting_agent, expert_agent, labelling_agent
from bicameral.cli.extras import require_extra
from bicameral.cli.numbers import CarlaPort, Jobs, Seed
from bicameral.cli.progress import ProgressBar
from sim.collection.contact_sheet import write_contact_sheet


def collect(
    *,
    output: Path = Path("data/driving"),
    towns: tuple[str, ...] = ("Train01", "Train02", "Train03", "Train04"),
    weathers: tuple[str, ...] = ("clear",),
    episodes: int = 1,
    split: Literal["train", "validation", "test"] = "train",
    driver: str | None = None,
    traffic: int = 0,
    walkers: int = 0,
    scenes: int = 0,
    seed: Seed = 0,
    maps: tuple[Path, ...] = (),
    jobs: Jobs | None = None,
    host: str | None = None,
    port: CarlaPort = 2000,
) -> int:
    """Drive with disturbances and store every second picture with what the expert would do.

    With --driver a trained network steers while the expert labels (a DAgger round). An episode is
    stored whole or not at all; the same command again goes on with what is missing.

    Args:
        output: Folder of the data set.
        towns: Towns to drive in: generated training towns, shipped ones, or files' names.
        weathers: clear, low_sun, fog, dense_fog, night.
        episodes: Episodes per town and weather, several routes each.
        split: What the episodes are for; a test town must belong to no other split.
        driver: Network that steers: a shipped name or an .onnx file.
        traffic: Other cars, under CARLA's Traffic Manager. Among others the expert minds them, red
            lights and stop signs, and the labels say how fast it would drive and why.
        walkers: Walkers on the sidewalks and crosswalks.
        scenes: So many scenes among them an episode, posed by chance instead of driven to: too
            fast, too near, standing for nothing.
        seed: Seed of routes, disturbances and weather.
        maps: Further folders with OpenDRIVE files.
        jobs: Processes, each with its own pocket simulator; the number of CPUs by default.
        host: A running server to drive on, real CARLA or another pocket simulator.
        port: Its port.
    """
    require_extra("sim")
    from sim.client.processes import Progress
    from sim.client.simulator import ServerChoice
    from sim.client.traffic import TrafficDensity
    from sim.collection.collect import CollectionRun
    from sim.collection.collect import collect as run_collection
    from sim.collection.plan import JUNCTION_MIX, SCENE_MIX, CollectionPlan, RouteMix

    others = TrafficDensity(vehicles=traffic, walkers=walkers)
    plan = CollectionPlan(
        output=output,
        towns=towns,
        weathers=weathers,
        episodes=episodes,
        split=split,
        seed=seed,
        routes=SCENE_MIX if scenes else JUNCTION_MIX if driver or others else RouteMix(),
        traffic=others,
        scenes=scenes,
    )
    run = CollectionRun(
        server=ServerChoice(host=host, port=port if host else 0, seed=seed, map_folders=maps),
        jobs=1 if host else (jobs or len(os.sched_getaffinity(0))),
    )
    network = None if driver is None else collecting_agent(driver)
    with ProgressBar("collect") as bar:

        def show(progress: Progress[dict[str, Any]]) -> None:
            record = progress.record
            bar.update(progress.done, progress.total, f"{record['town']} {record['weather']}")

        expert = labelling_agent() if others else expert_agent()
        summary = run_collection(plan, expert, network, run=run, on_progress=show)
    sheet = output / "contact_sheet.png"
    write_contact_sheet(output, sheet)
    Console().print(
        f"{summary.episodes} episodes ({summary.kept} were there already), "
        f"{summary.frames} frames in {output}; look at {sheet}",
        highlight=False,
    )
    return 0
