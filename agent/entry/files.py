"""The two files that an evaluator is given: `--agent` and `--agent-config`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from agent.entry.driver import EntryConfig
from bicameral.files import write_text_atomic

_AGENT_FILE = '''\
"""The agent of bicameral for CARLA leaderboard 2.1 and Bench2Drive, track SENSORS.

Written by `bicameral leaderboard-entry`. The driver is the installed package's: the Python that
runs the evaluator needs it (`pip install bicameral`).
"""

import random

import carla
import numpy
from agent.entry.driver import EntryDriver
from leaderboard.autoagents.autonomous_agent import AutonomousAgent, Track

# Some scenarios draw from the common generators, which nobody has seeded when this file is loaded:
# two runs would meet different debris.
random.seed(0)
numpy.random.seed(0)


def get_entry_point():
    return "BicameralAgent"


class BicameralAgent(AutonomousAgent):
    def setup(self, path_to_conf_file):
        self.track = Track.SENSORS
        self._driver = EntryDriver.from_argument(path_to_conf_file)

    def sensors(self):
        return self._driver.sensors()

    def run_step(self, input_data, timestamp):
        # Bench2Drive hands its agents every point of the plan, under this name.
        plan = getattr(self, "_plan_gps_HACK", None) or self._global_plan
        told = [(place["lat"], place["lon"], option.value) for place, option in plan]
        control = self._driver.act(told, input_data, timestamp)
        return carla.VehicleControl(
            throttle=control.throttle, steer=control.steer, brake=control.brake
        )

    def destroy(self):
        if hasattr(self, "_driver"):
            self._driver.close()
'''


class EntryFiles(NamedTuple):
    """What was written."""

    agent: Path
    config: Path


def write_entry(folder: Path) -> EntryFiles:
    """Write the agent file and the default configuration into a folder, which may exist.

    A configuration that is there is kept: it is meant to be edited.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = EntryFiles(folder / "bicameral_agent.py", folder / "bicameral_agent.json")
    write_text_atomic(files.agent, _AGENT_FILE)
    if not files.config.exists():
        write_text_atomic(files.config, EntryConfig().model_dump_json(indent=2) + "\n")
    return files
