"""The result memory on a Redis or Valkey server, shared by several processes.

A batch is one round trip, which costs more than a small network does: it is for classifiers that
take a millisecond, and for fleets whose processes see the same pictures. The server only stores and
orders; keys are computed and candidates verified here, by the same code as in one process.
"""

from __future__ import annotations

import logging
import math
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError, MachineError, MissingExtraError, look_up
from bicameral.types import MemoryCounters, Prediction
from edge.memory import redis_scripts
from edge.memory.circuit_breaker import CircuitBreaker
from edge.memory.entries import BUCKET_LIMIT, sure_rows
from edge.memory.keys import KEYS, content_digests
from edge.memory.settings import MemorySettings
from edge.memory.verification import choose

_log = logging.getLogger(__name__)

#: Version of the layout and of the packed answer; part of every key, so that versions do not meet.
_LAYOUT = 1
#: Images of one request; more are split, because the server does one thing at a time: 32 lookups of
#: verified keys keep it busy for a millisecond.
_IMAGES_PER_REQUEST = 32
#: Pauses after failures.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
#: Packed answer: image height, width, channels (0 if there is no image), classes, confidence.
_PREFIX = struct.Struct("<HHHHf")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """Where a shared memory lives.

    Attributes:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``; it may hold a password and is never
            logged. Give an address rather than a name where time matters: looking up a name has no
            time limit.
        timeout_s: How long connecting and each reading from the server may take.
        prefix: Start of all keys, for servers that hold other things too.
        administration_timeout_s: The same for `RedisMemory.clear`, which may be slow and is not
            skipped.
    """

    url: str
    timeout_s: float = 0.005
    prefix: str = "bicameral"
    administration_timeout_s: float = 5.0


