"""Properties of the trainer: a kill changes nothing, and the schedule has its shape."""

from __future__ import annotations

import csv
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bicameral.errors import ConfigError
from models.trainer import Course, Trainer, TrainingProgress, identity_of

pytestmark = pytest.mark.property

STEPS = 9


class KilledError(Exception):
    pass


class Lesson:
    """A line to learn, with randomness of both kinds."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def losses(self, step: int, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        inputs = torch.from_numpy(rng.normal(size=(4, 3, 1, 1)).astype(np.float32))
        noise = 0.1 * torch.randn(4, 1)
        error = self.network(inputs) - inputs.sum(dim=1).flatten(1) + noise + step
        return {"loss": error.square().mean(), "largest": error.abs().max()}


def course(output: Path, **changes: object) -> Course:
    values: dict[str, object] = {
        "output": output,
        "settings": {},
        "identity": identity_of({"seed": 0}),
        "seed": 0,
        "steps": STEPS,
        "batch_size": 4,
        "learning_rate": 0.1,
        "warm_up": 3,
        "gradient_norm": 1.0,
        "checkpoint_every": 2,
    }
    return Course(**(values | changes))  # type: ignore[arg-type]


def run(planned: Course, kill_at: int | None = None) -> list[np.ndarray]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.2), torch.nn.Linear(3, 1))
    optimizer = torch.optim.AdamW(network.parameters())

    def kill(progress: TrainingProgress) -> None:
        if progress.step == kill_at:
            raise KilledError

    trainer = Trainer(planned, network, optimizer, Lesson(network))
    try:
        trainer.train(kill)
    except KilledError:
        return run(planned)
    assert not network.training
    return [value.numpy() for value in network.state_dict().values()]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, STEPS), st.integers(1, STEPS))
def test_a_training_killed_at_any_step_ends_with_the_same_bits(kill_at: int, every: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = run(course(Path(folder) / "whole", checkpoint_every=every))
        resumed = run(course(Path(folder) / "killed", checkpoint_every=every), kill_at)
        logs = [(Path(folder) / name / "log.csv").read_text() for name in ("whole", "killed")]
    for left, right in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(left, right)
    assert logs[0] == logs[1]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.floats(0.0, 0.1))
def test_the_learning_rate_rises_to_its_peak_and_falls_to_its_floor(
    steps: int, warm_up: int, floor: float
) -> None:
    planned = course(Path(), steps=steps, warm_up=warm_up, floor=floor)
    rates = [planned.learning_rate_at(step) for step in range(steps + 1)]
    assert all(0.0 <= rate <= 0.1 * (1.0 + floor) for rate in rates)
    after = rates[warm_up:]
    assert all(later <= earlier for earlier, later in pairwise(after))
    if warm_up <= steps:
        assert rates[-1] == pytest.approx(0.1 * floor)


def test_the_log_has_a_row_a_checkpoint_and_a_column_a_loss(tmp_path: Path) -> None:
    run(course(tmp_path))
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == [2, 4, 6, 8, 9]
    assert list(rows[0]) == ["step", "learning_rate", "loss", "largest"]


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    run(course(tmp_path))
    with pytest.raises(ConfigError, match="other settings or data; choose another output folder"):
        run(course(tmp_path, identity=identity_of({"seed": 1})))
