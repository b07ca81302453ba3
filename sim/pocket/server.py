"""The server process: sockets, the world behind them, and the pace of an asynchronous world."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bicameral.errors import BicameralError, MachineError, UserError
from sim.pocket.call_timing import TICKING_METHODS, CallTiming
from sim.pocket.foreign_maps import MapTrial, verdict
from sim.pocket.manager_rescue import ManagerRescue
from sim.pocket.map_store import MapStore
from sim.pocket.methods import METHODS
from sim.pocket.methods.dispatch import Dispatcher
from sim.pocket.methods.episode import needs_navigation
from sim.pocket.protocol.framing import Request, value_error
from sim.pocket.protocol.rpc_server import RpcConnection, RpcServer
from sim.pocket.protocol.stream_server import StreamServer
from sim.pocket.recording.file import Recording
from sim.pocket.silent_world import are_compiled, compile_kernels
from sim.pocket.world import tick
from sim.pocket.world.recorder import RecordingPlaces
from sim.pocket.world.town import TownShelf
from sim.pocket.world.world import World

#: How often an asynchronous server looks whether it has become one.
_IDLE_S = 0.01
#: How often it looks whether it may tick again while a client loads a world.
_QUIET_S = 0.001
_BACKLOG = 512
_MOST_CAMERA_THREADS = 64
#: Calls that may open another map.
_LOADING_METHODS = frozenset({"load_new_episode", "replay_file"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How to run a server.

    Attributes:
        host: Address to listen on; loopback unless the network may drive, too.
        port: RPC port; the next port is for streams.
        map_folders: Folders with OpenDRIVE files besides the shipped ones.
        town: The first map.
        seed: Seed of scenery and noise.
        compile_first: Whether to compile the kernels before clients can connect, where no server of
            this installation has yet.
        camera_threads: How many threads render a picture; its bytes are the same with any number.
        number_anew: Whether every load of a world numbers its actors from the first on, for a
            client that drives many episodes and keeps no actor of an earlier one: the Traffic
            Manager goes through its vehicles in an order that depends on their numbers.
        build_late: Whether the scenery of a town is built only when something needs it, for a
            client that gives every call the time that this takes.
    """

    host: str = "127.0.0.1"
    port: int = 2000
    map_folders: tuple[Path, ...] = ()
    town: str = "Harbour"
    seed: int = 0
    compile_first: bool = False
    camera_threads: int = 1
    number_anew: bool = False
    build_late: bool = False

    def __post_init__(self) -> None:
        """Refuse what no camera can be rendered on."""
        if not 1 <= self.camera_threads <= _MOST_CAMERA_THREADS:
            raise UserError(
                f"cameras cannot be rendered on {self.camera_threads} threads; "
                f"give 1 to {_MOST_CAMERA_THREADS}"
            )


