"""A data set that every entry learns a little of in seconds, and models trained on it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.sidecar import SUFFIX
from models.data.dataset import ImageDataset
from models.data.sources import DatasetOptions, load_dataset
from models.zoo.training import HEADS, MODEL_FOLDER, ClassifierTraining, train_classifier

#: Trains an entry with a seed, once, and returns the sidecar.
QuickTraining = Callable[..., Path]

OPTIONS = DatasetOptions(image_size=(28, 28), color="GRAY")


@pytest.fixture(scope="session")
def stripes(shared: Path) -> Path:
    """A folder of three classes of 28 x 28 pictures, told by where they are bright."""
    folder = shared / "stripes"
    with (shared / "stripes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        rng = np.random.default_rng(0)
        for index, label in enumerate(("top", "middle", "bottom")):
            (folder / label).mkdir(parents=True)
            for number in range(180):
                image = rng.integers(0, 150, (28, 28), np.uint8)
                image[9 * index : 9 * index + 9] += 60
                cv2.imwrite(str(folder / label / f"{number}.png"), image)
    return folder


@pytest.fixture(scope="session")
def stripes_dataset(stripes: Path) -> ImageDataset:
    return load_dataset(str(stripes), OPTIONS)


@pytest.fixture(scope="session")
def quick(stripes: Path, shared: Path) -> QuickTraining:
    """Train entries for two epochs; a head on the features of a network that was trained so."""

    @cache
    def train(entry: str, seed: int = 0) -> Path:
        head = entry in HEADS
        settings = ClassifierTraining(
            entry=entry,
            source=str(stripes),
            output=shared / f"{entry}-{seed}",
            prefix="stripes",
            options=OPTIONS,
            seed=seed,
            epochs=None if head else 2,
            base=str(train("squeeze16")) if head else None,
            command=f"bicameral train classifier {entry} stripes",
            limits="For tests.",
        )
        path = settings.output / MODEL_FOLDER / f"stripes_{entry}{SUFFIX}"
        with (shared / f"{entry}-{seed}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                assert train_classifier(settings, lambda *_: None) == path
        return path

    return train