class RedisMemory:
    """`bicameral.protocols.ResultMemory` on a server; thread-safe.

    A server that does not answer in time is skipped and counted: a lookup finds nothing, a store is
    dropped, and for a pause that grows from 0.1 s to 10 s nobody waits for it again. The limits of
    entries hold for all processes together, which should therefore use the same settings.
    """

    def __init__(
        self,
        settings: MemorySettings,
        server: RedisServer,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the first call connects.

        Args:
            settings: What to remember, and when to recognise it.
            server: Where.
            clock: Seconds that never go back, for the pauses. Ages are measured by the server.

        Raises:
            ConfigError: If the URL is none of a Redis server.
            MissingExtraError: If the package ``redis`` is not installed.
            UserError: If there is no key of the settings' name.
        """
        self.settings = settings
        self._server = server
        self._scheme = look_up("memory key", settings.key, KEYS)
        self._client = _connect(server.url, server.timeout_s)
        self._lookup, self._store, self._count = (
            self._client.register_script(script)
            for script in (redis_scripts.LOOKUP, redis_scripts.STORE, redis_scripts.COUNT)
        )
        self._least = float(np.float32(settings.store_min_confidence))
        self._tag = f"{{{server.prefix}:{settings.key}:{_LAYOUT}}}".encode()
        self._index = [self._tag + b":use", self._tag + b":age"]
        self._max_age_ms = max(1, round(1000 * settings.max_age_s)) if settings.max_age_s else 0
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._breaker = CircuitBreaker(
            first_pause_s=_FIRST_PAUSE_S, longest_pause_s=_LONGEST_PAUSE_S, clock=clock
        )

    def lookup(self, namespace: str, images: NDArray[np.uint8]) -> list[Prediction | None]:
        """Return what is known of each image; nothing if the server does not answer in time.

        Args and errors are those of `edge.memory.local.LocalMemory.lookup`.
        """
        images = np.ascontiguousarray(images)
        self._add(lookups=len(images))
        found: list[Prediction | None] = []
        for start in range(0, len(images), _IMAGES_PER_REQUEST):
            found += self._lookup_part(namespace, images[start : start + _IMAGES_PER_REQUEST])
        return found

    def store(self, namespace: str, images: NDArray[np.uint8], results: Prediction) -> None:
        """Remember the results that are confident enough; none if the server does not answer.

        Args and errors are those of `edge.memory.local.LocalMemory.store`.
        """
        rows = [row for row, _ in sure_rows(self._least, images, results)]
        self._add(not_stored=len(images) - len(rows))
        start, limit = self._start(namespace), BUCKET_LIMIT if self._scheme.verified else 1
        for first in range(0, len(rows), _IMAGES_PER_REQUEST):
            part = rows[first : first + _IMAGES_PER_REQUEST]
            fields = self._fields(start, images[part], part, results)
            reply = self._ask(
                self._store, [self._max_age_ms, self.settings.max_entries, limit, *fields]
            )
            if reply is None:
                self._add(skipped=len(part))
            else:
                self._add(stored=len(part), expired=reply[0], evicted=reply[1])

    def clear(self, namespace: str | None = None) -> None:
        """Forget one namespace, or everything, for all processes; the counters go on.

        Raises:
            MachineError: If the server does not answer: what it holds may still be there.
        """
        client = _connect(self._server.url, self._server.administration_timeout_s)
        start = b"" if namespace is None else self._start(namespace)
        try:
            client.register_script(redis_scripts.CLEAR)(keys=self._index, args=[start])
        except _redis().RedisError as error:
            raise MachineError(
                f"the memory server did not clear its entries: {error}; they may still be there, "
                "try again when it runs"
            ) from error
        finally:
            client.close()

    def counters(self) -> MemoryCounters:
        """Return what this process did; `entries` is what the server holds, 0 if it is silent."""
        reply = self._ask(self._count, [self._max_age_ms])
        expired, entries = (0, 0) if reply is None else reply
        self._add(expired=expired)
        with self._lock:
            return MemoryCounters(**self._counts, entries=entries)

    def close(self) -> None:
        """Close the connections; the next call opens them again."""
        self._client.close()

    def _lookup_part(self, namespace: str, images: NDArray[np.uint8]) -> list[Prediction | None]:
        """Look up as many images as one request takes."""
        probes = self._scheme.probes(images)
        keys = [key for image_keys in probes for key in image_keys]
        reply = self._ask(
            self._lookup, [self._max_age_ms, self._start(namespace), len(keys[0]), b"".join(keys)]
        )
        if reply is None:
            self._add(skipped=len(images))
            return [None] * len(images)
        self._add(expired=reply[0])
        # All probes of an image are tried together.
        packed: list[list[bytes]] = [[] for _ in images]
        for number, value in zip(reply[1::2], reply[2::2], strict=True):
            packed[number // len(probes[0])].append(value)
        return [self._recall(*one) for one in zip(images, packed, strict=True)]

    def _recall(self, image: NDArray[np.uint8], packed: Sequence[bytes]) -> Prediction | None:
        """Return the answer for an image from the values that its keys hold."""
        candidates = [found for value in packed if (found := _unpack(value)) is not None]
        if not candidates:
            return None
        stored = [image for image, _ in candidates]
        chosen, counts = choose(image, stored, self._scheme, self.settings)
        self._add(**counts)
        return None if chosen is None else candidates[chosen][1]

    def _fields(
        self, start: bytes, images: NDArray[np.uint8], rows: Sequence[int], results: Prediction
    ) -> list[bytes]:
        """Return bucket, digest and packed answer of each image, which is that of its row."""
        verified, keys = self._scheme.verified, self._scheme.keys(images)
        # Several images may share a verified key; of another one, the last answer stays.
        digests = (
            content_digests(images) if verified else [bytes(redis_scripts.DIGEST_BYTES)] * len(keys)
        )
        fields: list[bytes] = []
        for key, digest, image, row in zip(keys, digests, images, rows, strict=True):
            packed = _pack(
                image if verified else None,
                results.probabilities[row],
                float(results.confidence[row]),
            )
            fields += (start + key, digest, packed)
        return fields

    def _start(self, namespace: str) -> bytes:
        """Return how the names of a namespace's buckets begin."""
        # A digest, because fingerprints are long and stand in every name.
        return self._tag + b":b:" + sha256(namespace.encode()).digest()[:16]

    def _ask(self, script: Any, args: Sequence[Any]) -> Any | None:
        """Run a script on the server; None if it is, or was a moment ago, silent."""
        if not self._breaker.allows():
            return None
        try:
            reply = script(keys=self._index, args=args)
        except _redis().RedisError as error:
            if self._breaker.failed():
                _log.warning("the memory server is skipped until it answers: %s", error)
            return None
        if self._breaker.succeeded():
            _log.info("the memory server answers again")
        return reply

    def _add(self, **counts: int) -> None:
        with self._lock:
            self._counts.update(counts)


def _redis() -> Any:
    try:
        import redis
    except ImportError as error:
        raise MissingExtraError("redis", "redis") from error
    return redis


def _connect(url: str, timeout_s: float) -> Any:
    """Return a client that neither retries nor waits longer than the time limit."""
    redis = _redis()
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        # Without the URL, which may hold a password.
        raise ConfigError(
            f"the memory server's URL cannot be read: {error}; expected redis://HOST:PORT/0, "
            "rediss://... or unix:///PATH"
        ) from None


def _pack(
    image: NDArray[np.uint8] | None, probabilities: NDArray[np.float32], confidence: float
) -> bytes:
    height, width, channels = image.shape if image is not None else (0, 0, 0)
    prefix = _PREFIX.pack(height, width, channels, len(probabilities), confidence)
    pixels = image.tobytes() if image is not None else b""
    return b"".join((prefix, probabilities.astype("<f4").tobytes(), pixels))


def _unpack(value: bytes) -> tuple[NDArray[np.uint8] | None, Prediction] | None:
    """Return image and answer, or None for bytes that somebody else wrote."""
    start = redis_scripts.STAMP_DIGITS + _PREFIX.size
    if len(value) < start:
        return None
    *shape, classes, confidence = _PREFIX.unpack_from(value, redis_scripts.STAMP_DIGITS)
    end = start + 4 * classes
    if len(value) != end + math.prod(shape):
        return None
    answer = Prediction(
        probabilities=np.frombuffer(value[start:end], "<f4").reshape(1, -1),
        confidence=np.array([confidence], np.float32),
    )
    image = np.frombuffer(value[end:], np.uint8).reshape(shape) if all(shape) else None
    return image, answer
