"""The Jetson runtime answers as the project does, with nothing but numpy to import."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.loading import load_agent
from bicameral.types import Observation, Pose
from edge.cascade_sidecar import CascadeStage
from edge.jetson.bundle import BundleRequest, write_bundle
from edge.loading import load_classifier, member_sha256
from edge.memory.local import RepeatWatch
from edge.session import OnnxSession
from edge.shipped import shipped_model
from edge.sidecar import read_sidecar, write_sidecar

pytestmark = pytest.mark.golden

_REPLAY = Path(__file__).with_name("jetson_replay.py")
_IMAGES = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
_OBSERVATIONS = Path(__file__).with_name("agent_observations.npz")
_COUNT = 1000


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Recording:
    """Writes down what every ONNX session is asked and answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._digests: dict[str, list[str]] = defaultdict(list)
        self._outputs: dict[str, list[dict[str, NDArray[Any]]]] = defaultdict(list)
        run = OnnxSession.run

        def recorded(
            session: OnnxSession, feeds: Mapping[str, NDArray[Any]]
        ) -> dict[str, NDArray[Any]]:
            outputs = run(session, feeds)
            self._digests[session.fingerprint].append(_feeds_digest(feeds))
            self._outputs[session.fingerprint].append(outputs)
            return outputs

        monkeypatch.setattr(OnnxSession, "run", recorded)
        # The bundle scales outside of the graph, so that is what must be recorded here, too.
        monkeypatch.setattr("edge.loading.whole_graph", lambda model, sidecar: None)

    def save(self, path: Path) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        for graph, digests in self._digests.items():
            rows = self._outputs[graph]
            arrays[f"{graph}.feeds"] = np.array(digests)
            for name in rows[0]:
                arrays[f"{graph}.{name}"] = np.concatenate([row[name] for row in rows])
        np.savez(path, **arrays)  # type: ignore[arg-type]


def _feeds_digest(feeds: Mapping[str, NDArray[Any]]) -> str:
    import hashlib

    state = hashlib.sha256()
    for name in sorted(feeds):
        array = feeds[name]
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


