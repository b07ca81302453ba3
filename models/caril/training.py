"""Training of a driver: what is drawn, what it costs, and the length of the run.

The losses are CARIL's two, a squared error of the scaled steering and the cross-entropy of its
class, with the faults of the released code mended: the split is by episode and town, nothing is
mirrored, weight decay is decoupled (AdamW) so that it cannot dominate the loss, and labels and
run-time bins follow one rule (`SteeringClasses`).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bicameral.errors import ConfigError, DataError
from bicameral.files import write_text_atomic
from edge.dual_head import one_hot_from_commands
from models.caril.augmentation import AUGMENTATIONS, AugmentationName, augment_batch
from models.caril.dataset import Frames, load_frames
from models.caril.fitting import Fit, fit_to_data, write_fit
from models.checkpoint import read_checkpoint
from models.networks.dual_head import Contrast, DualHeadNetwork, NetworkSettings
from models.networks.steering_classes import (
    NETWORK_IMAGE,
    STEERING_CLASSES,
    STEERING_SCALE,
    Variant,
)
from models.trainer import CHECKPOINT_NAME, Course, ProgressCallback, Trainer, identity_of

SETTINGS_NAME = "settings.json"
_WARM_UP_STEPS = 100
_GRADIENT_NORM = 5.0
_WEIGHT_DECAY = 1e-2
#: Share of the samples that come from episodes an agent drove (DAgger), if there are any.
_DAGGER_SHARE = 0.5
#: Classes rarer than this share are sampled as if they had it, so that few frames do not repeat
#: without end.
_RAREST_SHARE = 0.005


class _LossWeights(NamedTuple):
    """Weights of the two losses, and the scaled error from which on the Huber loss is linear."""

    regression: float
    classification: float
    huber_delta: float


#: `paper` is CARIL's `0.5 * MSE + 0.5 * cross-entropy`: the Huber loss is half the squared error
#: below delta, and no error of the paper's range reaches this delta. `conditional` weighs the small
#: errors that driving consists of more, so that the cross-entropy does not shape the trunk alone.
_LOSSES: dict[Variant, _LossWeights] = {
    "paper": _LossWeights(regression=1.0, classification=0.5, huber_delta=8.0),
    "conditional": _LossWeights(regression=40.0, classification=0.25, huber_delta=0.1),
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
        batch_size: Pictures per step.
        learning_rate: Peak of the cosine schedule.
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
    batch_size: int = 128
    learning_rate: float = 1e-3
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
class TrainingResult:
    """A finished training."""

    checkpoint: Path
    steps: int
    frames: int
    fit: Fit


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
    steps = _decide_steps(settings, frames)
    network, trainer = _begin(settings, frames, steps)
    trainer.train(progress)
    fit = fit_to_data(network, frames, validation)
    write_fit(settings.output, fit, validation)
    return TrainingResult(
        checkpoint=settings.output / CHECKPOINT_NAME,
        steps=steps,
        frames=len(frames),
        fit=fit,
    )


def _begin(
    settings: TrainingSettings, frames: Frames, steps: int
) -> tuple[DualHeadNetwork, Trainer]:
    """Build a network and all that trains it; the same settings always begin alike."""
    torch.manual_seed(settings.seed)
    network = DualHeadNetwork(NetworkSettings(variant=settings.variant, contrast=settings.contrast))
    course = Course(
        output=settings.output,
        settings=asdict(network.settings),
        identity=_identity(settings, frames),
        seed=settings.seed,
        steps=steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warm_up=min(_WARM_UP_STEPS, max(steps // 10, 1)),
        floor=0.01,
        gradient_norm=_GRADIENT_NORM,
        checkpoint_every=settings.checkpoint_every,
    )
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=_WEIGHT_DECAY)
    return network, Trainer(course, network, optimizer, _Steering(settings, frames, network))


class _Steering:
    """The `Lesson` of a driver: to steer like the expert."""

    def __init__(
        self, settings: TrainingSettings, frames: Frames, network: DualHeadNetwork
    ) -> None:
        self._settings = settings
        self._augmentation = AUGMENTATIONS[settings.augmentation]
        self._weights = _LOSSES[settings.variant]
        self._frames = frames
        self._labels = STEERING_CLASSES[settings.variant].labels(frames.steer)
        self._cumulative = np.cumsum(sampling_weights(frames, self._labels))
        self._network = network

    def losses(self, _step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw a batch of frames, change their light, and compare both heads with the labels."""
        index = self._draw(rng)
        images = augment_batch(self._frames.gather(index), self._augmentation, NETWORK_IMAGE, rng)
        image = torch.from_numpy(images).permute(0, 3, 1, 2)
        if self._settings.variant == "conditional":
            speed = torch.from_numpy(self._frames.speed_mps[index])[:, None]
            command = torch.from_numpy(one_hot_from_commands(self._frames.command[index]))
            steer, logits = self._network(image, speed, command)
        else:
            steer, logits = self._network(image)
        target = torch.from_numpy(self._frames.steer[index])[:, None]
        weights = self._weights
        regression = functional.huber_loss(
            steer * STEERING_SCALE, target * STEERING_SCALE, delta=weights.huber_delta
        )
        classification = functional.cross_entropy(logits, torch.from_numpy(self._labels[index]))
        return {
            "loss": weights.regression * regression + weights.classification * classification,
            "regression_loss": regression,
            "classification_loss": classification,
        }

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw a batch of frame indices with replacement, by sampling weight."""
        points = rng.random(self._settings.batch_size) * self._cumulative[-1]
        index = np.searchsorted(self._cumulative, points, side="right")
        return np.asarray(np.minimum(index, len(self._frames) - 1), np.int64)


def sampling_weights(frames: Frames, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how often each frame is drawn, (N,) with sum 1.

    A frame weighs its class's frequency to the power -0.5, half-way between the data as they are,
    where four of five frames are straight, and equal classes. Then the episodes that an agent
    drove get their share as a whole.
    """
    share = np.bincount(labels, minlength=labels.max() + 1) / labels.size
    weights = 1.0 / np.sqrt(np.maximum(share, _RAREST_SHARE))[labels]
    dagger = frames.dagger
    if dagger.any() and not dagger.all():
        weights[dagger] *= _DAGGER_SHARE / weights[dagger].sum()
        weights[~dagger] *= (1.0 - _DAGGER_SHARE) / weights[~dagger].sum()
    return np.asarray(weights / weights.sum())


