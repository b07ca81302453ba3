"""One suite for every backend of the result memory; the server is a real one, never a mock."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bicameral.errors import ConfigError, DataError, MachineError
from bicameral.protocols import ResultMemory
from bicameral.types import Prediction
from edge.memory.entries import BUCKET_LIMIT
from edge.memory.keys import KEYS
from edge.memory.local import LocalMemory
from edge.memory.redis_memory import RedisMemory, RedisServer
from edge.memory.settings import MemorySettings
from studies.paper_keys import PAPER_KEY
from tests.redis_process import RedisProcess
from tests.remembered import MODEL, Clock, answers, blobs, greys, labels_of

redis = pytest.importorskip("redis", reason="the Python package redis is not installed")

#: Generous, so that a busy machine makes no test fail; the tests of a silent server take less.
PATIENT_S = 10.0
#: Waiting for something that happens within milliseconds.
ATTEMPTS = 100_000


class Server(RedisProcess):
    def client(self) -> Any:
        return redis.Redis(unix_socket_path=str(self.socket))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:  # a socket's path has 107 characters at most
        running = Server(Path(folder))
        yield running
        running.stop()


@dataclass
class Backend:
    """How to make memories that share their entries, and how to let time pass for them."""

    make: Callable[[MemorySettings], ResultMemory]
    pass_time: Callable[[float], None]


@pytest.fixture(autouse=True)
def papers_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let backends file by the paper's key, which is unverified and shared by many images."""
    monkeypatch.setitem(KEYS, PAPER_KEY.name, PAPER_KEY)


