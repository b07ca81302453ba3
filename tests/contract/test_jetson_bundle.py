"""A bundle as on the device: built, run, rolled back and served, with a stand-in for the GPU.

`tests/contract/jetson_stand_in` has a `tensorrt` with the names of one release that runs graphs
with ONNX Runtime, and a CUDA runtime in C on the host's memory. The real engine test is
`test_jetson_engine.py`, for a machine with a GPU.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.jetson.bundle import BundleRequest, write_bundle
from edge.loading import load_classifier
from edge.shipped import shipped_model
from tests.tensorrt_rtx import export_graphs

pytestmark = pytest.mark.contract

_STAND_IN = Path(__file__).with_name("jetson_stand_in")
_ROOT = Path(__file__).resolve().parents[2]
_NANO, _ORIN, _ELEVEN = "8.2.1.8", "10.3.0", "11.4.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A machine with CUDA and TensorRT, as far as a bundle can tell."""

    libraries: Path
    release: str = _NANO
    fault: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What a login shell has there."""
        return {
            "LC_ALL": "C",
            "LD_LIBRARY_PATH": str(self.libraries),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
            "PYTHONPATH": os.pathsep.join([str(_STAND_IN), str(_ROOT)]),
            "STAND_IN_FAULT": self.fault,
            "STAND_IN_TENSORRT": self.release,
        }

    def run(self, bundle: Path, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the bundle."""
        return subprocess.run(
            ["sh", *command],
            cwd=bundle,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=180,
            check=False,
        )


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cuda")
    source, library = str(_STAND_IN / "cudart.c"), str(folder / "libcudart.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    return folder


@pytest.fixture
def nano(libraries: Path) -> Device:
    return Device(libraries=libraries)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one small network without engines."""
    folder = tmp_path_factory.mktemp("packed") / "bundle"
    model = shipped_model("fashion_mnist_squeeze16_distilled")
    write_bundle(BundleRequest(model=model, target="jetson-nano"), folder)
    return folder


@pytest.fixture
def bundle(packed: Path, tmp_path: Path) -> Path:
    """A copy of the bundle in a folder whose name is not ASCII."""
    return Path(shutil.copytree(packed, tmp_path / "Gerät"))


@pytest.fixture(scope="module")
def built_once(packed: Path, libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(packed, tmp_path_factory.mktemp("built") / "bundle"))
    assert Device(libraries=libraries).run(folder, "build.sh").returncode == 0
    return folder


@pytest.fixture
def built(built_once: Path, tmp_path: Path) -> Path:
    """A bundle with the engine of a Nano, in fp16."""
    return Path(shutil.copytree(built_once, tmp_path / "built"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    path = tmp_path / "Schnürschuh.png"
    cv2.imwrite(str(path), cv2.GaussianBlur(rng.integers(0, 256, (56, 56), np.uint8), (9, 9), 3))
    return path


def _answers(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("release", "options"),
    [(_NANO, ()), (_ORIN, ()), (_ELEVEN, ("--precision", "fp32"))],
)
def test_an_engine_is_built_checked_and_asked(
    release: str, options: Sequence[str], libraries: Path, bundle: Path, picture: Path
):
    device = Device(libraries=libraries, release=release)
    built = device.run(bundle, "build.sh", *options)
    assert built.returncode == 0, built.stderr
    assert "1 of 1" in built.stdout
    (record,) = [
        json.loads(path.read_text())
        for path in (bundle / "engines").glob("*.json")
        if "active" not in path.name
    ]
    assert record["tensorrt"] == release
    assert (record["gpu"], record["compute_capability"]) == ("Stand-in Maxwell", "5.3")
    assert record["difference"] < 0.01
    (answer,) = _answers(device.run(bundle, "run.sh", "classify", str(picture)))
    classifier = load_classifier("fashion_mnist_squeeze16_distilled")
    grey = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)[..., None]
    expected = classifier.predict(classifier.prepare([grey]))
    assert answer["picture"] == str(picture)
    np.testing.assert_allclose(answer["probabilities"], expected.probabilities[0], atol=0.01)

    again = device.run(bundle, "build.sh", *options)
    assert "the engine is there" in again.stdout


def test_a_cascade_builds_one_engine_for_each_member(nano: Device, tmp_path: Path):
    folder = tmp_path / "bundle"
    model = shipped_model("fashion_mnist_cascade")
    write_bundle(BundleRequest(model=model, target="jetson-nano"), folder)
    built = nano.run(folder, "build.sh")
    assert built.returncode == 0, built.stderr
    assert len(list((folder / "engines").glob("*.engine"))) == 2
    np.save(tmp_path / "twice.npy", np.zeros((2, 28, 28), np.uint8))
    answers = _answers(nano.run(folder, "run.sh", "cascade", str(tmp_path / "twice.npy")))
    assert len(answers) == 2
    assert answers[0]["probabilities"] == answers[1]["probabilities"]


def test_an_engine_of_another_tensorrt_is_refused_before_tensorrt_sees_it(
    libraries: Path, built: Path, picture: Path
):
    updated = Device(libraries=libraries, release="8.5.2")
    done = updated.run(built, "run.sh", "classify", str(picture))
    assert done.returncode == 4
    assert "8.2.1.8" in done.stderr
    assert "8.5.2" in done.stderr
    assert "build" in done.stderr


def test_a_damaged_engine_is_refused(nano: Device, built: Path, picture: Path):
    (engine,) = (built / "engines").glob("*.engine")
    engine.write_bytes(engine.read_bytes()[:-1])
    done = nano.run(built, "run.sh", "classify", str(picture))
    assert done.returncode == 4
    assert "build --again" in done.stderr


def test_an_engine_of_other_weights_is_refused(nano: Device, built: Path, picture: Path):
    (sidecar,) = (built / "models").glob("*.bicameral.json")
    content = json.loads(sidecar.read_text())
    content["files"][0]["sha256"] = "0" * 64
    sidecar.write_text(json.dumps(content))
    done = nano.run(built, "run.sh", "classify", str(picture))
    assert done.returncode == 4
    assert "graph_sha256" in done.stderr


def test_a_service_without_an_engine_stops_and_says_what_to_do(
    nano: Device, bundle: Path, tmp_path: Path
):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(180)
        done = subprocess.run(
            ["sh", "run.sh", "serve", "--port", "0"],
            cwd=bundle,
            env={**nano.environment, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            capture_output=True,
            encoding="utf-8",
            timeout=180,
            check=False,
        )
        told = notified.recv(1000).decode()
    assert done.returncode == 4
    assert "sudo ./build.sh" in done.stderr
    assert told.startswith("STATUS=there is no engine")
    for unit in ("bicameral.service", "bicameral-camera.service"):
        assert "RestartPreventExitStatus=2 4" in (bundle / unit).read_text()


def test_the_tensorrt_of_jetpack_4_6_0_is_too_old_and_the_way_out_is_told(
    libraries: Path, bundle: Path
):
    done = Device(libraries=libraries, release="8.0.1.6").run(bundle, "build.sh")
    assert done.returncode == 3
    assert "JetPack 4.6.0" in done.stderr
    assert "JetPack 4.6.0" in (bundle / "README.md").read_text()


def test_kernels_of_other_libraries_are_asked_where_tensorrts_own_do_not_suffice(
    libraries: Path, bundle: Path
):
    done = Device(libraries=libraries, fault="tactics").run(bundle, "build.sh")
    assert done.returncode == 0, done.stderr


def test_the_engine_before_the_last_build_comes_back_with_rollback(nano: Device, built: Path):
    def precision() -> str:
        done = nano.run(built, "run.sh", "doctor")
        found = re.search(r"'precision': '(\w+)'", done.stdout)
        assert found is not None, done.stdout
        return found[1]

    refused = nano.run(built, "run.sh", "rollback")
    assert refused.returncode == 2
    assert "no previous engine" in refused.stderr
    assert nano.run(built, "build.sh", "--precision", "fp32").returncode == 0
    assert precision() == "fp32"
    assert nano.run(built, "run.sh", "rollback").returncode == 0
    assert precision() == "fp16"
    assert nano.run(built, "run.sh", "rollback").returncode == 0
    assert precision() == "fp32"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("parse", "unsupported operator Teleport"),
        ("build", "could not build"),
        ("wrong", "answers otherwise than its graph"),
        ("killed", "add swap"),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_the_engine_that_was_there(
    fault: str, message: str, nano: Device, libraries: Path, built: Path, picture: Path
):
    before = sorted(path.name for path in (built / "engines").iterdir())
    failing = Device(libraries=libraries, fault=fault).run(built, "build.sh", "--again")
    assert failing.returncode == 3
    assert message in failing.stderr
    assert "Traceback" not in failing.stderr
    assert sorted(path.name for path in (built / "engines").iterdir()) == before
    assert nano.run(built, "run.sh", "classify", str(picture)).returncode == 0


@pytest.mark.parametrize("release", [_ORIN, _ELEVEN])
def test_an_int8_bundle_is_built_in_int8_and_in_nothing_else(
    release: str, libraries: Path, picture: Path, tmp_path: Path
):
    device = Device(libraries=libraries, release=release)
    (graph,) = export_graphs(
        "fashion_mnist_wide_residual32", "jetson-orin", "int8", tmp_path
    )  # calibrated with noise
    request = BundleRequest(model=graph, target="jetson-orin", precision="int8")
    folder = write_bundle(request, tmp_path / "orin").folder
    built = device.run(folder, "build.sh")
    assert built.returncode == 0, built.stderr
    assert "int8" in built.stdout
    assert len(_answers(device.run(folder, "run.sh", "classify", str(picture)))) == 1
    refused = device.run(folder, "build.sh", "--precision", "fp16")
    assert refused.returncode == 2
    assert "made for int8" in refused.stderr


def test_fp16_where_tensorrt_has_no_flag_for_it_says_what_to_do(libraries: Path, bundle: Path):
    done = Device(libraries=libraries, release=_ELEVEN).run(bundle, "build.sh")
    assert done.returncode == 3
    assert "--precision fp32" in done.stderr


def test_without_tensorrt_or_cuda_the_doctor_says_what_is_missing(bundle: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "bicameral_jetson.py", "doctor"],
        cwd=bundle,
        env={"PATH": os.defpath},
        capture_output=True,
        encoding="utf-8",
        timeout=180,
        check=False,
    )
    assert done.returncode == 3
    assert "missing  device" in done.stdout
    assert "missing  power rail" in done.stdout
    assert "ok       graphs" in done.stdout


def test_pictures_that_cannot_be_used_are_named_and_the_others_answered(
    nano: Device, built: Path, picture: Path, tmp_path: Path
):
    bad = tmp_path / "text.png"
    bad.write_text("no picture")
    done = nano.run(built, "run.sh", "classify", str(bad), str(picture))
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert f"{bad}: no PGM, PPM, PNG" in done.stderr
    assert nano.run(built, "run.sh", "classify", str(bad)).returncode == 2
    assert nano.run(built, "run.sh", "drive", str(picture)).returncode == 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The endpoint as systemd starts it."""

    port: int
    notified: socket.socket

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        with closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())


