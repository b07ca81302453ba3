"""Training of one classifier: batches, loss, schedule, checkpoints.

One recipe for every architecture, so that a pool is a fair comparison: SGD with Nesterov momentum
(AdamW for networks that need it), a linear warm-up of one epoch, then half a cosine down to zero.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bicameral.errors import ConfigError, DataError, unknown_name
from edge.preprocessing import tensor_from_canonical
from edge.sidecar import ImageSpec, TrainingPrecision
from models.checkpoint import (
    Checkpoint,
    read_checkpoint,
    restore_generator,
    write_checkpoint,
    write_log,
)
from models.classifiers.augmentation import Augmentation, augment_batch
from models.classifiers.distillation import Teacher
from models.data.dataset import ImageDataset, LabelledImages
from models.networks.architectures import ARCHITECTURES, ImageShape, build_network
from models.networks.capabilities import AdaptsStructure, OwnObjective

CHECKPOINT_NAME = "checkpoint.pt"
_MOMENTUM = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What all networks of a pool share.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per step; the last, smaller batch of an epoch is left out.
        weight_decay: L2 penalty of all parameters of networks that have none of their own.
        augmentation: What is varied.
        precision: Arithmetic of the networks. bf16 halves the time of wide convolutions on a
            processor that computes in bfloat16 and takes 14 times as long on one that emulates it
            (measured on AVX2). Weights, loss and statistics stay float32.
    """

    epochs: int = 12
    batch_size: int = 128
    weight_decay: float = 5e-4
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: TrainingPrecision = "fp32"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ConfigError(
                f"epochs is {self.epochs} and batch_size {self.batch_size}, expected at least 1 "
                "and 2"
            )
        if self.precision not in get_args(TrainingPrecision):
            raise unknown_name("precision", self.precision, get_args(TrainingPrecision))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """One network to train.

    Attributes:
        architecture: Name in `ARCHITECTURES`.
        output: Folder of this network: checkpoint and log.
        recipe: What all networks share.
        seed: Decides weights, order and augmentation.
        distillation: Weight of the teacher's loss, 0..1; 0 trains on the labels alone.
        checkpoint_every: Steps between checkpoints.
    """

    architecture: str
    output: Path
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    distillation: float = 0.0
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        if not 0.0 <= self.distillation <= 1.0:
            raise ConfigError(f"distillation is {self.distillation}, expected 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """What the progress callback gets after every step; `loss` is a running mean."""

    step: int
    steps: int
    loss: float
    images_per_s: float


ProgressCallback = Callable[[TrainingProgress], None]


def train(
    settings: TrainingSettings,
    dataset: ImageDataset,
    *,
    teacher: Teacher | None = None,
    progress: ProgressCallback | None = None,
) -> nn.Module:
    """Train a network, or continue a killed training in the same output folder.

    A run that was killed and continued ends with the same weights, bit for bit, as one that was
    not. A finished run is not repeated. One thread: two trainings side by side use two cores
    better than one training with two threads.

    Args:
        settings: What to train.
        dataset: Only its training images are used.
        teacher: What to distil from; needed if and only if the recipe distils.
        progress: Called after every step.

    Returns:
        The network in evaluation mode.

    Raises:
        ConfigError: If the output folder holds another training, a teacher is missing, or the
            recipe mirrors images that must not be.
        UserError: If there is no such architecture.
    """
    if (teacher is None) != (settings.distillation == 0.0):
        raise ConfigError("distillation needs a teacher, and a teacher a weight above 0")
    if settings.recipe.augmentation.mirror and not dataset.mirror_allowed:
        raise ConfigError(
            f"images of {dataset.name!r} must not be mirrored: a mirrored image can belong to "
            "another class; train without mirroring"
        )
    torch.set_num_threads(1)
    run = _Run(settings, dataset, teacher)
    run.resume()
    run.train(progress)
    return run.network.eval()


def image_spec(dataset: ImageDataset) -> ImageSpec:
    """Describe the pre-processing: mean and standard deviation of the training pixels."""
    height, width, channels = dataset.image_shape
    pixels = dataset.train.images.reshape(-1, channels)
    # Sums of integers: the same on every machine.
    histograms = [np.bincount(pixels[:, channel], minlength=256) for channel in range(channels)]
    levels = np.arange(256) / 255.0
    means = [float((levels * h).sum() / h.sum()) for h in histograms]
    variances = [
        float((np.square(levels - mean) * h).sum() / h.sum())
        for mean, h in zip(means, histograms, strict=True)
    ]
    return ImageSpec(
        height=height,
        width=width,
        color=dataset.color,
        scale=1.0 / 255.0,
        mean=tuple(round(mean, 4) for mean in means),
        std=tuple(max(round(math.sqrt(variance), 4), 1e-3) for variance in variances),
    )


def image_shape(dataset: ImageDataset) -> ImageShape:
    """Return what a network for this data set is built for."""
    height, width, channels = dataset.image_shape
    return ImageShape(channels=channels, height=height, width=width, classes=len(dataset.labels))


def load_network(folder: Path) -> nn.Module:
    """Rebuild a trained network from its folder, in evaluation mode.

    Raises:
        DataError: If there is no checkpoint, or it is damaged or of another architecture.
    """
    path = folder / CHECKPOINT_NAME
    checkpoint = read_checkpoint(path)
    try:
        name = checkpoint.settings["architecture"]
        shape = ImageShape(**json.loads(checkpoint.settings["shape"]))
        network = build_network(name, shape)
        network.load_state_dict(checkpoint.network)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is no checkpoint of a classifier: {error}") from error
    return network.eval()


def _optimizer(settings: TrainingSettings, network: nn.Module) -> torch.optim.Optimizer:
    architecture = ARCHITECTURES[settings.architecture]
    decay = architecture.weight_decay
    if decay is None:
        decay = settings.recipe.weight_decay
    if architecture.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=decay)
    return torch.optim.SGD(
        network.parameters(), lr=0.0, momentum=_MOMENTUM, nesterov=True, weight_decay=decay
    )


class _Run:
    """The mutable part of a training."""

    def __init__(
        self, settings: TrainingSettings, dataset: ImageDataset, teacher: Teacher | None
    ) -> None:
        self._settings = settings
        self._recipe = settings.recipe
        self._images: LabelledImages = dataset.train
        self._teacher = teacher
        self._spec = image_spec(dataset)
        self._shape = image_shape(dataset)
        self._per_epoch = len(self._images) // self._recipe.batch_size
        if self._per_epoch == 0:
            raise DataError(
                f"{dataset.name!r} has {len(self._images)} training images, fewer than one batch "
                f"of {self._recipe.batch_size}; give a smaller batch size"
            )
        self._steps = self._per_epoch * self._recipe.epochs
        torch.manual_seed(settings.seed)
        self._rng = np.random.Generator(np.random.PCG64(settings.seed))
        self.network = build_network(settings.architecture, self._shape)
        if teacher is not None and isinstance(self.network, OwnObjective):
            raise ConfigError(
                f"{settings.architecture!r} has an objective of its own and cannot be distilled; "
                "train it on the labels alone"
            )
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = _optimizer(settings, self.network)
        self._identity = self._hash_identity(dataset.fingerprint)
        self._step = 0
        self._loss = 0.0
        self._log: list[dict[str, float]] = []

    def resume(self) -> None:
        """Go on from a checkpoint if there is one."""
        path = self._settings.output / CHECKPOINT_NAME
        if not path.exists():
            return
        checkpoint = read_checkpoint(path)
        if checkpoint.identity != self._identity:
            raise ConfigError(
                f"{path} belongs to a training with other settings or data; choose another output "
                "folder"
            )
        self.network.load_state_dict(checkpoint.network)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        torch.set_rng_state(checkpoint.torch_rng)
        self._rng = restore_generator(checkpoint.numpy_rng)
        self._step = checkpoint.step
        self._log = list(checkpoint.log)
        self._loss = self._log[-1]["loss"]

    def train(self, progress: ProgressCallback | None) -> None:
        """Do the remaining steps."""
        self.network.train()
        began, first = time.perf_counter(), self._step
        order, order_epoch = np.empty(0, np.int64), -1
        while self._step < self._steps:
            epoch, batch = divmod(self._step, self._per_epoch)
            if epoch != order_epoch:
                # From seed and epoch alone, so that a resumed epoch goes on where it stopped.
                order = np.random.default_rng((self._settings.seed, epoch)).permutation(
                    len(self._images)
                )
                order_epoch = epoch
            size = self._recipe.batch_size
            loss = self._do_step(order[batch * size : (batch + 1) * size])
            self._loss = loss if self._step == 1 else 0.98 * self._loss + 0.02 * loss
            rate = (self._step - first) * size / (time.perf_counter() - began)
            if self._step % self._settings.checkpoint_every == 0 or self._step == self._steps:
                self._write()
            if progress is not None:
                progress(
                    TrainingProgress(
                        step=self._step, steps=self._steps, loss=self._loss, images_per_s=rate
                    )
                )

    def _do_step(self, index: NDArray[np.int64]) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self._step)
        pixels, mirrored = augment_batch(
            self._images.images[index], self._recipe.augmentation, self._rng
        )
        images = torch.from_numpy(tensor_from_canonical(pixels, self._spec))
        labels = torch.from_numpy(self._images.labels[index])
        images = images.to(memory_format=torch.channels_last)
        if isinstance(self.network, OwnObjective):
            with self._autocast():
                loss = self.network.loss(images, labels)
        else:
            loss = self._loss_of_logits(images, labels, index, mirrored)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._step += 1
        if isinstance(self.network, AdaptsStructure):
            self.network.after_step(self._step, self._steps)
        return float(loss.item())

    def _loss_of_logits(
        self,
        images: Tensor,
        labels: Tensor,
        index: NDArray[np.int64],
        mirrored: NDArray[np.bool_],
    ) -> Tensor:
        with self._autocast():
            logits: Tensor = self.network(images)[0]
        loss = functional.cross_entropy(logits.float(), labels)
        if self._teacher is None:
            return loss
        weight = self._settings.distillation
        distilled = self._teacher.loss(logits.float(), index, mirrored)
        return (1.0 - weight) * loss + weight * distilled

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._recipe.precision == "bf16")

    def _learning_rate(self, step: int) -> float:
        peak = ARCHITECTURES[self._settings.architecture].learning_rate
        warm_up = min(1.0, (step + 1) / self._per_epoch)
        return peak * warm_up * 0.5 * (1.0 + math.cos(math.pi * step / self._steps))

    def _hash_identity(self, data: str) -> str:
        """Hash what decides the weights; the places of files, for example, do not."""
        architecture = ARCHITECTURES[self._settings.architecture]
        record = {
            "architecture": self._settings.architecture,
            "learning_rate": architecture.learning_rate,
            "optimizer": architecture.optimizer,
            "weight_decay": architecture.weight_decay,
            "seed": self._settings.seed,
            "recipe": asdict(self._recipe),
            "distillation": self._settings.distillation,
            "data": data,
            "teacher": None if self._teacher is None else self._teacher.fingerprint,
        }
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

    def _write(self) -> None:
        epoch = self._step / self._per_epoch
        self._log.append({"step": self._step, "epoch": round(epoch, 3), "loss": self._loss})
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
                    "architecture": self._settings.architecture,
                    "shape": json.dumps(asdict(self._shape)),
                },
            ),
        )
        write_log(output / "log.csv", self._log)
