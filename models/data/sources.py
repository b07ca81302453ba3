"""Data sets by name or place."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from bicameral.errors import ConfigError, DataError
from edge.sidecar import Aspect
from models.data.cifar import is_cifar10_folder, read_cifar10_folder
from models.data.dataset import CHANNELS, Color, ImageDataset, SourceImages
from models.data.download import default_cache, download, read_download_list
from models.data.folders import read_image_folder
from models.data.idx import has_idx_files, read_idx_folder
from models.data.splits import split_source

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

#: SHA-256 of FashionMNIST's 10,000 test labels, as bytes.
_FASHION_MNIST_TEST_LABELS_SHA256 = (
    "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetOptions:
    """How a source becomes a data set.

    Attributes:
        validation_share: Share of each class's training images that validate, where the source
            has no validation images; a sixth makes 10,000 of FashionMNIST's 60,000.
        test_share: Share of each class's images that test, where the source has no test images.
        seed: Seed of the split.
        image_size: Height and width that the pictures of an image folder are reduced to.
        color: Colours that the pictures of an image folder are turned into.
        aspect: What becomes of those whose proportions are not those of `image_size`.
        mirror_allowed: Whether a mirrored image keeps its label; None: as known of the source, and
            False where nothing is known (digits, arrows and writing do not).
        cache: Folder for downloaded data sets; None: the user's cache.
    """

    validation_share: float = 1.0 / 6.0
    test_share: float = 1.0 / 6.0
    seed: int = 0
    image_size: tuple[int, int] = (32, 32)
    color: Color = "RGB"
    aspect: Aspect = "stretch"
    mirror_allowed: bool | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        for name in ("validation_share", "test_share"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected between 0 and 1")
        if min(self.image_size) < 1:
            raise ConfigError(f"image_size is {self.image_size}, expected height and width >= 1")
        for name, known in (("color", tuple(CHANNELS)), ("aspect", get_args(Aspect))):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}"
                )


def load_dataset(source: str, options: DatasetOptions = DatasetOptions()) -> ImageDataset:
    """Load a data set and split it.

    Args:
        source: The name ``fashion-mnist``; or a folder that holds the four IDX files, CIFAR-10's
            binary version, or pictures in class folders; or a ``.toml`` file that says where to
            fetch the four IDX files (see `models.data.download`).
        options: How to read and split it.

    Raises:
        DataError: If the source does not exist or does not hold what it should.
        MachineError: If it cannot be fetched.
    """
    images = _read_source(source, options)
    if options.mirror_allowed is not None:
        images = replace(images, mirror_allowed=options.mirror_allowed)
    return split_source(
        images,
        validation_share=options.validation_share,
        test_share=options.test_share,
        seed=options.seed,
    )


def is_image_folder(source: str) -> bool:
    """Return whether a source is a folder of pictures, the only kind whose images are made here."""
    path = Path(source)
    return path.is_dir() and not has_idx_files(path) and not is_cifar10_folder(path)


def _read_source(source: str, options: DatasetOptions) -> SourceImages:
    if source in NAMED_DATASETS:
        return NAMED_DATASETS[source]()
    path = Path(source)
    if path.suffix == ".toml":
        return _read_download(path, options)
    if not path.is_dir():
        raise DataError(
            f"there is no data set {source!r}: expected one of the names "
            f"{', '.join(NAMED_DATASETS)}, a folder, or a .toml file with URLs"
        )
    if has_idx_files(path):
        return _read_idx(path)
    if is_cifar10_folder(path):
        return read_cifar10_folder(path)
    return read_image_folder(
        path,
        image_size=options.image_size,
        color=options.color,
        aspect=options.aspect,
    )


def _read_fashion_mnist() -> SourceImages:
    if not FASHION_MNIST_FOLDER.is_dir():
        raise DataError(
            f"FashionMNIST is not in {FASHION_MNIST_FOLDER}; install Debian's package "
            "dataset-fashion-mnist, or give a folder that holds its four IDX files"
        )
    return _read_idx(FASHION_MNIST_FOLDER)


def _read_idx(folder: Path) -> SourceImages:
    """Read an IDX folder, and know FashionMNIST by its labels wherever it lies."""
    train, test = read_idx_folder(folder)
    digest = hashlib.sha256(test.labels.astype("u1").tobytes()).hexdigest()
    is_fashion_mnist = digest == _FASHION_MNIST_TEST_LABELS_SHA256
    classes = 1 + int(max(train.labels.max(), test.labels.max()))
    return SourceImages(
        name="fashion-mnist" if is_fashion_mnist else folder.resolve().name,
        labels=FASHION_MNIST_LABELS if is_fashion_mnist else tuple(map(str, range(classes))),
        color="GRAY",
        mirror_allowed=is_fashion_mnist,
        train=train,
        test=test,
    )


def _read_download(path: Path, options: DatasetOptions) -> SourceImages:
    wanted = read_download_list(path)
    images = _read_idx(download(wanted, options.cache or default_cache()))
    images = replace(images, name=wanted.name, labels=wanted.labels or images.labels)
    if wanted.mirror_allowed is not None:
        images = replace(images, mirror_allowed=wanted.mirror_allowed)
    return images


#: Data sets that are known by name.
NAMED_DATASETS: dict[str, Callable[[], SourceImages]] = {"fashion-mnist": _read_fashion_mnist}
