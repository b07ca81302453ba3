"""Asks a pace network about scenes it was not trained on: which lights it knows, where it stops.

No drive is needed for this, so here a network is looked at, and thresholds are chosen, before it
drives. What counts in the end is how it drives: the study `among_others`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.pace import PaceSettings
from bicameral.errors import ConfigError
from bicameral.statistics import share
from bicameral.tables import Entry, Table, percent_cell, print_table, row, table_of
from bicameral.types import RoadOption
from edge.pace_model import PaceModel
from edge.shipped import resolve_model
from models.caril.dataset import load_frames
from models.networks.pace_classes import LIGHTS, SEEN_M, pace_labels
from studies.measurements import read_records, write_records
from studies.study import DATA, Study

SCENES, PACE = "SCENES", "PACE_MODEL"
#: The network was trained on other scenes of this town.
TRAINED_TOWN = "Town10HD"
#: From the front bumper to the light's stop line.
BANDS_M = ((6.0, 12.0), (12.0, 20.0), (20.0, 30.0), (30.0, SEEN_M))
#: Quantiles of the classes of speed that a network may be driven at.
QUANTILES = {"median": 0.5, "lower quartile": 0.25}
#: Before a light that is believed red or yellow a lower speed is to stand.
CREEP_MPS = PaceSettings().creep_mps
#: Slower than this is to stop.
STOP_MPS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A scene as a row of the record: what the expert says, and what the network does.

    Lights are as in `LIGHTS`, distances beyond `SEEN_M` are that; a decision is CPU time.
    """

    town: str
    weather: str
    light: str
    line_m: float
    lead_m: float
    expert_mps: float
    believed_light: str
    median_mps: float
    lower_mps: float
    decision_ms: float


def run(folder: Path, quick: bool) -> int:
    """Ask about all scenes, write the record, and return whether reds are told from greens."""
    scenes, model = os.environ.get(SCENES), os.environ.get(PACE)
    if not scenes or not model:
        if not quick:
            raise ConfigError(f"{SCENES} is {scenes}, {PACE} {model}; needs {STUDY.needs}")
        print(f"nothing to ask about; needs {STUDY.needs}")
        return 0
    network = PaceModel.load(resolve_model(model))
    seen = [one for name in scenes.split(os.pathsep) for one in look(network, Path(name))]
    write_records(folder / "pace_sight.csv", seen, Sight)
    for table in (table_of_lights, table_of_stops):
        print_table(table(untrained(seen)))
        print_table(table([one for one in seen if one.town == TRAINED_TOWN]))
    told = [
        _taken_for_red([one for one in untrained(seen) if one.light == light])
        for light in ("red", "green")
    ]
    return int(told[0] <= told[1])


def look(network: PaceModel, scenes: Path) -> Iterator[Sight]:
    """Yield what a network says of each frame of a folder, asked one by one as in a drive."""
    frames = load_frames(scenes, "validation", spec=network.image)
    frames = frames.select(frames.earlier != frames.row)
    labels = pace_labels(frames.others)
    for number in range(len(frames)):
        index = np.array([number])
        image, earlier = frames.gather(index)[0], frames.gather_earlier(index)[0]
        command = RoadOption(int(frames.command[number]))
        began_s = time.thread_time()
        answer = network.predict(image, earlier, float(frames.speed_mps[number]), command)
        median_mps, lower_mps = (
            network.believed_speed_mps(answer, quantile) for quantile in QUANTILES.values()
        )
        decision_s = time.thread_time() - began_s
        episode = frames.episodes[frames.episode[number]]
        yield Sight(
            town=episode.town,
            weather=episode.weather,
            light=LIGHTS[labels.light[number]],
            line_m=round(float(labels.stop_line[number]) * SEEN_M, 1),
            lead_m=round(float(labels.lead[number, 0]) * SEEN_M, 1),
            expert_mps=round(float(labels.speed_mps[number]), 2),
            believed_light=LIGHTS[int(answer.light.argmax())],
            median_mps=round(median_mps, 2),
            lower_mps=round(lower_mps, 2),
            decision_ms=round(decision_s * 1000.0, 2),
        )


