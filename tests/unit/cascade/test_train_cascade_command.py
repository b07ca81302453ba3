"""`bicameral train cascade` where nothing is trained: from stored answers, and from stages."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from bicameral.cli.app import app
from bicameral.errors import ConfigError
from edge.cascade import CascadeClassifier
from edge.loading import load_classifier
from models.cascade.early_exit import EARLY_EXIT_NAME, EarlyExitResults
from models.cascade.report import EVALUATION_NAME, REPORT_NAME, verdict_text
from models.cascade.results import CascadeEvaluation
from models.classifiers.export import ExportSettings, export_classifier
from models.classifiers.logits import NetworkLogits, write_network_logits, write_targets
from models.classifiers.training import image_shape
from models.data.dataset import LabelledImages
from models.data.sources import load_dataset
from models.networks.architectures import build_network
from models.records import read_record

NETWORKS = (("tiny", 100, 1.5), ("small", 200, 1.6), ("wide_residual_large", 5000, 2.5))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in three classes, as IDX files."""
    folder = tmp_path_factory.mktemp("idx")
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 240), ("t10k", 120)):
        images = rng.integers(0, 256, (count, 8, 8), np.uint8)
        labels = (np.arange(count) % 3).astype(np.uint8)
        for name, magic, data in (
            ("images-idx3", 0x803, images),
            ("labels-idx1", 0x801, labels),
        ):
            head = struct.pack(f">{1 + data.ndim}i", magic, *data.shape)
            path = folder / f"{prefix}-{name}-ubyte.gz"
            path.write_bytes(gzip.compress(head + data.tobytes()))
    return folder


def test_a_cascade_is_chosen_from_stored_answers_without_training(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load_dataset(str(source))
    rng = np.random.default_rng(0)

    def logits(part: LabelledImages, strength: float) -> np.ndarray:
        signal = strength * np.eye(3)[part.labels] + rng.normal(size=(len(part), 3))
        return (strength * signal).astype(np.float32)

    write_targets(tmp_path / "logits", dataset)
    for name, macs, strength in NETWORKS:
        network = NetworkLogits(
            architecture=name,
            seed=0,
            macs=macs,
            parameters=macs,
            cpu_us=0.0,
            validation=logits(dataset.validation, strength),
            test=logits(dataset.test, strength),
        )
        write_network_logits(tmp_path / "logits", network)
    words = ["train", "cascade", str(source), "--output", str(tmp_path / "out"), "--max-cost", "1"]
    assert app([*words, "--from-logits", str(tmp_path / "logits")]) == 0
    path = tmp_path / "out" / EVALUATION_NAME
    evaluation = read_record(path, CascadeEvaluation, what="evaluation", remedy="")
    assert evaluation.reference == "wide_residual_large"
    assert evaluation.detail.choice == "requested"
    assert set(evaluation.shipped_system.networks) <= {"tiny", "small", "wide_residual_large"}
    shown = capsys.readouterr().out
    assert "requested" in shown
    assert shown.splitlines()[0] == f"{verdict_text(evaluation)}."
    assert (tmp_path / "out" / REPORT_NAME).exists()
    with pytest.raises(ConfigError, match="--from-logits or --from-stages, not both"):
        app([*words, "--from-logits", str(tmp_path), "--from-stages", "fashion_mnist_noprop"])


def test_an_early_exit_is_made_from_a_classifier_with_stages(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load_dataset(str(source))
    network = build_network("noprop", image_shape(dataset)).eval()
    export = ExportSettings(
        output=tmp_path, name="noise", architecture="noprop", seed=0, command="test", limits="tests"
    )
    export_classifier(network, dataset, export)
    model = tmp_path / "noise.onnx"
    words = ["train", "cascade", str(source), "--output", str(tmp_path / "out")]
    assert app([*words, "--from-stages", str(model), "--max-loss", "0.5"]) == 0
    results = read_record(
        tmp_path / "out" / EARLY_EXIT_NAME, EarlyExitResults, what="figures", remedy=""
    )
    assert results.max_loss == 0.5
    early = load_classifier(tmp_path / "out" / "model" / "noise_early_exit.bicameral.json")
    assert isinstance(early, CascadeClassifier)
    assert early.policy.thresholds[0] == results.choice.threshold
    assert "all stop after a stage" in capsys.readouterr().out