@pytest.fixture(scope="module")
def numpy_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which nothing but numpy can be imported."""
    folder = tmp_path_factory.mktemp("site")
    package = Path(np.__file__).parent
    for path in (package, package.with_name("numpy.libs")):
        if path.exists():
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def stream() -> NDArray[np.uint8]:
    """1,000 test images, a third of them noisy, moved or exact copies of earlier ones."""
    with gzip.open(_IMAGES) as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    rng = np.random.default_rng(7)
    shown: list[NDArray[np.uint8]] = []
    for image in images[:_COUNT]:
        if shown and rng.random() < 1 / 3:
            earlier = shown[rng.integers(len(shown))].astype(np.int16)
            noise = rng.normal(0, rng.choice([0, 2, 6]), earlier.shape)
            image = np.clip(earlier + noise.round().astype(np.int16), 0, 255).astype(np.uint8)
        shown.append(image)
    return np.stack(shown)


def _replayed(site: Path, recording: Path, bundle: Path, *command: str) -> list[dict[str, Any]]:
    """Run the bundle's own file in a process that can import nothing but numpy."""
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            str(_REPLAY),
            str(site),
            str(recording),
            str(bundle),
            *command,
        ],
        cwd=bundle,
        env={"LC_ALL": "C", "PATH": os.defpath},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("model", "command"),
    [
        ("fashion_mnist_vgg24_distilled", "classify"),
        ("fashion_mnist_cascade", "cascade"),
        ("three_stages", "cascade"),
    ],
)
def test_a_classifier_and_a_cascade_with_memory_answer_as_the_project_does(
    model: str,
    command: str,
    stream: NDArray[np.uint8],
    numpy_alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = _three_stages(tmp_path) if model == "three_stages" else shipped_model(model)
    # A bundle looks for near duplicates on every stream; that the project suspends it is not asked.
    monkeypatch.setattr(RepeatWatch, "pays", lambda *_: True)
    recording = Recording(monkeypatch)
    classifier = load_classifier(path)
    expected = []
    for image in stream:
        answer = classifier.predict(classifier.prepare([image[..., None]]))
        trace = None if answer.trace is None else answer.trace[0]
        expected.append(
            {
                "label": classifier.info.labels[int(answer.probabilities[0].argmax())],
                "confidence": float(answer.confidence[0]),
                "probabilities": answer.probabilities[0].tolist(),
                "stage": "network" if trace is None else trace.stage,
                "confidence_a": None if trace is None else trace.confidence_a,
            }
        )
    recording.save(tmp_path / "recording.npz")
    write_bundle(BundleRequest(model=path, target="jetson-nano"), tmp_path / "nano")
    np.save(tmp_path / "stream.npy", stream)

    answers = _replayed(
        numpy_alone,
        tmp_path / "recording.npz",
        tmp_path / "nano",
        command,
        str(tmp_path / "stream.npy"),
    )

    assert len(answers) == _COUNT
    for answer, wanted in zip(answers, expected, strict=True):
        del answer["picture"]
        assert answer == wanted
    stages = {answer["stage"] for answer in answers}
    third = {"c"} if model == "three_stages" else set()
    assert stages == ({"network"} if command == "classify" else {"memory", "a", "b"} | third)


def _three_stages(folder: Path) -> Path:
    """Write the shipped cascade with another network as a third stage, which is asked often."""
    shipped = shipped_model("fashion_mnist_cascade")
    sidecar = read_sidecar(shipped)
    third = read_sidecar(shipped_model("fashion_mnist_vgg24_distilled"))
    assert sidecar.cascade is not None
    pair = sidecar.cascade.stages
    last = CascadeStage(name=third.name, sha256=member_sha256(third))
    stages = (*(one.model_copy(update={"threshold": 0.9}) for one in pair), last)
    for stage in stages:
        for file in shipped.parent.glob(f"{stage.name}.*"):
            shutil.copy(file, folder)
    cascade = sidecar.cascade.model_copy(update={"stages": stages})
    path = folder / "three_stages.bicameral.json"
    write_sidecar(path, sidecar.model_copy(update={"name": "three_stages", "cascade": cascade}))
    return path


@pytest.fixture(scope="module")
def recorded_drive() -> dict[str, NDArray[Any]]:
    """1,000 pictures: the recorded ones, mirrored, moved, darker, brighter and noisy."""
    with np.load(_OBSERVATIONS, allow_pickle=False) as archive:
        pictures, speeds, commands = (archive[n] for n in ("pictures", "speed_mps", "command"))
    rng = np.random.default_rng(3)
    chosen = np.concatenate([np.arange(len(pictures)), rng.integers(len(pictures), size=_COUNT)])
    chosen = chosen[:_COUNT]
    shown = [*pictures, *(_varied(pictures[index], rng) for index in chosen[len(pictures) :])]
    return {
        "pictures": np.stack(shown),
        "speed_mps": speeds[chosen],
        "command": rng.permutation(commands[chosen]),
    }


def _varied(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    moved = np.roll(picture, rng.integers(-40, 41, 2), axis=(0, 1))
    seen = (moved[:, ::-1] if rng.random() < 0.5 else moved) * rng.uniform(0.1, 1.6)
    noise = rng.normal(0.0, rng.choice([0.0, 5.0, 60.0]), picture.shape)
    return np.clip(seen + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("correction", ["none", "paper", "second_opinion"])
def test_the_driving_agent_steers_as_the_project_does(
    correction: str,
    recorded_drive: dict[str, NDArray[Any]],
    numpy_alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recording = Recording(monkeypatch)
    second = "caril_b" if correction == "second_opinion" else None
    expected = _driven(correction, second, recorded_drive)
    recording.save(tmp_path / "recording.npz")
    request = BundleRequest(
        model=shipped_model("caril_a"),
        target="jetson-nano",
        second=None if second is None else shipped_model(second),
        correction=correction,  # type: ignore[arg-type]
    )
    write_bundle(request, tmp_path / "nano")
    np.savez(tmp_path / "drive.npz", **recorded_drive)  # type: ignore[arg-type]

    answers = _replayed(
        numpy_alone,
        tmp_path / "recording.npz",
        tmp_path / "nano",
        "drive",
        str(tmp_path / "drive.npz"),
    )

    assert len(answers) == len(expected) == _COUNT
    for answer, wanted in zip(answers, expected, strict=True):
        assert {name: answer[name] for name in wanted} == wanted
    assert len({answer["branch"] for answer in answers}) >= {"none": 1, "paper": 2}.get(
        correction, 3
    )


def _driven(
    correction: str, second: str | None, drive: dict[str, NDArray[Any]]
) -> list[dict[str, Any]]:
    """Let the project's agent decide; the route gives each picture its command."""
    route = _module(Path(__file__).with_name("agent_drive.py"))._route
    agent = load_agent("caril_a", correction, second)
    agent.begin(route(drive["command"].astype(np.int8)), seed=0)
    rows = []
    for index, picture in enumerate(drive["pictures"]):
        decision = agent.act(
            Observation(
                frame=index,
                time_s=0.05 * index,
                image=picture,
                pose=Pose(x_m=2.0 * index, y_m=0.0),
                speed_mps=float(drive["speed_mps"][index]),
            )
        )
        row = {
            "steer": decision.control.steer,
            "steer_raw": decision.steer_raw,
            "confidence": decision.confidence,
            "entropy": decision.entropy,
            "branch": decision.branch,
        }
        if "asked_a" in decision.diagnostics:
            row["asked_a"] = bool(decision.diagnostics["asked_a"])
            row["asked_b"] = bool(decision.diagnostics["asked_b"])
        rows.append(row)
    agent.close()
    return rows
