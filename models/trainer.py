"""Training of any network: the loop, the schedule, and the checkpoints that it goes on from.

What is learned is a `Lesson`: it draws a batch and says how wrong the network is. A run that was
killed and continued ends with the same weights, bit for bit, as one that was not; for that, all
randomness is in torch's global generator and in the one that a lesson is given, and both are part
of a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bicameral.errors import ConfigError
from edge.sidecar import TrainingPrecision
from models.activation_compression import compress_activations
from models.checkpoint import Checkpoint, read_checkpoint, write_checkpoint, write_log
from models.networks.capabilities import AdaptsStructure

_LOGGER = logging.getLogger(__name__)

CHECKPOINT_NAME = "checkpoint.pt"

#: Share of a running mean that one more step has.
_SMOOTHING = 0.02


class Lesson(Protocol):
    """What a network learns from."""

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """Draw the batch of a step and return what it costs.

        Args:
            step: Steps made so far.
            rng: Draws what the number of the step does not decide.

        Returns:
            Scalars by name. The one called ``loss`` is minimised, the others are for the log.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a network is trained, whatever it learns.

    Attributes:
        output: Folder of the checkpoint and the log.
        settings: What rebuilds the network; part of every checkpoint.
        identity: See `identity_of`; a checkpoint of another training is refused.
        seed: Of the lesson's generator.
        steps: Length of the training.
        batch_size: Samples a step, to tell the speed.
        learning_rate: Peak of the schedule.
        warm_up: Steps until the schedule reaches its peak, linearly; half a cosine follows.
        floor: Share of the peak that is left at the end.
        gradient_norm: Longer gradients are cut to this length; None: never.
        checkpoint_every: Steps between checkpoints.
        memory_saving: Whether the backward pass gets what it needs in 8 bits.
    """

    output: Path
    settings: dict[str, str]
    identity: str
    seed: int
    steps: int
    batch_size: int
    learning_rate: float
    warm_up: int
    floor: float = 0.0
    gradient_norm: float | None = None
    checkpoint_every: int
    memory_saving: bool = False

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate after `step` steps."""
        warm_up = min(1.0, (step + 1) / self.warm_up)
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * warm_up * (cosine + self.floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """What the progress callback gets after every step; `loss` is a running mean."""

    step: int
    steps: int
    loss: float
    images_per_s: float


ProgressCallback = Callable[[TrainingProgress], None]


class Trainer:
    """The mutable part of a training."""

    def __init__(
        self, course: Course, network: nn.Module, optimizer: torch.optim.Optimizer, lesson: Lesson
    ) -> None:
        """Begin a training; `torch.manual_seed` came before the network was built."""
        self.network = network
        self._course = course
        self._optimizer = optimizer
        self._lesson = lesson
        self._rng = np.random.Generator(np.random.PCG64(course.seed))
        self._step = 0
        self._log: list[dict[str, float]] = []
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.train()

    def train(self, progress: ProgressCallback | None = None) -> None:
        """Do all steps, or those that a killed training in this output folder did not come to.

        The network is in evaluation mode afterwards.

        Args:
            progress: Called after every step.

        Raises:
            ConfigError: If the output folder holds another training.
            DataError: If its checkpoint is damaged.
        """
        self._resume()
        course = self._course
        means: Mapping[str, float] = self._log[-1] if self._log else {}
        began, first = time.perf_counter(), self._step
        while self._step < course.steps:
            values = self.do_step()
            means = {name: _smooth(means.get(name), value) for name, value in values.items()}
            if self._step % course.checkpoint_every == 0 or self._step == course.steps:
                rate = course.learning_rate_at(self._step)
                self._log.append({"step": self._step, "learning_rate": rate, **means})
                self._write()
            if progress is not None:
                done = (self._step - first) * course.batch_size
                progress(
                    TrainingProgress(
                        step=self._step,
                        steps=course.steps,
                        loss=means["loss"],
                        images_per_s=done / (time.perf_counter() - began),
                    )
                )
        self.network.eval()

    def do_step(self) -> dict[str, float]:
        """Do one step and return its losses."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._course.learning_rate_at(self._step)
        saving = self._course.memory_saving
        with compress_activations(self.network) if saving else nullcontext():
            losses = self._lesson.losses(self._step, self._rng)
        self._optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        if self._course.gradient_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._course.gradient_norm)
        self._optimizer.step()
        self._step += 1
        if isinstance(self.network, AdaptsStructure):
            self.network.after_step(self._step, self._course.steps)
        return {name: loss.item() for name, loss in losses.items()}

    def _resume(self) -> None:
        path = self._course.output / CHECKPOINT_NAME
        if not path.exists():
            return
        checkpoint = read_checkpoint(path)
        if checkpoint.identity != self._course.identity:
            raise ConfigError(
                f"{path} belongs to a training with other settings or data; choose another output "
                "folder"
            )
        self.network.load_state_dict(checkpoint.network)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        torch.set_rng_state(checkpoint.torch_rng)
        self._rng.bit_generator.state = checkpoint.numpy_rng
        self._step = checkpoint.step
        self._log = list(checkpoint.log)
        _LOGGER.info("continuing %s at step %d of %d", path, self._step, self._course.steps)

    def _write(self) -> None:
        output = self._course.output
        write_checkpoint(
            output / CHECKPOINT_NAME,
            Checkpoint(
                step=self._step,
                identity=self._course.identity,
                network=self.network.state_dict(),
                optimizer=self._optimizer.state_dict(),
                torch_rng=torch.get_rng_state(),
                numpy_rng=dict(self._rng.bit_generator.state),
                log=self._log,
                settings=self._course.settings,
            ),
        )
        write_log(output / "log.csv", self._log)


def autocast(precision: TrainingPrecision) -> AbstractContextManager[object]:
    """Compute networks in this precision; weights and losses stay float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def identity_of(record: Mapping[str, Any]) -> str:
    """Hash what decides a training's weights: JSON values, in whatever order."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _smooth(mean: float | None, value: float) -> float:
    return value if mean is None else (1.0 - _SMOOTHING) * mean + _SMOOTHING * value
