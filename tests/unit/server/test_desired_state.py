"""What all workers should serve: one file, and repositories that follow it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.sidecar import read_sidecar
from server.errors import RequestError
from server.logs import LogSettings
from server.processes.assignment import Assignment
from server.processes.desired_state import DesiredState, DesiredStateFile
from server.processes.lesson_files import LessonFiles
from server.processes.replication import ReplicatedRepository, ReplicationTimes
from server.processes.run_folder import RunFolder
from server.processes.worker_status import remove_status
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion, RequestContext

Writer = Callable[..., Path]
QUICK = ReplicationTimes(look_s=0.005, answer_s=20.0, folders_s=None)

ONE, TWO = ModelVersion(name="net", version="1"), ModelVersion(name="net", version="2")
OTHER = ModelVersion(name="other", version="1")


def test_a_change_is_the_next_revision_and_marks_what_it_asks_for():
    first = DesiredState().changed(load=[ONE, OTHER])
    second = first.changed(load=[TWO], unload=[ONE])
    again = second.changed(load=[TWO])
    assert first.versions == {ONE: 1, OTHER: 1}
    assert second.versions == {OTHER: 1, TWO: 2}
    assert (again.revision, again.versions) == (3, {OTHER: 1, TWO: 3})


def test_only_the_last_order_to_forget_the_same_is_kept():
    state = DesiredState().changed(load=[ONE]).cleared("net", None).cleared("net", "key")
    state = state.cleared("net", None)
    orders = {(order.model, order.namespace): order.revision for order in state.clears}
    assert orders == {("net", "key"): 3, ("net", None): 4}
    assert state.versions == {ONE: 1}
    assert state.changed(unload=[ONE]).clears == state.clears


def test_a_file_that_is_not_there_decides_nothing(tmp_path: Path):
    file = DesiredStateFile(tmp_path / "desired.json")
    assert (file.read(), file.signature()) == (DesiredState(), None)


def test_every_change_alters_the_signature(tmp_path: Path):
    file = DesiredStateFile(tmp_path / "desired.json")
    seen = set()
    for _ in range(20):
        file.update(lambda state: state.changed(load=[ONE]))
        seen.add(file.signature())
    assert len(seen) == 20
    file.update(lambda state: state)
    assert file.signature() in seen


def test_changes_made_at_the_same_time_are_all_kept(tmp_path: Path):
    def change(number: int) -> None:
        model = ModelVersion(name=f"net{number}", version="1")
        DesiredStateFile(tmp_path / "desired.json").update(
            lambda state: state.changed(load=[model])
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(40)))
    state = DesiredStateFile(tmp_path / "desired.json").read()
    assert (state.revision, len(state.versions)) == (40, 40)


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "desired.json").write_text("{")
    with pytest.raises(DataError, match=r"desired\.json is no desired state"):
        DesiredStateFile(tmp_path / "desired.json").read()


class Fleet:
    """Workers of one server, all in this process, each with a repository of its own."""

    def __init__(self, folder: Path, repository: Callable[[int], ModelRepository]) -> None:
        self.run_folder = RunFolder(path=folder)
        self.run_folder.path.mkdir()
        self.new_repository = repository
        self.workers: list[ReplicatedRepository] = []
        self.repositories: list[ModelRepository] = []

    def worker(self, slot: int, times: ReplicationTimes = QUICK) -> ReplicatedRepository:
        assignment = Assignment(
            slot=slot,
            workers=2,
            folder=self.run_folder,
            host="127.0.0.1",
            port=0,
            drain_s=1.0,
            head_timeout_s=1.0,
            max_message_bytes=1000,
            logs=LogSettings(),
        )
        repository = self.new_repository(slot)
        worker = ReplicatedRepository(repository, assignment, times)
        self.repositories[slot : slot + 1] = [repository]
        self.workers[slot : slot + 1] = [worker]
        return worker

    def loaded(self) -> list[set[str]]:
        return [{f"{m.name}/{m.version}" for m in each.models()} for each in self.repositories]

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()


@pytest.fixture
def models(tmp_path: Path, write_classifier: Writer) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_classifier(folder, "net", seed=1)
    return folder


@pytest.fixture
def fleet(tmp_path: Path, models: Path, make_parts) -> Fleet:
    """The second worker also looks into a folder of its own."""
    own = tmp_path / "models of worker 1"
    own.mkdir()

    def repository(slot: int) -> ModelRepository:
        return ModelRepository([models, *[own] * slot], make_parts())

    return Fleet(tmp_path / "run", repository)


@pytest.fixture
def on_two_workers(fleet: Fleet):
    """Run a scenario on two started workers."""

    def run(scenario: Callable[[Fleet], Awaitable[None]], times: ReplicationTimes = QUICK) -> None:
        async def main() -> None:
            await asyncio.gather(*(fleet.worker(slot, times).start() for slot in range(2)))
            try:
                await scenario(fleet)
            finally:
                await fleet.close()

        asyncio.run(main())

    return run


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not condition():
            await asyncio.sleep(0.005)


def test_the_first_worker_decides_by_what_it_could_load(fleet: Fleet, models: Path):
    (models / "broken.bicameral.json").write_text("{}")

    async def main() -> None:
        await fleet.worker(0).start()
        assert fleet.workers[0].why_not_ready() == "worker 1 is starting"
        await fleet.worker(1).start()
        assert fleet.workers[0].why_not_ready() is None
        await fleet.close()

    asyncio.run(main())


def test_all_workers_follow_a_load_and_an_unload_before_they_are_answered(
    on_two_workers, models, write_classifier
):
    async def scenario(fleet: Fleet) -> None:
        write_classifier(models, "other", seed=2)
        await fleet.workers[1].load("other")
        assert fleet.loaded() == [{"net/1", "other/1"}] * 2
        await fleet.workers[0].unload("net")
        assert fleet.loaded() == [{"other/1"}] * 2
        assert fleet.workers[1].why_not_ready() is None
        await fleet.workers[0].unload("other")
        assert {worker.why_not_ready() for worker in fleet.workers} == {"no model is loaded"}

    on_two_workers(scenario)


def test_a_load_reaches_changed_files_in_all_workers(on_two_workers, models, write_classifier):
    async def scenario(fleet: Fleet) -> None:
        before = [each.get("net") for each in fleet.repositories]
        write_classifier(models, "net", seed=5)
        await fleet.workers[0].load("net")
        assert all(
            each.get("net") is not old for each, old in zip(fleet.repositories, before, strict=True)
        )

    on_two_workers(scenario)


def test_a_model_that_cannot_be_loaded_changes_nothing(on_two_workers, models):
    async def scenario(fleet: Fleet) -> None:
        (models / "broken.bicameral.json").write_text("{}")
        with pytest.raises(RequestError, match="cannot load model 'broken'"):
            await fleet.workers[0].load("broken")
        with pytest.raises(RequestError, match="unknown model 'nothing'"):
            await fleet.workers[0].unload("nothing")
        assert [worker.why_not_ready() for worker in fleet.workers] == [None, None]

    on_two_workers(scenario)


def test_versions_are_rolled_back_in_all_workers_and_in_replacements(
    on_two_workers, models, write_classifier
):
    for version in ("1", "2"):
        (models / "versioned" / version).mkdir(parents=True)
        write_classifier(models / "versioned" / version, "versioned", version=version)

    async def scenario(fleet: Fleet) -> None:
        assert fleet.loaded() == [{"net/1", "versioned/2"}] * 2
        await fleet.workers[0].load("versioned", "1")
        await fleet.workers[1].unload("versioned", "2")
        assert fleet.loaded() == [{"net/1", "versioned/1"}] * 2
        await fleet.workers[1].close()
        remove_status(fleet.run_folder, 1)
        assert fleet.workers[0].why_not_ready() == "worker 1 is starting"
        await fleet.worker(1).start()
        assert fleet.loaded() == [{"net/1", "versioned/1"}] * 2
        assert fleet.workers[0].why_not_ready() is None

    on_two_workers(scenario)


def test_what_one_worker_cannot_load_makes_the_server_not_ready(
    on_two_workers, models, tmp_path, write_classifier
):
    async def scenario(fleet: Fleet) -> None:
        write_classifier(models, "other", seed=2)
        write_classifier(tmp_path / "models of worker 1", "other", seed=2)  # the version again
        with pytest.raises(RequestError, match=r"worker 1 could not load model 'other'.*both"):
            await fleet.workers[0].load("other")
        assert "worker 1 could not load other/1" in str(fleet.workers[0].why_not_ready())
        assert fleet.loaded() == [{"net/1", "other/1"}, {"net/1"}]
        await fleet.workers[0].unload("other")
        assert fleet.workers[0].why_not_ready() is None

    on_two_workers(scenario)


def test_a_worker_that_does_not_follow_in_time_is_named(on_two_workers, models, write_classifier):
    async def scenario(fleet: Fleet) -> None:
        write_classifier(models, "other", seed=2)
        with pytest.raises(
            RequestError, match=r"not yet by the workers \[1\] after 0.05 s"
        ) as late:
            await fleet.workers[0].load("other")
        assert late.value.status == 503
        assert fleet.workers[0].why_not_ready() == "worker 1 is still loading or unloading"

    on_two_workers(scenario, ReplicationTimes(look_s=60.0, answer_s=0.05, folders_s=None))


def test_what_changes_in_the_folders_reaches_all_workers(on_two_workers, models, write_classifier):
    async def scenario(fleet: Fleet) -> None:
        write_classifier(models, "other", seed=2)
        await until(lambda: fleet.loaded() == [{"net/1", "other/1"}] * 2)
        (models / "net.bicameral.json").unlink()
        await until(lambda: fleet.loaded() == [{"other/1"}] * 2)
        await until(lambda: fleet.workers[0].why_not_ready() is None)

    on_two_workers(scenario, dataclasses.replace(QUICK, folders_s=0.01))


def test_a_load_goes_on_when_its_client_has_gone(on_two_workers, models, write_classifier):
    async def scenario(fleet: Fleet) -> None:
        write_classifier(models, "other", seed=2)
        load = asyncio.create_task(fleet.workers[0].load("other"))
        await asyncio.sleep(0)
        load.cancel()
        await until(lambda: fleet.loaded() == [{"net/1", "other/1"}] * 2)

    on_two_workers(scenario)


def test_memories_are_cleared_in_all_workers_by_namespace(
    on_two_workers, models, write_classifier, write_cascade, pictures
):
    members = [
        (name, read_sidecar(write_classifier(models, name, seed=seed)).files[0].sha256)
        for seed, name in enumerate(("a", "b"))
    ]
    memory = {"key": "exact", "tolerance_mae_u8": 0.0, "max_entries": 100, "max_age_s": None}
    memory["store_min_confidence"] = 0.0
    write_cascade(models, "pair", *members, cascade={"memory": memory})

    async def entries(fleet: Fleet) -> list[int]:
        return [(await each.get("pair").memory.counters()).entries for each in fleet.repositories]

    async def scenario(fleet: Fleet) -> None:
        for repository in fleet.repositories:
            for namespace, count in (("", 4), ("key", 2)):
                context = RequestContext(memory_namespace=namespace)
                await repository.get("pair").classify(pictures[:count], context=context)
        assert await entries(fleet) == [6, 6]
        await fleet.workers[0].clear_memory("pair", "key")
        assert await entries(fleet) == [4, 4]
        await fleet.workers[1].clear_memory("pair")
        assert await entries(fleet) == [0, 0]
        with pytest.raises(RequestError, match="model 'net' has no result memory"):
            await fleet.workers[0].clear_memory("net")

    on_two_workers(scenario)


def labels(fleet: Fleet) -> list[tuple[str, ...]]:
    """Return what the learner of each worker has learned."""
    return [each.get("learner").labels[5:] for each in fleet.repositories]


def test_lessons_are_kept_in_order_and_by_version(tmp_path: Path):
    files = LessonFiles(tmp_path)
    images = np.zeros((2, 8, 8, 1), np.uint8)
    first, second = (files.write(ONE, label, images) for label in ("hat", "cap"))
    other = files.write(TWO, "hat", images)
    state = DesiredState().changed(load=[ONE]).taught(first).taught(other).taught(second)
    assert state.lessons_of(ONE) == (first, second)
    assert (state.revision, first.count, first.size_bytes) == (4, 2, 128)
    forgotten = state.forgotten([first])
    assert (forgotten.lessons, forgotten.revision) == ((other, second), 5)
    assert forgotten.versions == {ONE: 1}


def test_workers_that_are_taught_at_the_same_time_learn_both(
    on_two_workers, models, write_read_out, pictures
):
    write_read_out(models, "learner")

    async def scenario(fleet: Fleet) -> None:
        await asyncio.gather(
            fleet.workers[0].teach("learner", "hat", pictures[:2]),
            fleet.workers[1].teach("learner", "cap", pictures[2:3]),
        )
        await until(lambda: fleet.workers[0].why_not_ready() is None)
        first, second = labels(fleet)
        assert first == second
        assert set(first) == {"hat", "cap"}
        answers = [
            (await each.get("learner").classify(pictures[:8], context=RequestContext()))
            for each in fleet.repositories
        ]
        assert (answers[0].probabilities == answers[1].probabilities).all()
        await fleet.workers[1].forget("learner", "hat")
        assert labels(fleet) == [("cap",)] * 2

    on_two_workers(scenario)


def test_what_was_learned_outlasts_the_models_files(
    on_two_workers, models, write_read_out, pictures
):
    write_read_out(models, "learner")

    async def scenario(fleet: Fleet) -> None:
        await fleet.workers[0].teach("learner", "hat", pictures[:2])
        before = fleet.repositories[1].get("learner")
        write_read_out(models, "learner", seed=9)
        await fleet.workers[1].load("learner")
        assert fleet.repositories[1].get("learner") is not before
        assert labels(fleet) == [("hat",)] * 2

    on_two_workers(scenario)


def test_a_lesson_that_fails_changes_nothing_and_leaves_no_file(
    on_two_workers, models, write_read_out, pictures
):
    write_read_out(models, "learner")

    async def scenario(fleet: Fleet) -> None:
        for name, label in (("learner", " hat"), ("net", "hat"), ("nobody", "hat")):
            with pytest.raises(RequestError):
                await fleet.workers[0].teach(name, label, pictures[:2])
        assert labels(fleet) == [(), ()]
        assert [worker.why_not_ready() for worker in fleet.workers] == [None, None]
        assert not list(fleet.run_folder.lessons.glob("*"))

    on_two_workers(scenario)


def test_what_a_replacement_cannot_learn_makes_the_server_not_ready(
    on_two_workers, models, write_read_out, pictures
):
    write_read_out(models, "learner")

    async def scenario(fleet: Fleet) -> None:
        await fleet.workers[0].teach("learner", "hat", pictures[:2])
        for lesson in fleet.run_folder.lessons.glob("*.npy"):
            lesson.write_bytes(b"")
        await fleet.workers[1].close()
        await fleet.worker(1).start()
        reason = str(fleet.workers[0].why_not_ready())
        assert "worker 1 could not load learner/1: cannot read the examples" in reason
        await fleet.workers[0].forget("learner")
        assert fleet.workers[0].why_not_ready() is None
        assert labels(fleet) == [(), ()]

    on_two_workers(scenario)
