"""What every entry of the zoo keeps: it trains, exports, answers alike, and refuses what is wrong.

An entry gets all of this by being listed in the catalogue.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from bicameral.errors import ConfigError, DataError, UserError
from edge.comparison import compare, tolerance_for
from edge.export.pipeline import ExportSettings, export_model
from edge.loading import load_classifier
from edge.preflight import has_errors, preflight
from edge.samples import Samples
from edge.sidecar import read_sidecar, write_sidecar
from edge.subject import load_subject
from models.checkpoint import read_checkpoint, write_checkpoint
from models.classifiers.training import load_network
from models.data.dataset import ImageDataset
from models.data.sources import DatasetOptions
from models.networks.architectures import ARCHITECTURES
from models.torch_subject import load_checkpoint_subject
from models.zoo.catalogue import CATALOGUE
from models.zoo.training import HEADS, ClassifierTraining, train_classifier

QuickTraining = Callable[..., Path]

ENTRIES = [name for name, one in CATALOGUE.items() if one.kind in ("network", "pool", "head")]
NETWORKS = [name for name in ENTRIES if CATALOGUE[name].kind != "head"]

#: Largest difference of a logit between torch and the exported graph; spikes flip within rounding,
#: so of a spiking network that share of equal answers is asked for instead.
DIFFERENCE = 1e-4
AGREEMENT = 0.999

PATIENCE_S = 180.0

every_entry = pytest.mark.parametrize("entry", ENTRIES)
every_network = pytest.mark.parametrize("entry", NETWORKS)


def samples(dataset: ImageDataset) -> Samples:
    """Every fifth test image, of all classes."""
    few = dataset.test.select(np.arange(0, len(dataset.test), 5))
    return Samples(description="stripes", images=few.images, labels=few.labels)


def run_folder(sidecar: Path, entry: str) -> Path:
    """Return where the checkpoint of a network lies, given its exported sidecar."""
    return sidecar.parents[1] / "networks" / f"{entry}-s0"


def copied(sidecar: Path, folder: Path) -> Path:
    """Copy all files of a model; return the copied sidecar."""
    shutil.copytree(sidecar.parent, folder, dirs_exist_ok=True)
    return folder / sidecar.name


def assert_same_answers(model: Path, found: np.ndarray, expected: np.ndarray) -> None:
    """Compare probabilities (N, C), or the classes where answers jump with the rounding."""
    if read_sidecar(model).discontinuous:
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= AGREEMENT
    else:
        np.testing.assert_allclose(found, expected, atol=DIFFERENCE)


@every_entry
def test_it_trains_and_is_described(entry: str, quick: QuickTraining) -> None:
    sidecar = read_sidecar(quick(entry))
    assert {claim.metric for claim in sidecar.claims} >= {"accuracy", "ece"}
    assert sidecar.cost.macs > 0
    assert sidecar.training.command.startswith(f"bicameral train classifier {entry}")
    assert sidecar.calibration.split == "validation"


@every_entry
def test_it_is_trained_by_a_name_that_is_known(entry: str) -> None:
    assert (entry in HEADS) == (CATALOGUE[entry].kind == "head")
    assert (entry in ARCHITECTURES) == (entry in NETWORKS)


@every_network
def test_the_exported_graph_answers_as_torch_does(
    entry: str, quick: QuickTraining, stripes_dataset: ImageDataset
) -> None:
    original = load_checkpoint_subject(run_folder(quick(entry), entry) / "checkpoint.pt")
    exported = load_subject(quick(entry))
    tolerance = tolerance_for("fp32", "fp32", discontinuous=exported.sidecar.discontinuous)
    found = compare(original, exported, samples(stripes_dataset), tolerance)
    assert found.agreement is not None
    assert found.agreement >= AGREEMENT
    if not exported.sidecar.discontinuous:
        logits = next(one for one in found.outputs if one.output == "logits")
        assert logits.largest <= DIFFERENCE


@every_entry
def test_it_exports_for_onnx_runtime_and_stays_what_it_was(
    entry: str, quick: QuickTraining, stripes_dataset: ImageDataset, tmp_path: Path
) -> None:
    settings = ExportSettings(
        model=quick(entry), target="onnxruntime", output=tmp_path / "out", precision="fp32"
    )
    asked = samples(stripes_dataset)
    export_model(settings, asked, None)
    model = tmp_path / "out" / f"stripes_{entry}.bicameral.json"
    before, after = (load_classifier(path).predict(asked.images) for path in (quick(entry), model))
    assert_same_answers(model, before.probabilities, after.probabilities)


@every_entry
def test_a_jetson_nano_can_read_it(
    entry: str, quick: QuickTraining, stripes_dataset: ImageDataset, tmp_path: Path
) -> None:
    settings = ExportSettings(
        model=quick(entry), target="jetson-nano", output=tmp_path / "out", precision="fp32"
    )
    exported = export_model(settings, samples(stripes_dataset), None)
    for file in exported.files:
        assert not has_errors(preflight(tmp_path / "out" / f"{file.name}.onnx", "jetson-nano"))


@every_entry
def test_a_batch_gives_the_same_answers_as_its_images_alone(
    entry: str, quick: QuickTraining, stripes_dataset: ImageDataset
) -> None:
    classifier = load_classifier(quick(entry))
    images = stripes_dataset.test.images[:9]
    together = classifier.predict(images).probabilities
    alone = [classifier.predict(images[k : k + 1]).probabilities[0] for k in range(len(images))]
    assert_same_answers(quick(entry), together, np.stack(alone))
    np.testing.assert_allclose(together.sum(axis=1), 1.0, atol=1e-5)


@pytest.fixture(scope="module")
def served(
    quick: QuickTraining,
    tmp_path_factory: pytest.TempPathFactory,
    serving: Callable[..., Any],
) -> Iterator[httpx.Client]:
    """Serve all entries from one folder, in processes in which torch cannot be imported."""
    folder = tmp_path_factory.mktemp("served")
    for entry in ENTRIES:
        copied(quick(entry), folder)
    without = tmp_path_factory.mktemp("without_torch")
    (without / "torch.py").write_text("raise ImportError('torch must not be needed here')\n")
    path = os.pathsep.join((str(without), str(Path(__file__).resolve().parents[3])))
    log, environment = without / "log.txt", {"PYTHONPATH": path}
    with (
        serving(folder, log, "--workers=1", environment=environment) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client,
    ):
        yield client


@every_entry
def test_it_is_served_without_torch(
    entry: str, quick: QuickTraining, served: httpx.Client, stripes_dataset: ImageDataset
) -> None:
    image = stripes_dataset.test.images[0]
    encoded = cv2.imencode(".png", image)[1].tobytes()
    answer = served.post(f"/v1/classify/stripes_{entry}", content=encoded, params={"top_k": 3})
    assert answer.status_code == 200, answer.text
    classifier = load_classifier(quick(entry))
    expected = classifier.predict(image[None]).probabilities[0]
    found = {one["label"]: one["probability"] for one in answer.json()["results"][0]["top"]}
    for label, probability in zip(classifier.info.labels, expected, strict=True):
        assert found[label] == pytest.approx(probability, abs=1e-5)
    listed = {model["name"] for model in served.get("/v1/models").json()}
    assert f"stripes_{entry}" in listed


@every_entry
def test_a_misspelt_name_is_answered_with_the_right_one(entry: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"unknown classifier .*Did you mean '{entry}'"):
        ClassifierTraining(
            entry=f"{entry}x",
            source="stripes",
            output=tmp_path,
            prefix="stripes",
            command="",
            limits="",
        )


@every_network
def test_a_checkpoint_of_another_architecture_is_refused(
    entry: str, quick: QuickTraining, stripes: Path, tmp_path: Path
) -> None:
    stranger = "residual8"
    folder = tmp_path / "networks" / f"{entry}-s0"
    source = run_folder(quick(stranger), stranger) / "checkpoint.pt"
    folder.mkdir(parents=True)
    shutil.copy(source, folder)
    with pytest.raises(ConfigError, match="other settings or data"):
        train_classifier(_same_training(entry, stripes, tmp_path), lambda *_: None)
    checkpoint = read_checkpoint(source)
    renamed = replace(checkpoint, settings=checkpoint.settings | {"architecture": entry})
    write_checkpoint(folder / "checkpoint.pt", renamed)
    with pytest.raises(DataError, match="is no checkpoint of a classifier"):
        load_network(folder)


def _same_training(entry: str, stripes: Path, output: Path) -> ClassifierTraining:
    return ClassifierTraining(
        entry=entry,
        source=str(stripes),
        output=output,
        prefix="stripes",
        options=DatasetOptions(image_size=(28, 28), color="GRAY"),
        epochs=2,
        command="",
        limits="",
    )


@every_entry
def test_the_graph_of_another_model_is_refused(
    entry: str, quick: QuickTraining, tmp_path: Path
) -> None:
    sidecar = copied(quick(entry), tmp_path)
    stranger = quick("residual8").with_name("stripes_residual8.onnx")
    graph = sidecar.with_name(read_sidecar(sidecar).files[0].path)
    shutil.copy(stranger, graph)
    with pytest.raises(DataError, match="is not the file that its sidecar describes"):
        load_classifier(sidecar)


@every_entry
def test_an_image_of_another_size_is_refused(entry: str, quick: QuickTraining) -> None:
    classifier = load_classifier(quick(entry))
    with pytest.raises(DataError, match=r"shape \(1, 32, 28, 1\).*expected canonical images"):
        classifier.predict(np.zeros((1, 32, 28, 1), np.uint8))


@every_entry
def test_a_truncated_graph_is_refused(entry: str, quick: QuickTraining, tmp_path: Path) -> None:
    path = copied(quick(entry), tmp_path)
    sidecar = read_sidecar(path)
    graph = path.with_name(sidecar.files[0].path)
    content = graph.read_bytes()[: graph.stat().st_size // 2]
    graph.write_bytes(content)
    with pytest.raises(DataError, match="fetch or export it again"):
        load_classifier(path)
    # Even where the sidecar was written for the truncated file.
    file = sidecar.files[0].model_copy(
        update={"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    )
    write_sidecar(path, sidecar.model_copy(update={"files": (file,)}))
    with pytest.raises(DataError, match=f"stripes_{entry}"):
        load_classifier(path)
