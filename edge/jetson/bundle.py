"""The folder that an edge engineer copies to a Jetson: graphs, sidecars, runtime, instructions.

The same model gives the same bytes on the same machine: nothing in it depends on the time, and the
recorded answers are computed from seeded pictures.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import bicameral
from bicameral.errors import ConfigError, DataError
from bicameral.files import hidden_folder_beside
from edge.agent_sidecar import PathAgentSpec
from edge.preflight import Finding, has_errors, preflight
from edge.preprocessing import feed_from_canonical
from edge.session import OnnxSession
from edge.sidecar import (
    ModelFile,
    Sidecar,
    read_model_bytes,
    read_networks,
    read_sidecar,
    sidecar_path,
)
from edge.targets import TARGETS, Precision

JetsonName = Literal["jetson-nano", "jetson-orin"]
CorrectionName = Literal["none", "paper", "second_opinion"]

#: The runtime's file, in this package and in a bundle.
RUNTIME = "bicameral_jetson.py"
#: Pictures with recorded answers per network, with which the device checks a new engine.
CHECK_PICTURES = 16

#: Files with `$names` to fill in -> their names in a bundle, and whether they are programs.
_TEMPLATES = {
    "README.md.template": ("README.md", False),
    "bicameral.service.template": ("bicameral.service", False),
    "bicameral-camera.service.template": ("bicameral-camera.service", False),
    "build.sh.template": ("build.sh", True),
    "run.sh.template": ("run.sh", True),
}

#: What the instructions say about a device.
_DEVICES: dict[JetsonName, dict[str, str]] = {
    "jetson-nano": {
        "device": "Jetson Nano",
        "jetpack": "JetPack 4.6.1 to 4.6.6 (L4T r32.7.x): TensorRT 8.2.1, CUDA 10.2, Python 3.6",
        "build_time": "2 to 10 minutes for each network",
        "power": "`sudo nvpmodel -m 0` is 10 W (the default), `-m 1` is 5 W",
        "container": "jetson-nano.Dockerfile",
    },
    "jetson-orin": {
        "device": "Jetson Orin",
        "jetpack": "JetPack 6.1 or later (L4T r36.4): TensorRT 10.3 or later, CUDA 12.6, "
        "Python 3.10 or later",
        "build_time": "half a minute to 3 minutes for each network",
        "power": "`sudo nvpmodel -q` shows the mode; the numbers of the modes differ by module",
        "container": "jetson-orin.Dockerfile",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRequest:
    """What a bundle is to hold.

    Attributes:
        model: Sidecar or graph of a classifier, a cascade or a driving agent.
        target: The device.
        second: A second driving agent's sidecar, for the correction ``second_opinion``.
        correction: What a driving agent does with its answers; None: ``second_opinion`` with a
            second network, else ``none``.
        precision: What engines compute in. int8 wants graphs that are int8 already
            (`edge.jetson.judged.judge_models` makes them); others may be packed in fp32 or fp16.
    """

    model: Path
    target: JetsonName
    second: Path | None = None
    correction: CorrectionName | None = None
    precision: Precision = "fp16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that was written.

    Attributes:
        folder: Where.
        files: All files, relative to it, sorted, with their sizes in bytes.
        warnings: What the check of the graphs found and what is no error, by file name.
    """

    folder: Path
    files: dict[str, int]
    warnings: dict[str, tuple[Finding, ...]] = field(default_factory=dict)


def write_bundle(request: BundleRequest, folder: Path) -> Bundle:
    """Write a bundle, whole or not at all.

    Args:
        request: What it is to hold.
        folder: A folder that is not there yet, or empty.

    Raises:
        ConfigError: If the parts do not fit together, or the folder holds something.
        DataError: If a file is absent or damaged, or a graph is not for this device.
        MissingExtraError: If the package ``onnx`` is absent, which the check of the graphs needs.
    """
    correction = check_request(request, folder)
    paths = _sidecar_paths(request)
    networks = {key: one for path in paths for key, one in read_networks(path, whole=True).items()}
    warnings = {path: _checked(path, one, request) for path, one in networks.items()}
    with hidden_folder_beside(folder) as partial:
        models = partial / "models"
        models.mkdir()
        for path in {**dict.fromkeys(paths), **networks}:
            shutil.copyfile(path, models / path.name)
        for path, sidecar in networks.items():
            _copy_network(path, sidecar, request.target, models)
        _write_description(partial, request, paths, correction)
        _write_texts(partial, request, read_sidecar(paths[0]), networks)
        _write_checksums(partial)
        partial.chmod(0o755)
        partial.replace(folder)
    files = {str(path.relative_to(folder)): path.stat().st_size for path in _files(folder)}
    found = {networks[path].name: findings for path, findings in warnings.items() if findings}
    return Bundle(folder=folder, files=files, warnings=found)


