"""Training: what is drawn, that it learns, that a killed run resumes to the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bicameral.errors import ConfigError, DataError
from models.caril.dataset import load_frames
from models.caril.fitting import ask_network, read_fit
from models.caril.lessons import sampling_weights
from models.caril.steering_fitting import SteeringFit
from models.caril.training import TrainingSettings, load_network, train
from models.checkpoint import read_checkpoint
from models.networks.steering_classes import STEERING_CLASSES
from models.trainer import CHECKPOINT_NAME, TrainingProgress

pytestmark = pytest.mark.unit


class _KilledError(Exception):
    pass


def _settings(data: Path, output: Path, **changes: object) -> TrainingSettings:
    values: dict[str, object] = {
        "data": (data,),
        "output": output,
        "steps": 12,
        "batch_size": 16,
        "checkpoint_every": 4,
        "augmentation": "all_weather",
    }
    return TrainingSettings(**(values | changes))  # type: ignore[arg-type]


def _weights(output: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(output / CHECKPOINT_NAME).network


def test_a_killed_run_resumes_to_the_same_weights_as_an_uninterrupted_one(
    data: Path, tmp_path: Path
) -> None:
    train(_settings(data, tmp_path / "whole"))

    def kill_at_seven(progress: TrainingProgress) -> None:
        if progress.step == 7:
            raise _KilledError

    with pytest.raises(_KilledError):
        train(_settings(data, tmp_path / "killed"), kill_at_seven)
    assert read_checkpoint(tmp_path / "killed" / CHECKPOINT_NAME).step == 4
    steps: list[int] = []
    train(_settings(data, tmp_path / "killed"), lambda progress: steps.append(progress.step))

    assert steps == list(range(5, 13))
    whole, resumed = _weights(tmp_path / "whole"), _weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    fits = [read_fit(tmp_path / name, SteeringFit) for name in ("whole", "killed")]
    assert fits[0] == fits[1]


def test_another_seed_gives_other_weights(data: Path, tmp_path: Path) -> None:
    train(_settings(data, tmp_path / "a", steps=1))
    train(_settings(data, tmp_path / "b", steps=1, seed=1))
    assert not torch.equal(
        _weights(tmp_path / "a")["read.weight"], _weights(tmp_path / "b")["read.weight"]
    )


def test_it_learns_to_steer_towards_the_stripe(data: Path, tmp_path: Path) -> None:
    result = train(_settings(data, tmp_path, steps=150, batch_size=32, augmentation="none"))
    frames = load_frames(data, "test")
    steer, logits = ask_network(load_network(result.checkpoint), frames)
    assert np.abs(steer[:, 0] - frames.steer).mean() < 0.35 * np.abs(frames.steer).mean()
    labels = STEERING_CLASSES["conditional"].labels(frames.steer)
    assert (np.abs(logits.argmax(axis=1) - labels) <= 1).mean() > 0.8
    assert result.fit.steering_mae < result.fit.zero_steering_mae


def test_a_folder_with_another_training_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    train(_settings(data, tmp_path, steps=1))
    with pytest.raises(ConfigError, match="other settings or data"):
        train(_settings(data, tmp_path, steps=1, seed=5))


def test_the_paper_variant_drops_frames_beyond_its_range_and_takes_images_only(
    data: Path, tmp_path: Path
) -> None:
    result = train(_settings(data, tmp_path, steps=1, variant="paper"))
    everything = load_frames(data, "train")
    assert result.frames == int((np.abs(everything.steer) <= 0.25).sum()) < len(everything)
    network = load_network(result.checkpoint)
    steer, logits = network(torch.zeros(2, 3, 64, 160))
    assert steer.shape == (2, 1)
    assert logits.shape == (2, 11)


def test_minutes_become_a_recorded_number_of_steps(data: Path, tmp_path: Path) -> None:
    result = train(_settings(data, tmp_path, steps=None, minutes=0.005))
    assert result.steps >= 1
    assert read_checkpoint(result.checkpoint).step == result.steps


def test_rare_classes_and_dagger_episodes_are_drawn_more_often(data: Path) -> None:
    frames = load_frames(data, "train")
    labels = STEERING_CLASSES["conditional"].labels(frames.steer)
    weights = sampling_weights(frames, labels, 0.5)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[frames.dagger].sum() == pytest.approx(0.5)
    expert = ~frames.dagger
    counts = np.bincount(labels, minlength=11)
    common, rare = counts.argmax(), np.where(counts > 0, counts, 10**6).argmin()
    assert (
        weights[expert & (labels == rare)].max(initial=0)
        > weights[expert & (labels == common)].max()
    )


def test_length_is_given_once(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of them"):
        _settings(data, tmp_path, minutes=1.0)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT_NAME
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match=r"checkpoint\.pt"):
        read_checkpoint(path)
