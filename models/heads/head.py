"""What it takes to make a head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.data.dataset import ImageDataset


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