def check_request(request: BundleRequest, folder: Path) -> CorrectionName:
    """Refuse what makes no bundle, before anything is computed; return the correction.

    Raises:
        ConfigError: If the parts do not fit together, or the folder holds something.
        DataError: If a sidecar is absent or damaged.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there and not empty; name a new folder for the bundle")
    target = TARGETS[request.target]
    if request.precision not in target.precisions:
        raise ConfigError(f"{target.title} runs no {request.precision}: {target.no_int8_reason}")
    return _require_fitting(request, [read_sidecar(path) for path in _sidecar_paths(request)])


def _sidecar_paths(request: BundleRequest) -> list[Path]:
    return [sidecar_path(path) for path in (request.model, request.second) if path is not None]


def _require_fitting(request: BundleRequest, sidecars: list[Sidecar]) -> CorrectionName:
    """Return the correction, if the request makes sense."""
    first = sidecars[0]
    if first.kind != "agent":
        if len(sidecars) > 1 or request.correction is not None:
            raise ConfigError(
                f"{first.name!r} is a {first.kind}; a second network and a correction belong to "
                "driving agents"
            )
        return "none"
    if any(isinstance(one.agent, PathAgentSpec) for one in sidecars):
        raise ConfigError(
            f"{first.name!r} answers with a path, which the runtime of a bundle cannot steer by; "
            "export its graph alone, without --bundle"
        )
    correction = request.correction or ("second_opinion" if len(sidecars) > 1 else "none")
    if (correction == "second_opinion") != (len(sidecars) > 1):
        raise ConfigError(
            f"the correction is {correction!r} with {len(sidecars)} networks; second_opinion "
            "needs exactly two (--second), the others one"
        )
    for other in sidecars[1:]:
        if other.agent is None or first.agent is None or other.agent.camera != first.agent.camera:
            raise ConfigError(
                f"{other.name!r} is no driving agent with the camera of {first.name!r}"
            )
    return correction


def graph_file(sidecar: Sidecar, target: JetsonName) -> ModelFile:
    """Return the sidecar's file for the device, else the one for ONNX Runtime.

    Raises:
        DataError: If it has neither.
    """
    for wanted in (target, "onnxruntime"):
        for file in sidecar.files:
            if file.target == wanted:
                return file
    raise DataError(
        f"{sidecar.name!r} has files for {[file.target for file in sidecar.files]}, expected one "
        f"for {target} or onnxruntime"
    )


def _checked(path: Path, sidecar: Sidecar, request: BundleRequest) -> tuple[Finding, ...]:
    """Check a graph against the rules of the device; return the warnings."""
    target = request.target
    if sidecar.state.kind != "none":
        raise DataError(
            f"{sidecar.name!r} has a memory, which the device's runtime does not read. Freeze it "
            f"into the graph first: bicameral export {sidecar.name} --target {target}; what is "
            "deployed then learns nothing more"
        )
    rows = sidecar.input.shape[0]
    if rows > 1:
        raise DataError(
            f"{sidecar.name!r} takes {rows} pictures at a time, the device's runtime gives one; "
            f"export it first: bicameral export {sidecar.name} --target {target} --batch 1"
        )
    file = graph_file(sidecar, target)
    if (file.precision == "int8") != (request.precision == "int8"):
        raise DataError(
            f"{file.path} is {file.precision}, and its engine cannot be {request.precision}: "
            "whether an engine is int8, the graph decides. Give --precision "
            + ("int8" if file.precision == "int8" else "fp16, or export it in int8 first")
        )
    findings = preflight(path.with_name(file.path), target)
    if has_errors(findings):
        raise DataError(
            f"{file.path} cannot run on {target}: {'; '.join(map(str, findings))}. Export it for "
            f"the device first: bicameral export {sidecar.name} --target {target}"
        )
    # The runtime builds with a profile for one picture.
    return tuple(finding for finding in findings if finding.rule != "dynamic-shape")


def _copy_network(path: Path, sidecar: Sidecar, target: JetsonName, models: Path) -> None:
    """Copy a graph and record what ONNX Runtime answers for it."""
    file = graph_file(sidecar, target)
    graph = read_model_bytes(path, sidecar, file.target)
    (models / file.path).write_bytes(graph)
    session = OnnxSession(graph, name=sidecar.name)
    feeds = check_feeds(sidecar)
    rows = [
        session.run({name: value[row : row + 1] for name, value in feeds.items()})
        for row in range(CHECK_PICTURES)
    ]
    session.close()
    arrays = {f"in.{name}": value for name, value in feeds.items()}
    arrays |= {f"out.{name}": np.concatenate([row[name] for row in rows]) for name in rows[0]}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    (models / f"{sidecar.name}.check.npz").write_bytes(buffer.getvalue())


def check_feeds(sidecar: Sidecar) -> dict[str, NDArray[Any]]:
    """Return seeded inputs: pictures of rectangles on dark and bright grounds, with noise."""
    rng = np.random.default_rng(20241201)
    spec = sidecar.input.image
    scenes = np.empty((CHECK_PICTURES, spec.height, spec.width, spec.channels), np.int64)
    for index, scene in enumerate(scenes):
        scene[...] = 0 if index % 2 else rng.integers(0, 256, spec.channels)
        for _ in range(1 + index % 4):
            top, bottom = sorted(rng.integers(0, spec.height + 1, 2))
            left, right = sorted(rng.integers(0, spec.width + 1, 2))
            scene[top:bottom, left:right] = rng.integers(0, 256, spec.channels)
    images = np.clip(scenes + rng.integers(-8, 9, scenes.shape), 0, 255).astype(np.uint8)
    feeds: dict[str, NDArray[Any]] = {
        sidecar.input.name: feed_from_canonical(images, sidecar.input)
    }
    for extra in sidecar.extra_inputs:
        if extra.name == "command":
            values = np.eye(extra.shape[1], dtype=np.float32)[np.arange(CHECK_PICTURES) % 4]
        else:  # speed_mps
            values = rng.uniform(0.0, 10.0, (CHECK_PICTURES, *extra.shape[1:])).astype(np.float32)
        feeds[extra.name] = values
    return feeds


def _write_description(
    folder: Path, request: BundleRequest, paths: list[Path], correction: CorrectionName
) -> None:
    description: dict[str, Any] = {
        "schema": 1,
        "target": request.target,
        "models": [path.name for path in paths],
        "correction": correction,
        "correction_settings": {},
        "precision": request.precision,
        "bicameral": bicameral.__version__,
    }
    (folder / "bundle.json").write_text(json.dumps(description, indent=2) + "\n", "utf-8")


def _write_texts(
    folder: Path, request: BundleRequest, model: Sidecar, networks: dict[Path, Sidecar]
) -> None:
    """Write the runtime, the instructions, the unit and the two scripts."""
    package = resources.files("edge.jetson")
    (folder / RUNTIME).write_bytes(package.joinpath(RUNTIME).read_bytes())
    values = {
        **_DEVICES[request.target],
        "model": model.name,
        "target": request.target,
        "version": bicameral.__version__,
        "command": {"classifier": "classify", "cascade": "cascade", "agent": "drive"}[model.kind],
        "arguments": " --speed-mps 5 --navigation lane_follow" if model.kind == "agent" else "",
        "query": "?speed_mps=5&command=lane_follow" if model.kind == "agent" else "",
        "networks": ", ".join(sidecar.name for sidecar in networks.values()),
        "precision": request.precision,
        "limits": model.limits,
        "license": model.license,
    }
    for template, (name, is_program) in _TEMPLATES.items():
        text = Template(package.joinpath(template).read_text("utf-8")).substitute(values)
        (folder / name).write_text(text, "utf-8")
        (folder / name).chmod(0o755 if is_program else 0o644)


def _write_checksums(folder: Path) -> None:
    """Write what `sha256sum -c` reads."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in _files(folder)
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), "utf-8")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
