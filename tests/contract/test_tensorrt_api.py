"""Every name of TensorRT that the Jetson runtime uses exists in the real bindings.

The bindings of 8.6, 10 and 11 are on PyPI, NVIDIA's libraries are not: the bindings are loaded over
a stub of those, which is enough to read names and signatures, and too little to build anything.
JetPack's 8.2.1 is no wheel; its API was read from its source.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from edge.jetson.bundle import RUNTIME

pytestmark = pytest.mark.contract

_FOLDER = Path(__file__).with_name("tensorrt")
_FILE = Path(__file__).resolve().parents[2] / "edge" / "jetson" / RUNTIME
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bicameral" / "bindings"
#: What of the runtime touches TensorRT.
_PARTS = frozenset({"TensorRtEngine", "build_plan", "device_identity"})

#: Release -> package, and the hashes of its wheels for Python 3.11 and 3.12 on x86-64.
_WHEELS = {
    "8.6.1": (
        "tensorrt-bindings",
        ("705cfab5c60f0bed7d939559d880165a761bd9ac0f4203004948a760eef99838",),
    ),
    "10.3.0": (
        "tensorrt-cu12-bindings",
        (
            "59ace22d7f2ca1e9dcde2cb0cb5916912cb3cd5a9d72dd7852be0160d9b3a0ee",
            "f5c2582aeaa7f5628d2c4d4148a701ebe97be78f7ff3b46a617f0ee0cb5460f2",
        ),
    ),
    "10.16.1.11": (
        "tensorrt-cu12-bindings",
        (
            "150ef2b672487e29a8ea916353467c3e199994fb33589167e3641a928e243aa7",
            "8e339335e7255b3fb3954eca61b4acbbdfcf7b28505bd711914519647ba310c8",
        ),
    ),
    "11.4.0.106": (
        "tensorrt-cu12-bindings",
        (
            "e2ab48f316bbff6a7a44a30e94a9ceb0d2cf6645ff39feadecfa68d7cb7a94bf",
            "6490518c9e072d57e0a815ad80b103596933efe776ffa61766ef31c25dbd8b39",
        ),
    ),
}


def _touched_names() -> ModuleType:
    spec = importlib.util.spec_from_file_location("touched_names", _FOLDER / "touched_names.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


NAMES = _touched_names()


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stand-ins for all of NVIDIA's libraries that any of the bindings link to."""
    folder = tmp_path_factory.mktemp("stub")
    first = folder / "stub.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", str(first), str(_FOLDER / "stub.c")], check=True
    )
    for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser", "nvparsers"):
        for major in (8, 10, 11):
            shutil.copy(first, folder / f"lib{name}.so.{major}")
    return folder


def _bindings(release: str) -> Path:
    """Return a folder with a release's bindings; fetched once for each machine and Python."""
    package, hashes = _WHEELS[release]
    folder = _CACHE / f"{release}-{sys.implementation.cache_tag}-{platform.machine()}"
    if not folder.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as partial:
            wanted = Path(partial) / "wanted.txt"
            wanted.write_text(
                f"{package}=={release} " + " ".join(f"--hash=sha256:{one}" for one in hashes)
            )
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            pip += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
            found = Path(partial) / "found"
            subprocess.run([*pip, "--target", str(found), "-r", str(wanted)], check=True)
            found.rename(folder)
    return folder


def _api(release: str, stub: Path) -> dict[str, dict[str, object]]:
    """Return a release's API: class -> member -> parameters."""
    done = subprocess.run(
        [sys.executable, str(_FOLDER / "dump_api.py")],
        env={"LD_LIBRARY_PATH": str(stub), "PYTHONPATH": str(_bindings(release))},
        capture_output=True,
        text=True,
        check=True,
    )
    dump = json.loads(done.stdout)
    assert dump["version"].startswith(release.rsplit(".", 1)[0])
    return dict(dump["api"])


def _api_8_2() -> dict[str, dict[str, object]]:
    """Return the API of JetPack's 8.2.1, as it was read from its source."""
    api: dict[str, dict[str, object]] = {"": {"__version__": None}}
    for line in (_FOLDER / "api-8.2.1.tsv").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        owner, member, parameters = line.split("\t")
        value: object = {"-": None, "*": "*", "": []}.get(parameters, parameters.split(","))
        api.setdefault(owner, {})[member] = value
    return api


def _problems(source: str, api: dict[str, dict[str, object]]) -> list[str]:
    found = (touch.problem(api) for touch in NAMES.touches(source, _PARTS))
    # Every enumeration and class has members of Python itself that the tables leave out.
    return [problem for problem in found if problem is not None]


@pytest.mark.parametrize("release", _WHEELS)
def test_the_runtime_uses_only_what_the_real_bindings_have(release: str, stub: Path):
    if release == "8.6.1" and sys.version_info >= (3, 12):
        pytest.skip("TensorRT 8.6.1 has no bindings for Python 3.12; Python 3.11 runs this")
    assert _problems(_FILE.read_text("utf-8"), _api(release, stub)) == []


def test_the_runtime_uses_only_what_jetpacks_8_2_has():
    assert _problems(_FILE.read_text("utf-8"), _api_8_2()) == []


def test_all_that_the_runtime_touches_is_seen():
    touched = {
        (touch.owner, touch.member) for touch in NAMES.touches(_FILE.read_text("utf-8"), _PARTS)
    }
    assert touched >= {
        ("", "__version__"),
        ("Builder", "__init__"),
        ("Builder", "build_serialized_network"),
        ("BuilderFlag", "FP16"),
        ("IBuilderConfig", "max_workspace_size"),
        ("IBuilderConfig", "set_memory_pool_limit"),
        ("IBuilderConfig", "set_timing_cache"),
        ("ICudaEngine", "get_binding_name"),
        ("ICudaEngine", "get_tensor_name"),
        ("IExecutionContext", "execute_v2"),
        ("IExecutionContext", "set_binding_shape"),
        ("IExecutionContext", "set_input_shape"),
        ("IOptimizationProfile", "set_shape"),
        ("ITimingCache", "serialize"),
        ("Logger", "WARNING"),
        ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"),
        ("OnnxParser", "parse"),
        ("Runtime", "deserialize_cuda_engine"),
        ("TensorIOMode", "INPUT"),
    }


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("engine.get_tensor_name(", "engine.tensor_name(", "ICudaEngine.tensor_name does not"),
        ("tensorrt.BuilderFlag.FP16)", "tensorrt.BuilderFlag.F16)", "BuilderFlag.F16 does not"),
        ("config.set_timing_cache(cache, False)", "config.set_timing_cache(cache)", "1 arguments"),
        ('hasattr(engine, "num_io_tensors")', 'hasattr(engine, "name")', "num_bindings|num_io"),
        ("context.execute_v2(", "context.execute_async_v4(", "execute_async_v4 does not"),
    ],
)
def test_a_wrong_name_a_wrong_call_and_a_wrong_test_are_found(
    right: str, wrong: str, problem: str, stub: Path
):
    source = _FILE.read_text("utf-8")
    assert right in source
    broken = source.replace(right, wrong)
    found = [
        *_problems(broken, _api_8_2()),
        *_problems(broken, _api("10.3.0", stub)),
    ]
    assert re.search(problem, " ".join(found)), found