@pytest.fixture
def service(nano: Device, built: Path, tmp_path: Path) -> Iterator[Service]:
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(tmp_path / "notify"))
    notified.settimeout(180)
    process = subprocess.Popen(
        ["sh", "run.sh", "serve", "--port", "0"],
        cwd=built,
        env={**nano.environment, "NOTIFY_SOCKET": str(tmp_path / "notify")},
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        port = re.search(r":(\d+)/", line)
        assert port is not None, line
        yield Service(port=int(port[1]), notified=notified)
    finally:
        process.terminate()
        process.communicate()
        notified.close()


def test_the_endpoint_answers_and_feeds_the_watchdog(service: Service, picture: Path):
    assert service.notified.recv(100) == b"READY=1"
    assert service.notified.recv(100) == b"WATCHDOG=1"
    status, answer = service.request("POST", "/", picture.read_bytes())
    assert status == 200
    assert answer["label"]
    status, health = service.request("GET", "/health")
    assert (status, health["status"], health["answered"]) == (200, "ok", 1)


def test_the_endpoint_refuses_what_it_cannot_use(service: Service):
    assert service.request("POST", "/", b"no picture")[0] == 400
    assert service.request("POST", "/", b"", **{"Content-Length": str(1 << 30)})[0] == 413
    assert service.request("GET", "/secrets")[0] == 404
    status, answer = service.request("POST", "/", b"P5 9999999 9999999 255\n")
    assert status == 400
    assert "allowed" in str(answer["error"])
