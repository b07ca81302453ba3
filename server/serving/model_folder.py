"""What lies in a folder of models, without loading any of it.

Two layouts, which one folder may mix: ``NAME/VERSION/NAME.bicameral.json`` with the files of that
version beside it, and ``NAME.bicameral.json`` in the folder itself, whose version the sidecar says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bicameral.errors import BicameralError, ConfigError
from edge.sidecar import SUFFIX, Sidecar, read_sidecar, sidecar_path

#: Names and versions; they stand in URLs, metric labels and messages.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")

#: What a file was when it was looked at: path, time of change, size, and which file it was.
Revision = frozenset[tuple[str, int, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A version of a model in a folder.

    Attributes:
        name: Its name.
        version: Its version; empty if that could not be found out.
        path: Its sidecar.
        problem: Why it cannot be loaded, as far as that can be seen from outside; None: nothing.
    """

    name: str
    version: str
    path: Path
    problem: str | None = None


def scan_folders(folders: Iterable[Path]) -> list[FoundModel]:
    """List all versions of all models; each name and version is listed once.

    Names that begin with a dot or an underscore are passed over.

    Raises:
        ConfigError: If a folder cannot be read.
    """
    found: dict[tuple[str, str], FoundModel] = {}
    for folder in folders:
        for model in _scan_folder(folder):
            key = model.name, model.version
            if key in found:
                first = found[key]
                problem = (
                    f"{first.path} and {model.path} are both version {model.version!r} of "
                    f"{model.name!r}; give one of them another version, or remove it"
                )
                found[key] = replace(first, problem=problem)
            else:
                found[key] = model
    return list(found.values())


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key by which versions are sorted: numbers in them count as numbers, ``10 > 9``."""
    return tuple(
        (1, int(part), "") if part.isdecimal() else (0, 0, part)
        for part in re.findall(r"[0-9]+|[^0-9]+", version)
    )


def model_files(path: Path) -> list[Path]:
    """Return a sidecar, the files it names, and likewise those of a cascade's members.

    What cannot be read ends the search, not the function.
    """
    files: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in files:
            continue
        files[current] = None
        sidecar = _sidecar_or_none(current)
        if sidecar is None:
            continue
        names = [file.path for file in sidecar.files] + [stage.path for stage in sidecar.stages]
        files |= {current.parent / Path(name).name: None for name in names}
        if sidecar.state.path is not None:
            files[current.with_name(sidecar.state.path)] = None
        if sidecar.cascade is not None:
            members = sidecar.cascade.members
            waiting += [current.with_name(member.name + SUFFIX) for member in members]
    return list(files)


def revision_of(path: Path) -> Revision:
    """Return something that changes when a file of the model changes; absent files are left out."""
    revision = set()
    for file in model_files(path):
        try:
            status = file.stat()
        except OSError:
            continue
        revision.add((str(file), status.st_mtime_ns, status.st_size, status.st_ino))
    return frozenset(revision)


def _scan_folder(folder: Path) -> Iterator[FoundModel]:
    for entry in _entries(folder):
        if entry.is_dir():
            try:
                yield from map(_checked, list(_scan_versions(entry)))
            except ConfigError as error:  # that model's folder, not the whole repository's
                path = entry / f"{entry.name}{SUFFIX}"
                yield FoundModel(name=entry.name, version="", path=path, problem=str(error))
        elif entry.name.endswith(SUFFIX):
            yield _checked(_flat(entry))


def _scan_versions(folder: Path) -> Iterator[FoundModel]:
    """List the versions of one model; folders that hold other things are passed over."""
    name = folder.name
    if _model_like(folder):
        problem = f"the files of {folder} belong into a folder of their own for each version"
        yield FoundModel(name=name, version="", path=folder / f"{name}{SUFFIX}", problem=problem)
    for version in _entries(folder):
        if not version.is_dir():
            continue
        path = version / f"{name}{SUFFIX}"
        if path.exists():
            yield FoundModel(name=name, version=version.name, path=path)
        elif files := _model_like(version):
            problem = f"{version} holds {', '.join(files)}, expected {path.name}"
            yield FoundModel(name=name, version=version.name, path=path, problem=problem)


def _flat(path: Path) -> FoundModel:
    name = path.name.removesuffix(SUFFIX)
    try:
        return FoundModel(name=name, version=read_sidecar(path).version, path=path)
    except BicameralError as error:
        return FoundModel(name=name, version="", path=path, problem=str(error))


def _checked(model: FoundModel) -> FoundModel:
    """Report a name or version that could not be asked for."""
    if model.problem is not None:
        return model
    for kind, value in (("name", model.name), ("version", model.version)):
        if not _NAME.fullmatch(value):
            problem = (
                f"the {kind} {value!r} cannot be served; expected 1 to 128 letters, digits and "
                "'_.+-', the first one a letter or digit"
            )
            return replace(model, problem=problem)
    return model


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "_")))
    except OSError as error:
        raise ConfigError(
            f"cannot read the model folder {folder}: {error.strerror or error}"
        ) from error


def _model_like(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if entry.name.endswith((SUFFIX, ".onnx"))]


def _sidecar_or_none(path: Path) -> Sidecar | None:
    try:
        return read_sidecar(sidecar_path(path))
    except BicameralError:
        return None
