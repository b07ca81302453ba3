"""The streaming server: pushes sensor messages to subscribers, one TCP connection per stream.

A client connects, writes the stream id (4 bytes, little endian) and only reads from then on. The
server never closes the socket of a proper client, because clients reconnect at once and for ever:
streams that do not exist, or no longer, are accepted and stay silent.

Messages are sent straight from the caller's buffers. What the kernel does not take is queued by
reference. A reader that falls behind holds up synchronous ticks for a moment (CARLA waits for
ever); then it counts as stalled and misses messages until it has caught up.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Sequence

from sim.pocket.protocol.unread import unread_bytes

#: Bytes queued for one connection before it counts as congested.
MAX_QUEUED_BYTES = 8 << 20
#: How long a congested connection may hold up synchronous ticks before it misses messages.
PATIENCE_S = 0.5
#: A client writes its four bytes right after connecting; who does not, is none.
_SUBSCRIBE_WITHIN_S = 10.0
_SEND_BUFFER_BYTES = 4 << 20
_ACCEPTS_PER_TURN = 64
_ACCEPT_RETRY_S = 0.2
_BUFFERS_PER_SEND = 64
#: A client that has asked for a token subscribes within this time, or not at all.
_SUBSCRIBED_WITHIN_S = 0.25
#: Streams whose subscribers are awaited at a time; more are no sensors of a script.
_MOST_EXPECTED = 1000
#: How often a reader is waited for in vain.
_WAITS_IN_VAIN = 10
#: Larger messages are read by a client in several pieces.
_LARGE_BYTES = 16 << 10

_stream_id = struct.Struct("<I")
_size = struct.Struct("<I")
_token = struct.Struct("<IHBB16x")
_TOKEN_PROTOCOL_TCP = 1
_TOKEN_ADDRESS_OF_RPC_HOST = 0

logger = logging.getLogger(__name__)


class StreamConnection:
    """One subscriber of one stream.

    Attributes:
        waits_left: How often it may yet be waited for in vain.
        owner: The RPC connection of the client that asked for the stream, as far as is known.
    """

    def __init__(self, server: StreamServer, connected: socket.socket) -> None:
        self._server = server
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._queue: deque[memoryview] = deque()
        self._message_ends: deque[int] = deque()
        self._queued_bytes = 0
        self._congested_since_s: float | None = None
        self._stalled = False
        self.waits_left = _WAITS_IN_VAIN
        self.owner: object = None
        self._stream_id: int | None = None
        self._deadline = self._loop.call_later(_SUBSCRIBE_WITHIN_S, self.close)
        self._loop.add_reader(connected, self.read)

    @property
    def is_unread(self) -> bool:
        """True while a reader on this machine has not taken all that was sent."""
        return self._socket.fileno() >= 0 and bool(self._queue or unread_bytes(self._socket))

    @property
    def holds_up(self) -> bool:
        """True while a synchronous tick should wait for this reader."""
        if self._stalled or self._queued_bytes <= MAX_QUEUED_BYTES:
            return False
        now_s = self._loop.time()
        if self._congested_since_s is None:
            self._congested_since_s = now_s
        if now_s - self._congested_since_s < PATIENCE_S:
            return True
        self._stall()
        return False

    def send(self, buffers: Sequence[bytes]) -> None:
        """Send one message, or queue it, or drop it when the reader has stalled."""
        if self._queue:
            if self._stalled:
                return
            if self._queued_bytes > 2 * MAX_QUEUED_BYTES:
                self._stall()
                return
            self._enqueue(buffers, 0)
            return
        size = sum(len(buffer) for buffer in buffers)
        if size > _LARGE_BYTES:
            self._server.note_large(self)
        try:
            sent = self._socket.sendmsg(buffers)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        if sent < size:
            self._enqueue(buffers, sent)
            self._loop.add_writer(self._socket, self._on_writable)

    def read(self) -> None:
        """Read what has arrived: the subscription, or the end of the connection."""
        try:
            data = self._socket.recv(64)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        # No client writes after its subscription: what does is no client.
        if not data or self._stream_id is not None:
            self.close()
            return
        self._received += data
        if len(self._received) > _stream_id.size:
            self.close()
        elif len(self._received) == _stream_id.size:
            self._deadline.cancel()
            (self._stream_id,) = _stream_id.unpack(self._received)
            self._server.add(self, self._stream_id)

    def close(self) -> None:
        """Close the socket and forget the subscription."""
        self._deadline.cancel()
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._queue.clear()
        self._queued_bytes = 0
        self._server.remove(self, self._stream_id)

    def _enqueue(self, buffers: Sequence[bytes], skip: int) -> None:
        for buffer in buffers:
            if skip >= len(buffer):
                skip -= len(buffer)
                continue
            view = memoryview(buffer)[skip:]
            skip = 0
            self._queue.append(view)
            self._queued_bytes += len(view)
        self._message_ends.append(len(self._queue))

    def _stall(self) -> None:
        # The message in flight must be finished; the whole messages behind it are given up.
        kept = self._message_ends[0]
        while len(self._queue) > kept:
            self._queued_bytes -= len(self._queue.pop())
        self._message_ends = deque([kept])
        self._stalled = True
        logger.info("a reader of stream %s has stalled; it misses messages", self._stream_id)

    def _on_writable(self) -> None:
        try:
            head = [self._queue[i] for i in range(min(len(self._queue), _BUFFERS_PER_SEND))]
            sent = self._socket.sendmsg(head)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        self._queued_bytes -= sent
        popped = 0
        while sent:
            view = self._queue.popleft()
            if sent < len(view):
                self._queue.appendleft(view[sent:])
                break
            sent -= len(view)
            popped += 1
        self._forget_sent_messages(popped)
        if not self._queue:
            self._loop.remove_writer(self._socket)
            self._stalled = False
        if self._queued_bytes <= MAX_QUEUED_BYTES:
            self._congested_since_s = None

    def _forget_sent_messages(self, popped: int) -> None:
        self._message_ends = deque(end - popped for end in self._message_ends if end - popped > 0)


class StreamServer:
    """Listens for subscribers and publishes messages to them.

    Args:
        port: The port that tokens name.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections: set[StreamConnection] = set()
        self._unsubscribed: set[StreamConnection] = set()
        self._subscribers: dict[int, list[StreamConnection]] = {}
        self._greetings: dict[int, Callable[[], Sequence[bytes]]] = {}
        self._listener: socket.socket | None = None
        self._subscriptions: Counter[int] = Counter()
        self._expected: dict[int, list[tuple[float, object]]] = {}
        self._awaited_since_s: float | None = None
        self._read_lately: set[StreamConnection] = set()

    def start(self, listener: socket.socket) -> None:
        """Accept connections on a bound, listening socket."""
        listener.setblocking(False)
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept)

    def token(self, stream_id: int) -> bytes:
        """Return the 24 bytes that tell a client where to subscribe."""
        return _token.pack(stream_id, self._port, _TOKEN_PROTOCOL_TCP, _TOKEN_ADDRESS_OF_RPC_HOST)

    def greet(self, stream_id: int, message: Callable[[], Sequence[bytes]]) -> None:
        """Let every new subscriber of a stream begin with a message.

        Args:
            stream_id: The stream.
            message: Makes the message when somebody subscribes; see `publish`.
        """
        self._greetings[stream_id] = message

    def has_subscribers(self, stream_id: int) -> bool:
        """Say whether anybody would receive a message."""
        return stream_id in self._subscribers

    def publish(self, stream_id: int, parts: Sequence[bytes]) -> None:
        """Send one message to all subscribers of a stream.

        Args:
            stream_id: The stream.
            parts: Buffers that form the message together. They are kept by reference until they
                are sent, so they must not change afterwards.
        """
        subscribers = self._subscribers.get(stream_id)
        if not subscribers:
            return
        buffers = _framed(parts)
        for connection in tuple(subscribers):
            connection.send(buffers)

    def holds_up(self) -> bool:
        """True while a synchronous tick should wait for readers to catch up."""
        return any(connection.holds_up for connection in self._connections)

    def settle(self) -> None:
        """Take in every subscription that has arrived.

        A tick that a client asks for after it has subscribed must reach that subscription, however
        late this process comes to look at its sockets and in whatever order.
        """
        self._accept()
        for connection in tuple(self._unsubscribed):
            connection.read()

    def subscriptions(self, stream_id: int) -> int:
        """Return how many have ever subscribed to a stream."""
        return self._subscriptions[stream_id]

    def expect_subscriber(self, stream_id: int, now_s: float, owner: object) -> None:
        """Note that a client has asked for a stream's token."""
        if len(self._expected) < _MOST_EXPECTED:
            expected = (now_s + _SUBSCRIBED_WITHIN_S, owner)
            self._expected.setdefault(stream_id, []).append(expected)

    def is_subscribed(self, stream_id: int, owner: object) -> bool:
        """Say whether a client that asks for a stream's token has subscribed to it already."""
        self.settle()
        subscribers = tuple(self._subscribers.get(stream_id, ()))
        for connection in subscribers:
            if connection.owner is owner:
                connection.read()  # it may have just been closed
        return any(one.owner is owner for one in self._subscribers.get(stream_id, ()))

    def awaits_subscribers(self, now_s: float) -> bool:
        """True while a client that has asked for a token has not subscribed yet.

        However many ask, they are awaited no longer than one of them may take.
        """
        if self._awaited_since_s is None:
            self._awaited_since_s = now_s
        if self._expected and now_s - self._awaited_since_s < _SUBSCRIBED_WITHIN_S:
            self.settle()
            self._expected = {
                stream_id: left
                for stream_id, deadlines in self._expected.items()
                if (left := [one for one in deadlines if one[0] > now_s])
            }
            if self._expected:
                return True
        self._expected = {}
        self._awaited_since_s = None
        return False

    def note_large(self, connection: StreamConnection) -> None:
        """Note that a reader gets a message that it reads in several pieces."""
        if connection.waits_left > 0:
            self._read_lately.add(connection)

    def wait_no_longer(self) -> None:
        """Forget who has not read in time; who often does not is not waited for any more.

        The official client reads in a thread of its own. A reader that reads after the tick would
        hold up every one.
        """
        for connection in self._read_lately:
            connection.waits_left -= 1
        self._read_lately.clear()

    def unread(self) -> bool:
        """True while a reader has not taken all of the large messages that were sent lately."""
        self._read_lately = {one for one in self._read_lately if one.is_unread}
        return bool(self._read_lately)

    def add(self, connection: StreamConnection, stream_id: int) -> None:
        """Subscribe a connection."""
        self._unsubscribed.discard(connection)
        self._subscriptions[stream_id] += 1
        if self._expected.get(stream_id):
            _deadline_s, connection.owner = self._expected[stream_id].pop(0)
        self._subscribers.setdefault(stream_id, []).append(connection)
        if stream_id in self._greetings:
            connection.send(_framed(self._greetings[stream_id]()))

    def remove(self, connection: StreamConnection, stream_id: int | None) -> None:
        """Forget a connection that has closed."""
        self._connections.discard(connection)
        self._unsubscribed.discard(connection)
        self._read_lately.discard(connection)
        if stream_id is None:
            return
        subscribers = self._subscribers[stream_id]
        subscribers.remove(connection)
        if not subscribers:
            del self._subscribers[stream_id]

    def close(self) -> None:
        """Stop listening and close all connections."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for connection in tuple(self._connections):
            connection.close()

    def _accept(self) -> None:
        if self._listener is None:
            return
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                connected, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Usually too many open files: let some close before accepting more.
                logger.warning("cannot accept a stream connection: %s", error)
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener)
                loop.call_later(_ACCEPT_RETRY_S, self._accept_again)
                return
            connected.setblocking(False)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            connection = StreamConnection(self, connected)
            self._connections.add(connection)
            self._unsubscribed.add(connection)

    def _accept_again(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)


def _framed(parts: Sequence[bytes]) -> tuple[bytes, ...]:
    return (_size.pack(sum(len(part) for part in parts)), *parts)
