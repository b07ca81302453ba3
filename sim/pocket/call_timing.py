"""When a call is answered: later than asked, where the client's own races would end its process.

LibCarla 0.9.16 swaps its episode and subscribes to streams in threads that do not wait for each
other, and closes a stream while another thread reads it. A server cannot mend that. But it decides
when calls are answered, and so whether the threads can meet:

* while a client loads a world, only the calls that swap its episode are answered, and no snapshot
  reaches it before it has subscribed again (else: a null episode, or a subscription used after it
  was freed);
* a client whose Traffic Manager has to plan on the new map ticks only when that has read it;
* a tick waits for the subscriptions that clients hold tokens for, so that the first tick after
  ``listen()`` delivers;
* a tick's answer waits until its images were read, since scripts stop cameras right after it.

Every wait has an end, so that no client can hold up another for long.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sim.pocket.protocol.framing import Request
from sim.pocket.protocol.rpc_server import RpcConnection
from sim.pocket.protocol.stream_server import StreamServer
from sim.pocket.world.traffic_managers import TrafficManagerRegistry

TICKING_METHODS = frozenset({"tick_cue", "apply_batch"})
_SWAPPING_METHODS = frozenset(
    {"version", "get_episode_info", "get_sensor_token", "load_new_episode"}
)

#: A snapshot that was sent before a load has been taken in by its client after this time.
_SETTLED_S = 0.02
#: How long a load waits for a client's Traffic Managers to be held at one of their calls.
_MANAGERS_HELD_S = 0.3
#: Longest time without snapshots; a client subscribes within a few milliseconds.
_QUIET_S = 1.0
#: Longest time in which a client's other calls wait for its swap.
_SWAP_S = 2.0
#: Longest time in which ticks wait for Traffic Managers to have read the new map.
_PLANNING_S = 10.0
#: Longest time in which the answer to a tick waits for readers.
_READ_S = 0.05


@dataclass(slots=True)
class _Loading:
    """A client that loads a world; times are those of the monotonic clock.

    Attributes:
        asked_s: When it asked.
        swaps_until_s: When the swap counts as failed; None before the load.
        managers: Traffic Managers that have not read the new map.
        plans_until_s: When they are waited for no longer.
    """

    asked_s: float
    swaps_until_s: float | None = None
    managers: int = 0
    plans_until_s: float = 0.0


class CallTiming:
    """Says which calls have to wait.

    Args:
        streams: Where clients subscribe.
        managers: The Traffic Managers of the clients.
        world_stream_id: The stream of the snapshots.
    """

    def __init__(
        self, streams: StreamServer, managers: TrafficManagerRegistry, world_stream_id: int
    ) -> None:
        self._streams = streams
        self._managers = managers
        self._world_stream_id = world_stream_id
        self._loading: dict[RpcConnection, _Loading] = {}
        self._quiet_until_s = 0.0
        self._subscriptions_before = 0

    @property
    def is_quiet(self) -> bool:
        """True while no snapshot may be sent."""
        if time.monotonic() >= self._quiet_until_s:
            return False
        self._streams.settle()
        return self._streams.subscriptions(self._world_stream_id) <= self._subscriptions_before

    def must_defer(self, connection: RpcConnection, request: Request) -> bool:
        """Say whether a call waits while later ones of its client are answered."""
        now_s, method = time.monotonic(), request.method
        if method == "load_new_episode" and connection not in self._loading:
            self._loading[connection] = _Loading(asked_s=now_s)
            self._keep_quiet(now_s)
        loading = self._loading.get(connection)
        if loading is not None:
            if loading.swaps_until_s is None:
                return method != "load_new_episode" or not self._may_load(
                    connection, loading.asked_s, now_s
                )
            if now_s < loading.swaps_until_s:
                return method not in _SWAPPING_METHODS
            if method == "tick_cue" and loading.managers and now_s < loading.plans_until_s:
                return True
            if method == "load_new_episode" or not loading.managers:
                del self._loading[connection]
                return method == "load_new_episode" and self.must_defer(connection, request)
        return method in TICKING_METHODS and (
            self.is_quiet or self._streams.awaits_subscribers(now_s)
        )

    def must_hold_answer(self, request: Request, since_s: float) -> bool:
        """Say whether an answer waits for the images of its tick to be read.

        Args:
            request: The call that was carried out.
            since_s: When.
        """
        if request.method not in TICKING_METHODS or not self._streams.unread():
            return False
        if time.monotonic() - since_s < _READ_S:
            return True
        self._streams.wait_no_longer()
        return False

    def listens_twice(self, connection: RpcConnection, request: Request) -> bool:
        """Say whether a call is the second `listen()` to a sensor without a `stop()`.

        LibCarla keeps only the first of two subscriptions to a stream; the second one is freed
        while it is in use, which ends the client's process sooner or later.
        """
        if request.method != "get_sensor_token" or len(request.arguments) != 1:
            return False
        (stream_id,) = request.arguments
        if not isinstance(stream_id, int) or stream_id == self._world_stream_id:
            return False
        return self._streams.is_subscribed(stream_id, connection)

    def note(self, connection: RpcConnection, request: Request, *, new_episode: bool) -> None:
        """Note a call that was carried out.

        Args:
            connection: Whose.
            request: Which.
            new_episode: Whether it began another episode.
        """
        now_s = time.monotonic()
        loading = self._loading.get(connection)
        if request.method == "get_sensor_token":
            if loading is not None and loading.swaps_until_s is not None:
                loading.swaps_until_s = now_s
            for stream_id in request.arguments[:1]:
                if isinstance(stream_id, int):
                    self._streams.expect_subscriber(stream_id, now_s, connection)
        elif loading is None:
            return
        elif request.method == "load_new_episode":
            if not new_episode:
                del self._loading[connection]
                self._quiet_until_s = 0.0
                return
            self._keep_quiet(now_s)
            loading.swaps_until_s = now_s + _SWAP_S
            loading.managers = self._managers.count(connection)
            loading.plans_until_s = now_s + _PLANNING_S
        elif request.method == "get_required_files" and request.arguments == ["TM"]:
            loading.managers = max(0, loading.managers - 1)

    def forget(self, connection: RpcConnection) -> None:
        """Forget a client that has gone."""
        if self._loading.pop(connection, None) is not None:
            self._quiet_until_s = 0.0

    def _may_load(self, connection: RpcConnection, asked_s: float, now_s: float) -> bool:
        """Say whether no thread of the client is in the midst of the old episode."""
        waited_s = now_s - asked_s
        held = connection.deferred_count >= 1 + self._managers.count(connection)
        return waited_s >= _SETTLED_S and (held or waited_s >= _MANAGERS_HELD_S)

    def _keep_quiet(self, now_s: float) -> None:
        self._quiet_until_s = now_s + _QUIET_S
        self._subscriptions_before = self._streams.subscriptions(self._world_stream_id)
