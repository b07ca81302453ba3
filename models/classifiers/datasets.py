"""Data sets by name or place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bicameral.errors import DataError
from models.classifiers.dataset import ImageDataset, SourceImages
from models.classifiers.idx import has_idx_files, read_idx_folder
from models.classifiers.splits import split_source

#: Where Debian's package dataset-fashion-mnist puts the files.
FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")

#: Class names in the order of the labels (github.com/zalandoresearch/fashion-mnist).
FASHION_MNIST_LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetOptions:
    """How a source becomes a data set.

    Attributes:
        validation_share: Share of each class's training images that validate, where the source
            has no validation images; a sixth makes 10,000 of FashionMNIST's 60,000.
        test_share: Share of each class's images that test, where the source has no test images.
        seed: Seed of the split.
    """

    validation_share: float = 1.0 / 6.0
    test_share: float = 1.0 / 6.0
    seed: int = 0


def load_dataset(source: str, options: DatasetOptions = DatasetOptions()) -> ImageDataset:
    """Load a data set.

    Args:
        source: ``fashion-mnist``, or a folder that holds the four IDX files.
        options: How to split it.

    Raises:
        DataError: If the source does not exist or does not hold what it should.
    """
    return split_source(
        _read_source(source),
        validation_share=options.validation_share,
        test_share=options.test_share,
        seed=options.seed,
    )


def _read_source(source: str) -> SourceImages:
    if source == "fashion-mnist":
        return _read_fashion_mnist()
    folder = Path(source)
    if has_idx_files(folder):
        train, test = read_idx_folder(folder)
        classes = int(max(train.labels.max(), test.labels.max())) + 1
        return SourceImages(
            name=folder.resolve().name,
            labels=tuple(str(label) for label in range(classes)),
            color="GRAY",
            mirror_allowed=False,
            train=train,
            test=test,
        )
    raise DataError(f"there is no data set {source!r}: neither a known name nor a folder with data")


def _read_fashion_mnist() -> SourceImages:
    if not FASHION_MNIST_FOLDER.is_dir():
        raise DataError(
            f"FashionMNIST is not in {FASHION_MNIST_FOLDER}; install Debian's package "
            "dataset-fashion-mnist, or give a folder that holds its four IDX files"
        )
    train, test = read_idx_folder(FASHION_MNIST_FOLDER)
    return SourceImages(
        name="fashion-mnist",
        labels=FASHION_MNIST_LABELS,
        color="GRAY",
        mirror_allowed=True,
        train=train,
        test=test,
    )