@pytest.fixture(params=["local", "redis"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "local":
        clock = Clock()

        def advance(seconds: float) -> None:
            clock.now_s += seconds

        return Backend(make=lambda settings: LocalMemory(settings, clock=clock), pass_time=advance)
    server: Server = request.getfixturevalue("server")
    client = server.client()
    client.flushall()

    def wait(seconds: float) -> None:
        start = _server_time_s(client)
        while _server_time_s(client) - start < seconds:
            pass

    return Backend(
        make=lambda settings: RedisMemory(
            settings, RedisServer(url=server.url, timeout_s=PATIENT_S)
        ),
        pass_time=wait,
    )


def _server_time_s(client: Any) -> float:
    seconds, microseconds = client.time()
    return seconds + microseconds / 1e6


def test_it_is_a_result_memory(backend: Backend) -> None:
    assert isinstance(backend.make(MemorySettings()), ResultMemory)


@pytest.mark.parametrize(
    "key",
    ["exact", "dhash_verified", "dhash_unverified"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_was_stored_is_found_bit_for_bit(backend: Backend, key: str, channels: int) -> None:
    memory = backend.make(MemorySettings(key=key))
    images = blobs(5, channels)
    rows = np.random.default_rng(0).dirichlet(np.ones(7), 5).astype(np.float32)
    results = Prediction(probabilities=rows, confidence=np.linspace(0.91, 1, 5, dtype=np.float32))
    assert memory.lookup(MODEL, images) == [None] * 5
    memory.store(MODEL, images, results)
    for index, found in enumerate(memory.lookup(MODEL, images)):
        assert found is not None
        assert found.probabilities.dtype == found.confidence.dtype == np.float32
        assert np.array_equal(found.probabilities, rows[index : index + 1])
        assert np.array_equal(found.confidence, results.confidence[index : index + 1])
        assert found.trace is None
        assert not found.probabilities.flags.writeable
    counters = memory.counters()
    assert (counters.lookups, counters.hits, counters.stored, counters.entries) == (10, 5, 5, 5)
    assert counters.skipped == 0


def test_batches_of_any_size_are_answered_in_order(backend: Backend) -> None:
    memory = backend.make(MemorySettings())
    images = blobs(150)
    memory.store(MODEL, images[:99], answers(*range(99)))
    assert labels_of(memory.lookup(MODEL, images)) == [*range(99), *[None] * 51]
    assert memory.lookup(MODEL, images[:0]) == []
    memory.store(MODEL, images[:0], answers())
    assert memory.counters().lookups == 150


def test_only_confident_results_are_stored(backend: Backend) -> None:
    memory = backend.make(MemorySettings(store_min_confidence=0.9))
    images = blobs(4)
    confidence = np.array([0.89, 0.9, np.nan, 0.95], np.float32)
    memory.store(MODEL, images, replace(answers(1, 2, 3, 4), confidence=confidence))
    assert labels_of(memory.lookup(MODEL, images)) == [None, 2, None, 4]
    assert (memory.counters().stored, memory.counters().not_stored) == (2, 2)


def test_models_do_not_see_each_others_results(backend: Backend) -> None:
    memory = backend.make(MemorySettings())
    image = blobs(1)
    memory.store("one", image, answers(1))
    memory.store("two", image, answers(2))
    assert labels_of(memory.lookup("one", image)) == [1]
    assert labels_of(memory.lookup("two", image)) == [2]
    assert memory.lookup("three", image) == [None]
    memory.clear("one")
    assert memory.lookup("one", image) == [None]
    assert labels_of(memory.lookup("two", image)) == [2]
    memory.clear()
    assert memory.lookup("two", image) == [None]
    assert memory.counters().entries == 0


@pytest.mark.parametrize("key", ["exact", "dhash_verified"])
def test_the_least_recently_used_goes_first(backend: Backend, key: str) -> None:
    memory = backend.make(MemorySettings(key=key, max_entries=3))
    images = blobs(5)
    memory.store(MODEL, images[:3], answers(0, 1, 2))
    assert labels_of(memory.lookup(MODEL, images[:1])) == [0]
    memory.store(MODEL, images[3:], answers(3, 4))
    assert labels_of(memory.lookup(MODEL, images)) == [0, None, None, 3, 4]
    assert (memory.counters().entries, memory.counters().evicted) == (3, 2)


def test_storing_again_replaces(backend: Backend) -> None:
    memory = backend.make(MemorySettings())
    image = blobs(1)
    memory.store(MODEL, image, answers(1))
    memory.store(MODEL, image, answers(2))
    assert labels_of(memory.lookup(MODEL, image)) == [2]
    assert (memory.counters().entries, memory.counters().evicted) == (1, 0)


def test_images_with_the_same_key_are_told_apart(backend: Backend) -> None:
    memory = backend.make(MemorySettings(tolerance_mae_u8=4.0))
    memory.store(MODEL, greys(10, 20, 30), answers(1, 2, 3))
    assert labels_of(memory.lookup(MODEL, greys(12, 16, 34, 35))) == [1, 2, 3, None]
    counters = memory.counters()
    assert (counters.verified, counters.rejected) == (3, 9)


def test_images_that_share_a_key_push_each_other_out_at_the_limit(backend: Backend) -> None:
    memory = backend.make(MemorySettings(tolerance_mae_u8=0.0))
    images = greys(*range(BUCKET_LIMIT + 1))
    memory.store(MODEL, images, answers(*range(BUCKET_LIMIT + 1)))
    memory.lookup(MODEL, greys(200))  # images may get their keys when one is next asked for
    assert labels_of(memory.lookup(MODEL, images)) == [None, *range(1, BUCKET_LIMIT + 1)]
    assert (memory.counters().entries, memory.counters().evicted) == (BUCKET_LIMIT, 1)


def test_another_image_with_an_unverified_key_takes_the_answer(backend: Backend) -> None:
    memory = backend.make(MemorySettings(key="dhash_unverified"))
    memory.store(MODEL, greys(10), answers(1))
    assert labels_of(memory.lookup(MODEL, greys(200))) == [1]
    memory.store(MODEL, greys(200), answers(2))
    assert labels_of(memory.lookup(MODEL, greys(10))) == [2]
    assert memory.counters().entries == 1


def test_a_noisy_image_is_recognised(backend: Backend) -> None:
    memory = backend.make(MemorySettings(tolerance_mae_u8=4.0))
    images = blobs(60)
    noise = np.random.default_rng(1).normal(0, 2, images.shape)
    memory.store(MODEL, images, answers(*range(60)))
    noisy = np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)
    found = labels_of(memory.lookup(MODEL, noisy))
    assert sum(label is not None for label in found) >= 50
    assert all(label in (None, index) for index, label in enumerate(found))


@pytest.mark.parametrize("key", ["exact", "dhash_verified"])
def test_old_entries_are_forgotten(backend: Backend, key: str) -> None:
    memory = backend.make(MemorySettings(key=key, max_age_s=0.05))
    images = blobs(2)
    memory.store(MODEL, images[:1], answers(1))
    backend.pass_time(0.06)
    assert memory.lookup(MODEL, images) == [None, None]
    assert memory.counters().entries == 0


def test_float_tensors_have_exact_keys_only(backend: Backend) -> None:
    tensors = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    exact = backend.make(MemorySettings(key="exact"))
    exact.store(MODEL, tensors, answers(1, 2))
    assert labels_of(exact.lookup(MODEL, tensors[::-1])) == [2, 1]
    with pytest.raises(DataError, match="use the key 'exact'"):
        backend.make(MemorySettings()).lookup(MODEL, tensors)


def test_callers_cannot_change_what_is_remembered(backend: Backend) -> None:
    memory = backend.make(MemorySettings())
    images, results = blobs(1), answers(5)
    asked = images.copy()
    memory.store(MODEL, images, results)
    images[:] = 0
    results.probabilities[:] = 0
    assert labels_of(memory.lookup(MODEL, asked)) == [5]


def test_threads_may_share_it(backend: Backend) -> None:
    memory = backend.make(MemorySettings(max_entries=30))
    images = blobs(40)
    wrong: list[object] = []

    def work(worker: int) -> None:
        rng = np.random.default_rng(worker)
        for _ in range(20):
            chosen = rng.integers(0, 40, 4)
            found = labels_of(memory.lookup(MODEL, images[chosen]))
            wrong.extend(
                (label, int(index))
                for label, index in zip(found, chosen, strict=True)
                if label not in (None, index)
            )
            memory.store(MODEL, images[chosen], answers(*chosen))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters = memory.counters()
    assert not wrong
    assert (counters.lookups, counters.stored, counters.skipped) == (320, 320, 0)
    assert counters.entries <= 30


# What only a server can do, and suffer.


def test_processes_share_entries_and_their_limit(server: Server) -> None:
    server.client().flushall()
    settings = MemorySettings(max_entries=2)
    first, second = (
        RedisMemory(settings, RedisServer(url=server.url, timeout_s=PATIENT_S)) for _ in range(2)
    )
    images = blobs(3)
    first.store(MODEL, images[:2], answers(0, 1))
    assert labels_of(second.lookup(MODEL, images)) == [0, 1, None]
    second.store(MODEL, images[2:], answers(2))
    assert labels_of(first.lookup(MODEL, images)) == [None, 1, 2]
    assert first.counters().entries == second.counters().entries == 2
    assert (first.counters().evicted, second.counters().evicted) == (0, 1)


def test_memories_with_another_key_or_prefix_keep_apart(server: Server) -> None:
    server.client().flushall()
    place = RedisServer(url=server.url, timeout_s=PATIENT_S)
    image = blobs(1)
    RedisMemory(MemorySettings(), place).store(MODEL, image, answers(1))
    for other in (
        RedisMemory(MemorySettings(key="exact"), place),
        RedisMemory(MemorySettings(), replace(place, prefix="staging")),
    ):
        assert other.lookup(MODEL, image) == [None]
        other.clear()
    assert labels_of(RedisMemory(MemorySettings(), place).lookup(MODEL, image)) == [1]


def test_nothing_stays_on_the_server_beyond_the_age_limit(server: Server) -> None:
    client = server.client()
    client.flushall()
    memory = RedisMemory(
        MemorySettings(max_age_s=0.05), RedisServer(url=server.url, timeout_s=PATIENT_S)
    )
    memory.store(MODEL, blobs(3), answers(1, 2, 3))
    assert client.dbsize() > 0
    assert any(client.dbsize() == 0 for _ in range(ATTEMPTS))


def test_bytes_that_somebody_else_wrote_are_no_answer(server: Server) -> None:
    client = server.client()
    client.flushall()
    memory = RedisMemory(MemorySettings(), RedisServer(url=server.url, timeout_s=PATIENT_S))
    image = blobs(1)
    memory.store(MODEL, image, answers(1))
    (bucket,) = client.keys("*:b:*")
    (field,) = client.hkeys(bucket)
    whole = client.hget(bucket, field)
    for damaged in (whole[:13], whole[:-1], whole + b"x", b"0" * 13 + b"\xff" * 40):
        client.hset(bucket, field, damaged)
        assert memory.lookup(MODEL, image) == [None]
    assert memory.counters().skipped == 0


def test_a_silent_server_is_skipped_counted_and_used_again_when_it_answers(server: Server) -> None:
    server.client().flushall()
    clock = Clock()
    memory = RedisMemory(MemorySettings(), RedisServer(url=server.url, timeout_s=0.05), clock=clock)
    patient = RedisMemory(MemorySettings(), RedisServer(url=server.url, timeout_s=PATIENT_S))
    images = blobs(3)
    patient.store(MODEL, images, answers(1, 2, 3))
    server.process.send_signal(signal.SIGSTOP)
    try:
        assert memory.lookup(MODEL, images) == [None] * 3
        memory.store(MODEL, images, answers(1, 2, 3))
        assert memory.counters().skipped == 6
        assert (memory.counters().lookups, memory.counters().stored) == (3, 0)
        with pytest.raises(MachineError, match="may still be there"):
            RedisMemory(
                MemorySettings(),
                RedisServer(url=server.url, timeout_s=0.05, administration_timeout_s=0.05),
            ).clear()
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert memory.lookup(MODEL, images) == [None] * 3, "within the pause nobody asks the server"
    for _ in range(ATTEMPTS):
        clock.now_s += 100.0
        if labels_of(memory.lookup(MODEL, images)) == [1, 2, 3]:
            break
    assert labels_of(memory.lookup(MODEL, images)) == [1, 2, 3]


def test_a_restarted_server_is_found_again(server: Server) -> None:
    clock = Clock()
    place = RedisServer(url=server.url, timeout_s=PATIENT_S)
    memory = RedisMemory(MemorySettings(), place, clock=clock)
    image = blobs(1)
    memory.store(MODEL, image, answers(1))
    server.stop()
    server.start()
    assert memory.lookup(MODEL, image) == [None]
    clock.now_s += 100.0
    memory.store(MODEL, image, answers(2))
    assert labels_of(memory.lookup(MODEL, image)) == [2]


def test_a_server_that_was_never_there_stops_nobody(tmp_path: Path) -> None:
    memory = RedisMemory(MemorySettings(), RedisServer(url=f"unix://{tmp_path}/none.sock"))
    images = blobs(2)
    assert memory.lookup(MODEL, images) == [None, None]
    memory.store(MODEL, images, answers(1, 2))
    assert memory.counters().skipped == 4
    assert memory.counters().entries == 0


def test_a_wrong_url_is_refused_without_showing_its_password() -> None:
    with pytest.raises(ConfigError, match="expected redis://") as caught:
        RedisMemory(MemorySettings(), RedisServer(url="http://user:secret@host"))
    assert "secret" not in str(caught.value)
