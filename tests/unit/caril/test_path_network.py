"""The path network: it learns where the road goes, says how sure it is, and is exported."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bicameral.cli.assess import assess
from bicameral.errors import ConfigError, DataError
from bicameral.types import RoadOption
from edge.agent_sidecar import PathAgentSpec
from edge.path_model import PathModel
from edge.sidecar import read_sidecar
from models.caril.dataset import load_frames
from models.caril.export import ExportResult, ExportSettings, export
from models.caril.fitting import read_fit
from models.caril.lessons import draw_intent
from models.caril.path_fitting import PathFit
from models.caril.training import TrainingSettings, load_network, train
from models.checkpoint import read_checkpoint
from models.networks.driver_trunk import NetworkSettings
from models.networks.dual_head import PathNetwork
from models.networks.path_classes import (
    AHEAD_DISTANCES_M,
    OFFSET_BINS,
    PATH_DISTANCES_M,
    class_labels,
    intent_input,
    path_offsets,
)
from models.networks.steering_classes import NETWORK_IMAGE
from models.samples import load_samples
from models.trainer import CHECKPOINT_NAME, TrainingProgress
from tests.recorded_drives import write_episode

pytestmark = pytest.mark.unit


def _settings(data: Path, output: Path, **changes: object) -> TrainingSettings:
    values: dict[str, object] = {
        "data": (data,),
        "output": output,
        "steps": 4,
        "batch_size": 16,
        "checkpoint_every": 2,
        "variant": "path",
        "augmentation": "rough",
    }
    return TrainingSettings(**(values | changes))  # type: ignore[arg-type]


def _weights(output: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(output / CHECKPOINT_NAME).network


@pytest.fixture(scope="module")
def exported(data: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    folder = tmp_path_factory.mktemp("path")
    settings = _settings(
        data, folder / "run", steps=60, batch_size=24, checkpoint_every=200, augmentation="none"
    )
    train(settings)
    return export(
        ExportSettings(training=folder / "run", output=folder / "run", name="road", command="x")
    )


def test_labels_are_offsets_at_five_distances_and_classes_at_three() -> None:
    ahead = np.zeros((2, 6, 2), np.float32)
    ahead[:, :, 0] = AHEAD_DISTANCES_M
    ahead[1, :, 1] = (0.1, 0.3, 1.0, 2.0, 30.0, 99.0)
    offsets = path_offsets(ahead)
    assert offsets[1].tolist() == pytest.approx([0.1, 0.3, 1.0, 2.0, 20.0])
    assert class_labels(offsets).tolist() == [[6, 6, 6], [8, 9, 9]]
    assert [bins.count for bins in OFFSET_BINS] == [13, 13, 13]


def test_the_intent_is_all_zeros_where_nothing_is_known() -> None:
    points = np.array([[[25.0, 1.0], [40.0, -2.0]]] * 2)
    intent = intent_input(points, np.array([True, False]))
    assert intent[0].tolist() == pytest.approx([1.25, 0.05, 2.0, -0.1, 1.0])
    assert not intent[1].any()


def test_the_intent_of_training_is_off_by_a_metre_and_a_degree_and_often_left_out() -> None:
    points = np.tile(np.array([[25.0, 0.0], [40.0, 0.0]], np.float32), (20_000, 1, 1))
    intent = draw_intent(points, 0.5, np.random.default_rng(0))
    known = intent[:, 4] == 1.0
    assert known.mean() == pytest.approx(0.5, abs=0.02)
    assert not intent[~known].any()
    near, far = intent[known, 1] * 20.0, intent[known, 3] * 20.0
    assert near.std() == pytest.approx(np.hypot(1.0, 25.0 * np.radians(1.0)), rel=0.03)
    assert (far - near).std() == pytest.approx(15.0 * np.radians(1.0), rel=0.03)


def test_the_intent_has_no_say_in_a_fresh_network() -> None:
    network = PathNetwork(NetworkSettings(variant="path")).eval()
    state = (torch.zeros(1, 3, 64, 160), torch.ones(1, 1), torch.eye(4)[:1])
    with torch.inference_mode():
        answers = [network(*state, intent)[0] for intent in (torch.zeros(1, 5), torch.ones(1, 5))]
    assert torch.equal(*answers)


def test_it_learns_the_road_and_how_sure_it_is(exported: ExportResult, data: Path) -> None:
    model = PathModel.load(exported.model)
    frames = load_frames(data, "test")
    index = np.arange(len(frames))
    output = model.predict_batch(frames.gather(index), frames.speed_mps, frames.command)
    truth = path_offsets(frames.ahead_m)
    error = np.abs(output.offsets_m - truth)
    assert (error.mean(axis=0) < 0.5 * np.abs(truth).mean(axis=0)).all()
    middle = PATH_DISTANCES_M.index(10.0)
    assert (
        np.abs(output.class_mean_m[:, 1] - truth[:, middle]).mean()
        < 0.5 * np.abs(truth[:, middle]).mean()
    )
    fit = read_fit(exported.model.parent, PathFit)
    assert fit.uninformed.error_m[middle] < fit.uninformed.straight_error_m[middle]
    assert fit.uninformed.junction_error_m is not None
    assert fit.uninformed.junction_error_m[middle] > 0.0


def test_calibrated_deviations_fit_the_errors_of_held_out_episodes(
    exported: ExportResult, data: Path
) -> None:
    model = PathModel.load(exported.model)
    frames = load_frames(data, "validation")
    index = np.arange(len(frames))
    output = model.predict_batch(frames.gather(index), frames.speed_mps, frames.command)
    error = output.offsets_m - path_offsets(frames.ahead_m)
    for deviation in (output.offsets_std_m, output.spread_m):
        squared = np.minimum((error / deviation) ** 2, 9.0).mean(axis=0)
        # The fit is over answers with the lane intent and without; these are without.
        assert squared == pytest.approx(1.0, abs=0.3)


def test_onnx_runtime_agrees_with_torch_on_every_output(exported: ExportResult) -> None:
    assert exported.checked_images > 40
    assert exported.max_difference <= 1e-4
    graph = onnx.load(exported.model)
    assert [entry.version for entry in graph.opset_import] == [13]
    assert [one.name for one in graph.graph.input] == ["image", "speed_mps", "command", "intent"]
    assert [one.name for one in graph.graph.output] == ["offsets", "scales", "logits"]
    assert exported.model.stat().st_size < 2_600_000


def test_the_sidecar_says_everything_about_the_path(exported: ExportResult) -> None:
    sidecar = read_sidecar(exported.model)
    agent = sidecar.agent
    assert isinstance(agent, PathAgentSpec)
    assert agent.distances_m == (4.0, 6.0, 10.0, 15.0, 25.0)
    assert [one.distance_m for one in agent.classes] == [6.0, 10.0, 15.0]
    for one, bins in zip(agent.classes, OFFSET_BINS, strict=True):
        assert one.bin_edges_m == bins.edges_m
        assert sorted(one.bin_means_m) == list(one.bin_means_m)
    assert agent.confidence.asked_share == pytest.approx(0.15, abs=0.01)
    assert agent.confidence.distance_m == 10.0
    assert agent.towns == ("Train01", "Train02")
    assert sidecar.cost.cpu_us > 0.0
    assert sidecar.training.precision == "fp32"
    model = PathModel.load(exported.model)
    image = np.random.default_rng(0).integers(0, 255, (64, 160, 3), dtype=np.uint8)
    left, right = (
        model.predict(image, 5.0, option) for option in (RoadOption.LEFT, RoadOption.RIGHT)
    )
    assert (left.offsets_m != right.offsets_m).any()


def test_the_command_scores_it_beside_its_baselines(
    exported: ExportResult, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert assess(str(exported.model), str(data), output=tmp_path / "figures.json") == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("always straight", "in junctions", "class accuracy"))
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["split"], figures["towns"]) == ("test", ["Ridgeway"])
    found = figures["metrics"]["all"]
    assert found["frames"] == len(load_frames(data, "test"))
    assert found["error_m"][2] < 0.5 * found["straight_error_m"][2]
    assert f"{found['error_m'][2]:.2f}" in printed


def test_recorded_frames_tell_it_where_the_lane_leads(exported: ExportResult, data: Path) -> None:
    samples = load_samples(read_sidecar(exported.model), str(data), "test")
    assert samples.labels is None
    frames = load_frames(data, "test")
    np.testing.assert_allclose(
        samples.extra["intent"][:, :2] * 20.0, frames.ahead_m[:, 4], rtol=1e-5, atol=1e-5
    )


def test_a_killed_run_resumes_to_the_same_weights(data: Path, tmp_path: Path) -> None:
    train(_settings(data, tmp_path / "whole"))

    def kill(progress: TrainingProgress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(_settings(data, tmp_path / "killed"), kill)
    train(_settings(data, tmp_path / "killed"))
    whole, resumed = _weights(tmp_path / "whole"), _weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_it_starts_from_the_weights_of_another_training_of_the_same_variant(
    data: Path, tmp_path: Path
) -> None:
    train(_settings(data, tmp_path / "first"))
    first = tmp_path / "first" / CHECKPOINT_NAME
    settings = _settings(data, tmp_path / "second", steps=1, start=first, learning_rate=0.0)
    train(settings)
    before, after = _weights(tmp_path / "first"), _weights(tmp_path / "second")
    assert torch.equal(before["read.weight"], after["read.weight"])
    with pytest.raises(ConfigError, match="other settings or data"):
        train(dataclasses.replace(settings, start=None))
    with pytest.raises(ConfigError, match=r"variant 'path'.*'conditional'"):
        train(
            _settings(
                data, tmp_path / "other", variant="conditional", augmentation="none", start=first
            )
        )


def test_bf16_is_recorded_and_weights_stay_float32(data: Path, tmp_path: Path) -> None:
    train(_settings(data, tmp_path, steps=1, precision="bf16"))
    assert {value.dtype for value in _weights(tmp_path).values()} == {torch.float32, torch.int64}
    result = export(ExportSettings(training=tmp_path, output=tmp_path, name="half"))
    assert read_sidecar(result.model).training.precision == "bf16"


def test_episodes_without_the_road_ahead_train_steering_only(
    tmp_path: Path,
) -> None:
    for number in range(8):
        write_episode(tmp_path / "data", "Train01", f"e{number:03}", frames=4, ahead=False)
    write_episode(tmp_path / "data", "Valley", "v", split="validation", frames=4)
    with pytest.raises(DataError, match=r"no column ahead_m.*collect them again"):
        train(_settings(tmp_path / "data", tmp_path / "path"))
    steering = {"variant": "conditional", "augmentation": "none", "steps": 1}
    train(_settings(tmp_path / "data", tmp_path / "steer", **steering))


@pytest.mark.parametrize("variant", ["conditional", "paper"])
def test_pictures_of_a_steering_network_are_never_moved(tmp_path: Path, variant: str) -> None:
    with pytest.raises(ConfigError, match="moves pictures"):
        _settings(tmp_path, tmp_path, variant=variant)


def test_a_checkpoint_says_which_network_it_holds(data: Path, tmp_path: Path) -> None:
    train(_settings(data, tmp_path, steps=1, contrast="standardise"))
    network = load_network(tmp_path / CHECKPOINT_NAME)
    assert isinstance(network, PathNetwork)
    assert network.settings.contrast == "standardise"
    shape = (2, 3, NETWORK_IMAGE.height, NETWORK_IMAGE.width)
    offsets, scales, logits = network(
        torch.zeros(shape), torch.zeros(2, 1), torch.zeros(2, 4), torch.zeros(2, 5)
    )
    assert (offsets.shape, scales.shape, logits.shape) == ((2, 5), (2, 5), (2, 3, 13))
    assert (scales > 0).all()