def read_sights(path: Path = DATA / "driving" / "pace_sight.csv") -> tuple[Sight, ...]:
    """Read the record."""
    return read_records(path, Sight)


def untrained(seen: Sequence[Sight]) -> list[Sight]:
    """Return what was seen in towns that the network was not trained on."""
    return [one for one in seen if one.town != TRAINED_TOWN]


def table_of_lights(seen: Sequence[Sight]) -> Table:
    """Say by distance which lights are known, and how fast one would drive towards red ones."""
    rows = []
    for low_m, high_m in BANDS_M:
        here = [one for one in seen if low_m <= one.line_m < high_m]
        red, green = ([one for one in here if one.light == light] for light in ("red", "green"))
        speeds = [(one.expert_mps, one.median_mps, one.lower_mps) for one in red]
        cells: list[Entry] = [
            f"{low_m:.0f} to {high_m:.0f}",
            len(red),
            percent_cell(share(_taken_for_red(red), len(red)), 0),
            len(green),
            percent_cell(share(_taken_for_red(green), len(green)), 0),
        ]
        means = [f"{mean:.1f}" for mean in np.mean(speeds, axis=0)] if red else (None, None, None)
        rows.append(row(*cells, *means))
    heads = (
        "before the line, m",
        "red",
        "known, %",
        "green",
        "taken for red, %",
        "before red: expert, m/s",
        *QUANTILES,
    )
    return table_of("Lights", heads, rows)


def table_of_stops(seen: Sequence[Sight]) -> Table:
    """Say for each way to drive how often it stops where the expert does, and elsewhere."""
    stops = [one.expert_mps < STOP_MPS for one in seen]
    rows = []
    driven = {
        "median": [one.median_mps for one in seen],
        "lower quartile": [one.lower_mps for one in seen],
        f"median; at red or yellow below {CREEP_MPS:.0f} m/s stands": [
            _without_creeping(one) for one in seen
        ],
    }
    for name, speeds in driven.items():
        would = [speed < STOP_MPS for speed in speeds]
        known = [told for told, stop in zip(would, stops, strict=True) if stop]
        false = [told for told, stop in zip(would, stops, strict=True) if not stop]
        error = np.abs(np.subtract(speeds, [one.expert_mps for one in seen])).mean()
        rows.append(
            row(
                name,
                len(known),
                percent_cell(share(sum(known), len(known)), 0),
                len(false),
                percent_cell(share(sum(false), len(false)), 1),
                f"{error:.2f}",
                f"{np.median([one.decision_ms for one in seen]):.1f}",
            )
        )
    heads = (
        "driven",
        "to stop",
        "known, %",
        "to go",
        "would stop, %",
        "mean error, m/s",
        "CPU ms a decision",
    )
    return table_of("Stops", heads, rows)


def _without_creeping(one: Sight) -> float:
    creeps = one.believed_light in ("red", "yellow") and one.median_mps < CREEP_MPS
    return 0.0 if creeps else one.median_mps


def _taken_for_red(seen: Sequence[Sight]) -> int:
    return sum(one.believed_light == "red" for one in seen)


STUDY = Study(
    claim="A pace network tells red lights from green ones in towns that it was not trained on.",
    setting=(
        "Posed scenes of Valley and Varied13, clear and night, 120 an episode, seed 900 (`collect "
        "--scenes 120 --traffic 16 --walkers 8 --split validation`), and of Town10HD, seed 910, "
        "asked one by one; about 0.3 CPU minutes. --quick: the same, or nothing if none is named."
    ),
    run=run,
    needs=f"{SCENES}: folders of held-out scenes, joined by {os.pathsep!r}; {PACE}: a pace network",
)
