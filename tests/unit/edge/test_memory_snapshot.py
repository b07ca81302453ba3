"""Snapshots: what was saved comes back, what is damaged is refused, and nobody else may read it."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError, VersionMismatchError
from bicameral.types import Prediction
from edge.memory import snapshot
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings

pytestmark = pytest.mark.unit

KEYS = ("exact", "dhash_verified", "dhash_unverified", "invariants_unverified")


def _pictures(count: int, size: int = 20, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(size).integers(
        0, 256, (count, size, size, channels), dtype=np.uint8
    )


def _results(count: int, classes: int = 10) -> Prediction:
    rows = np.random.default_rng(classes).dirichlet(np.ones(classes), count).astype(np.float32)
    return Prediction(probabilities=rows, confidence=np.linspace(0.9, 1, count, dtype=np.float32))


def _same(found: list[Prediction | None], results: Prediction) -> bool:
    return all(
        one is not None
        and np.array_equal(one.probabilities[0], results.probabilities[index])
        and one.confidence[0] == results.confidence[index]
        for index, one in enumerate(found)
    )


@pytest.mark.parametrize("key", KEYS)
def test_every_entry_of_every_model_comes_back(key: str, tmp_path: Path) -> None:
    settings = MemorySettings(key=key)
    memory = LocalMemory(settings)
    stored = {
        "grey": (_pictures(5), _results(5)),
        "colour": (_pictures(4, size=24, channels=3), _results(4, classes=100)),
    }
    for namespace, (images, results) in stored.items():
        memory.store(namespace, images, results)
    memory.save(tmp_path / "memory.npz")
    reloaded = LocalMemory(settings)
    reloaded.load(tmp_path / "memory.npz")
    for namespace, (images, results) in stored.items():
        assert _same(reloaded.lookup(namespace, images), results)
    assert reloaded.counters().entries == 9


def test_the_order_of_use_comes_back(tmp_path: Path) -> None:
    memory = LocalMemory(MemorySettings(max_entries=3))
    images = _pictures(4)
    memory.store("m", images[:3], _results(3))
    memory.lookup("m", images[:1])
    memory.save(tmp_path / "memory.npz")
    reloaded = LocalMemory(MemorySettings(max_entries=3))
    reloaded.load(tmp_path / "memory.npz")
    reloaded.store("m", images[3:], _results(1))
    assert [one is not None for one in reloaded.lookup("m", images)] == [True, False, True, True]


def test_a_smaller_memory_takes_the_most_recently_used(tmp_path: Path) -> None:
    memory = LocalMemory(MemorySettings())
    images = _pictures(5)
    memory.store("m", images, _results(5))
    memory.lookup("m", images[:1])
    memory.save(tmp_path / "memory.npz")
    small = LocalMemory(MemorySettings(max_entries=2))
    small.load(tmp_path / "memory.npz")
    assert [one is not None for one in small.lookup("m", images)] == [True, *[False] * 3, True]


def test_loading_replaces_what_was_there(tmp_path: Path) -> None:
    images = _pictures(2)
    memory = LocalMemory(MemorySettings())
    memory.save(tmp_path / "empty.npz")
    memory.store("m", images, _results(2))
    memory.load(tmp_path / "empty.npz")
    assert memory.counters().entries == 0


def test_entries_age_while_they_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 50.0
    settings = MemorySettings(max_age_s=10.0)
    images = _pictures(2)
    memory = LocalMemory(settings, clock=lambda: now_s)
    memory.store("m", images[:1], _results(1))
    now_s += 5
    memory.store("m", images[1:], _results(1))
    monkeypatch.setattr(snapshot.time, "time", lambda: 1_000_000.0)
    memory.save(tmp_path / "memory.npz")
    monkeypatch.setattr(snapshot.time, "time", lambda: 1_000_007.0)
    reloaded = LocalMemory(settings, clock=lambda: 3.0)
    reloaded.load(tmp_path / "memory.npz")
    assert [one is not None for one in reloaded.lookup("m", images)] == [False, True]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    LocalMemory(MemorySettings()).save(tmp_path / "memory.npz")
    assert stat.S_IMODE((tmp_path / "memory.npz").stat().st_mode) == 0o600


@pytest.mark.parametrize("key", ["exact", "dhash_unverified"])
def test_pictures_are_written_only_where_they_are_needed(key: str, tmp_path: Path) -> None:
    memory = LocalMemory(MemorySettings(key=key))
    memory.store("m", _pictures(3), _results(3))
    memory.save(tmp_path / "memory.npz")
    assert not any("images" in name for name in zipfile.ZipFile(tmp_path / "memory.npz").namelist())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    memory = LocalMemory(MemorySettings())
    memory.store("m", _pictures(3), _results(3))
    memory.save(tmp_path / "memory.npz")
    return tmp_path / "memory.npz"


def _assert_refused(path: Path) -> None:
    """Loading fails with an error that names the file, and the memory stays as it was."""
    memory = LocalMemory(MemorySettings())
    images = _pictures(1, size=16)
    memory.store("other", images, _results(1))
    with pytest.raises(DataError, match=r"memory\.npz is no whole memory snapshot"):
        memory.load(path)
    assert memory.lookup("other", images)[0] is not None


def test_a_truncated_file_is_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        saved.write_bytes(content[:length])
        _assert_refused(saved)


def test_a_damaged_file_is_refused_or_its_damage_does_not_matter(saved: Path) -> None:
    content = saved.read_bytes()
    for position in range(0, len(content), 37):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        saved.write_bytes(damaged)
        memory = LocalMemory(MemorySettings())
        try:
            memory.load(saved)
        except DataError:
            continue
        # An unused field of the archive, such as the date of a member.
        assert _same(memory.lookup("m", _pictures(3)), _results(3)), position


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    _assert_refused(tmp_path / "memory.npz")


def _rewrite(path: Path, **changes: np.ndarray) -> None:
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path, **(content | changes))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("0_images", np.zeros((2, 20, 20, 1), np.uint8)),
        ("0_images", np.zeros((3, 20, 20, 1), np.float32)),
        ("0_probabilities", np.full((3, 10), np.nan, np.float32)),
        ("0_age_s", np.array([0.0, -1.0, 0.0])),
        ("0_confidence", np.zeros((3, 1), np.float32)),
        ("header", np.frombuffer(b"{}", np.uint8)),
        ("header", np.array(["{}"])),
    ],
)
def test_contents_that_do_not_fit_are_refused(saved: Path, name: str, value: np.ndarray) -> None:
    _rewrite(saved, **{name: value})
    _assert_refused(saved)


def test_a_pickle_is_refused(saved: Path) -> None:
    with np.load(saved) as arrays:
        content = dict(arrays)
    np.savez(saved, **(content | {"0_rank": np.array([{}, {}, {}], object)}), allow_pickle=True)
    _assert_refused(saved)


def test_a_snapshot_of_another_key_is_refused(saved: Path) -> None:
    with pytest.raises(DataError, match="is of a memory with the key 'dhash_verified'"):
        LocalMemory(MemorySettings(key="exact")).load(saved)


def test_a_snapshot_of_another_version_is_refused(saved: Path) -> None:
    header = (
        np.load(saved)["header"].tobytes().replace(b'"schema_version":1', b'"schema_version":2')
    )
    _rewrite(saved, header=np.frombuffer(header, np.uint8))
    with pytest.raises(VersionMismatchError, match="schema 2, this version reads 1"):
        LocalMemory(MemorySettings()).load(saved)