def _decide_steps(settings: TrainingSettings, frames: Frames) -> int:
    """Return the length of the training, as it was recorded when the run began."""
    identity = _identity(settings, frames)
    path = settings.output / SETTINGS_NAME
    if path.exists():
        record = json.loads(path.read_text("utf-8"))
        if record["identity"] != identity:
            raise ConfigError(
                f"{settings.output} holds a training with other settings or data ({path}); choose "
                "another output folder"
            )
        return int(record["steps"])
    steps = settings.steps or _steps_from_minutes(settings, frames)
    record = asdict(settings) | {
        "identity": identity,
        "steps": steps,
        "frames": len(frames),
        "towns": frames.towns,
        "data_weathers": frames.weathers,
        "data_sha256": frames.fingerprint,
    }
    write_text_atomic(path, json.dumps(record, indent=2, default=str) + "\n")
    return steps


def _steps_from_minutes(settings: TrainingSettings, frames: Frames) -> int:
    """Time a few steps of a training that is thrown away, and return how many fit."""
    assert settings.minutes is not None  # noqa: S101 - checked by TrainingSettings
    _, trainer = _begin(settings, frames, steps=1000)
    for _ in range(3):
        trainer.do_step()
    began = time.perf_counter()
    for _ in range(8):
        trainer.do_step()
    duration_s = (time.perf_counter() - began) / 8
    return max(1, int(settings.minutes * 60.0 / duration_s))


def _identity(settings: TrainingSettings, frames: Frames) -> str:
    """Hash what decides the weights; the places of files, for example, do not."""
    record = {
        key: value
        for key, value in asdict(settings).items()
        if key not in ("data", "output", "checkpoint_every", "threads")
    }
    return identity_of(record | {"data": frames.fingerprint})


def load_network(checkpoint: Path) -> DualHeadNetwork:
    """Rebuild a trained network from its checkpoint, in evaluation mode."""
    record = read_checkpoint(checkpoint)
    network = DualHeadNetwork(NetworkSettings(**record.settings))  # type: ignore[arg-type]
    network.load_state_dict(record.network)
    return network.eval()
