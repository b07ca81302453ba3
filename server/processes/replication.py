"""Makes several workers serve the same models, whichever of them gets the request to change them.

A worker that is asked to load, unload or forget does so itself first, so that a broken model is an
answer and nothing more. Then it writes what is desired now, and answers when every worker that
lives has followed. What it finds changed in the folders of models goes the same way. A worker that
replaces a dead one serves what is desired before it accepts its first connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from server.errors import RequestError
from server.limits import LearningLimits
from server.processes.assignment import Assignment
from server.processes.desired_state import DesiredState, DesiredStateFile
from server.processes.following import FollowingWorkers
from server.processes.lesson_files import LessonFiles
from server.processes.worker_status import WorkerStatus, write_status
from server.serving.cascade_model import CascadeModel, ServedMemory
from server.serving.lessons import Lesson, require_room
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: Pause after a failure that has no known reason, so that the log is not flooded.
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationTimes:
    """How often a worker looks, and how long it waits.

    Attributes:
        look_s: Time between two looks for a change by another worker; a look reads a few bytes.
        answer_s: A change is answered when all workers have followed, or after this time.
        folders_s: Time between two looks into the folders of models, a few milliseconds each; None:
            what changes there is loaded by request only.
    """

    look_s: float = 0.05
    answer_s: float = 30.0
    folders_s: float | None = 5.0


class ReplicatedRepository:
    """A worker's repository, kept in step with those of the other workers.

    Changes go through here; whoever only uses models asks the worker's own `ModelRepository`.
    """

    def __init__(
        self,
        repository: ModelRepository,
        assignment: Assignment,
        times: ReplicationTimes | None = None,
        learning: LearningLimits | None = None,
    ) -> None:
        """Join a repository with those of the other workers.

        Args:
            repository: This worker's models; not started. It is closed with this one.
            assignment: Which worker this is, and where they meet.
            times: How often to look, and how long to wait.
            learning: What models may be taught.
        """
        self._repository = repository
        self._assignment = assignment
        self._times = times or ReplicationTimes()
        self._following_workers = FollowingWorkers(assignment, self._times.answer_s)
        self._learning = learning or LearningLimits()
        self._lesson_files = LessonFiles(assignment.folder.lessons)
        self._file = DesiredStateFile(assignment.folder.desired_state)
        self._seen = self._file.signature()
        #: The last desired state that was applied, and what of it was asked for by then.
        self._state = DesiredState()
        self._asked: dict[ModelVersion, int] = {}
        #: Why versions could not learn what the others have learned.
        self._untaught: dict[ModelVersion, str] = {}
        self._changing = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._requested: set[asyncio.Task[Any]] = set()

    def why_not_ready(self) -> str | None:
        """Return why the server should get no requests; None: every worker serves all models."""
        state, statuses = self._file.read(), self.workers()
        for slot in range(self._assignment.workers):
            status = statuses.get(slot)
            if status is None:
                return f"worker {slot} is starting"
            if status.revision < state.revision:
                return f"worker {slot} is still loading or unloading"
            for model, reason in status.failures.items():
                return f"worker {slot} could not load {model}: {reason}"
        return None if state.models else "no model is loaded"

    def workers(self) -> dict[int, WorkerStatus]:
        """Return the status of every worker that lives."""
        return self._following_workers.statuses()

    async def start(self) -> None:
        """Load what is desired; the first worker of a server decides, by what it could load.

        Raises:
            ConfigError: If a folder of models cannot be read.
        """
        await self._repository.start()
        state = await asyncio.to_thread(self._file.update, self._decided)
        # Its memories are empty, so it has nothing to forget of what was stored earlier.
        self._state = DesiredState(revision=state.revision)
        async with self._changing:
            await self._follow()
        self._following = asyncio.create_task(self._keep_following())

    async def close(self) -> None:
        """Unload everything here; the other workers stay as they are."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        await self._repository.close()

    async def load(self, name: str, version: str | None = None) -> None:
        """Load a model in every worker, or load it again where its files have changed.

        It goes on if the caller is cancelled.

        Args:
            name: Its name.
            version: Its version; None: the highest one that was found.

        Raises:
            RequestError: As `ModelRepository.load`; 503 if another worker could not load it or did
                not follow in time.
        """
        await self._apart(partial(self._load, name, version))

    async def unload(self, name: str, version: str | None = None) -> None:
        """Unload a model in every worker.

        It goes on if the caller is cancelled.

        Args:
            name: Its name.
            version: Its version; None: all.

        Raises:
            RequestError: As `ModelRepository.unload`; 503 if another worker did not follow in time.
        """
        await self._apart(partial(self._unload, name, version))

    async def clear_memory(self, name: str, namespace: str | None = None) -> None:
        """Forget what a cascade's memory holds, in every worker.

        It goes on if the caller is cancelled.

        Args:
            name: Name of the cascade, all versions of it.
            namespace: What to forget; None: everything.

        Raises:
            RequestError: 404 and 503 as `ModelRepository.get`; 400 if it has no memory; 503 if
                another worker did not follow in time.
            MachineError: If the memory is on a server that does not answer.
        """
        await self._apart(partial(self._clear_memory, name, namespace))

    def lessons(self, model: ModelVersion) -> tuple[Lesson, ...]:
        """Return what a version was taught at run time, in order."""
        return self._state.lessons_of(model)

    async def teach(self, name: str, label: str, images: NDArray[np.uint8]) -> None:
        """Teach the served version of a model a class, or more of a class, in every worker.

        It goes on if the caller is cancelled. What was learned stays when the model is unloaded or
        a worker is replaced; it ends with the server.

        Args:
            name: Its name.
            label: The class.
            images: Canonical images (N, height, width, C) uint8, N at least 1.

        Raises:
            RequestError: 404 and 503 as `ModelRepository.get`; 400 if it cannot learn them; 413 if
                there is no room for them; 503 if another worker did not follow in time.
        """
        await self._apart(partial(self._teach, name, label, images))

    async def forget(self, name: str, label: str | None = None) -> None:
        """Let all versions of a model forget what they were taught, in every worker.

        It goes on if the caller is cancelled.

        Args:
            name: Its name.
            label: The class; None: all.

        Raises:
            RequestError: 404 and 503 as `ModelRepository.get`; 503 if another worker did not follow
                in time.
        """
        await self._apart(partial(self._forget, name, label))

    async def _teach(self, name: str, label: str, images: NDArray[np.uint8]) -> None:
        async with self._changing:
            served = self._repository.get(name)
            model = ModelVersion(name=served.name, version=served.version)
            known = self.lessons(model)
            lesson = await asyncio.to_thread(self._lesson_files.write, model, label, images)

            def with_lesson(state: DesiredState) -> DesiredState:
                require_room(state.lessons, lesson, self._learning)
                return state.taught(lesson)

            try:
                with_lesson(self._state)
                await self._repository.teach(model, (*known, lesson))
                revision = await self._desire(with_lesson)
            except BaseException:
                if lesson not in self._file.read().lessons:
                    await self._repository.teach(model, known)
                    self._lesson_files.remove([lesson])
                raise
        await self._following_workers.followed(revision, model)

    async def _forget(self, name: str, label: str | None) -> None:
        self._repository.get(name)
        forgotten: list[Lesson] = []

        def without(state: DesiredState) -> DesiredState:
            forgotten[:] = [
                lesson
                for lesson in state.lessons
                if lesson.model == name and label in (None, lesson.label)
            ]
            return state.forgotten(forgotten) if forgotten else state

        async with self._changing:
            revision = await self._desire(without)
        await self._following_workers.followed(revision)
        await asyncio.to_thread(self._lesson_files.remove, forgotten)

    async def _load(self, name: str, version: str | None) -> None:
        async with self._changing:
            await self._repository.load(name, version)
            chosen = self._repository.versions(name)[-1] if version is None else version
            model = ModelVersion(name=name, version=chosen)
            revision = await self._desire(lambda state: state.changed(load=[model]), [model])
        await self._following_workers.followed(revision, model)

    async def _unload(self, name: str, version: str | None) -> None:
        def without(state: DesiredState) -> DesiredState:
            return state.changed(
                unload=[
                    model
                    for model in state.versions
                    if model.name == name and version in (None, model.version)
                ]
            )

        async with self._changing:
            await self._repository.unload(name, version)
            revision = await self._desire(without)
        await self._following_workers.followed(revision)

    async def _clear_memory(self, name: str, namespace: str | None) -> None:
        self._repository.get(name)
        memories = self._memories(name)
        if not memories:
            raise RequestError(400, f"model {name!r} has no result memory")
        async with self._changing:
            for memory in memories:
                if memory.remote:
                    await memory.clear(namespace)
            revision = await self._desire(lambda state: state.cleared(name, namespace))
        await self._following_workers.followed(revision)

    async def _desire(
        self,
        change: Callable[[DesiredState], DesiredState],
        loaded: list[ModelVersion] | None = None,
    ) -> int:
        """Write what is desired from now on, and follow it here.

        Args:
            change: Makes the new state.
            loaded: What it asks for and has just been loaded here.

        Returns:
            The revision for the others to follow.
        """
        state = await asyncio.to_thread(self._file.update, change)
        self._asked |= dict.fromkeys(loaded or [], state.revision)
        await self._follow()
        return state.revision

    async def _keep_following(self) -> None:
        """Follow what other workers and the folders of models bring, until cancelled."""
        loop = asyncio.get_running_loop()
        folders_s = self._times.folders_s
        looked_s = loop.time()
        while True:
            await asyncio.sleep(self._times.look_s)
            try:
                if self._file.signature() != self._seen:
                    async with self._changing:
                        await self._follow()
                if folders_s is not None and loop.time() > looked_s + folders_s:
                    looked_s = loop.time()
                    async with self._changing:
                        await self._follow_folders()
            except Exception:
                # This worker reports no further revision, so the server is not ready.
                _log.exception("this worker cannot follow the others; it tries again")
                await asyncio.sleep(_RETRY_S)

    async def _follow_folders(self) -> None:
        """Look into the folders of models; what has changed there is desired of all workers."""
        before = self._loaded()
        await self._repository.refresh()
        after = self._loaded()
        new = [model for model, served in after.items() if before.get(model) is not served]
        gone = before.keys() - after.keys()
        if new or gone:
            await self._desire(lambda state: state.changed(load=new, unload=gone), new)

    async def _follow(self) -> None:
        """Apply what is desired, and tell so; returns when nothing newer is desired."""
        while True:
            signature = self._file.signature()
            await self._apply(self._file.read())
            self._tell()
            # What changed in between was written before the others could see this worker's status.
            if self._file.signature() == signature:
                self._seen = signature
                return

    async def _apply(self, state: DesiredState) -> None:
        desired = state.versions
        await self._learn(state)
        for model, revision in desired.items():
            if self._asked.get(model) != revision:
                try:
                    await self._repository.load(model.name, model.version)
                except RequestError as error:  # told by `_tell`
                    _log.error("cannot follow the other workers: %s", error)
        for model in self._loaded().keys() - desired.keys():
            await self._repository.unload(model.name, model.version)
        for clear in state.clears:
            if clear.revision > self._state.revision:
                for memory in self._memories(clear.model):
                    # One on a server was cleared, for all, by the worker that was asked.
                    if not memory.remote:
                        await memory.clear(clear.namespace)
        self._state, self._asked = state, desired

    async def _learn(self, state: DesiredState) -> None:
        """Let all versions know what they were taught, and no more."""
        self._untaught = {}
        versions = {lesson.of for lesson in (*self._state.lessons, *state.lessons)}
        for model in versions:
            try:
                await self._repository.teach(model, state.lessons_of(model))
            except RequestError as error:  # told by `_tell`
                _log.error("%s cannot learn what it has learned elsewhere: %s", model.key, error)
                self._untaught[model] = str(error)

    def _tell(self) -> None:
        """Write this worker's status."""
        loaded = self._loaded()
        reasons = {(entry.name, entry.version): entry.reason for entry in self._repository.index()}
        write_status(
            self._assignment.folder,
            WorkerStatus(
                slot=self._assignment.slot,
                pid=os.getpid(),
                revision=self._state.revision,
                failures={
                    model.key: reasons.get((model.name, model.version), "its files are gone")
                    for model in self._state.versions
                    if model not in loaded
                }
                | {model.key: reason for model, reason in self._untaught.items()},
            ),
        )

    def _decided(self, state: DesiredState) -> DesiredState:
        return state if state.revision else state.changed(load=self._loaded())

    def _loaded(self) -> dict[ModelVersion, object]:
        return {
            ModelVersion(name=model.name, version=model.version): model
            for model in self._repository.models()
        }

    def _memories(self, name: str) -> list[ServedMemory]:
        return [
            model.memory
            for model in self._repository.models()
            if model.name == name and isinstance(model, CascadeModel) and model.memory is not None
        ]

    async def _apart(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Make a change in a task of its own, so that no disconnecting client breaks it off."""
        task = asyncio.create_task(change())
        self._requested.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._requested.discard(task)
        if not task.cancelled():
            task.exception()  # or asyncio complains where the caller has gone
