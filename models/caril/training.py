"""Training: samples, losses, schedule, checkpoints.

The losses are CARIL's two, a squared error of the scaled steering and the cross-entropy of its
class, with the faults of the released code mended: the split is by episode and town, nothing is
mirrored, weight decay is decoupled (AdamW) so that it cannot dominate the loss, and labels and
run-time bins follow one rule (`SteeringClasses`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bicameral.errors import ConfigError, DataError
from bicameral.files import write_text_atomic
from edge.dual_head import one_hot_from_commands
from models.caril.augmentation import AUGMENTATIONS, AugmentationName, augment_batch
from models.caril.dataset import Frames, load_frames
from models.caril.fitting import Fit, fit_to_data, write_fit
from models.checkpoint import (
    Checkpoint,
    read_checkpoint,
    restore_generator,
    write_checkpoint,
    write_log,
)
from models.networks.dual_head import Contrast, DualHeadNetwork, NetworkSettings
from models.networks.steering_classes import (
    NETWORK_IMAGE,
    STEERING_CLASSES,
    STEERING_SCALE,
    Variant,
)

_LOGGER = logging.getLogger(__name__)

CHECKPOINT_NAME = "checkpoint.pt"
_WARM_UP_STEPS = 100
_GRADIENT_NORM = 5.0
#: Classes rarer than this share are sampled as if they had it, so that few frames do not repeat
#: without end.
_RAREST_SHARE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """Weights of the two losses.

    Attributes:
        regression_weight: Weight of the Huber loss of the scaled steering.
        huber_delta: Where the Huber loss turns from quadratic to linear, in scaled steering.
        classification_weight: Weight of the cross-entropy.
    """

    regression_weight: float
    huber_delta: float
    classification_weight: float


#: `paper` is CARIL's `0.5 * MSE + 0.5 * cross-entropy`: the Huber loss is half the squared error
#: below delta, and no error of the paper's range reaches this delta. `conditional` weighs the small
#: errors that driving consists of more, so that the cross-entropy does not shape the trunk alone.
LOSSES: dict[Variant, LossSettings] = {
    "paper": LossSettings(regression_weight=1.0, huber_delta=8.0, classification_weight=0.5),
    "conditional": LossSettings(
        regression_weight=40.0, huber_delta=0.1, classification_weight=0.25
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Everything that decides a training.

    Attributes:
        data: Folders of collected data.
        output: Folder of this run: checkpoint, log, and what export needs.
        steps: Length of the training; or None, and `minutes` decides.
        minutes: Length in minutes: a few steps are timed and `steps` follows from that. The number
            is recorded, so a run can be repeated with `steps`.
        variant: See `NetworkSettings`.
        contrast: See `NetworkSettings`.
        augmentation: Name in `AUGMENTATIONS`.
        weathers: Train on these weathers only; empty for all.
        seed: Decides weights, samples and augmentation.
        warm_start: Checkpoint whose weights to begin with, or None.
        batch_size: Pictures per step.
        learning_rate: Peak of the cosine schedule.
        weight_decay: AdamW's decoupled decay.
        dagger_share: Share of the samples that come from episodes an agent drove (DAgger), if
            there are any; None to take them as they come.
        loss: Weights of the losses; None for the variant's in `LOSSES`.
        checkpoint_every: Steps between checkpoints.
        threads: Threads of torch; two trainings side by side use two cores better than one
            training with two threads.
    """

    data: tuple[Path, ...]
    output: Path
    steps: int | None = None
    minutes: float | None = None
    variant: Variant = "conditional"
    contrast: Contrast = "none"
    augmentation: AugmentationName = "daylight"
    weathers: tuple[str, ...] = ()
    seed: int = 0
    warm_start: Path | None = None
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    dagger_share: float | None = 0.5
    loss: LossSettings | None = None
    checkpoint_every: int = 200
    threads: int = 1

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ConfigError("give the length of the training as steps or as minutes, one of them")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps is {self.steps}, expected at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes is {self.minutes}, expected more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """What the progress callback gets after every step; losses are running means."""

    step: int
    steps: int
    loss: float
    regression_loss: float
    classification_loss: float
    images_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """A finished training."""

    output: Path
    checkpoint: Path
    steps: int
    frames: int
    fit: Fit


ProgressCallback = Callable[[TrainingProgress], None]


