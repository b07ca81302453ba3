"""Export: the graph answers like torch, and the sidecar says everything about it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from bicameral.cli.assess import assess
from bicameral.errors import DataError
from bicameral.types import RoadOption
from edge.dual_head import DualHeadModel
from edge.sidecar import read_sidecar
from models.caril.dataset import load_frames
from models.caril.evaluation import predict_frames
from models.caril.export import ExportResult, ExportSettings, export
from models.caril.offline_metrics import evaluate_offline
from models.caril.training import TrainingSettings, train
from models.networks.driver_trunk import NetworkSettings
from models.onnx_export import count_cost

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module", params=["conditional", "paper"])
def exported(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> ExportResult:
    folder = tmp_path_factory.mktemp(request.param)
    contrast = "standardise" if request.param == "conditional" else "none"
    train(
        TrainingSettings(
            data=(data,),
            output=folder / "run",
            steps=5,
            batch_size=16,
            variant=request.param,
            contrast=contrast,
        )
    )
    return export(
        ExportSettings(training=folder / "run", output=folder / "out", name="tiny", command="x")
    )


def test_onnx_runtime_agrees_with_torch(exported: ExportResult) -> None:
    assert exported.checked_images > 40
    assert exported.max_difference <= 1e-4


def test_the_graph_has_opset_13_and_a_free_batch_size(exported: ExportResult) -> None:
    graph = onnx.load(exported.model)
    assert [entry.version for entry in graph.opset_import] == [13]
    model = DualHeadModel.load(exported.model)
    for count in (1, 3):
        batch = model.predict_batch(
            np.zeros((count, 64, 160, 3), np.uint8), np.ones(count), np.full(count, 4, np.int8)
        )
        assert batch.steer.shape == (count,)
        assert batch.probabilities.shape == (count, 11)


def test_size_is_compact_and_counted_from_the_graph(exported: ExportResult) -> None:
    assert 400_000 <= exported.parameters <= 1_000_000
    # 5 convolutions, a 1x1 and the dense layers, by hand from models.networks.dual_head.
    convolutions = (
        16 * 75 * 32 * 80 + 32 * 144 * 640 + 64 * 288 * 160 + 96 * 576 * 40 + 96 * 864 * 40
    )
    dense = 96 * 48 * 40 + 1920 * 192 + 192 * 128 + 2 * 128 * 64 + 64 + 64 * 11
    condition = 5 * 32 + 32 * 384
    agent = read_sidecar(exported.sidecar).agent
    assert agent is not None
    expected = convolutions + dense + (condition if agent.variant == "conditional" else 0)
    assert exported.macs == expected
    assert count_cost(exported.model.read_bytes()) == (exported.macs, exported.parameters)


def test_the_sidecar_describes_the_network(exported: ExportResult) -> None:
    sidecar = read_sidecar(exported.model)
    assert sidecar.training.precision == "fp32"
    assert sidecar.agent is not None
    assert sidecar.agent.trained_on == "pocket"
    assert sidecar.agent.towns == ("Train01", "Train02")
    assert sidecar.cost.macs == exported.macs
    assert sidecar.cost.cpu_us > 0
    assert len(sidecar.agent.class_means) == 11
    low, high = sidecar.agent.input_range.brightness
    assert 60 < low < high < 140
    assert 0.0 < sidecar.agent.confidence.asked_share < 0.3
    assert "/" not in sidecar.training.data.name


def test_only_the_conditional_variant_listens_to_command_and_speed(exported: ExportResult) -> None:
    model = DualHeadModel.load(exported.model)
    image = np.random.default_rng(0).integers(0, 255, (64, 160, 3), dtype=np.uint8)
    left = model.predict(image, 5.0, RoadOption.LEFT)
    right = model.predict(image, 5.0, RoadOption.RIGHT)
    fast = model.predict(image, 9.0, RoadOption.LEFT)
    assert (left.steer == right.steer) == (model.agent.variant == "paper")
    assert (left.steer == fast.steer) == (model.agent.variant == "paper")


def test_a_damaged_graph_is_refused(exported: ExportResult, tmp_path: Path) -> None:
    sidecar = tmp_path / exported.sidecar.name
    sidecar.write_bytes(exported.sidecar.read_bytes())
    content = bytearray(exported.model.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / exported.model.name).write_bytes(content)
    with pytest.raises(DataError, match="not the file that its sidecar describes"):
        DualHeadModel.load(sidecar)


def test_an_unfinished_training_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="checkpoint"):
        export(ExportSettings(training=tmp_path, output=tmp_path, name="x"))


def test_offline_metrics_score_the_test_town(exported: ExportResult, data: Path) -> None:
    metrics = evaluate_offline(exported.model, data, "test").metrics
    assert set(metrics) == {"all", "clear"}
    total = metrics["all"]
    assert total.frames + total.frames_outside == len(load_frames(data, "test"))
    assert sum(total.class_frames) == total.frames
    assert total.majority_accuracy == max(total.class_prior)


def test_the_command_prints_the_figures_beside_their_baselines_and_writes_them(
    exported: ExportResult, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert assess(str(exported.model), str(data), output=tmp_path / "figures.json") == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("always straight", "per class", "correction rule"))
    record = json.loads((tmp_path / "figures.json").read_text())
    assert (record["split"], record["towns"]) == ("test", ["Ridgeway"])
    assert f"{record['metrics']['all']['steering_mae']:.4f}" in printed


def test_batches_and_single_pictures_get_the_same_answer(
    exported: ExportResult, data: Path
) -> None:
    model = DualHeadModel.load(exported.model)
    frames = load_frames(data, "test")
    batch = predict_frames(model, frames)
    for index in (0, 7):
        one = model.predict(
            frames.gather(np.array([index]))[0],
            float(frames.speed_mps[index]),
            RoadOption(int(frames.command[index])),
        )
        assert one.steer == pytest.approx(float(batch.steer[index]), abs=1e-5)


def test_both_variants_come_from_one_definition() -> None:
    assert {field.name for field in dataclasses.fields(NetworkSettings)} == {"variant", "contrast"}
