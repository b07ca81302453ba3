"""Streams of images, some of which come again, as in the paper's experiment.

Kinnas et al. 2024 (arXiv 2412.01039) append a random sample of the test images to themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import LabelledImages

#: Shares of the images that came a second time in the paper's streams.
PUBLISHED_SHARES = (0.0, 0.5, 1.0)

#: Charge in mAh for CIFAR-10's test images at these shares, on a Jetson Nano with a power meter:
#: from the data of a figure in the history of the authors' repository, so good to about 1 %. The
#: paper's memory has unverified keys.
_PUBLISHED_CHARGE_MAH = {
    "reference": (225.0, 302.0, 396.0),
    "pair": (52.0, 80.0, 100.0),
    "pair+memory": (53.0, 56.0, 57.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Frames in the order in which they come.

    Attributes:
        name: What tables call it.
        duplicates: Repeats by originals.
        frames: M different frames with their true classes.
        order: (N,) int64, the frame at each place of the stream.
        variants: Frames of each original; they lie beside each other, the original first.
    """

    name: str
    duplicates: float
    frames: LabelledImages
    order: NDArray[np.int64]
    variants: int = 1

    def __len__(self) -> int:
        return int(self.order.size)

    @property
    def repeated(self) -> NDArray[np.bool_]:
        """(N,), whether the original of the frame at this place has been seen before."""
        _, first = np.unique(self.order // self.variants, return_index=True)
        repeated = np.ones(len(self), np.bool_)
        repeated[first] = False
        return repeated


def sample_images(images: LabelledImages, count: int, seed: int) -> LabelledImages:
    """Return a random sample in the images' order, or all if there are no more."""
    if count >= len(images):
        return images
    chosen = np.random.default_rng([seed, 2]).choice(len(images), size=count, replace=False)
    return images.select(np.sort(chosen))


def appended_stream(images: LabelledImages, share: float, seed: int) -> Stream:
    """Append a random sample of the originals after all of them, as the paper does.

    Args:
        images: The originals.
        share: Size of the sample by the originals, 0..1; none is drawn twice.
        seed: Of the sample and its order.
    """
    count = len(images)
    drawn = np.random.default_rng([seed, 0]).choice(count, size=round(share * count), replace=False)
    return Stream(
        name=f"{100 * share:g} % appended",
        duplicates=share,
        frames=images,
        order=np.concatenate([np.arange(count), drawn]),
    )


def published_cost(system: str, duplicates: float) -> float | None:
    """Return the paper's charge relative to its large network, or None where it has no figure."""
    if system not in _PUBLISHED_CHARGE_MAH or duplicates not in PUBLISHED_SHARES:
        return None
    place = PUBLISHED_SHARES.index(duplicates)
    return _PUBLISHED_CHARGE_MAH[system][place] / _PUBLISHED_CHARGE_MAH["reference"][place]
