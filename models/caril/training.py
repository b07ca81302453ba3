"""Training of a driver: its settings, its length, and how it begins.

The split is by episode and town, and weight decay is decoupled (AdamW) so that it cannot dominate
the loss. What is learned is in `models.caril.lessons`.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import torch

from bicameral.errors import ConfigError, DataError, unknown_name
from bicameral.files import write_text_atomic
from edge.sidecar import TrainingPrecision
from models.caril.augmentation import AUGMENTATIONS, AugmentationName
from models.caril.dataset import Frames, Split, load_frames
from models.caril.fitting import write_fit
from models.caril.lessons import Drawing, PathLesson, SteeringLesson
from models.caril.pace_fitting import PaceFit, fit_pace
from models.caril.pace_lesson import PaceLesson
from models.caril.path_fitting import PathFit, fit_path, validation_intent
from models.caril.steering_fitting import SteeringFit, fit_steering
from models.checkpoint import read_checkpoint
from models.networks.driver_trunk import Contrast, NetworkSettings, Variant, image_of
from models.networks.dual_head import DriverNetwork, PathNetwork, build_network
from models.networks.pace_network import PaceNetwork
from models.networks.steering_classes import STEERING_CLASSES
from models.trainer import (
    CHECKPOINT_NAME,
    Course,
    Lesson,
    ProgressCallback,
    Trainer,
    identity_of,
)

SETTINGS_NAME = "settings.json"
_WARM_UP_STEPS = 100
_GRADIENT_NORM = 5.0
_WEIGHT_DECAY = 1e-2
#: Peak of the schedule, of fresh weights and of another training's.
_LEARNING_RATE = 1e-3
_LEARNING_RATE_FROM_START = 5e-4


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
        start: Checkpoint of another training of the same variant, whose weights this one starts
            from; None: fresh weights.
        precision: Arithmetic of the network; bf16 pays only on a processor that has it.
        batch_size: Pictures per step.
        learning_rate: Peak of the cosine schedule; None: 1e-3, from another's weights 5e-4.
        checkpoint_every: Steps between checkpoints.
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
    start: Path | None = None
    precision: TrainingPrecision = "fp32"
    batch_size: int = 128
    learning_rate: float | None = None
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ConfigError("give the length of the training as steps or as minutes, one of them")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps is {self.steps}, expected at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes is {self.minutes}, expected more than 0")
        if self.precision not in get_args(TrainingPrecision):
            raise unknown_name("precision", self.precision, get_args(TrainingPrecision))
        fits = {"rough": ("path",), "shifted": ("pace",)}.get(self.augmentation, (self.variant,))
        if self.variant not in fits:
            raise ConfigError(
                f"augmentation {self.augmentation!r} moves pictures, which would make the labels "
                f"of variant {self.variant!r} wrong; it is for variant {fits[0]!r}"
            )

    @property
    def peak_learning_rate(self) -> float:
        """Peak of the schedule."""
        if self.learning_rate is not None:
            return self.learning_rate
        return _LEARNING_RATE if self.start is None else _LEARNING_RATE_FROM_START


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """A finished training."""

    checkpoint: Path
    steps: int
    frames: int
    fit: SteeringFit | PathFit | PaceFit


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
    # Two trainings side by side use two cores better than one training with two threads.
    torch.set_num_threads(1)
    frames = _load(settings, "train")
    validation = _load(settings, "validation")
    if not len(frames) or not len(validation):
        raise DataError(
            f"{len(frames)} training and {len(validation)} validation frames have a steering "
            f"within the range of variant {settings.variant!r}; collect more"
        )
    steps = _decide_steps(settings, frames)
    network, trainer = _begin(settings, frames, steps)
    trainer.train(progress)
    fit = _fit(settings, network, frames, validation)
    return TrainingResult(
        checkpoint=settings.output / CHECKPOINT_NAME,
        steps=steps,
        frames=len(frames),
        fit=fit,
    )


def _load(settings: TrainingSettings, split: Split) -> Frames:
    """Load the frames of a split that the variant can learn from."""
    spec = image_of(settings.variant)
    frames = load_frames(settings.data, split, weathers=settings.weathers, spec=spec)
    if settings.variant == "pace":
        # Without an earlier picture nobody could say how fast others are.
        return frames.select(frames.earlier != frames.row)
    if settings.variant == "path":
        frames.require_path()
        return frames
    return frames.select(STEERING_CLASSES[settings.variant].contains(frames.steer))


def _fit(
    settings: TrainingSettings, network: DriverNetwork, frames: Frames, validation: Frames
) -> SteeringFit | PathFit | PaceFit:
    """Measure the trained network, and store that beside its checkpoint."""
    fit: SteeringFit | PathFit | PaceFit
    told = {}
    if isinstance(network, PathNetwork):
        fit = fit_path(network, frames, validation)
        told["intent"] = validation_intent(validation)
        told["intent"][::2] = 0.0  # every second picture that exports are checked with has none
    elif isinstance(network, PaceNetwork):
        fit = fit_pace(network, frames, validation)
    else:
        fit = fit_steering(network, frames, validation)
    write_fit(settings.output, fit, validation, **told)
    return fit


def _begin(settings: TrainingSettings, frames: Frames, steps: int) -> tuple[DriverNetwork, Trainer]:
    """Build a network and all that trains it; the same settings always begin alike."""
    torch.manual_seed(settings.seed)
    network = build_network(NetworkSettings(variant=settings.variant, contrast=settings.contrast))
    if settings.start is not None:
        _take_weights(network, settings.start)
    course = Course(
        output=settings.output,
        settings=asdict(network.settings),
        identity=_identity(settings, frames),
        seed=settings.seed,
        steps=steps,
        batch_size=settings.batch_size,
        learning_rate=settings.peak_learning_rate,
        warm_up=min(_WARM_UP_STEPS, max(steps // 10, 1)),
        floor=0.01,
        gradient_norm=_GRADIENT_NORM,
        checkpoint_every=settings.checkpoint_every,
    )
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=_WEIGHT_DECAY)
    return network, Trainer(course, network, optimizer, _lesson(settings, frames, network))


def _take_weights(network: DriverNetwork, start: Path) -> None:
    """Copy the weights of another training of the same variant."""
    checkpoint = read_checkpoint(start)
    found, wanted = checkpoint.settings.get("variant"), network.settings.variant
    if found != wanted:
        raise ConfigError(
            f"{start} holds a network of variant {found!r}, but {wanted!r} is to be trained; start "
            "from a checkpoint of the same variant"
        )
    network.load_state_dict(checkpoint.network)


def _lesson(settings: TrainingSettings, frames: Frames, network: DriverNetwork) -> Lesson:
    drawing = Drawing(
        batch_size=settings.batch_size,
        augmentation=AUGMENTATIONS[settings.augmentation],
        precision=settings.precision,
    )
    if isinstance(network, PathNetwork):
        return PathLesson(frames, network, drawing)
    if isinstance(network, PaceNetwork):
        return PaceLesson(frames, network, drawing)
    return SteeringLesson(network.variant, frames, network, drawing)


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
        if key not in ("data", "output", "start", "checkpoint_every")
    }
    if settings.start is not None:
        record["start"] = _hash_weights(settings.start)
    return identity_of(record | {"data": frames.fingerprint})


def _hash_weights(checkpoint: Path) -> str:
    """Return the hash of a checkpoint's weights, whatever else is in it."""
    digest = hashlib.sha256()
    for name, value in sorted(read_checkpoint(checkpoint).network.items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def load_network(checkpoint: Path) -> DriverNetwork:
    """Rebuild a trained network from its checkpoint, in evaluation mode."""
    record = read_checkpoint(checkpoint)
    network = build_network(NetworkSettings(**record.settings))  # type: ignore[arg-type]
    network.load_state_dict(record.network)
    return network.eval()
