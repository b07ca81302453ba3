"""Models that ship with the project, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from bicameral.errors import DataError, unknown_name
from edge.sidecar import SUFFIX, read_sidecar

#: Package whose data hold the weights; a name, not an import, so that inference stays torch-free.
_PACKAGE = "models"


def weights_folder() -> Path:
    """Return the folder of the shipped weights."""
    return Path(str(resources.files(_PACKAGE))) / "weights"


def shipped_models() -> list[str]:
    """Return the names of the shipped models, sorted."""
    return sorted(path.name.removesuffix(SUFFIX) for path in weights_folder().glob(f"*{SUFFIX}"))


def shipped_model(name: str) -> Path:
    """Return the sidecar of a shipped model.

    Raises:
        UserError: If no model of that name ships; the message lists those that do.
    """
    if name not in shipped_models():
        raise unknown_name("shipped model", name, shipped_models())
    return weights_folder() / f"{name}{SUFFIX}"


def resolve_model(model: str | Path) -> Path:
    """Return the sidecar's or graph's path for a path, a folder, or the name of a shipped model.

    Whatever ends in ``.onnx`` or ``.json``, or is a `Path`, is a path. A folder, such as that of a
    trained run, holds one model, or one cascade with its members.

    Raises:
        DataError: If a folder holds none, or several.
        UserError: If a name is not that of a shipped model.
    """
    if model != "" and Path(model).is_dir():
        return _model_in(Path(model))
    if isinstance(model, Path) or model.endswith((".onnx", ".json")):
        return Path(model)
    return shipped_model(model)


def _model_in(folder: Path) -> Path:
    found = {path: read_sidecar(path) for path in sorted(folder.glob(f"*{SUFFIX}"))}
    cascades = [path for path, sidecar in found.items() if sidecar.cascade is not None]
    chosen = cascades or list(found)
    if len(chosen) != 1:
        names = ", ".join(path.name for path in chosen) or "none"
        raise DataError(f"the folder {folder} holds the models {names}; give one of them")
    return chosen[0]
