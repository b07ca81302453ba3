"""Training of one classifier by name: a network, or a head on another one's features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bicameral.errors import ConfigError, unknown_name
from edge.shipped import resolve_model
from edge.sidecar import SUFFIX, TrainingPrecision
from models.classifiers.augmentation import Augmentation
from models.classifiers.export import copy_classifier
from models.classifiers.pool_training import PoolMember, PoolProgress, PoolSettings, train_pool
from models.classifiers.training import Recipe
from models.data.sources import DatasetOptions, load_dataset
from models.heads.head import HeadProgress, HeadTraining
from models.heads.kernel_graph import train_kernel_head
from models.heads.read_out import train_projected_read_out, train_read_out
from models.networks.architectures import ARCHITECTURES

MODEL_FOLDER = "model"

#: Heads by name; each is made with a call that returns the path of its sidecar.
HEADS: dict[str, Callable[[HeadTraining, HeadProgress], Path]] = {
    "kernel_head": train_kernel_head,
    "read_out": train_read_out,
    "read_out_projected": train_projected_read_out,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierTraining:
    """One classifier to train.

    Attributes:
        entry: Name of an architecture or of a head.
        source: Data set, see `load_dataset`.
        output: Folder of the run; the model is written to its sub-folder ``model``.
        prefix: The model is called PREFIX_ENTRY.
        options: How the data set is split.
        augmentation: What is varied in the training images of a network.
        seed: Decides weights, order and augmentation.
        epochs: Passes of a network over the training images; None: as its architecture says.
        precision: Arithmetic of a network's training.
        memory_saving: Whether a network's backward pass gets what it needs in 8 bits.
        teachers: Classifiers from whose answers a network learns, too: shipped names or paths.
        base: Of a head: the classifier whose features it uses, a shipped name or a path.
        command: Command line, for the sidecar.
        limits: What it must not be used for, for the sidecar.
    """

    entry: str
    source: str
    output: Path
    prefix: str
    options: DatasetOptions = field(default_factory=DatasetOptions)
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0
    epochs: int | None = None
    precision: TrainingPrecision = "fp32"
    memory_saving: bool = False
    teachers: tuple[str, ...] = ()
    base: str | None = None
    command: str
    limits: str

    @property
    def name(self) -> str:
        """Name of the model."""
        return f"{self.prefix}_{self.member.network}"

    @property
    def member(self) -> PoolMember:
        """The network as one of a pool."""
        teachers = tuple(map(resolve_model, self.teachers))
        return PoolMember(architecture=self.entry, seed=self.seed, teachers=teachers)

    def __post_init__(self) -> None:
        if self.entry not in ARCHITECTURES | HEADS:
            raise unknown_name("classifier", self.entry, [*ARCHITECTURES, *HEADS])
        if self.entry in HEADS and self.base is None:
            raise ConfigError(
                f"{self.entry!r} answers from another classifier's features and needs one: give a "
                "shipped model's name or the path of a trained one with --base"
            )
        if self.entry in HEADS and self.epochs is not None:
            raise ConfigError(f"{self.entry!r} is not trained in epochs; leave out --epochs")
        if self.entry in HEADS and self.memory_saving:
            raise ConfigError(f"{self.entry!r} has no backward pass; leave out --memory-saving")
        if self.entry in HEADS and self.teachers:
            raise ConfigError(f"{self.entry!r} learns from the labels alone; leave out --teachers")
        if self.entry in ARCHITECTURES and self.base is not None:
            raise ConfigError(f"{self.entry!r} is a whole network; leave out --base")


def train_classifier(settings: ClassifierTraining, progress: HeadProgress) -> Path:
    """Train and export one classifier; what is finished is not repeated, the rest goes on.

    Args:
        settings: What to train.
        progress: Called after every step.

    Returns:
        The sidecar in ``OUTPUT/model``.

    Raises:
        ConfigError: If the folder holds a training with other settings or data.
        DataError: If the data are damaged, or an export differs from torch.
    """
    if settings.entry in HEADS:
        return _train_head(settings, progress)
    return _train_network(settings, progress)


def _train_network(settings: ClassifierTraining, progress: HeadProgress) -> Path:
    given = settings.epochs
    epochs = ARCHITECTURES[settings.entry].epochs if given is None else given
    pool = PoolSettings(
        source=settings.source,
        output=settings.output,
        options=settings.options,
        recipe=Recipe(
            epochs=epochs,
            augmentation=settings.augmentation,
            precision=settings.precision,
            memory_saving=settings.memory_saving,
        ),
        command=settings.command,
        limits=settings.limits,
    )
    member = settings.member

    def show(step: PoolProgress) -> None:
        progress(step.step, step.steps, f"loss {step.loss:.3f}")

    train_pool(pool, [member], show)
    model = settings.output / MODEL_FOLDER
    copy_classifier(pool.model(member), model, settings.name)
    return model / (settings.name + SUFFIX)


def _train_head(settings: ClassifierTraining, progress: HeadProgress) -> Path:
    assert settings.base is not None  # noqa: S101 - refused above
    training = HeadTraining(
        base=resolve_model(settings.base),
        dataset=load_dataset(settings.source, settings.options),
        output=settings.output / MODEL_FOLDER,
        name=settings.name,
        seed=settings.seed,
        command=settings.command,
        limits=settings.limits,
    )
    return HEADS[settings.entry](training, progress)
