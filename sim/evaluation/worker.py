"""A process's simulator and agents, kept from one episode to the next."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import carla

from bicameral.errors import SimulatorLostError
from bicameral.protocols import DrivingAgent
from sim.client.connection import DEFAULT_TIMEOUT_S, connect, driven_town, simulator_kind
from sim.client.local_server import LocalServer
from sim.evaluation.agents import AgentSpec, make_agent
from sim.evaluation.episode import Stage, run_episode
from sim.evaluation.limits import Limits
from sim.evaluation.plan import EpisodeSpec
from sim.evaluation.records import EpisodeRecord
from sim.evaluation.video import VIDEO_SUFFIX, VideoWriter

#: How long a simulator that somebody else runs has to come back after it was lost.
_RETURN_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerChoice:
    """Which simulator to drive on.

    Attributes:
        host: Machine of a running server; None starts a pocket simulator per process.
        port: Its RPC port; without host, 0 picks free ports.
        timeout_s: How long a call may take before the simulator counts as lost.
        seed: Seed of a pocket simulator that is started.
        map_folders: Folders with further towns for it.
        town_files: OpenDRIVE file to generate the world from, by town name, for towns that the
            server does not have.
    """

    host: str | None = None
    port: int = 0
    timeout_s: float = DEFAULT_TIMEOUT_S
    seed: int = 0
    map_folders: tuple[Path, ...] = ()
    town_files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def remote(self) -> bool:
        """True if somebody else runs the server."""
        return self.host is not None

    @property
    def address(self) -> str:
        """For messages."""
        return f"{self.host or 'localhost'}:{self.port or 'any port'}"


class Driver:
    """Runs episodes on one simulator, one after the other."""

    _current: ClassVar[Driver | None] = None

    def __init__(self, choice: ServerChoice, limits: Limits) -> None:
        """Start or connect to the simulator."""
        self._choice = choice
        self._limits = limits
        self._agents: dict[str, DrivingAgent] = {}
        self._maps: dict[str, carla.Map] = {}
        self._server = (
            None
            if choice.remote
            else LocalServer(
                port=choice.port,
                seed=choice.seed,
                map_folders=choice.map_folders,
            )
        )
        try:
            if self._server is not None:
                self._server.start()
            self._client = self._connect()
            self.kind = simulator_kind(self._client)
        except BaseException:
            self.close()
            raise

    @classmethod
    def current(cls, choice: ServerChoice, limits: Limits) -> Driver:
        """Return this process's driver; it is made at the first call.

        A process drives for one evaluation at a time, so that a changed choice replaces it.
        """
        driver = cls._current
        if driver is not None and (driver._choice, driver._limits) != (choice, limits):
            cls.close_current()
            driver = None
        if driver is None:
            driver = cls._current = cls(choice, limits)
        return driver

    @classmethod
    def close_current(cls) -> None:
        """Close this process's driver if there is one."""
        driver, cls._current = cls._current, None
        if driver is not None:
            driver.close()

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
            with driven_town(self._client, self._choice.town_files.get(town, town)) as world:
                if town not in self._maps:
                    self._maps[town] = world.get_map()
                stage = Stage(
                    world=world,
                    town_map=self._maps[town],
                    driven_on=self.kind,
                    limits=self._limits,
                )
                record = run_episode(stage, spec, self._agent(spec.agent), video)
        finally:
            if video is not None:
                video.close()
        return record, None if video is None else video.path

    def recover(self) -> None:
        """Get a working simulator after the last one was lost.

        Raises:
            SimulatorLostError: If it is not ours to restart and does not come back in time.
        """
        if self._server is not None:
            self._server.restart()
            self._client = self._connect()
            return
        deadline = time.monotonic() + _RETURN_TIMEOUT_S
        while True:
            try:
                self._client = self._connect()
            except SimulatorLostError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)
            else:
                return

    def close(self) -> None:
        """Release the agents and end the simulator if it is ours."""
        for agent in self._agents.values():
            agent.close()
        self._agents.clear()
        if self._server is not None:
            self._server.stop()

    def _connect(self) -> carla.Client:
        if self._server is not None:
            return self._server.connect(self._choice.timeout_s)
        return connect(self._choice.host or "", self._choice.port, self._choice.timeout_s)

    def _agent(self, spec: AgentSpec) -> DrivingAgent:
        if spec.label not in self._agents:
            self._agents[spec.label] = make_agent(spec)
        return self._agents[spec.label]
