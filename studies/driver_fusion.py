"""Whether a bilinear sum of picture and state steers better than FiLM, which the driver has.

Both ways learn on the same frames what to make of the same frozen trunk's picture, with the same
seeds and, to 5 %, as many weights; then they steer recorded frames of a town that neither they nor
the trunk ever saw, and drive there. The trunk learned with FiLM, which favours FiLM.

``DRIVES`` in the environment names a folder of `bicameral collect` with training towns and one
town of the split test.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bicameral.errors import ConfigError
from bicameral.statistics import Estimate, clustered_mean, mean
from edge.driver_model import COMMANDS
from models.caril.dataset import load_frames
from models.caril.offline_metrics import score_answers
from models.networks.steering_classes import STEERING_CLASSES
from sim.evaluation.agents import AgentSpec
from sim.pocket.map_store import MapStore
from studies.driver_heads import WAYS, Seen, answers, fit, look, write_driver
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.path_drives import Drive
from studies.path_fusion import drive
from studies.path_plan import Routes, Stage, StagedPlan, routes_of
from studies.study import Study
from studies.training_findings import DROVE, STEERED, SUM_MINUS_FILM, sum_drives_better

_SEEDS, _STEPS = 3, 1_500
_TOWN = "Ridgeway"
#: 20 routes, of the kinds of the suite `study` without its long ones.
_ROUTES = Routes(
    kinds=(*["left"] * 6, *["right"] * 6, *["straight"] * 3, *["mixed"] * 5),
    min_length_m=100.0,
    max_length_m=250.0,
    seed=7,
)


def run(folder: Path, quick: bool) -> int:
    """Train, steer recorded frames, drive, and say whether the sum is better."""
    torch.set_num_threads(1)
    seeds = range(1 if quick else _SEEDS)
    training, test = _random_frames() if quick else _recorded_frames()
    measured: Measured = {}
    models: dict[str, Path] = {}
    for way in WAYS:
        networks = [fit(way, seed, training, 5 if quick else _STEPS) for seed in seeds]
        count = sum(weight.numel() for weight in networks[0].parameters())
        measured[way, STEERED, "parameters"] = single(count)
        measured |= _offline(way, [answers(one, test) for one in networks], test)
        for seed, network in zip(seeds, networks, strict=True):
            name = f"{way}_{seed}"
            models[name] = write_driver(folder / "models", name, network)
    measured |= {
        (SUM_MINUS_FILM, STEERED, quantity): _difference(measured, quantity, seeds)
        for quantity in ("steering MAE", "macro recall")
    }
    measured["always straight", STEERED, "steering MAE"] = mean([float(test.steer.abs().mean())])
    measured |= _driven([] if quick else drive(_plan(models), folder))
    write_measurements(folder / "driver_fusion.csv", measured)
    print_measurements(measured, title="driver_fusion")
    return int(sum_drives_better(measured) != "holds")


def _recorded_frames() -> tuple[Seen, Seen]:
    """Return frames of the training towns, held-out episodes too, and of the test town."""
    data = Path(os.environ.get("DRIVES", "") or "nothing")
    if not data.is_dir():
        raise ConfigError(f"DRIVES is {os.environ.get('DRIVES')!r}; needs {STUDY.needs}")
    home = (load_frames(data, split) for split in ("train", "validation"))
    return look(*home), look(load_frames(data, "test"))


def _random_frames() -> tuple[Seen, Seen]:
    """Return the same few frames twice, of which nothing can be learned."""
    draws = torch.Generator().manual_seed(0)
    steer = torch.linspace(-0.3, 0.3, 40)
    seen = Seen(
        inputs=(
            torch.randn(40, 48, 4, 10, generator=draws),
            torch.ones(40, 1),
            torch.eye(4).repeat(10, 1),
        ),
        steer=steer,
        labels=torch.from_numpy(STEERING_CLASSES["conditional"].labels(steer.numpy())),
        weights=torch.ones(40),
    )
    return seen, seen


def _offline(
    way: str, answered: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], test: Seen
) -> Measured:
    """Return the figures of a way on recorded frames, mean over its trainings and of each."""
    label, command = test.steer.numpy(), test.inputs[2].argmax(dim=1).numpy()
    classes = STEERING_CLASSES["conditional"]
    scores = [score_answers(*one, label, classes, temperature=1.0) for one in answered]
    measured: Measured = {
        (way, STEERED, "steering MAE"): mean([one.steering_mae for one in scores]),
        (way, STEERED, "macro recall"): mean([one.macro_recall for one in scores]),
    }
    for seed, one in enumerate(scores):
        measured[way, f"seed {seed}", "steering MAE"] = single(one.steering_mae, n=one.frames)
        measured[way, f"seed {seed}", "macro recall"] = single(one.macro_recall, n=one.frames)
    errors = np.mean([np.abs(steer - label) for steer, _ in answered], axis=0)
    for column, option in enumerate(COMMANDS):
        mine = command == column
        if mine.any():
            key = (way, f"command {option}", "steering MAE")
            measured[key] = single(float(errors[mine].mean()), n=int(mine.sum()))
    return measured


def _difference(measured: Measured, quantity: str, seeds: range) -> Estimate:
    """Return by how much the sum is above FiLM, paired by seed."""
    first, second = (
        np.array([measured[way, f"seed {seed}", quantity].value or 0.0 for seed in seeds])
        for way in ("bilinear", "film")
    )
    return mean(first - second)


def _plan(models: dict[str, Path]) -> StagedPlan:
    routes, _ = routes_of(_ROUTES, (_TOWN,), MapStore())
    agents = tuple(
        AgentSpec(
            name=name,
            correction="none",
            target="agent.loading:load_agent",
            kwargs={"model": str(path.resolve())},
        )
        for name, path in models.items()
    )
    stage = Stage(
        why="all of them on every route",
        seeds=(0,),
        routes=(0, len(routes)),
        systems=tuple(models),
        conditions=("clear",),
    )
    return StagedPlan(routes=routes, agents=agents, weathers=("clear",), stages=(stage,))


def _driven(drives: Sequence[Drive]) -> Measured:
    """Return how both drive, and the difference paired by route and seed of the training."""
    by_pair: dict[tuple[str, str], dict[str, Drive]] = {}
    for one in drives:
        way, _, seed = one.system.partition("_")
        by_pair.setdefault((one.route, seed), {})[way] = one
    pairs = {key: both for key, both in by_pair.items() if len(both) == len(WAYS)}
    routes = [route for route, _ in pairs]
    measured: Measured = {}
    for quantity, unit in (("success", "1"), ("whole_m", "m")):
        values = {
            way: np.array([float(getattr(both[way], quantity)) for both in pairs.values()])
            for way in WAYS
        }
        values[SUM_MINUS_FILM] = values["bilinear"] - values["film"]
        for way, found in values.items():
            estimate = clustered_mean(found, routes, unit, seed=0, name=quantity)
            measured[way, DROVE, quantity] = estimate
    return measured


STUDY = Study(
    claim="A bilinear sum of picture and state drives better than FiLM with as many weights: "
    "nearer to the lane centre over the whole route, by a paired interval.",
    setting="One thread of a shared AMD EPYC; n = 3 seeds of each way, 1,500 steps on the frozen "
    "trunk of caril_a; 20 routes of Ridgeway in clear weather for each, 120 drives; about "
    "10 CPU-minutes. --quick drives nothing.",
    run=run,
    needs="DRIVES: recorded driving, `bicameral collect --towns Train01 .. Train06 --seed 1` and "
    "`--towns Ridgeway --split test --episodes 3 --seed 31` into one folder",
)
