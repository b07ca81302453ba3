"""What lies in a folder of models, without loading any of it.

Two layouts, which one folder may mix: ``NAME/VERSION/NAME.bicameral.json`` with the files of that
version beside it, and ``NAME.bicameral.json`` in the folder itself, whose version the sidecar says.
A graph alone is a model, too: ``NAME/VERSION/model.onnx``, as Triton has it, or ``NAME.onnx``,
which is version 1.
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

#: How graphs end.
GRAPH_SUFFIX = ".onnx"
#: What Triton calls them.
_TRITON_GRAPH = f"model{GRAPH_SUFFIX}"
#: Version of a graph that says nothing about it.
_FIRST_VERSION = "1"

#: What a file was when it was looked at: path, time of change, size, and which file it was.
Revision = frozenset[tuple[str, int, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A version of a model in a folder.

    Attributes:
        name: Its name.
        version: Its version; empty if that could not be found out.
        path: Its sidecar; of a graph without one the graph.
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

    Of a graph without a sidecar: the graph, and what has its name and another ending, as programs
    call the weights that they do not write into the graph. What cannot be read ends the search, not
    the function.
    """
    if path.name.endswith(GRAPH_SUFFIX):
        return [path, *_beside(path)]
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
        files |= {current.parent / Path(name).name: None for name in _graphs(sidecar)}
        if sidecar.state.path is not None:
            files[current.with_name(sidecar.state.path)] = None
        if sidecar.cascade is not None:
            stages = sidecar.cascade.stages
            waiting += [current.with_name(stage.name + SUFFIX) for stage in stages]
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
    entries = _entries(folder)
    described: set[str] = set()
    for entry in entries:
        if entry.is_dir():
            try:
                yield from map(_checked, list(_scan_versions(entry)))
            except ConfigError as error:  # that model's folder, not the whole repository's
                path = entry / f"{entry.name}{SUFFIX}"
                yield FoundModel(name=entry.name, version="", path=path, problem=str(error))
        elif entry.name.endswith(SUFFIX):
            model, files = _flat(entry)
            yield _checked(model)
            described |= {f"{model.name}{GRAPH_SUFFIX}", *files}
    for entry in entries:
        if entry.name.endswith(GRAPH_SUFFIX) and entry.name not in described:
            name = entry.name.removesuffix(GRAPH_SUFFIX)
            yield _checked(FoundModel(name=name, version=_FIRST_VERSION, path=entry))


def _scan_versions(folder: Path) -> Iterator[FoundModel]:
    """List the versions of one model; folders that hold other things are passed over."""
    name = folder.name
    if _model_like(folder):
        problem = f"the files of {folder} belong into a folder of their own for each version"
        yield FoundModel(name=name, version="", path=folder / f"{name}{SUFFIX}", problem=problem)
    versions = [entry for entry in _entries(folder) if entry.is_dir()]
    sidecars = {version: version / f"{name}{SUFFIX}" for version in versions}
    # Where others have sidecars, one is only late: nobody shall see the model without it.
    bare = not any(path.exists() for path in sidecars.values())
    for version, path in sidecars.items():
        files = _model_like(version)
        if path.exists():
            yield FoundModel(name=name, version=version.name, path=path)
        elif bare and (graph := _only_graph(files)):
            yield FoundModel(name=name, version=version.name, path=version / graph)
        elif files:
            expected = f"{path.name} or {_TRITON_GRAPH}" if bare else path.name
            problem = f"{version} holds {', '.join(files)}, expected {expected}"
            yield FoundModel(name=name, version=version.name, path=path, problem=problem)


def _only_graph(files: list[str]) -> str | None:
    """Return which of the files of a version is its graph, if that is clear."""
    if any(name.endswith(SUFFIX) for name in files):
        return None
    if _TRITON_GRAPH in files:
        return _TRITON_GRAPH
    return files[0] if len(files) == 1 else None


def _flat(path: Path) -> tuple[FoundModel, list[str]]:
    """Return the model that a sidecar describes, and the names of its files."""
    name = path.name.removesuffix(SUFFIX)
    try:
        sidecar = read_sidecar(path)
    except BicameralError as error:
        return FoundModel(name=name, version="", path=path, problem=str(error)), []
    return FoundModel(name=name, version=sidecar.version, path=path), _graphs(sidecar)


def _graphs(sidecar: Sidecar) -> list[str]:
    """Return the names of the graphs that a sidecar describes."""
    return [file.path for file in sidecar.files] + [stage.path for stage in sidecar.stages]


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
    return [entry.name for entry in _entries(folder) if entry.name.endswith((SUFFIX, GRAPH_SUFFIX))]


def _beside(graph: Path) -> list[Path]:
    """Return what may hold a graph's weights, sorted; a folder that is gone holds nothing."""
    stem = f"{graph.name.removesuffix(GRAPH_SUFFIX)}."
    try:
        found = sorted(graph.parent.iterdir())
    except OSError:
        return []
    endings = (GRAPH_SUFFIX, SUFFIX)
    return [one for one in found if one.name.startswith(stem) and not one.name.endswith(endings)]


def _sidecar_or_none(path: Path) -> Sidecar | None:
    try:
        return read_sidecar(sidecar_path(path))
    except BicameralError:
        return None
