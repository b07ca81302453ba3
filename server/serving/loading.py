"""From a sidecar on disk to a model that is ready to answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bicameral.errors import DataError
from edge.sidecar import SUFFIX, Sidecar, read_sidecar
from server.serving.agent_model import AgentModel
from server.serving.cascade_model import CascadeModel
from server.serving.footprint import allocated_bytes
from server.serving.graph_model import GraphModel
from server.serving.lessons import Lesson, cannot_learn
from server.serving.model_folder import model_files
from server.serving.served_model import MemoryFigures, ModelVersion, ServedModel, ServingParts
from server.serving.session_model import SessionModel

_LOADERS: dict[str, Callable[[Path, ModelVersion, ServingParts], ServedModel]] = {
    "agent": AgentModel.load,
    "classifier": GraphModel.load,
}

#: What is more than a graph, and may therefore learn.
_SESSION_LOADERS: dict[str, type[SessionModel]] = {
    "cascade": CascadeModel,
    "classifier": SessionModel,
}


def load_served_model(
    path: Path, served_as: ModelVersion, parts: ServingParts, lessons: Sequence[Lesson] = ()
) -> tuple[ServedModel, MemoryFigures]:
    """Load a model of any kind, warm it up, and measure what it takes.

    Blocks for as long as that takes; call it in a thread, one at a time.

    Args:
        path: Its sidecar.
        served_as: Name and version for requests; the name must be the sidecar's.
        parts: What all models share.
        lessons: What it was taught at run time, in order.

    Raises:
        DataError: If a file is absent or damaged, or does not fit the others; if it cannot learn
            that.
        MissingExtraError: If it needs a package that is not installed.
    """
    sidecar = read_sidecar(path)
    if sidecar.name != served_as.name:
        raise DataError(
            f"{path} describes the model {sidecar.name!r}, expected {served_as.name!r}, by which "
            "its file is named; rename one of them"
        )
    before = allocated_bytes()
    model = _load(path, sidecar, served_as, parts, lessons)
    after = allocated_bytes()
    files = [file for file in model_files(path) if not file.name.endswith(SUFFIX)]
    figures = MemoryFigures(
        file_bytes=sum(file.stat().st_size for file in files if file.exists()),
        allocated_bytes=None if before is None or after is None else max(0, after - before),
    )
    return model, figures


def _load(
    path: Path,
    sidecar: Sidecar,
    served_as: ModelVersion,
    parts: ServingParts,
    lessons: Sequence[Lesson],
) -> ServedModel:
    if sidecar.cascade is not None or sidecar.state.kind != "none":
        return _SESSION_LOADERS[sidecar.kind].load(path, served_as, parts, lessons)
    if lessons:
        raise DataError(cannot_learn(sidecar.name))
    return _LOADERS[sidecar.kind](path, served_as, parts)
