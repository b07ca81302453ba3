"""Classifiers that answer from the frozen features of another one, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.classifiers.dataset import ImageDataset


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadTraining:
    """One head to make.

    Attributes:
        base: Graph or sidecar of a classifier that shows its features.
        dataset: What to learn from; test images only judge.
        output: Folder for the model's files.
        name: Name of the model and of its files.
        seed: Decides whatever is drawn at random.
        command: Command line, for the sidecar.
        limits: What it must not be used for, for the sidecar.
    """

    base: Path
    dataset: ImageDataset
    output: Path
    name: str
    seed: int
    command: str
    limits: str


#: Called with steps done, steps in all, and what is going on.
HeadProgress = Callable[[int, int, str], None]

#: Makes a head and returns the path of its sidecar.
HeadTrainer = Callable[[HeadTraining, HeadProgress], Path]


def _train_kernel_head(training: HeadTraining, progress: HeadProgress) -> Path:
    from models.zoo.kernel_graph import train_kernel_head  # it needs the names above

    return train_kernel_head(training, progress)


def _train_read_out(training: HeadTraining, progress: HeadProgress) -> Path:
    from models.zoo.read_out import train_read_out  # it needs the names above

    return train_read_out(training, progress)


def _train_projected_read_out(training: HeadTraining, progress: HeadProgress) -> Path:
    from models.zoo.read_out import train_projected_read_out  # it needs the names above

    return train_projected_read_out(training, progress)


HEADS: dict[str, HeadTrainer] = {
    "kernel_head": _train_kernel_head,
    "read_out": _train_read_out,
    "read_out_projected": _train_projected_read_out,
}
