"""What `bicameral export --bundle` writes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bicameral.cli.app import main
from bicameral.errors import ConfigError, DataError
from edge.jetson.bundle import Bundle, BundleRequest, check_feeds, write_bundle
from edge.session import OnnxSession
from edge.shipped import shipped_model
from edge.sidecar import read_sidecar
from tests.path_network import write_path_network

pytestmark = pytest.mark.unit


def _request(model: str, **others: object) -> BundleRequest:
    return BundleRequest(
        model=shipped_model(model),
        target="jetson-nano",
        **others,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "cascade"
    return write_bundle(_request("fashion_mnist_cascade"), folder)


def test_a_bundle_of_a_cascade_holds_its_members_and_all_that_the_device_needs(cascade: Bundle):
    assert set(cascade.files) == {
        "README.md",
        "SHA256SUMS",
        "bicameral.service",
        "bicameral-camera.service",
        "bicameral_jetson.py",
        "build.sh",
        "bundle.json",
        "run.sh",
        "models/fashion_mnist_cascade.bicameral.json",
        *(
            f"models/fashion_mnist_{name}.{suffix}"
            for name in ("squeeze16_student", "wide_residual32")
            for suffix in ("onnx", "bicameral.json", "check.npz")
        ),
    }
    assert (cascade.folder / "build.sh").stat().st_mode & 0o111
    assert "$" not in (cascade.folder / "bicameral.service").read_text()


def test_the_same_model_gives_the_same_bytes(cascade: Bundle, tmp_path: Path):
    again = write_bundle(_request("fashion_mnist_cascade"), tmp_path / "again")
    assert again.files == cascade.files
    for name in again.files:
        assert (again.folder / name).read_bytes() == (cascade.folder / name).read_bytes(), name


def test_the_checksums_are_those_of_the_files(cascade: Bundle):
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=cascade.folder, check=True
    )
    listed = (cascade.folder / "SHA256SUMS").read_text().splitlines()
    assert len(listed) == len(cascade.files) - 1


def test_the_instructions_name_what_no_test_could_run(cascade: Bundle):
    text = (cascade.folder / "README.md").read_text("utf-8")
    for part in (
        "Not verified on hardware",
        "numpy==1.19.4",
        "estimate",
        "nvpmodel -m 0",
        "swap",
        "rollback",
        "systemctl enable",
        "sha256sum -c",
        "JetPack 4.6",
    ):
        assert part in text, part


@pytest.mark.parametrize("target", ["jetson-nano", "jetson-orin"])
def test_the_shell_scripts_and_the_unit_are_well_formed(target: str, tmp_path: Path):
    request = BundleRequest(model=shipped_model("caril_a"), target=target)  # type: ignore[arg-type]
    folder = write_bundle(request, tmp_path / "bundle").folder
    for script in ("build.sh", "run.sh"):
        subprocess.run(["sh", "-n", script], cwd=folder, check=True)
    unit = (folder / "bicameral.service").read_text()
    for line in ("Type=notify", "WatchdogSec=30", "Restart=always"):
        assert line in unit


def test_the_recorded_answers_are_those_of_onnx_runtime(cascade: Bundle):
    name = "fashion_mnist_squeeze16_student"
    with np.load(cascade.folder / "models" / f"{name}.check.npz") as archive:
        feeds, logits = {"image": archive["in.image"]}, archive["out.logits"]
    graph = (cascade.folder / "models" / f"{name}.onnx").read_bytes()
    again = np.concatenate(
        [
            OnnxSession(graph, name=name).run({"image": one[None]})["logits"]
            for one in feeds["image"]
        ]
    )
    np.testing.assert_array_equal(logits, again)
    assert len(set(logits.argmax(axis=1).tolist())) > 2, "the pictures look different to a network"


def test_the_recorded_inputs_of_a_driver_show_every_command():
    feeds = check_feeds(read_sidecar(shipped_model("caril_a")))
    assert set(feeds) == {"image", "speed_mps", "command"}
    assert feeds["command"].sum(axis=0).min() >= 1
    assert feeds["command"].sum(axis=1).tolist() == [1.0] * len(feeds["command"])


def test_a_second_network_makes_the_correction_second_opinion(tmp_path: Path):
    bundle = write_bundle(_request("caril_a", second=shipped_model("caril_b")), tmp_path / "bundle")
    description = json.loads((bundle.folder / "bundle.json").read_text())
    assert description["correction"] == "second_opinion"
    assert description["models"] == ["caril_a.bicameral.json", "caril_b.bicameral.json"]


@pytest.mark.parametrize(
    ("model", "others", "message"),
    [
        ("caril_a", {"correction": "second_opinion"}, "--second"),
        ("caril_a", {"correction": "paper", "second": shipped_model("caril_b")}, "exactly two"),
        ("fashion_mnist_cascade", {"correction": "paper"}, "driving agents"),
        ("caril_a", {"second": shipped_model("fashion_mnist_cascade")}, "no driving agent"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    model: str, others: dict[str, object], message: str, tmp_path: Path
):
    with pytest.raises(ConfigError, match=message):
        write_bundle(_request(model, **others), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_a_network_that_sees_the_path_is_refused(tmp_path: Path):
    request = replace(_request("caril_a"), model=write_path_network(tmp_path, "road"))
    with pytest.raises(ConfigError, match=r"answers with a path.*without --bundle"):
        write_bundle(request, tmp_path / "bundle")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        write_bundle(_request("fashion_mnist_cascade"), tmp_path / "bundle")
    assert (tmp_path / "bundle" / "mine.txt").read_text() == "mine"


@pytest.fixture
def newer_graph(tmp_path: Path) -> Path:
    """A shipped classifier whose graph says that it is of opset 18."""
    import onnx

    source = shipped_model("fashion_mnist_vgg24_distilled")
    sidecar = json.loads(source.read_text())
    entry = sidecar["files"][0]
    graph = onnx.load(source.with_name(entry["path"]))
    graph.opset_import[0].version = 18
    content = graph.SerializeToString()
    (tmp_path / entry["path"]).write_bytes(content)
    entry.update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), opset=18)
    path = tmp_path / source.name
    path.write_text(json.dumps(sidecar))
    return path


def test_a_graph_that_the_device_would_misread_is_refused(newer_graph: Path, tmp_path: Path):
    request = BundleRequest(model=newer_graph, target="jetson-nano")
    with pytest.raises(DataError, match=r"opset.*bicameral export"):
        write_bundle(request, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    assert not list(tmp_path.glob(".bundle*"))


def test_a_damaged_graph_is_refused(tmp_path: Path):
    source = shipped_model("fashion_mnist_vgg24_distilled")
    shutil.copy(source, tmp_path)
    graph = source.with_name("fashion_mnist_vgg24_distilled.onnx").read_bytes()
    (tmp_path / "fashion_mnist_vgg24_distilled.onnx").write_bytes(graph[:-7])
    with pytest.raises(DataError):
        write_bundle(
            BundleRequest(model=tmp_path / source.name, target="jetson-nano"), tmp_path / "bundle"
        )


def test_the_command_writes_a_bundle_and_says_what_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["export", "--bundle", "fashion_mnist_vgg24_distilled", "--target", "jetson-orin"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "-o", str(tmp_path / "orin")])
    assert ended.value.code == 0
    assert "bicameral_jetson.py" in capsys.readouterr().out
    assert "JetPack 6" in (tmp_path / "orin" / "README.md").read_text()

    with pytest.raises(SystemExit) as ended:
        main([*words, "-o", str(tmp_path / "orin")])
    assert ended.value.code == 2
    assert "not empty" in capsys.readouterr().err


def _pack(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["export", "--bundle", *words])
    return int(ended.value.code or 0)


def test_a_bundle_in_int8_holds_what_the_export_makes(tmp_path: Path):
    model, orin = "fashion_mnist_vgg24_distilled", ["--target", "jetson-orin"]
    assert _pack([model, *orin, "--precision", "int8", "-o", str(tmp_path / "one")]) == 0
    description = json.loads((tmp_path / "one" / "bundle.json").read_text())
    assert description["precision"] == "int8"
    packed = tmp_path / "one" / "models" / f"{model}.onnx"
    assert b"QuantizeLinear" in packed.read_bytes()
    # What an export wrote is packed as it is, and its precision need not be said again.
    assert _pack([str(packed), *orin, "-o", str(tmp_path / "two")]) == 0
    again = tmp_path / "two" / "models" / packed.name
    assert again.read_bytes() == packed.read_bytes()
    assert json.loads((tmp_path / "two" / "bundle.json").read_text())["precision"] == "int8"
    with pytest.raises(DataError, match="Give --precision int8"):
        write_bundle(BundleRequest(model=packed, target="jetson-orin"), tmp_path / "three")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["fashion_mnist_vgg24_distilled", "--precision", "int8"], 2, "no int8 instructions"),
        (["fashion_mnist_spiking"], 2, "mean difference of probabilities"),
    ],
)
def test_what_the_export_refuses_is_not_packed(
    words: list[str], status: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = ["--target", "jetson-nano", "-o", str(tmp_path / "nano")]
    assert _pack([*words, *output]) == status
    refused = " ".join(capsys.readouterr().err.split())
    assert message in refused
    assert not (tmp_path / "nano").exists()


def test_what_loses_too_much_in_half_precision_is_packed_in_float32(tmp_path: Path):
    words = ["fashion_mnist_spiking", "--target", "jetson-nano", "--precision", "fp32"]
    assert _pack([*words, "-o", str(tmp_path / "nano")]) == 0