def train(settings: TrainingSettings, progress: ProgressCallback | None = None) -> TrainingResult:
    """Train a network, or continue a killed training in the same output folder.

    A run that was killed and continued ends with the same weights, bit for bit, as one that was
    not. A finished run is not repeated.

    Args:
        settings: What to train.
        progress: Called after every step.

    Raises:
        ConfigError: If the output folder holds another training.
        DataError: If the data are damaged or hold no frames to train or validate on.
    """
    torch.set_num_threads(settings.threads)
    frames = load_frames(settings.data, "train", weathers=settings.weathers)
    validation = load_frames(settings.data, "validation", weathers=settings.weathers)
    classes = STEERING_CLASSES[settings.variant]
    frames = frames.select(classes.contains(frames.steer))
    validation = validation.select(classes.contains(validation.steer))
    if not len(frames) or not len(validation):
        raise DataError(
            f"{len(frames)} training and {len(validation)} validation frames have a steering "
            f"within {classes.edges[0]}..{classes.edges[-1]}; collect more"
        )
    run = _Run(settings, frames)
    run.prepare()
    run.train(progress)
    fit = fit_to_data(run.network, frames, validation)
    write_fit(settings.output, fit, validation)
    return TrainingResult(
        output=settings.output,
        checkpoint=settings.output / CHECKPOINT_NAME,
        steps=run.steps,
        frames=len(frames),
        fit=fit,
    )


