"""A process's simulator and agents, kept from one episode to the next."""

from __future__ import annotations

from pathlib import Path

import carla

from bicameral.protocols import DrivingAgent
from sim.client.simulator import ServerChoice, Simulator
from sim.evaluation.agents import AgentSpec, make_agent
from sim.evaluation.episode import Stage, run_episode
from sim.evaluation.limits import Limits
from sim.evaluation.plan import EpisodeSpec
from sim.evaluation.records import EpisodeRecord
from sim.evaluation.video import VIDEO_SUFFIX, VideoWriter


class Driver:
    """Runs episodes on one simulator, one after the other."""

    def __init__(self, choice: ServerChoice, limits: Limits) -> None:
        """Start or connect to the simulator."""
        self._limits = limits
        self._agents: dict[str, DrivingAgent] = {}
        self._maps: dict[str, carla.Map] = {}
        self.simulator = Simulator(choice)

    def run(
        self, spec: EpisodeSpec, video_folder: Path | None
    ) -> tuple[EpisodeRecord, Path | None]:
        """Drive one episode in a fresh world.

        Args:
            spec: What to drive.
            video_folder: Where the video is written, under a hidden name; None records none.

        Returns:
            The record, and the path of the video.

        Raises:
            SimulatorLostError: If the simulator is lost on the way.
            AgentLostError: If an agent elsewhere is.
        """
        town = spec.route.town
        video = None
        if video_folder is not None:
            video = VideoWriter(video_folder / f".video-{spec.episode_id}{VIDEO_SUFFIX}")
        try:
            if spec.traffic.walkers:
                self.simulator.prepare_walkers(town)
            with self.simulator.town(town) as world:
                if town not in self._maps:
                    self._maps[town] = world.get_map()
                stage = Stage(
                    client=self.simulator.client,
                    world=world,
                    town_map=self._maps[town],
                    driven_on=self.simulator.kind,
                    limits=self._limits,
                )
                record = run_episode(stage, spec, self._agent(spec.agent), video)
        finally:
            if video is not None:
                video.close()
        return record, None if video is None else video.path

    def close(self) -> None:
        """Release the agents and end the simulator if it is ours."""
        for agent in self._agents.values():
            agent.close()
        self._agents.clear()
        self.simulator.close()

    def _agent(self, spec: AgentSpec) -> DrivingAgent:
        if spec.label not in self._agents:
            self._agents[spec.label] = make_agent(spec)
        return self._agents[spec.label]
