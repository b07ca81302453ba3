"""Models in folders: found, loaded, replaced, rolled back and unloaded while requests go on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bicameral.errors import ConfigError
from edge.shipped import weights_folder
from edge.sidecar import read_sidecar
from server.errors import RequestError
from server.serving.footprint import allocated_bytes
from server.serving.model_folder import (
    FoundModel,
    model_files,
    revision_of,
    scan_folders,
    version_order,
)
from server.serving.repository import ModelRepository
from server.serving.served_model import RequestContext, ServedModel, ServingParts

Writer = Callable[..., Path]
PartsMaker = Callable[..., ServingParts]

CONTEXT = RequestContext()
TENSOR = {"image": np.full((1, 1, 8, 8), 0.5, np.float32)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def add(folder: Path, write_classifier: Writer) -> Callable[..., Path]:
    """Write a model as NAME/VERSION/, or flat without a version; seeds give different weights."""

    def write(name: str, version: str | None = None, **changes: Any) -> Path:
        place = folder if version is None else folder / name / version
        place.mkdir(parents=True, exist_ok=True)
        return write_classifier(place, name, **changes)

    return write


@pytest.fixture
def run(folder: Path, make_parts: PartsMaker) -> Callable[..., Any]:
    """Run a repository on the folder while a context is open."""

    @asynccontextmanager
    async def start(*others: Path, drain_s: float = 10.0) -> AsyncIterator[ModelRepository]:
        repository = ModelRepository([folder, *others], make_parts(drain_s=drain_s))
        assert repository.why_not_ready() is not None
        await repository.start()
        try:
            yield repository
        finally:
            await repository.close()

    return start


async def _look(repository: ModelRepository) -> None:
    """Look twice, for what changed is followed when it is the same at the second look."""
    await repository.refresh()
    await repository.refresh()


def _states(repository: ModelRepository) -> dict[tuple[str, str], str]:
    return {(entry.name, entry.version): entry.state for entry in repository.index()}


def _reason(repository: ModelRepository, name: str, version: str) -> str:
    return next(
        entry.reason
        for entry in repository.index()
        if (entry.name, entry.version) == (name, version)
    )


async def _logits(repository: ModelRepository, name: str, version: str | None = None) -> Any:
    with repository.lease(name, version) as model:
        return (await model.infer(TENSOR, context=CONTEXT))["logits"].tolist()


def _break(sidecar: Path) -> None:
    (sidecar.parent / sidecar.name.replace(".bicameral.json", ".onnx")).write_bytes(b"no graph")


async def test_both_layouts_are_served_with_the_highest_version_first(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    add("flat", seed=1)
    for version in ("2", "10", "9"):
        add("deep", version, seed=int(version))
    async with run() as repository:
        assert repository.why_not_ready() is None
        assert _states(repository) == {
            ("deep", "2"): "UNAVAILABLE",
            ("deep", "9"): "UNAVAILABLE",
            ("deep", "10"): "READY",
            ("flat", "1"): "READY",
        }
        assert _reason(repository, "deep", "9") == "not loaded"
        assert repository.get("deep").version == "10"
        assert repository.get("deep", "10") is repository.get("deep")
        assert repository.versions("deep") == ["10"]
        assert {model.name for model in repository.models()} == {"deep", "flat"}


async def test_a_broken_model_is_reported_and_takes_nobody_down(
    run: Callable[..., Any], add: Callable[..., Path], folder: Path
) -> None:
    add("good")
    _break(add("damaged"))
    (folder / "garbage.bicameral.json").write_text("{", "utf-8")
    add("misnamed").rename(folder / "other.bicameral.json")
    add("text", labels=("only", "two"))
    async with run() as repository:
        assert repository.why_not_ready() is None
        states = _states(repository)
        assert [key for key, state in states.items() if state == "READY"] == [("good", "1")]
        assert "is not the file that its sidecar describes" in _reason(repository, "damaged", "1")
        assert "is no valid sidecar" in _reason(repository, "garbage", "")
        assert "describes the model 'misnamed', expected 'other'" in _reason(
            repository, "other", "1"
        )
        assert "for its 2 labels" in _reason(repository, "text", "1")
        with pytest.raises(
            RequestError, match=r"cannot load model 'damaged' .* describes"
        ) as error:
            await repository.load("damaged")
        assert error.value.status == 400
        with pytest.raises(RequestError, match="'damaged' is not loaded; the repository's index"):
            repository.get("damaged")
        assert len(await _logits(repository, "good")) == 1


async def test_the_start_falls_back_to_a_lower_version_that_works(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    add("net", "1")
    add("net", "2")
    _break(add("net", "3"))
    async with run() as repository:
        assert repository.get("net").version == "2"
        assert _states(repository)["net", "3"] == "UNAVAILABLE"


async def test_versions_can_be_loaded_beside_each_other_and_rolled_back(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    for version in ("1", "2", "3"):
        add("net", version, seed=int(version))
    async with run() as repository:
        newest = await _logits(repository, "net")
        await repository.load("net", "1")
        assert repository.versions("net") == ["1", "3"]
        oldest = await _logits(repository, "net", "1")
        assert oldest != newest == await _logits(repository, "net")
        await repository.unload("net", "3")
        assert await _logits(repository, "net") == oldest
        await _look(repository)
        assert repository.versions("net") == ["1"], "neither 3 nor 2 comes by itself"
        with pytest.raises(RequestError, match="'net' is not loaded") as error:
            repository.get("net", "3")
        assert error.value.status == 503
        await repository.load("net")
        assert await _logits(repository, "net") == newest


async def test_names_that_nobody_knows_are_answered_with_those_that_are_known(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    add("net", "1")
    async with run() as repository:
        for name in ("nett", "../net", "net/1", "", "..", "\0", "/etc/passwd", "n" * 100_000):
            for ask in (repository.get, repository.lease, repository.memory):
                with pytest.raises(RequestError, match=r"unknown model .*; known: net\.") as error:
                    ask(name)
                assert error.value.status == 404
                assert len(error.value.message) < 300
            for change in (repository.load, repository.unload):
                with pytest.raises(RequestError, match="unknown model"):
                    await change(name)
        for version in ("2", "..", ""):
            with pytest.raises(
                RequestError, match=r"unknown version of model 'net' .*: 1"
            ) as error:
                repository.get("net", version)
            assert error.value.status == 404


async def test_unloading_waits_for_those_who_use_the_model_and_lets_nobody_else_in(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    add("net", "1")
    add("other")
    async with run() as repository:
        with repository.lease("net") as model:
            unloading = asyncio.ensure_future(repository.unload("net"))
            while _reason(repository, "net", "1") != "being unloaded":
                await asyncio.sleep(0)
            with pytest.raises(RequestError, match="'net' is not loaded") as error:
                repository.lease("net")
            assert error.value.status == 503
            await asyncio.sleep(0)
            assert not unloading.done()
            assert (await model.infer(TENSOR, context=CONTEXT))["logits"].shape == (1, 5)
        await unloading
        assert _reason(repository, "net", "1") == "unloaded by request"
        with pytest.raises(RequestError, match="being unloaded"):
            await model.infer(TENSOR, context=CONTEXT)
        assert repository.why_not_ready() is None
        await repository.unload("net")
        await repository.unload("other")
        assert repository.why_not_ready() is not None


async def test_unloading_does_not_wait_for_ever(
    run: Callable[..., Any], add: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    add("net", "1")
    async with run(drain_s=0.01) as repository:
        with repository.lease("net") as model:
            await repository.unload("net")
            with pytest.raises(RequestError, match="being unloaded"):
                await model.infer(TENSOR, context=CONTEXT)
    assert "is closed with 1 requests that did not end within 0.01 s" in caplog.text


async def test_a_change_goes_on_when_its_caller_leaves(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    add("net", "1")
    add("net", "2")
    async with run() as repository:
        loading = asyncio.ensure_future(repository.load("net", "1"))
        await asyncio.sleep(0)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        await repository.load("net", "2")  # changes happen one after the other
        assert repository.versions("net") == ["1", "2"]


async def test_loading_again_replaces_a_model_only_if_its_files_have_changed(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    add("net", "1", seed=1)
    async with run() as repository:
        model, before = repository.get("net"), await _logits(repository, "net")
        await repository.load("net")
        assert repository.get("net") is model
        with repository.lease("net") as held:
            add("net", "1", seed=2)
            loading = asyncio.ensure_future(repository.load("net"))
            while repository.get("net") is model:
                await asyncio.sleep(0)
            assert await _logits(repository, "net") != before
            old = (await held.infer(TENSOR, context=CONTEXT))["logits"].tolist()
            assert old == before, "who began with the old one ends with it"
        await loading
        with pytest.raises(RequestError, match="being unloaded"):
            await held.infer(TENSOR, context=CONTEXT)


async def test_changed_files_that_do_not_work_leave_the_old_model_in_place(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    path = add("net", "1", seed=1)
    async with run() as repository:
        before = await _logits(repository, "net")
        _break(path)
        with pytest.raises(RequestError, match="is not the file that its sidecar describes"):
            await repository.load("net")
        await _look(repository)
        assert _states(repository)["net", "1"] == "READY"
        assert "is not the file" in _reason(repository, "net", "1")
        assert await _logits(repository, "net") == before
        add("net", "1", seed=2)
        await _look(repository)
        assert _reason(repository, "net", "1") == ""
        assert await _logits(repository, "net") != before


async def test_refreshing_follows_the_folder(
    run: Callable[..., Any], add: Callable[..., Path], folder: Path
) -> None:
    add("net", "1", seed=1)
    add("gone")
    add("withdrawn", "1")
    async with run() as repository:
        await repository.unload("withdrawn")
        same = repository.get("net")
        await _look(repository)
        assert repository.get("net") is same
        add("net", "2", seed=2)
        add("net", "0")
        add("new")
        add("withdrawn", "2")
        for file in folder.glob("gone.*"):
            file.unlink()
        await _look(repository)
        assert _states(repository) == {
            ("net", "0"): "UNAVAILABLE",
            ("net", "1"): "UNAVAILABLE",
            ("net", "2"): "READY",
            ("new", "1"): "READY",
            ("withdrawn", "1"): "UNAVAILABLE",
            ("withdrawn", "2"): "UNAVAILABLE",
        }
        assert _reason(repository, "net", "1") == "replaced by version 2"
        with pytest.raises(RequestError, match="unknown model 'gone'"):
            repository.get("gone")
        shutil.rmtree(folder / "net" / "2")
        await _look(repository)
        assert repository.get("net").version == "1", "what is left takes over"


async def test_a_broken_new_version_does_not_replace_the_old_one_until_it_is_mended(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    add("net", "1", seed=1)
    async with run() as repository:
        _break(add("net", "2", seed=2))
        await _look(repository)
        assert repository.get("net").version == "1"
        assert "is not the file" in _reason(repository, "net", "2")
        add("net", "2", seed=2)
        await _look(repository)
        assert repository.versions("net") == ["2"]


async def test_a_sidecar_that_is_being_overwritten_leaves_the_model_in_place(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    path = add("net", seed=1)
    async with run() as repository:
        before = repository.get("net")
        whole = path.read_bytes()
        path.write_bytes(whole[:100])
        await _look(repository)
        assert repository.get("net") is before
        assert _states(repository) == {("net", ""): "UNAVAILABLE", ("net", "1"): "READY"}
        assert "holds something else now" in _reason(repository, "net", "1")
        path.write_bytes(whole)
        await _look(repository)
        assert _states(repository) == {("net", "1"): "READY"}
        assert _reason(repository, "net", "1") == ""


@pytest.mark.parametrize("version", ["0", "2"])
async def test_a_version_in_the_place_of_another_one_replaces_it_when_it_works(
    run: Callable[..., Any], folder: Path, write_classifier: Writer, version: str
) -> None:
    write_classifier(folder, "net", version="1", seed=1)
    async with run() as repository:
        before = repository.get("net")
        _break(write_classifier(folder, "net", version=version, seed=2))
        await _look(repository)
        assert repository.get("net") is before
        assert _states(repository) == {("net", version): "UNAVAILABLE", ("net", "1"): "READY"}
        assert "is not the file" in _reason(repository, "net", version)
        write_classifier(folder, "net", version=version, seed=2)
        await _look(repository)
        assert repository.versions("net") == [version]
        assert _states(repository) == {("net", version): "READY"}


async def test_files_that_still_change_are_left_alone(
    run: Callable[..., Any], add: Callable[..., Path], folder: Path, caplog: Any
) -> None:
    add("net", "1", seed=1)
    async with run() as repository:
        graph = add("net", "2", seed=2).with_name("net.onnx")
        whole = graph.read_bytes()
        for length in range(0, len(whole), len(whole) // 4):
            graph.write_bytes(whole[:length])
            await repository.refresh()
            assert repository.versions("net") == ["1"]
        assert caplog.messages == [], "nobody tried to load half a file"
        graph.write_bytes(whole)
        await _look(repository)
        assert repository.versions("net") == ["2"]
        shutil.move(folder / "net", folder.parent)
        await repository.refresh()
        assert repository.versions("net") == ["2"], "they may come back in a moment"
        await repository.refresh()
        assert repository.versions("net") == []


async def test_a_version_whose_sidecar_comes_just_after_a_look_is_served_later(
    run: Callable[..., Any], add: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    add("net", "1", seed=1)
    async with run() as repository:
        sidecar = add("net", "2", seed=2)
        whole = sidecar.read_bytes()
        sidecar.unlink()

        def scan_then_complete(folders: Iterable[Path]) -> list[FoundModel]:
            found = scan_folders(folders)
            sidecar.write_bytes(whole)
            return found

        with monkeypatch.context() as patched:
            patched.setattr("server.serving.repository.scan_folders", scan_then_complete)
            await repository.refresh()
        await _look(repository)
        assert repository.versions("net") == ["2"]


async def test_a_cascade_and_its_parts_are_served_and_change_together(
    run: Callable[..., Any], add: Callable[..., Path], folder: Path, write_cascade: Writer
) -> None:
    def hashed(name: str, seed: int) -> tuple[str, str]:
        return name, read_sidecar(add(name, seed=seed)).files[0].sha256

    path = write_cascade(folder, "pair", hashed("a", 1), hashed("b", 2))
    assert {file.name for file in model_files(path)} == {
        *("pair.bicameral.json", "a.bicameral.json", "a.onnx", "b.bicameral.json", "b.onnx")
    }
    async with run() as repository:
        assert set(_states(repository).values()) == {"READY"}
        figures = repository.memory("pair")
        assert figures.file_bytes == sum((folder / f"{one}.onnx").stat().st_size for one in "ab")
        add("b", seed=3)
        await _look(repository)
        assert "is not the member that the cascade" in _reason(repository, "pair", "1")
        assert _states(repository)["pair", "1"] == "READY"


def test_strange_names_and_misplaced_files_are_reported_and_other_things_passed_over(
    folder: Path, add: Callable[..., Path]
) -> None:
    add("net", "1")
    add("two words", "1")
    add("net", "v 2")
    (folder / "net" / "3").mkdir()
    shutil.copy(folder / "net/1/net.onnx", folder / "net" / "3" / "nett.onnx")
    (folder / "loose").mkdir()
    shutil.copy(folder / "net/1/net.onnx", folder / "loose")
    for other in (".git/objects", "_old/1", "docs/images", "net/.2"):
        (folder / other).mkdir(parents=True)
    (folder / "README.md").write_text("", "utf-8")
    found = {(model.name, model.version): model.problem for model in scan_folders([folder])}
    assert found.pop(("net", "1")) is None
    assert "the version 'v 2' cannot be served" in (found.pop(("net", "v 2")) or "")
    assert "the name 'two words' cannot be served" in (found.pop(("two words", "1")) or "")
    assert "holds nett.onnx, expected net.bicameral.json" in (found.pop(("net", "3")) or "")
    assert "belong into a folder of their own for each version" in (found.pop(("loose", "")) or "")
    assert not found


@pytest.mark.parametrize(
    "outside",
    ["../secret.onnx", "/etc/passwd", "..", "", "a/b.onnx", "..\\\\b", "a\\u0000b", "x" * 300],
)
@pytest.mark.parametrize("field", ["file", "member"])
async def test_a_sidecar_that_leads_out_of_its_folder_is_broken_and_takes_nobody_down(
    run: Callable[..., Any], add: Callable[..., Path], write_cascade: Writer, folder: Path,
    field: str, outside: str,
) -> None:  # fmt: skip
    sha256 = read_sidecar(add("net")).files[0].sha256
    add("bad", "1")
    path = folder / "bad" / "1" / "bad.bicameral.json"
    old = '"path": "bad.onnx"'
    if field == "member":
        write_cascade(path.parent, "bad", ("inside", sha256), ("net", sha256))
        old = '"name": "inside"'
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, f'{old[: old.index(":")]}: "{outside}"'))
    (folder.parent / "secret.onnx").write_bytes((folder / "net.onnx").read_bytes())
    async with run() as repository:
        await _look(repository)
        assert _states(repository) == {("bad", "1"): "UNAVAILABLE", ("net", "1"): "READY"}
        reason = _reason(repository, "bad", "1")
        assert "bad.bicameral.json" in reason or outside in reason


async def test_one_version_in_two_places_is_served_from_neither(
    run: Callable[..., Any], add: Callable[..., Path], tmp_path: Path
) -> None:
    path = add("net", "1")
    other = tmp_path / "other"
    shutil.copytree(path.parent, other / "net" / "1")
    async with run(other) as repository:
        assert _states(repository) == {("net", "1"): "UNAVAILABLE"}
        assert "are both version '1' of 'net'" in _reason(repository, "net", "1")
        shutil.rmtree(other / "net")
        await _look(repository)
        assert _states(repository) == {("net", "1"): "READY"}


async def test_a_folder_that_is_not_there_is_an_error(
    tmp_path: Path, make_parts: PartsMaker
) -> None:
    repository = ModelRepository([tmp_path / "nowhere"], make_parts())
    with pytest.raises(ConfigError, match=r"cannot read the model folder .*nowhere"):
        await repository.start()


async def test_an_empty_folder_makes_no_server_ready(run: Callable[..., Any]) -> None:
    async with run() as repository:
        assert repository.why_not_ready() is not None
        assert repository.index() == []
        with pytest.raises(RequestError, match="unknown model 'net'; known: none"):
            repository.get("net")


@pytest.mark.skipif(allocated_bytes() is None, reason="the C library does not tell allocations")
async def test_unloading_frees_what_loading_took(make_parts: PartsMaker, tmp_path: Path) -> None:
    for path in weights_folder().glob("caril_a.*"):
        shutil.copy(path, tmp_path)
    repository = ModelRepository([tmp_path], make_parts())
    await repository.start()
    taken = repository.memory("caril_a").allocated_bytes
    loaded, *levels = [allocated_bytes() or 0]
    for _ in range(2):
        await repository.unload("caril_a")
        levels.append(allocated_bytes() or 0)
        await repository.load("caril_a")
    await repository.close()
    first, second = levels
    assert taken is not None
    assert taken > (weights_folder() / "caril_a.onnx").stat().st_size
    assert loaded - first > 0.8 * taken
    assert abs(second - first) < 0.1 * taken, "nothing piles up"


async def test_of_a_network_that_only_sets_the_pace_the_tensors_are_served(
    make_parts: PartsMaker, tmp_path: Path
) -> None:
    for path in weights_folder().glob("pace_a.*"):
        shutil.copy(path, tmp_path)
    repository = ModelRepository([tmp_path], make_parts())
    await repository.start()
    assert repository.get("pace_a").kind == "tensors"
    await repository.close()


def test_versions_are_sorted_as_people_count() -> None:
    versions = ["10", "9", "1.10", "1.9", "v2", "v10", "", "beta"]
    assert sorted(versions, key=version_order) == [
        *("", "beta", "v2", "v10", "1.9", "1.10", "9", "10")
    ]


def test_a_revision_changes_with_any_file_of_the_model(add: Callable[..., Path]) -> None:
    path = add("net", "1", seed=1)
    before = revision_of(path)
    assert revision_of(path) == before
    add("net", "1", seed=2)
    changed = revision_of(path)
    assert changed != before
    path.with_name("net.onnx").unlink()
    assert revision_of(path) < changed, "a file that is gone is a change, too"


async def test_leases_are_counted_from_any_thread(
    run: Callable[..., Any], add: Callable[..., Path]
) -> None:
    add("net")

    def use(repository: ModelRepository) -> list[ServedModel]:
        used = []
        for _ in range(300):
            with repository.lease("net") as model:
                used.append(model)
        return used

    async with run() as repository:
        using = asyncio.gather(*(asyncio.to_thread(use, repository) for _ in range(3)))
        model = repository.get("net")
        assert all(used is model for batch in await using for used in batch)
        await asyncio.wait_for(repository.unload("net"), 5)