class _Run:
    """The mutable part of a training."""

    def __init__(self, settings: TrainingSettings, frames: Frames) -> None:
        self._settings = settings
        self._loss = settings.loss or LOSSES[settings.variant]
        self._frames = frames
        self._labels = STEERING_CLASSES[settings.variant].labels(frames.steer)
        self._cumulative = np.cumsum(sampling_weights(frames, self._labels, settings))
        torch.manual_seed(settings.seed)
        self._rng = np.random.Generator(np.random.PCG64(settings.seed))
        self._network_settings = NetworkSettings(
            variant=settings.variant, contrast=settings.contrast
        )
        self.network = DualHeadNetwork(self._network_settings)
        if settings.warm_start is not None:
            _load_weights(self.network, read_checkpoint(settings.warm_start), settings.warm_start)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self._identity = self._hash_identity()
        self._step = 0
        self._log: list[dict[str, float]] = []
        self.steps = 0

    def prepare(self) -> None:
        """Decide the number of steps, and go on from a checkpoint if there is one."""
        plan = self._settings.output / "settings.json"
        path = self._settings.output / CHECKPOINT_NAME
        identity = self._identity
        if plan.exists():
            record = json.loads(plan.read_text("utf-8"))
            if record["identity"] != identity:
                raise ConfigError(
                    f"{self._settings.output} holds a training with other settings or data "
                    f"({plan}); choose another output folder, or warm-start from its checkpoint"
                )
            self.steps = int(record["steps"])
        else:
            self.steps = self._settings.steps or self._steps_from_minutes()
            write_text_atomic(plan, self._describe(identity))
        if path.exists():
            self._resume(read_checkpoint(path), path)

    def train(self, progress: ProgressCallback | None) -> None:
        """Do the remaining steps."""
        self.network.train()
        means = dict.fromkeys(("loss", "regression_loss", "classification_loss"), 0.0)
        if self._log:
            means = {name: self._log[-1][name] for name in means}
        began, first = time.perf_counter(), self._step
        while self._step < self.steps:
            values = self._do_step()
            for name, value in values.items():
                means[name] = value if self._step == 1 else 0.98 * means[name] + 0.02 * value
            done = (self._step - first) * self._settings.batch_size
            rate = done / (time.perf_counter() - began)
            if progress is not None:
                progress(
                    TrainingProgress(step=self._step, steps=self.steps, images_per_s=rate, **means)
                )
            if self._step % self._settings.checkpoint_every == 0 or self._step == self.steps:
                self._log.append(
                    {
                        "step": self._step,
                        "learning_rate": self._learning_rate(self._step),
                        **means,
                        "images_per_s": round(rate, 1),
                    }
                )
                self._write()
        self.network.eval()

    def _do_step(self) -> dict[str, float]:
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self._step)
        index = self._draw()
        images = augment_batch(
            self._frames.gather(index),
            AUGMENTATIONS[self._settings.augmentation],
            NETWORK_IMAGE,
            self._rng,
        )
        regression, classification = self._losses(index, images)
        weights = self._loss
        loss = (
            weights.regression_weight * regression + weights.classification_weight * classification
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _GRADIENT_NORM)
        self._optimizer.step()
        self._step += 1
        return {
            "loss": loss.item(),
            "regression_loss": regression.item(),
            "classification_loss": classification.item(),
        }

    def _losses(
        self, index: NDArray[np.integer], images: NDArray[np.float32]
    ) -> tuple[Tensor, Tensor]:
        image = torch.from_numpy(images).permute(0, 3, 1, 2)
        if self._settings.variant == "conditional":
            speed = torch.from_numpy(self._frames.speed_mps[index])[:, None]
            command = torch.from_numpy(one_hot_from_commands(self._frames.command[index]))
            steer, logits = self.network(image, speed, command)
        else:
            steer, logits = self.network(image)
        target = torch.from_numpy(self._frames.steer[index])[:, None]
        regression = functional.huber_loss(
            steer * STEERING_SCALE, target * STEERING_SCALE, delta=self._loss.huber_delta
        )
        return regression, functional.cross_entropy(logits, torch.from_numpy(self._labels[index]))

    def _draw(self) -> NDArray[np.int64]:
        """Draw a batch of frame indices with replacement, by sampling weight."""
        points = self._rng.random(self._settings.batch_size) * self._cumulative[-1]
        index = np.searchsorted(self._cumulative, points, side="right")
        return np.asarray(np.minimum(index, len(self._frames) - 1), np.int64)

    def _learning_rate(self, step: int) -> float:
        warm_up = min(1.0, (step + 1) / min(_WARM_UP_STEPS, max(self.steps // 10, 1)))
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return self._settings.learning_rate * warm_up * (cosine + 0.01)

    def _steps_from_minutes(self) -> int:
        """Time a few steps on a copy of the state, and return how many fit."""
        assert self._settings.minutes is not None  # noqa: S101 - checked by TrainingSettings
        rng, torch_rng = self._rng.bit_generator.state, torch.get_rng_state()
        weights = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.steps = 1000
        self.network.train()
        for _ in range(3):
            self._do_step()
        began = time.perf_counter()
        for _ in range(8):
            self._do_step()
        duration_s = (time.perf_counter() - began) / 8
        self.network.load_state_dict(weights)
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self._settings.learning_rate,
            weight_decay=self._settings.weight_decay,
        )
        self._rng.bit_generator.state = rng
        torch.set_rng_state(torch_rng)
        self._step = 0
        return max(1, int(self._settings.minutes * 60.0 / duration_s))

    def _hash_identity(self) -> str:
        """Hash what decides the weights; the places of files, for example, do not."""
        record = {
            key: value
            for key, value in asdict(self._settings).items()
            if key not in ("data", "output", "checkpoint_every", "threads", "warm_start")
        }
        if self._settings.warm_start is not None:
            record["warm_start"] = hashlib.sha256(
                self._settings.warm_start.read_bytes()
            ).hexdigest()
        record["loss"] = asdict(self._loss)
        record["data"] = self._frames.fingerprint
        text = json.dumps(record, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _describe(self, identity: str) -> str:
        record = json.loads(json.dumps(asdict(self._settings), default=str))
        record |= {
            "identity": identity,
            "steps": self.steps,
            "frames": len(self._frames),
            "towns": self._frames.towns,
            "data_weathers": self._frames.weathers,
            "data_sha256": self._frames.fingerprint,
        }
        return json.dumps(record, indent=2) + "\n"

    def _resume(self, checkpoint: Checkpoint, path: Path) -> None:
        if checkpoint.identity != self._identity:
            raise ConfigError(f"{path} belongs to a training with other settings or data")
        self.network.load_state_dict(checkpoint.network)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        torch.set_rng_state(checkpoint.torch_rng)
        self._rng = restore_generator(checkpoint.numpy_rng)
        self._step = checkpoint.step
        self._log = list(checkpoint.log)
        _LOGGER.info("continuing %s at step %d of %d", path, self._step, self.steps)

    def _write(self) -> None:
        output = self._settings.output
        write_checkpoint(
            output / CHECKPOINT_NAME,
            Checkpoint(
                step=self._step,
                identity=self._identity,
                network=self.network.state_dict(),
                optimizer=self._optimizer.state_dict(),
                torch_rng=torch.get_rng_state(),
                numpy_rng=dict(self._rng.bit_generator.state),
                log=self._log,
                settings={
                    "variant": self._network_settings.variant,
                    "contrast": self._network_settings.contrast,
                },
            ),
        )
        write_log(output / "log.csv", self._log)


def sampling_weights(
    frames: Frames, labels: NDArray[np.int64], settings: TrainingSettings
) -> NDArray[np.float64]:
    """Return how often each frame is drawn, (N,) with sum 1.

    A frame weighs its class's frequency to the power -0.5, half-way between the data as they are,
    where four of five frames are straight, and equal classes. Then the episodes that an agent
    drove get their share as a whole.
    """
    share = np.bincount(labels, minlength=labels.max() + 1) / labels.size
    weights = 1.0 / np.sqrt(np.maximum(share, _RAREST_SHARE))[labels]
    dagger = frames.dagger
    if settings.dagger_share is not None and dagger.any() and not dagger.all():
        weights[dagger] *= settings.dagger_share / weights[dagger].sum()
        weights[~dagger] *= (1.0 - settings.dagger_share) / weights[~dagger].sum()
    return np.asarray(weights / weights.sum())


def load_network(checkpoint: Path) -> DualHeadNetwork:
    """Rebuild a trained network from its checkpoint, in evaluation mode."""
    record = read_checkpoint(checkpoint)
    network = DualHeadNetwork(NetworkSettings(**record.settings))  # type: ignore[arg-type]
    _load_weights(network, record, checkpoint)
    return network.eval()


def _load_weights(network: DualHeadNetwork, checkpoint: Checkpoint, path: Path) -> None:
    found = NetworkSettings(**checkpoint.settings)  # type: ignore[arg-type]
    if found.variant != network.settings.variant:
        raise ConfigError(
            f"{path} is a network of variant {found.variant!r}, expected "
            f"{network.settings.variant!r}: their heads differ"
        )
    network.load_state_dict(checkpoint.network)