class MapTrials:
    """Tries foreign maps out in processes of their own while other clients go on.

    Args:
        world: Knows the maps.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._trials: dict[RpcConnection, MapTrial | None] = {}

    def is_on(self, connection: RpcConnection, request: Request) -> bool:
        """Say whether the map that a client wants to load is still being tried out."""
        if connection not in self._trials:
            self._trials[connection] = self._begin(request)
        trial = self._trials[connection]
        if trial is None or not trial.is_over():
            return trial is not None
        self._trials[connection] = None
        return False

    def forget(self, connection: RpcConnection) -> None:
        """End the trial of a client whose load is over or that has gone."""
        trial = self._trials.pop(connection, None)
        if trial is not None:
            trial.end()

    def _begin(self, request: Request) -> MapTrial | None:
        name = next(iter(request.arguments), None)
        if not isinstance(name, str):
            return None  # the load itself says what is wrong
        with contextlib.suppress(BicameralError):
            if request.method == "replay_file":
                name = Recording(self._world.recordings.path(name)).about.town
            source = self._world.source(name)
            if source is not None:
                # its client will ask for the mesh as soon as it has the world
                self._world.navigation.begin(source.name, source.text)
            if source is not None and source.foreign and verdict(source.text) is None:
                return MapTrial(source.text)
        return None


class _Service:
    """Joins the RPC server with the methods."""

    def __init__(self, world: World, streams: StreamServer) -> None:
        self._world = world
        self._streams = streams
        self._dispatcher = Dispatcher(world, METHODS)
        self.timing = CallTiming(streams, world.traffic_managers, world.world_stream_id)
        self.rescue = ManagerRescue(world.traffic_managers)
        self._trials = MapTrials(world)
        self.must_hold_answer = self.timing.must_hold_answer

    def answer(self, connection: RpcConnection, request: Request) -> tuple[str | None, object]:
        """Answer a call."""
        if self.timing.listens_twice(connection, request):
            return None, value_error(
                "the sensor is listened to already; call stop() before it is listened to again"
            )
        before = self._world.episode
        outcome = self._dispatcher.answer(connection, request)
        if request.method in _LOADING_METHODS:
            self._trials.forget(connection)
        self.rescue.note(connection, request)
        self.timing.note(connection, request, new_episode=self._world.episode is not before)
        return outcome

    def must_defer(self, connection: RpcConnection, request: Request) -> bool:
        """Hold calls back while a map is tried out or meshed, and what `CallTiming` says."""
        if request.method in _LOADING_METHODS and self._trials.is_on(connection, request):
            return True
        if request.method == "get_required_files" and self._is_meshing(request):
            return True
        return self.timing.must_defer(connection, request)

    def _is_meshing(self, request: Request) -> bool:
        town = self._world.episode.town.map
        return any(map(needs_navigation, request.arguments)) and (
            self._world.navigation.must_wait(town.name, town.opendrive)
        )

    def must_wait(self, request: Request) -> bool:
        """Hold synchronous ticks back while a reader of a stream is behind."""
        if request.method not in TICKING_METHODS:
            return False
        self._streams.settle()
        return self._streams.holds_up()

    def forget(self, connection: RpcConnection) -> None:
        """Forget what belongs to a client that has gone."""
        self._world.traffic_managers.forget(connection)
        self._world.old_episode_ids.pop(connection, None)
        self._trials.forget(connection)
        self.rescue.forget(connection)
        self.timing.forget(connection)


def bind(host: str, port: int) -> socket.socket:
    """Bind a TCP port.

    Raises:
        MachineError: It is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise MachineError(
            f"cannot listen on {host}:{port}: {error}; a server needs its port and the next one: "
            "stop what uses them or choose another with --port"
        ) from error
    return listener


async def serve(settings: ServerSettings, ready: Callable[[], None] = lambda: None) -> None:
    """Run a server until cancelled.

    Args:
        settings: See `ServerSettings`.
        ready: Called when clients can connect.

    Raises:
        MachineError: A port is taken.
        UserError: There is no such town.
    """
    _raise_file_limit()
    with (
        contextlib.closing(bind(settings.host, settings.port)) as rpc_listener,
        contextlib.closing(bind(settings.host, settings.port + 1)) as stream_listener,
    ):
        streams = StreamServer(settings.port + 1)
        shelf = TownShelf(
            MapStore(settings.map_folders),
            settings.seed,
            settings.camera_threads,
            build_late=settings.build_late,
        )
        if settings.compile_first and not are_compiled():
            compile_kernels(shelf, settings.town, settings.seed)
        world = World(
            shelf,
            streams,
            town=settings.town,
            seed=settings.seed,
            number_anew=settings.number_anew,
        )
        world.recordings = RecordingPlaces(anywhere=_is_loopback(settings.host))
        streams.greet(world.world_stream_id, lambda: tick.present_snapshot(world))
        streams.start(stream_listener)
        service = _Service(world, streams)
        rpc_server = await RpcServer(service).start(rpc_listener)
        watch = asyncio.create_task(service.rescue.watch())
        try:
            world.navigation.begin(world.episode.town.name, world.episode.town.map.opendrive)
            ready()
            await _run_asynchronous_world(world, service.timing)
        finally:
            watch.cancel()
            rpc_server.close()
            streams.close()
            world.recorder.stop()
            world.navigation.close()


async def _run_asynchronous_world(world: World, timing: CallTiming) -> None:
    """Tick in real time while no client has asked for synchronous mode."""
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        if world.settings.synchronous_mode:
            await asyncio.sleep(_IDLE_S)
            due_s = loop.time()
            continue
        if timing.is_quiet:
            await asyncio.sleep(_QUIET_S)
            continue
        try:
            tick.advance(world)
        except Exception:
            # A defect of ours in one tick must not end the server for every client.
            logger.exception("a tick failed")
        # A world that is late goes on from now on; it does not hurry to catch up.
        due_s = max(due_s + world.delta_s, loop.time())
        await asyncio.sleep(max(0.0, due_s - loop.time()))


def _is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
