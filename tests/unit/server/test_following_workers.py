"""Several repositories over one folder: what one of them is asked, the others follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from server.errors import RequestError
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion, RequestContext

Writer = Callable[..., Path]
NewWorker = Callable[[], Awaitable[ModelRepository]]


@pytest.fixture
def models(tmp_path: Path, write_classifier: Writer) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_classifier(folder, "net", seed=1)
    return folder


@pytest.fixture
def with_workers(models: Path, tmp_path: Path, make_parts):
    """Give, while a context is open, what starts a worker of the server."""

    @asynccontextmanager
    async def run() -> AsyncIterator[NewWorker]:
        workers: list[ModelRepository] = []

        async def new_worker() -> ModelRepository:
            workers.append(ModelRepository([models], make_parts(), notes=tmp_path / "notes"))
            await workers[-1].start()
            return workers[-1]

        try:
            yield new_worker
        finally:
            for worker in workers:
                await worker.close()

    return run


def loaded(worker: ModelRepository) -> set[str]:
    return {f"{model.name}/{model.version}" for model in worker.models()}


def learned(worker: ModelRepository) -> tuple[str, ...]:
    """Return the classes that the learner was taught."""
    return worker.get("learner").labels[5:]


def add_versions(models: Path, write_classifier: Writer, *versions: str) -> None:
    for version in versions:
        (models / "versioned" / version).mkdir(parents=True)
        write_classifier(models / "versioned" / version, "versioned", version=version)


@pytest.mark.parametrize("read_only", [False, True])
async def test_loads_and_unloads_reach_the_others_also_where_the_folder_cannot_be_written(
    with_workers, models: Path, write_classifier: Writer, read_only: bool
):
    if read_only:  # also for root, who runs these tests at times
        (models / "_orders").write_text("no folder")
    async with with_workers() as new_worker:
        first, second = await new_worker(), await new_worker()
        write_classifier(models, "other", seed=2)
        await first.load("other")
        await second.follow()
        assert loaded(second) == {"net/1", "other/1"}
        await second.unload("net")
        await first.follow()
        assert loaded(first) == {"other/1"}
        assert loaded(await new_worker()) == {"other/1"}, "whoever takes a dead one's place, too"
        await first.load("net")
        await second.refresh()
        assert loaded(second) == {"net/1", "other/1"}


async def test_versions_are_rolled_back_for_good_until_a_higher_one_comes(
    with_workers, models: Path, write_classifier: Writer
):
    add_versions(models, write_classifier, "1", "2")
    async with with_workers() as new_worker:
        first, second = await new_worker(), await new_worker()
        assert loaded(first) == {"net/1", "versioned/2"}
        await first.load("versioned", "1")
        await second.refresh()
        assert (
            loaded(second)
            == loaded(await new_worker())
            == {*("net/1", "versioned/1", "versioned/2")}
        )
        await second.unload("versioned", "2")
        await first.refresh()
        assert loaded(first) == loaded(await new_worker()) == {"net/1", "versioned/1"}
        add_versions(models, write_classifier, "3")
        for worker in (first, second):
            for _ in range(3):  # files are followed when they are the same at two looks
                await worker.refresh()
            assert loaded(worker) == {"net/1", "versioned/3"}
        assert loaded(await new_worker()) == {"net/1", "versioned/3"}


async def test_a_model_that_cannot_be_loaded_changes_nothing(with_workers, models: Path):
    async with with_workers() as new_worker:
        first, second = await new_worker(), await new_worker()
        (models / "broken.bicameral.json").write_text("{}")
        with pytest.raises(RequestError, match="cannot load model 'broken'"):
            await first.load("broken")
        with pytest.raises(RequestError, match="unknown model 'nothing'"):
            await first.unload("nothing")
        await second.follow()
        assert loaded(first) == loaded(second) == {"net/1"}
        assert first.why_not_ready() is None
        await first.unload("net")
        assert first.why_not_ready() == "no model is loaded"


async def test_a_load_goes_on_when_its_client_has_gone(
    with_workers, models: Path, write_classifier: Writer
):
    async with with_workers() as new_worker:
        worker = await new_worker()
        write_classifier(models, "other", seed=2)
        load = asyncio.create_task(worker.load("other"))
        await asyncio.sleep(0)
        load.cancel()
        async with asyncio.timeout(180.0):
            while "other/1" not in loaded(worker):
                await asyncio.sleep(0.005)


async def test_memories_are_cleared_in_all_workers(
    with_workers, models: Path, write_pair: Writer, pictures
):
    write_pair(models)

    async def entries(worker: ModelRepository) -> int:
        counters = await worker.get("pair").memory.counters()  # type: ignore[attr-defined]
        return int(counters.entries)

    async def remember(worker: ModelRepository) -> None:
        await worker.get(
            "pair"
        ).classify(  # type: ignore[attr-defined]
            pictures[:4], context=RequestContext()
        )

    async with with_workers() as new_worker:
        first, second = await new_worker(), await new_worker()
        await remember(first)
        await remember(second)
        await first.clear_memory("pair")
        assert (await entries(first), await entries(second)) == (0, 4)
        await second.follow()
        assert await entries(second) == 0
        await remember(first)
        await remember(second)
        await first.follow()
        await second.follow()
        assert (await entries(first), await entries(second)) == (4, 4), "it is cleared once"
        with pytest.raises(RequestError, match="model 'net' has no result memory"):
            await first.clear_memory("net")


async def test_workers_that_are_taught_at_the_same_time_learn_both(
    with_workers, models: Path, write_read_out: Writer, pictures: np.ndarray
):
    write_read_out(models, "learner")
    async with with_workers() as new_worker:
        first, second = await new_worker(), await new_worker()
        await asyncio.gather(
            first.teach("learner", "hat", pictures[:2]),
            second.teach("learner", "cap", pictures[2:3]),
        )
        for worker in (first, second):
            await worker.follow()
        everybody = first, second, await new_worker()
        assert set(learned(first)) == {"hat", "cap"}
        assert learned(everybody[1]) == learned(everybody[2]) == learned(first)
        answers = [
            (await each.get("learner").classify(pictures[:8], context=RequestContext()))
            for each in everybody
        ]
        assert (answers[0].probabilities == answers[1].probabilities).all()
        assert (answers[0].probabilities == answers[2].probabilities).all()
        await second.forget("learner", "hat")
        await first.follow()
        assert learned(first) == learned(second) == ("cap",)


async def test_what_was_learned_outlasts_the_models_files(
    with_workers, models: Path, write_read_out: Writer, pictures: np.ndarray
):
    write_read_out(models, "learner")
    async with with_workers() as new_worker:
        worker = await new_worker()
        await worker.teach("learner", "hat", pictures[:2])
        before = worker.get("learner")
        write_read_out(models, "learner", seed=9)
        await worker.load("learner")
        assert worker.get("learner") is not before
        assert learned(worker) == ("hat",)
        (lesson,) = worker.lessons(ModelVersion(name="learner", version="1"))
        assert (lesson.label, lesson.count, lesson.size_bytes) == ("hat", 2, 128)


async def test_a_lesson_that_fails_changes_nothing_and_leaves_no_file(
    with_workers, models: Path, write_read_out: Writer, pictures: np.ndarray
):
    write_read_out(models, "learner")
    async with with_workers() as new_worker:
        worker = await new_worker()
        for name, label in (("learner", " hat"), ("net", "hat"), ("nobody", "hat")):
            with pytest.raises(RequestError):
                await worker.teach(name, label, pictures[:2])
        assert learned(worker) == ()
        assert {entry.reason for entry in worker.index()} == {""}
        assert not list(models.rglob("*.npz.*"))
        assert not list((models / "_lessons").rglob("*.npz"))


async def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(
    with_workers, models: Path, write_read_out: Writer, pictures: np.ndarray
):
    write_read_out(models, "learner")
    (models / "_lessons").write_text("no folder")
    async with with_workers() as new_worker:
        worker = await new_worker()
        with pytest.raises(RequestError, match=r"the folder .*models cannot be written.*copy") as e:
            await worker.teach("learner", "hat", pictures[:2])
        assert e.value.status == 409
        assert learned(worker) == ()


async def test_a_lesson_that_cannot_be_read_keeps_the_model_as_it_was_until_it_is_forgotten(
    with_workers, models: Path, write_read_out: Writer, pictures: np.ndarray
):
    write_read_out(models, "learner")
    async with with_workers() as new_worker:
        first, second = await new_worker(), await new_worker()
        await first.teach("learner", "hat", pictures[:2])
        (lesson,) = (models / "_lessons").rglob("*.npz")
        whole = lesson.read_bytes()
        lesson.write_bytes(b"")
        await second.follow()
        assert learned(second) == ()
        (reason,) = {e.reason for e in second.index() if e.name == "learner"}
        assert "cannot read the examples" in reason
        lesson.write_bytes(whole)
        await first.forget("learner")
        await second.follow()
        assert learned(first) == learned(second) == ()
        assert {entry.reason for entry in second.index()} == {""}
