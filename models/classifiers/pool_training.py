"""Training of many networks on one data set, several at a time, resumable."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bicameral.errors import ConfigError
from edge.loading import load_classifier, member_sha256
from edge.sidecar import read_sidecar, sidecar_path, write_sidecar
from models.classifiers.distillation import Teacher
from models.classifiers.export import ExportSettings, export_classifier
from models.classifiers.logits import (
    network_logits_path,
    read_pool_logits,
    write_network_logits,
    write_targets,
)
from models.classifiers.timing import measure_cpu_us
from models.classifiers.training import (
    Recipe,
    TrainingSettings,
    steps_of_epoch,
    train,
)
from models.data.dataset import ImageDataset
from models.data.sources import DatasetOptions, load_dataset
from models.trainer import TrainingProgress, identity_of

_POLL_S = 0.5
_DISTILLED = "_distilled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMember:
    """One network of a pool.

    Attributes:
        architecture: Name in `models.networks.architectures.ARCHITECTURES`.
        seed: Seed of its training.
        teachers: Exported classifiers from whose answers it learns, of the same pool or not.
        epochs: Passes over the training images; None: as the recipe says.
    """

    architecture: str
    seed: int = 0
    teachers: tuple[Path, ...] = ()
    epochs: int | None = None

    @property
    def network(self) -> str:
        """Name of what is trained, the same for all seeds."""
        return self.architecture + (_DISTILLED if self.teachers else "")

    @property
    def name(self) -> str:
        """Name of this network's folder and files."""
        return f"{self.network}-s{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """A pool to train.

    Attributes:
        source: Data set, see `load_dataset`.
        output: Folder of the pool: ``networks/NAME/`` and ``logits/``.
        options: How the data set is split.
        recipe: What all networks share.
        distillation: Weight of the teacher's loss for members that have a teacher.
        jobs: Trainings at a time, one thread each.
        command: Command line, for the sidecars.
        limits: What the networks must not be used for, for the sidecars.
    """

    source: str
    output: Path
    options: DatasetOptions = field(default_factory=DatasetOptions)
    recipe: Recipe = field(default_factory=Recipe)
    distillation: float = 0.9
    jobs: int = 1
    command: str
    limits: str

    @property
    def logits(self) -> Path:
        """Folder of the logits."""
        return self.output / "logits"

    def folder(self, member: PoolMember) -> Path:
        """Return the folder of one network."""
        return self.output / "networks" / member.name

    def model(self, member: PoolMember) -> Path:
        """Return the exported graph of one network."""
        return self.folder(member) / f"{member.name}.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolProgress:
    """What the progress callback gets: which network is where, and the sum over the pool."""

    name: str
    step: int
    steps: int
    loss: float
    finished: int
    members: int


ProgressCallback = Callable[[PoolProgress], None]


def train_pool(
    settings: PoolSettings,
    members: Sequence[PoolMember],
    progress: ProgressCallback | None = None,
) -> None:
    """Train and export every member; what is finished is not repeated, the rest goes on.

    Writes ``networks/NAME/{checkpoint.pt,log.csv,NAME.onnx,NAME.bicameral.json}`` and
    ``logits/NAME.npz`` in the output folder. Teachers are trained before their students.

    Raises:
        ConfigError: If a folder holds a training with other settings or data.
        DataError: If the data are damaged, or an export differs from torch.
    """
    dataset = load_dataset(settings.source, settings.options)
    # Before anything is written: the folder then belongs to these data.
    steps_of_epoch(settings.recipe, dataset)
    write_targets(settings.logits, dataset)
    report = _Report(len(members), progress)
    teachers = [member for member in members if not member.teachers]
    students = [member for member in members if member.teachers]
    for group in (teachers, students):
        if settings.jobs == 1:
            for member in group:
                train_member(settings, member, dataset, report.step)
                report.finish()
        else:
            _train_side_by_side(settings, group, report)
    _measure_times(settings, members, dataset)


def _measure_times(
    settings: PoolSettings, members: Sequence[PoolMember], dataset: ImageDataset
) -> None:
    """Measure the CPU time of all members together, unless every one of them has been measured."""
    wanted = {(member.network, member.seed) for member in members}
    pool = read_pool_logits(settings.logits)
    logits = {
        (n.architecture, n.seed): n for n in pool.networks if (n.architecture, n.seed) in wanted
    }
    if all(network.cpu_us > 0.0 for network in logits.values()):
        return
    paths = [settings.model(member) for member in members]
    classifiers = [load_classifier(path) for path in paths]
    times_us = measure_cpu_us(classifiers, dataset.test.images)
    for member, path, cpu_us in zip(members, paths, times_us, strict=True):
        sidecar = read_sidecar(path)
        cost = sidecar.cost.model_copy(update={"cpu_us": cpu_us})
        write_sidecar(sidecar_path(path), sidecar.model_copy(update={"cost": cost}))
        network = logits[member.network, member.seed]
        write_network_logits(settings.logits, replace(network, cpu_us=cpu_us))


def train_member(
    settings: PoolSettings,
    member: PoolMember,
    dataset: ImageDataset,
    step: Callable[[str, TrainingProgress], None] | None = None,
) -> None:
    """Train, export and record the logits of one network, as far as that is not done."""
    folder = settings.folder(member)
    teacher = _teacher(settings, member, dataset)
    recipe = settings.recipe
    if member.epochs is not None:
        recipe = replace(recipe, epochs=member.epochs)
    network = train(
        TrainingSettings(
            architecture=member.architecture,
            output=folder,
            recipe=recipe,
            seed=member.seed,
            distillation=settings.distillation if teacher is not None else 0.0,
        ),
        dataset,
        teacher=teacher,
        progress=None if step is None else lambda progress: step(member.name, progress),
    )
    if network_logits_path(settings.logits, member.network, member.seed).exists():
        return
    logits = export_classifier(
        network,
        dataset,
        ExportSettings(
            output=folder,
            name=member.name,
            architecture=member.network,
            seed=member.seed,
            command=settings.command,
            limits=settings.limits,
            precision=recipe.precision,
        ),
    )
    # Last, because it says that this network is finished.
    write_network_logits(settings.logits, logits)


def _teacher(settings: PoolSettings, member: PoolMember, dataset: ImageDataset) -> Teacher | None:
    """Return what a member learns from; its answers are kept beside the networks."""
    if not member.teachers:
        return None
    hashes = [member_sha256(read_sidecar(path)) for path in member.teachers]
    recipe = settings.recipe.augmentation
    name = identity_of({"teachers": hashes, "views": asdict(recipe), "data": dataset.fingerprint})
    cache = settings.output / "answers" / f"{name[:16]}.npy"
    if cache.exists():
        return Teacher.read(cache)
    classifiers = [load_classifier(path, memory="none") for path in member.teachers]
    for classifier in classifiers:
        if classifier.info.labels != dataset.labels:
            raise ConfigError(
                f"{classifier.info.name!r} cannot teach {dataset.name!r}: it answers with "
                f"{', '.join(classifier.info.labels)}, expected {', '.join(dataset.labels)}"
            )
    teacher = Teacher.of_classifiers(classifiers, dataset.train, recipe)
    teacher.write(cache)
    return teacher


class _Report:
    """Counts finished networks and passes steps on."""

    def __init__(self, members: int, progress: ProgressCallback | None) -> None:
        self._members = members
        self._progress = progress
        self._finished = 0

    def step(self, name: str, progress: TrainingProgress) -> None:
        """Pass on one step of one network."""
        if self._progress is not None:
            self._progress(
                PoolProgress(
                    name=name,
                    step=progress.step,
                    steps=progress.steps,
                    loss=progress.loss,
                    finished=self._finished,
                    members=self._members,
                )
            )

    def finish(self) -> None:
        """Count one network."""
        self._finished += 1


#: Of a worker process: the data set, loaded once, and where it reports its steps.
_worker: dict[str, Any] = {}


def _start_worker(settings: PoolSettings, steps: Any) -> None:
    _worker["dataset"] = load_dataset(settings.source, settings.options)
    _worker["steps"] = steps


def _train_in_worker(settings: PoolSettings, member: PoolMember) -> None:
    def step(name: str, progress: TrainingProgress) -> None:
        if progress.step % 20 == 0 or progress.step == progress.steps:
            _worker["steps"].put((name, progress))

    train_member(settings, member, _worker["dataset"], step)


def _train_side_by_side(
    settings: PoolSettings, members: Iterable[PoolMember], report: _Report
) -> None:
    """Train in `settings.jobs` processes; torch must not be forked, so they are spawned."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        steps = manager.Queue()
        executor = ProcessPoolExecutor(
            settings.jobs, context, initializer=_start_worker, initargs=(settings, steps)
        )
        try:
            pending = {executor.submit(_train_in_worker, settings, member) for member in members}
            while pending:
                _forward(steps, report)
                pending = _collect(pending, report)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _forward(steps: queue.Queue[tuple[str, TrainingProgress]], report: _Report) -> None:
    try:
        report.step(*steps.get(timeout=_POLL_S))
        while True:
            report.step(*steps.get_nowait())
    except queue.Empty:
        return


def _collect(pending: set[Future[None]], report: _Report) -> set[Future[None]]:
    for future in [future for future in pending if future.done()]:
        future.result()
        pending.remove(future)
        report.finish()
    return pending
