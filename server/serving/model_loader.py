"""Brings single versions into memory and out of it, while others answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from bicameral.errors import BicameralError, DataError
from edge.agent_sidecar import PaceAgentSpec
from edge.sidecar import SUFFIX, read_sidecar
from server.serving.agent_model import AgentModel
from server.serving.cascade_model import CascadeModel
from server.serving.footprint import allocated_bytes, return_free_memory
from server.serving.graph_model import GraphModel
from server.serving.graph_tensors import GraphTensorModel
from server.serving.lessons import Lesson, cannot_learn, lesson_files, read_lessons
from server.serving.loaded_models import LoadedModel, LoadedModels
from server.serving.masked_model import MaskedModel
from server.serving.model_folder import GRAPH_SUFFIX, model_files, revision_of
from server.serving.model_slot import READY, ModelSlot
from server.serving.served_model import MemoryFigures, ModelVersion, ServedModel, ServingParts
from server.serving.session_model import SessionModel
from server.serving.tensor_model import TensorModel

_log = logging.getLogger(__name__)


_GRAPHS: dict[str, type[GraphTensorModel]] = {"agent": AgentModel, "classifier": GraphModel}

#: What is more than a graph, and may therefore learn.
_SESSIONS: dict[str, type[SessionModel]] = {"cascade": CascadeModel, "classifier": SessionModel}


class ModelLoader:
    """Loads and unloads; one version at a time, on one event loop.

    Attributes:
        loaded: What is in memory.
        started: Whether the start is over, after which files are only followed when they are the
            same at two looks.
    """

    def __init__(self, loaded: LoadedModels, parts: ServingParts) -> None:
        """Begin with nothing.

        Args:
            loaded: Where models are put.
            parts: What all models share.
        """
        self.loaded = loaded
        self.started = False
        self._parts = parts
        self._drain_s = parts.settings.drain_s

    async def load(self, slot: ModelSlot, *, retry: bool) -> bool:
        """Load a version, or again if its files or what it was taught have changed.

        Args:
            slot: The version.
            retry: Try again what failed with the same files.

        Returns:
            Whether what its files hold now is loaded.
        """
        found = slot.found
        if found.problem is not None:
            return False
        loaded = self.loaded.find(found.name, found.version) is not None
        revision, lessons = await asyncio.to_thread(
            lambda: (revision_of(found.path), lesson_files(found.path, slot.version))
        )
        unchanged = revision == slot.seen and lessons == slot.lessons
        if unchanged and slot.failed and not retry:
            return False
        if unchanged and loaded and not slot.failed:
            slot.status = READY
            return True
        if self.started and not retry and not await asyncio.to_thread(slot.look):
            return False
        slot.seen, slot.lessons, slot.failed = revision, lessons, False
        if not loaded:
            slot.status = ("LOADING", "")
        try:
            taught = await asyncio.to_thread(read_lessons, lessons, slot.version)
            model, memory = await asyncio.to_thread(
                load_served_model, found.path, slot.version, self._parts, taught
            )
        except Exception as error:  # whatever is wrong with it, the others go on
            expected = isinstance(error, BicameralError)
            _log.warning("cannot load %s: %s", found.path, error, exc_info=not expected)
            slot.failed = True
            slot.status = ("READY" if loaded else "UNAVAILABLE", str(error) or repr(error))
            return False
        replaced = self.loaded.put(LoadedModel(model, memory))
        slot.status, slot.taught = READY, taught
        _log.info("loaded %s version %s from %s", found.name, found.version, found.path)
        if replaced is not None:
            await self._free(replaced)
        return True

    async def unload(self, slot: ModelSlot, reason: str) -> None:
        """Unload a version, if it is loaded.

        Args:
            slot: The version.
            reason: For the index.
        """
        name, version = slot.found.name, slot.found.version
        removed = self.loaded.remove(name, version)
        if removed is None:
            return
        slot.status = ("UNAVAILABLE", "being unloaded")
        await self._free(removed)
        slot.status = ("UNAVAILABLE", reason)
        _log.info("unloaded %s version %s: %s", name, version, reason)

    async def _free(self, removed: LoadedModel) -> None:
        if not await self.loaded.idle(removed, self._drain_s):
            _log.warning(
                "model %s version %s is closed with %d requests that did not end within %g s",
                removed.model.name,
                removed.model.version,
                removed.leases,
                self._drain_s,
            )
        removed.model.close()
        await asyncio.to_thread(return_free_memory)


def load_served_model(
    path: Path, served_as: ModelVersion, parts: ServingParts, lessons: Sequence[Lesson] = ()
) -> tuple[ServedModel, MemoryFigures]:
    """Load a model of any kind, warm it up, and measure what it takes.

    Blocks for as long as that takes; call it in a thread, one at a time.

    Args:
        path: Its sidecar, or a graph without one.
        served_as: Name and version for requests; the name must be the sidecar's.
        parts: What all models share.
        lessons: What it was taught at run time, in order.

    Raises:
        DataError: If a file is absent or damaged, or does not fit the others; if it cannot learn
            that.
        MissingExtraError: If it needs a package that is not installed.
    """
    before = allocated_bytes()
    model = _load(path, served_as, parts, lessons)
    after = allocated_bytes()
    files = [file for file in model_files(path) if not file.name.endswith(SUFFIX)]
    figures = MemoryFigures(
        file_bytes=sum(file.stat().st_size for file in files if file.exists()),
        allocated_bytes=None if before is None or after is None else max(0, after - before),
    )
    return model, figures


def _load(
    path: Path, served_as: ModelVersion, parts: ServingParts, lessons: Sequence[Lesson]
) -> ServedModel:
    if path.name.endswith(GRAPH_SUFFIX):
        if lessons:
            raise DataError(cannot_learn(served_as.name))
        return TensorModel.load(path, served_as, parts)
    sidecar = read_sidecar(path)
    if sidecar.name != served_as.name:
        raise DataError(
            f"{path} describes the model {sidecar.name!r}, expected {served_as.name!r}, by which "
            "its file is named; rename one of them"
        )
    if sidecar.cascade is not None or sidecar.state.kind != "none":
        return _SESSIONS[sidecar.kind].load(path, served_as, parts, lessons)
    if lessons:
        raise DataError(cannot_learn(sidecar.name))
    if any(one.meaning == "completed" for one in sidecar.outputs):
        return MaskedModel.load(path, served_as, parts)
    if isinstance(sidecar.agent, PaceAgentSpec):
        # It drives nothing by itself: requests may have its tensors.
        return TensorModel.load(path.with_name(sidecar.files[0].path), served_as, parts)
    return _GRAPHS[sidecar.kind].load(path, served_as, parts)
