"""Images with what else a network takes: to compare models on, and to calibrate them with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.classifier import require_canonical
from edge.driver_model import COMMANDS
from edge.preprocessing import feed_from_canonical
from edge.sidecar import Sidecar

#: Speeds of random samples, uniform, m/s: the range of town driving.
_RANDOM_SPEEDS_MPS = (0.0, 15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Canonical images, their labels where they are known, and further inputs.

    Attributes:
        description: What they are, for reports: data set, split and number.
        images: (N, H, W, C) uint8, canonical.
        labels: (N,) int64 class indices, or None.
        extra: Further input tensors (N, ...) by name, e.g. ``speed_mps``.
        is_random: Whether the images are noise, which says little of real ones.
    """

    description: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    extra: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    is_random: bool = False

    def __post_init__(self) -> None:
        """Refuse parts of different lengths, and nothing at all."""
        lengths = {len(self.images), *map(len, self.extra.values())}
        lengths |= set() if self.labels is None else {len(self.labels)}
        if len(lengths) != 1 or not len(self.images):
            raise DataError(f"{self.description} has parts of lengths {sorted(lengths)}")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def first(self, count: int) -> Samples:
        """Return `count` samples, evenly spaced; all of them if there are fewer."""
        if count >= len(self):
            return self
        index = np.linspace(0, len(self) - 1, count).astype(np.int64)
        return Samples(
            description=f"{count} of {self.description}",
            images=self.images[index],
            labels=None if self.labels is None else self.labels[index],
            extra={name: value[index] for name, value in self.extra.items()},
            is_random=self.is_random,
        )

    def feeds(self, sidecar: Sidecar, start: int, stop: int) -> dict[str, NDArray[np.generic]]:
        """Return the tensors that a sidecar's graph takes for some of the samples.

        Raises:
            DataError: If the images are others, or it takes what the samples do not have.
        """
        rows, image = slice(start, stop), sidecar.input.image
        require_canonical(
            self.images[rows], (image.height, image.width, image.channels), sidecar.name
        )
        feeds: dict[str, NDArray[np.generic]] = {
            sidecar.input.name: feed_from_canonical(self.images[rows], sidecar.input)
        }
        for extra in sidecar.extra_inputs:
            if extra.name not in self.extra:
                raise DataError(
                    f"{sidecar.name!r} also takes {extra.name!r} ({extra.meaning}), which "
                    f"{self.description} does not have; give recorded frames with --data"
                )
            feeds[extra.name] = self.extra[extra.name][rows]
        return feeds


def random_samples(sidecar: Sidecar, count: int, seed: int = 0) -> Samples:
    """Return noise of the model's size, with random speeds and commands where it takes them.

    Every second sample has a random lane intent, the others are told nothing.
    """
    rng = np.random.default_rng(seed)
    image = sidecar.input.image
    extra: dict[str, NDArray[np.float32]] = {}
    for one in sidecar.extra_inputs:
        if len(one.shape) > 2:  # an earlier picture
            extra[one.name] = rng.uniform(0.0, 1.0, (count, *one.shape[1:])).astype(np.float32)
        elif one.name == "command":
            columns = rng.integers(0, len(COMMANDS), count)
            extra[one.name] = np.eye(len(COMMANDS), dtype=np.float32)[columns]
        elif one.name == "intent":
            intent = rng.uniform(-2.0, 2.0, (count, *one.shape[1:])).astype(np.float32)
            intent[:, -1] = 1.0
            intent[::2] = 0.0
            extra[one.name] = intent
        else:
            extra[one.name] = rng.uniform(*_RANDOM_SPEEDS_MPS, (count, 1)).astype(np.float32)
    return Samples(
        description=f"{count} random images (seed {seed}), not real ones",
        images=rng.integers(0, 256, (count, image.height, image.width, image.channels), np.uint8),
        extra=extra,
        is_random=True,
    )
