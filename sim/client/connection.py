"""Connecting to a simulator and opening a town in synchronous mode."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import carla

from bicameral.errors import SimulatorLostError, UserError, VersionMismatchError, unknown_name
from bicameral.simulation import CARLA_VERSION, TICK_S

#: Loading a town can take this long: the first load in a fresh process generates the map, builds
#: its scene and compiles the renderer; a real server reads several gigabytes.
DEFAULT_TIMEOUT_S = 120.0

#: Towns that every pocket simulator ships and CARLA does not have.
POCKET_TOWNS = frozenset({"Harbour", "Millbrook", "Ridgeway"})

#: The error text of the client when no answer came, from every blocking call.
_TIMEOUT_TEXT = "time-out"


def is_lost_simulator(error: BaseException | None) -> bool:
    """Return whether an error says that the simulator no longer answers."""
    if isinstance(error, SimulatorLostError):
        return True
    return isinstance(error, RuntimeError) and _TIMEOUT_TEXT in str(error)


@contextmanager
def simulator_errors(doing: str) -> Iterator[None]:
    """Turn the client's time-outs within this context into `SimulatorLostError`.

    The carla package raises a plain `RuntimeError` both for a server that has gone and for a
    request that the server refused; only the first becomes a lost simulator.

    Args:
        doing: What was being done, for the message, e.g. ``"loading town 'Harbour'"``.

    Raises:
        SimulatorLostError: If the simulator did not answer in time.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_lost_simulator(error):
            raise
        raise SimulatorLostError(
            f"the simulator stopped answering while {doing} ({error}); look at the server's log, "
            "restart it and repeat the command with --resume"
        ) from error


def connect(
    host: str = "127.0.0.1", port: int = 2000, timeout_s: float = DEFAULT_TIMEOUT_S
) -> carla.Client:
    """Connect to a simulator and check that it is exactly version 0.9.16.

    Args:
        host: Name or address of the machine that runs the server.
        port: RPC port; the next port is used for sensor data.
        timeout_s: How long each later call may take.

    Returns:
        A client that has already talked to the server.

    Raises:
        SimulatorLostError: If nothing answers there.
        VersionMismatchError: If the server, or the installed client, is another version.
    """
    # A carla.Client made while nothing listens never connects and waits its whole time-out, so
    # the plain connection comes first.
    try:
        socket.create_connection((host, port), timeout=min(timeout_s, 10.0)).close()
    except OSError as error:
        raise SimulatorLostError(
            f"nothing answers at {host}:{port} ({error}); expected a CARLA {CARLA_VERSION} server "
            f"or the pocket simulator: start one with 'bicameral simulate --port {port}'"
        ) from error
    client = carla.Client(host, port, worker_threads=1)
    client.set_timeout(timeout_s)
    with simulator_errors(f"asking {host}:{port} for its version"):
        server = client.get_server_version()
    installed = client.get_client_version()
    if not server == installed == CARLA_VERSION:
        raise VersionMismatchError(
            f"the simulator at {host}:{port} is version {server!r} and the installed carla package "
            f"is {installed!r}; both must be exactly {CARLA_VERSION}, because the wire format "
            f"differs between versions. Install carla=={CARLA_VERSION} and start a CARLA "
            f"{CARLA_VERSION} server, or use the pocket simulator: bicameral simulate"
        )
    return client


def synchronous_settings() -> carla.WorldSettings:
    """Return the settings of every run: synchronous, 20 Hz, ten physics substeps of 5 ms."""
    return carla.WorldSettings(
        synchronous_mode=True,
        no_rendering_mode=False,
        fixed_delta_seconds=TICK_S,
        substepping=True,
        max_substep_delta_time=0.01,
        max_substeps=10,
        deterministic_ragdolls=True,
    )


def open_town(client: carla.Client, town: str | Path) -> carla.World:
    """Load a town afresh and switch it to synchronous mode at 20 Hz.

    The world is always loaded anew, even when the town is already open: actors, traffic lights and
    random state of an earlier run must not reach into this one. It is synchronous before it is
    loaded, and its traffic lights begin anew at the end, because how many ticks pass while the
    client waits for a load depends on the machine.

    Args:
        client: A connected client.
        town: A town's name (``"Harbour"``), or the path of an OpenDRIVE file (``*.xodr``).

    Returns:
        The world, after its first tick.

    Raises:
        UserError: If the server has no such town or the file cannot be read.
        SimulatorLostError: If the simulator did not answer in time.
    """
    with simulator_errors(f"loading town {str(town)!r}"):
        client.get_world().apply_settings(synchronous_settings())
        if str(town).endswith(".xodr"):
            world = _generate_world(client, Path(town))
        else:
            known = town_names(client)
            try:
                world = client.load_world(str(town), reset_settings=False)
            except RuntimeError as error:
                if is_lost_simulator(error) or str(town).rsplit("/", 1)[-1] in known:
                    raise
                raise unknown_name("town", str(town), known) from error
        world.apply_settings(synchronous_settings())
        world.reset_all_traffic_lights()
        world.tick()
    return world


def _generate_world(client: carla.Client, path: Path) -> carla.World:
    try:
        opendrive = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read the OpenDRIVE file {str(path)!r}: {error}") from error
    return client.generate_opendrive_world(
        opendrive, carla.OpendriveGenerationParameters(), reset_settings=False
    )


@contextmanager
def driven_town(client: carla.Client, town: str | Path) -> Iterator[carla.World]:
    """Open a town for the length of a ``with`` block, then give the settings back.

    A server that is left synchronous without a client to tick it looks frozen to everyone else,
    so the settings found at the start are restored even after an error, unless the error is that
    the simulator has gone.
    """
    with simulator_errors("reading the world's settings"):
        before = client.get_world().get_settings()
    lost = False
    try:
        yield open_town(client, town)
    except BaseException as error:
        lost = is_lost_simulator(error)
        raise
    finally:
        if not lost:
            with simulator_errors("restoring the world's settings"):
                client.get_world().apply_settings(before)


def town_names(client: carla.Client) -> set[str]:
    """Return the names of the server's maps, without the folders that CARLA puts before them."""
    return {path.rsplit("/", 1)[-1] for path in client.get_available_maps()}


def simulator_kind(client: carla.Client) -> str:
    """Return ``"pocket"`` or ``"carla"``: which of the two simulators answers.

    Both speak the same protocol and report the same version; the pocket simulator is known by the
    towns that only it ships.
    """
    with simulator_errors("asking for the available maps"):
        return "pocket" if town_names(client) >= POCKET_TOWNS else "carla"
