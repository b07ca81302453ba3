"""The simulator that a process drives on: a pocket simulator of its own, or somebody's server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import carla

from bicameral.errors import ConfigError, SimulatorLostError
from sim.client.connection import (
    DEFAULT_TIMEOUT_S,
    connect,
    driven_town,
    simulator_errors,
    simulator_kind,
    town_names,
)
from sim.client.local_server import LocalServer
from sim.client.traffic import prepare_walkers

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

    def check_jobs(self, jobs: int) -> None:
        """Refuse several processes on one server.

        Raises:
            ConfigError: If the server is somebody else's and there are several jobs.
        """
        if jobs > 1 and self.host is not None:
            raise ConfigError(
                f"jobs is {jobs}, but a simulator at {self.host}:{self.port} can run one episode "
                "at a time; use --jobs 1 with --host"
            )


class Simulator:
    """A connected simulator that outlives its crashes; `close` ends it if it is ours.

    Args:
        choice: Which one.
        compile_first: Compile what is driven with before this returns, if it is ours. Not for who
            only asks for maps: several simulators that start at once share that work.

    Attributes:
        client: Connected to it; another one after `recover`.
        kind: ``"pocket"`` or ``"carla"``.

    Raises:
        SimulatorLostError: If it does not start or nothing answers.
        VersionMismatchError: If it is another version.
    """

    def __init__(self, choice: ServerChoice, *, compile_first: bool = True) -> None:
        self._choice = choice
        self._walked: set[str] = set()
        self._server: LocalServer | None = None
        if choice.host is None:
            # Episodes come in any order, and each is to be the same after any other. What is not
            # driven on needs no scenery; whoever drives gives every call long enough to build it,
            # and compiles before: on a slow machine that takes longer than a call may.
            options = ["--number-anew", "--build-late"] + ["--compile-first"] * compile_first
            self._server = LocalServer(
                port=choice.port,
                seed=choice.seed,
                map_folders=choice.map_folders,
                options=options,
            )
        try:
            if self._server is not None:
                self._server.start()
            self.client = self._connect()
            self.kind = simulator_kind(self.client)
        except BaseException:
            self.close()
            raise

    def town(self, name: str) -> AbstractContextManager[carla.World]:
        """Open a town afresh for the length of a ``with`` block; see `driven_town`."""
        return driven_town(self.client, self._choice.town_files.get(name, name))

    def prepare_walkers(self, town: str) -> None:
        """Make a town ready for walkers, once; see `sim.client.traffic.prepare_walkers`."""
        if town not in self._walked:
            with self.town(town) as world:
                prepare_walkers(self.client, world)
            self._walked.add(town)

    def towns(self) -> set[str]:
        """Return the names of all towns that can be opened."""
        with simulator_errors("asking for the available maps"):
            return town_names(self.client) | set(self._choice.town_files)

    def recover(self) -> None:
        """Get a working simulator after the last one was lost.

        Raises:
            SimulatorLostError: If it is not ours to restart and does not come back in time.
        """
        if self._server is not None:
            self._server.restart()
            self.client = self._connect()
            return
        deadline = time.monotonic() + _RETURN_TIMEOUT_S
        while True:
            try:
                self.client = self._connect()
            except SimulatorLostError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)
            else:
                return

    def close(self) -> None:
        """End the simulator if it is ours."""
        if self._server is not None:
            self._server.stop()

    def _connect(self) -> carla.Client:
        if self._server is not None:
            return self._server.connect(self._choice.timeout_s)
        return connect(self._choice.host or "", self._choice.port, self._choice.timeout_s)
