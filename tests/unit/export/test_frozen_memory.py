"""A memory as a graph: exporting freezes what was learned, and it answers the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.classifier import OnnxClassifier
from edge.export.pipeline import ExportSettings, export_model
from edge.jetson.bundle import BundleRequest, write_bundle
from edge.latency import LatencySettings
from edge.learning.dual_memory import DualMemoryClassifier, OnlineDualMemoryClassifier
from edge.learning.read_out import Projection
from edge.loading import load_classifier
from edge.preflight import has_errors, preflight
from edge.samples import Samples
from edge.sidecar import read_sidecar
from edge.targets import TargetName

Writer = Callable[..., Path]


@pytest.fixture
def path(tmp_path: Path, write_read_out: Writer) -> Path:
    return write_read_out(tmp_path, "tiny", calibration={"temperature": 2.0})


def frozen(path: Path, images: np.ndarray, target: TargetName = "onnxruntime") -> Path:
    settings = ExportSettings(
        model=path,
        target=target,
        output=path.parent / f"for {target}",
        latency=LatencySettings(rounds=1, turn_s=0.001, warm_up_s=0.0),
    )
    return export_model(settings, Samples(description="noise", images=images)).sidecar


@pytest.mark.parametrize("learned", ["as it ships", "a new class", "from a stream", "shifts"])
def test_the_exported_graph_answers_as_the_classifier_does_and_learns_no_more(
    path: Path, pictures: np.ndarray, learned: str
) -> None:
    classifier = load_classifier(path)
    if learned == "a new class":
        classifier = classifier.with_examples(pictures[:5], "hat")
    elif learned == "from a stream":
        online = OnlineDualMemoryClassifier(
            read_sidecar(path), classifier.network, classifier.state
        )
        online.predict(pictures)
        classifier = DualMemoryClassifier(read_sidecar(path), classifier.network, online.state)
        assert len(classifier.state.dynamic)
    elif learned == "shifts":
        shift = np.random.default_rng(0).normal(0, 0.3, (5, 4)).astype(np.float32)
        projection = Projection(query=shift[0], key=shift, value=shift[::-1], output=shift / 2)
        state = replace(classifier.state, projection=projection)
        classifier = DualMemoryClassifier(read_sidecar(path), classifier.network, state)
    exported = frozen(classifier.save(path.parent), pictures)
    plain = load_classifier(exported)
    assert isinstance(plain, OnnxClassifier)
    assert plain.info.labels == classifier.info.labels
    assert read_sidecar(exported).state.kind == "none"
    np.testing.assert_allclose(
        plain.predict(pictures).probabilities,
        classifier.predict(pictures).probabilities,
        atol=1e-5,
    )


def test_a_jetson_nano_takes_the_frozen_graph_and_not_the_memory(
    path: Path, pictures: np.ndarray
) -> None:
    request = BundleRequest(model=path, target="jetson-nano", precision="fp16")
    with pytest.raises(DataError, match="Freeze it into the graph first: bicameral export tiny"):
        write_bundle(request, path.parent / "bundle")
    exported = frozen(path, pictures, "jetson-nano")
    assert not has_errors(preflight(exported.with_name("tiny.onnx"), "jetson-nano"))
    bundle = write_bundle(replace(request, model=exported), path.parent / "bundle")
    assert bundle.folder.exists()
