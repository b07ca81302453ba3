"""Training of one classifier: batches, loss, schedule, checkpoints.

One recipe for every architecture, so that a pool is a fair comparison: SGD with Nesterov momentum
(AdamW for networks that need it), a linear warm-up of one epoch, then half a cosine down to zero.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bicameral.errors import ConfigError, DataError, unknown_name
from edge.preprocessing import tensor_from_canonical
from edge.sidecar import ImageSpec, TrainingPrecision
from models.checkpoint import read_checkpoint
from models.classifiers.augmentation import Augmentation, augment_batch
from models.classifiers.distillation import Teacher
from models.data.dataset import ImageDataset
from models.networks.architectures import ARCHITECTURES, build_network
from models.networks.capabilities import LossTerms, OwnObjective
from models.networks.layers import ImageShape
from models.trainer import (
    CHECKPOINT_NAME,
    Course,
    ProgressCallback,
    Trainer,
    autocast,
    identity_of,
)

_MOMENTUM = 0.9


#: Pixels up to which channels come last, which is faster. That way torch 2.13 crashes in the
#: backward pass of narrow convolutions of larger images (residual8, 64 x 64).
_MOST_CHANNELS_LAST = 32 * 32


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
        memory_saving: Whether the backward pass gets what it needs in 8 bits: less memory, and
            more time.
    """

    epochs: int = 12
    batch_size: int = 128
    weight_decay: float = 5e-4
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: TrainingPrecision = "fp32"
    memory_saving: bool = False

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
    torch.manual_seed(settings.seed)
    network = build_network(settings.architecture, image_shape(dataset))
    if teacher is not None and isinstance(network, OwnObjective):
        raise ConfigError(
            f"{settings.architecture!r} has an objective of its own and cannot be distilled; "
            "train it on the labels alone"
        )
    lesson = _Labels(settings, dataset, network, teacher)
    course = _course(settings, dataset, teacher)
    trainer = Trainer(course, network, _optimizer(settings, network), lesson)
    if dataset.image_shape[0] * dataset.image_shape[1] > _MOST_CHANNELS_LAST:
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    trainer.train(progress)
    return network


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
        aspect=dataset.aspect,
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


class _Labels:
    """The `Lesson` of a classifier: the classes of images, and what a teacher says of them."""

    def __init__(
        self,
        settings: TrainingSettings,
        dataset: ImageDataset,
        network: nn.Module,
        teacher: Teacher | None,
    ) -> None:
        self._settings = settings
        self._images = dataset.train
        self._spec = image_spec(dataset)
        self._network = network
        self._teacher = teacher
        self._per_epoch = steps_of_epoch(settings.recipe, dataset)
        self._order = np.empty(0, np.int64)

    def losses(self, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Take the next images of the epoch's order, shift and mirror them, and classify them."""
        recipe = self._settings.recipe
        epoch, batch = divmod(step, self._per_epoch)
        if batch == 0 or not self._order.size:
            # From seed and epoch alone, so that a resumed epoch goes on where it stopped.
            draws = np.random.default_rng((self._settings.seed, epoch))
            self._order = draws.permutation(len(self._images))
        index = self._order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        pixels, views = augment_batch(self._images.images[index], recipe.augmentation, rng)
        images = torch.from_numpy(tensor_from_canonical(pixels, self._spec))
        if images.shape[2] * images.shape[3] <= _MOST_CHANNELS_LAST:
            images = images.to(memory_format=torch.channels_last)
        labels = torch.from_numpy(self._images.labels[index])
        with autocast(recipe.precision):
            if isinstance(self._network, OwnObjective):
                return {"loss": self._network.loss(images, labels)}
            terms: dict[str, Tensor] = {}
            if isinstance(self._network, LossTerms):
                logits, terms = self._network.with_loss_terms(images)
            else:
                logits = self._network(images)[0]
        loss = functional.cross_entropy(logits.float(), labels)
        if self._teacher is not None:
            weight = self._settings.distillation
            distilled = self._teacher.loss(logits.float(), index, views)
            loss = (1.0 - weight) * loss + weight * distilled
        return {"loss": sum(terms.values(), loss), **terms}


def steps_of_epoch(recipe: Recipe, dataset: ImageDataset) -> int:
    """Return how many whole batches there are in the training images.

    Raises:
        DataError: If there is not one.
    """
    size = recipe.batch_size
    if len(dataset.train) < size:
        raise DataError(
            f"{dataset.name!r} has {len(dataset.train)} training images, fewer than one batch of "
            f"{size}; add pictures until there are at least {size}"
        )
    return len(dataset.train) // size


def _course(settings: TrainingSettings, dataset: ImageDataset, teacher: Teacher | None) -> Course:
    recipe, architecture = settings.recipe, ARCHITECTURES[settings.architecture]
    per_epoch = steps_of_epoch(recipe, dataset)
    return Course(
        output=settings.output,
        settings={
            "architecture": settings.architecture,
            "shape": json.dumps(asdict(image_shape(dataset))),
        },
        identity=identity_of(
            {
                "architecture": settings.architecture,
                "learning_rate": architecture.learning_rate,
                "optimizer": architecture.optimizer,
                "weight_decay": architecture.weight_decay,
                "seed": settings.seed,
                "recipe": _recipe_identity(recipe),
                "distillation": settings.distillation,
                "data": dataset.fingerprint,
                "teacher": None if teacher is None else teacher.fingerprint,
            }
        ),
        seed=settings.seed,
        steps=per_epoch * recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=architecture.learning_rate,
        warm_up=per_epoch,
        checkpoint_every=settings.checkpoint_every,
        memory_saving=recipe.memory_saving,
    )


def _recipe_identity(recipe: Recipe) -> dict[str, Any]:
    """Return what of a recipe decides the weights; trainings from before it had a word go on."""
    fields = asdict(recipe)
    if not recipe.memory_saving:
        del fields["memory_saving"]
    return fields
