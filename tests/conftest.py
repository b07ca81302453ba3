"""Markers by folder, small real classifiers, straight routes, real servers, and a real Redis."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import onnx
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from bicameral.types import RoadOption, Route
from edge.classifier import FeatureClassifier
from edge.learning.dual_memory import DualMemoryClassifier
from edge.learning.read_out import MixingWeights, unit_rows
from edge.learning.state import MemoryState, ReadOutSettings, Remembered
from edge.loading import load_classifier
from edge.sidecar import SUFFIX, Sidecar, StateSpec, read_sidecar, write_sidecar
from server.bench.running import free_port
from tests.masked_model import export_masked_model
from tests.redis_process import RedisProcess, running_redis

# A busy machine is no fault of the code: no test asserts a time.
settings.register_profile("timeless", deadline=None)
settings.load_profile("timeless")

# carla's client keeps what it fetches for ever, in a folder that it shares with real servers.
_carla_cache = tempfile.TemporaryDirectory(prefix="carla-cache-")
os.environ["CARLA_CACHE_DIR"] = _carla_cache.name

# Workers share the processors: torch's threads would spend their time waiting for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

KINDS = ("unit", "contract", "property", "golden", "closed_loop", "bench", "studies", "cluster")
LABELS = ("cat", "dog", "ship", "shoe", "tree")
SIDE = 8
WIDTH = 4

ClassifierWriter = Callable[..., Path]
CascadeWriter = Callable[..., Path]

#: Waiting for a server is for an event that comes; a busy machine may take its time.
PATIENCE_S = 180.0

#: The block ``memory`` of a cascade that remembers every picture by all its bytes.
REMEMBER_ALL = {
    "key": "exact",
    "tolerance_mae_u8": 0.0,
    "max_entries": 1000,
    "max_age_s": None,
    "store_min_confidence": 0.0,
}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run tests that are coroutines on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all runners of this run, so that none makes what another one has made."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def masked_model(shared: Path) -> Path:
    """The sidecar of a small classifier of pictures of which a part is missing, to be read only."""
    sidecar = shared / "masked" / f"masked{SUFFIX}"
    with (shared / "masked.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not sidecar.exists():
            export_masked_model(sidecar.parent)
    return sidecar


def graph_bytes(seed: int, *, ending: str = "logits", in_graph: bool = False) -> bytes:
    """Return convolution, mean over the image and a linear layer; `ending` names the outputs."""
    rng = np.random.default_rng(seed)
    weights = {
        "cw": rng.normal(0, 1, (WIDTH, 1, 3, 3)),
        "cb": rng.normal(0, 1, WIDTH),
        "fw": rng.normal(0, 6, (WIDTH, len(LABELS))),
        "fb": rng.normal(0, 1, len(LABELS)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "cw", "cb"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["features"]),
        helper.make_node("Gemm", ["features", "fw", "fb"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    shape: list[str | int] = ["batch", 1, SIDE, SIDE]
    kind = TensorProto.FLOAT
    first = [helper.make_node("Identity", ["image"], ["x"])]
    if in_graph:
        shape, kind = ["batch", SIDE, SIDE, 1], TensorProto.UINT8
        weights["scale"] = np.array(1 / 255)
        first = [
            helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["f", "scale"], ["s"]),
            helper.make_node("Transpose", ["s"], ["x"], perm=[0, 3, 1, 2]),
        ]
    sizes = {"logits": len(LABELS), "probabilities": len(LABELS), "features": WIDTH}
    model = helper.make_model(
        helper.make_graph(
            [*first, *nodes],
            "tiny",
            [helper.make_tensor_value_info("image", kind, shape)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", sizes[name]])
                for name in ending.split("+")
            ],
            [
                numpy_helper.from_array(value.astype(np.float32), key)
                for key, value in weights.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def sidecar_fields(name: str) -> dict[str, Any]:
    """Return the fields that classifiers and cascades share."""
    return {
        "name": name,
        "version": "1",
        "files": [],
        "input": {
            "name": "image",
            "layout": "NCHW",
            "dtype": "FP32",
            "shape": [-1, 1, SIDE, SIDE],
            "image": {
                "height": SIDE,
                "width": SIDE,
                "color": "GRAY",
                "scale": 1 / 255,
                "mean": [0.3],
                "std": [0.4],
            },
        },
        "outputs": [{"name": "logits", "meaning": "logits", "shape": [-1, len(LABELS)]}],
        "labels": LABELS,
        "task": {"orientation_sensitive": False},
        "calibration": {"temperature": 1.0, "split": "validation", "n": 1, "ece": 0.0},
        "cost": {"macs": 1000, "parameters": 100, "cpu_us": 0.0, "host": ""},
        "training": {"command": "", "data": {"name": "", "sha256": ""}, "split": "", "seed": 0},
        "license": "",
        "limits": "",
    }


@pytest.fixture(scope="session")
def write_classifier() -> ClassifierWriter:
    """Write NAME.onnx and its sidecar; keywords replace fields, dictionaries are merged."""

    def write(
        folder: Path,
        name: str,
        *,
        seed: int = 0,
        ending: str = "logits",
        in_graph: bool = False,
        image: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        graph = graph_bytes(seed, ending=ending, in_graph=in_graph)
        (folder / f"{name}.onnx").write_bytes(graph)
        fields = sidecar_fields(name)
        fields["files"] = [
            {
                "path": f"{name}.onnx",
                "sha256": hashlib.sha256(graph).hexdigest(),
                "bytes": len(graph),
                "target": "onnxruntime",
                "precision": "fp32",
                "opset": 13,
            }
        ]
        sizes = {"logits": len(LABELS), "probabilities": len(LABELS), "features": WIDTH}
        fields["outputs"] = [
            {"name": output, "meaning": output, "shape": [-1, sizes[output]]}
            for output in ending.split("+")
        ]
        if in_graph:
            fields["input"] |= {"layout": "NHWC", "dtype": "UINT8", "in_graph": True}
            fields["input"]["shape"] = [-1, SIDE, SIDE, 1]
        fields["input"]["image"] |= image or {}
        for key, value in changes.items():
            fields[key] = fields[key] | value if isinstance(value, dict) else value
        path = folder / f"{name}.bicameral.json"
        write_sidecar(path, Sidecar.model_validate({"kind": "classifier", **fields}))
        return path

    return write


@pytest.fixture(scope="session")
def write_cascade() -> CascadeWriter:
    """Write the sidecar of a cascade of networks (name, sha256), keywords as above.

    In its block, ``threshold`` is that of all stages but the last. A block ``memory`` needs only
    what differs from one that remembers all.
    """

    def write(
        folder: Path,
        name: str,
        *networks: tuple[str, str],
        cascade: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        fields = sidecar_fields(name) | {"kind": "cascade", "schema": 2}
        block = {"threshold": 0.5, **(cascade or {})}
        stages = [
            {"name": member, "sha256": sha256, "threshold": block["threshold"]}
            for member, sha256 in networks
        ]
        del block["threshold"], stages[-1]["threshold"]
        fields["outputs"] = [
            {"name": "probabilities", "meaning": "probabilities", "shape": [-1, len(LABELS)]}
        ]
        fields["cascade"] = {
            "stages": stages,
            "score": "margin",
            "combine": "average",
            **block,
        }
        if fields["cascade"].get("memory") is not None:
            fields["cascade"]["memory"] = REMEMBER_ALL | fields["cascade"]["memory"]
        for key, value in changes.items():
            fields[key] = fields[key] | value if isinstance(value, dict) else value
        path = folder / f"{name}.bicameral.json"
        write_sidecar(path, Sidecar.model_validate(fields))
        return path

    return write


@pytest.fixture(scope="session")
def write_pair(
    write_classifier: ClassifierWriter, write_cascade: CascadeWriter
) -> Callable[..., Path]:
    """Write two networks, ``member`` their fields, and the cascade "pair", keywords its fields."""

    def write(
        folder: Path,
        members: Mapping[str, int] = {"a": 3, "b": 5},
        member: dict[str, Any] | None = None,
        **cascade: Any,
    ) -> Path:
        written = []
        for name, seed in members.items():
            path = write_classifier(folder, name, seed=seed, **(member or {}))
            written.append((name, read_sidecar(path).files[0].sha256))
        return write_cascade(folder, "pair", *written, cascade=cascade)

    return write


@pytest.fixture(scope="session")
def write_read_out(write_classifier: ClassifierWriter) -> ClassifierWriter:
    """Write a classifier with a memory of three pictures for each class."""

    def write(folder: Path, name: str, *, online: bool = False, **changes: Any) -> Path:
        path = write_classifier(folder, name, ending="logits+features", **changes)
        network = load_classifier(path)
        assert isinstance(network, FeatureClassifier)
        images = np.random.default_rng(3).integers(0, 256, (3 * len(LABELS), SIDE, SIDE, 1))
        features = unit_rows(network.features(images.astype(np.uint8)))
        state = MemoryState(
            labels=LABELS,
            static=Remembered(features=features, classes=np.arange(3 * len(LABELS)) % len(LABELS)),
            dynamic=Remembered.nothing(WIDTH),
            entropies=np.empty(0),
            settings=ReadOutSettings(
                weights=MixingWeights(network=1.0, static=1.0, dynamic=1.0),
                scale=20.0,
                min_confidence=0.5,
            ),
        )
        sidecar = read_sidecar(path)
        spec = StateSpec(kind="memory_head", path="none.npz", sha256="", online=online)
        sidecar = sidecar.model_copy(update={"state": spec})
        return DualMemoryClassifier(sidecar, network, state).save(folder)

    return write


@pytest.fixture(scope="session")
def write_pictures() -> Callable[[Path, int], None]:
    """Write so many pictures of noise into a folder for each class."""

    def write(folder: Path, per_class: int) -> None:
        rng = np.random.default_rng(1)
        for label in LABELS:
            (folder / label).mkdir(parents=True)
            for index in range(per_class):
                picture = rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
                cv2.imwrite(str(folder / label / f"{index}.png"), picture)

    return write


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """48 canonical images (8, 8, 1): noise around different levels of grey, read-only."""
    rng = np.random.default_rng(7)
    level = rng.uniform(20, 235, (48, 1, 1, 1))
    noise = rng.normal(0, 1, (48, SIDE, SIDE, 1)) * rng.uniform(0, 90, (48, 1, 1, 1))
    images = np.clip(level + noise, 0, 255).astype(np.uint8)
    images.flags.writeable = False
    return images


@pytest.fixture(scope="session")
def straight_route() -> Callable[..., Route]:
    """Make a route straight on with a point every metre; keywords replace columns or names."""

    def make(points: int = 101, **changes: Any) -> Route:
        s_m = np.arange(float(points))
        zeros = np.zeros(points)
        columns = {
            "name": "straight",
            "town": "Nowhere",
            "kind": "straight",
            "xyz_m": np.stack([s_m, zeros, zeros], axis=1),
            "yaw_rad": zeros,
            "s_m": s_m,
            "command": np.full(points, int(RoadOption.LANE_FOLLOW), np.int8),
            "in_junction": zeros > 0,
            "lane_width_m": zeros + 3.5,
            "speed_limit_mps": zeros + 8.0,
            "target_speed_mps": zeros + 8.0,
        }
        return Route(**(columns | changes))

    return make


class ServeProcess:
    """`bicameral serve` in processes of its own, seen from outside."""

    def __init__(
        self,
        folder: Path | None,
        log: Path,
        *options: str,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it on a free port, unless told which, with the shipped models if no folder."""
        self.port, self.log = port or free_port(), log
        self.url = f"http://127.0.0.1:{self.port}"
        program = "from bicameral.cli.app import main; main()"
        words = [*([] if folder is None else [str(folder)]), f"--port={self.port}", *options]
        self._command = [sys.executable, "-c", program, "serve", *words]
        self._environment = os.environ | (environment or {})
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, stdout=output, stderr=output, env=self._environment
            )

    def wait_until_ready(self) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while self.status("/v2/health/ready") != 200:
            assert time.monotonic() < give_up_s, self.log.read_text()
            with suppress(subprocess.TimeoutExpired):  # asked again, unless it ends
                self.process.wait(0.05)
            assert self.process.poll() is None, self.log.read_text()

    def status(self, path: str, method: str = "GET", **headers: str) -> int:
        """Return the status of an answer, given on a connection of its own; 0: there was none."""
        url = f"{self.url}{path}"
        try:
            return httpx.request(method, url, headers=headers, timeout=PATIENCE_S).status_code
        except httpx.TransportError:
            return 0

    def end(self) -> int:
        """Ask it to end in good order, and return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """Run a server while a context is open, as `ServeProcess` says; it is ready, and ends well."""

    @contextmanager
    def run(*where: Any, **how: Any) -> Iterator[ServeProcess]:
        server = ServeProcess(*where, **how)
        try:
            server.wait_until_ready()
            yield server
            if server.process.poll() is None:
                assert server.end() == 0, server.log.read_text()
        finally:
            server.process.kill()
            server.process.wait()

    return run


@pytest.fixture
def redis() -> Iterator[RedisProcess]:
    """A server of this test's own."""
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def module_redis() -> Iterator[RedisProcess]:
    """A server of this module's own."""
    with running_redis() as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, so that no test has to name its own kind."""
    root = Path(__file__).parent
    for item in items:
        kind = item.path.relative_to(root).parts[0]
        if kind in KINDS:
            item.add_marker(kind)


#: In the names of quick runs of studies, which are many and have nothing in common but their file.
_APART = "quickly_on_few_data["


class CrashTolerantFiles(LoadFileScheduling):  # type: ignore[misc]
    """One runner a file, or a study, and a run that ends when a test kills its runner.

    pytest-xdist 3.8 starts such a test again on the next runner, hands out files that are
    finished, and lets a runner with a single test wait for ever (its issues 1327, 1371, 1378).
    """

    def _split_scope(self, nodeid: str) -> str:
        """Return what one runner takes as a whole. Large files come first, single tests last."""
        scope: str = super()._split_scope(nodeid)
        return nodeid if _APART in nodeid else scope

    def remove_node(self, node: WorkerController) -> str | None:
        """Count the test that crashed as done, and give back only what is not."""
        workload = self.assigned_work[node]
        left = [name for unit in workload.values() for name, done in unit.items() if not done]
        for unit in workload.values():
            unit.update({name: True for name in left[:1] if name in unit})
        self.assigned_work[node] = {
            scope: unit for scope, unit in workload.items() if not all(unit.values())
        }
        super().remove_node(node)
        return left[0] if left else None

    def _reschedule(self, node: WorkerController) -> None:
        """Give a runner a second test, or tell it that there is none: it waits for either."""
        super()._reschedule(node)
        if not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> CrashTolerantFiles | None:
    """Replace `--dist loadfile`."""
    return CrashTolerantFiles(config, log) if config.getvalue("dist") == "loadfile" else None
