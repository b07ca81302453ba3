"""Episodes of features: pictures of five classes in random order, named a step late.

The features are those of `squeeze16`, which knows all ten classes of FashionMNIST. Five of them are
drawn to learn with, and the other five judge what was learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edge.shipped import resolve_model
from models.heads.frozen_features import FrozenAnswers, frozen_answers, load_feature_network
from studies.images import fashion_mnist

_NETWORK = "fashion_mnist_squeeze16_distilled"
#: Classes of an episode, and pictures.
WAYS, STEPS = 5, 20
_DIRECTIONS = 16


@dataclass(frozen=True, slots=True)
class Pictures:
    """Features (N, D), and the places of each of five classes in them."""

    features: Tensor
    places: list[Tensor]


def see_pictures(images: int) -> tuple[FrozenAnswers, FrozenAnswers]:
    """Return what the network makes of training pictures, and of test pictures."""
    dataset, network = fashion_mnist(images), load_feature_network(resolve_model(_NETWORK))
    parts = (dataset.train, dataset.test)
    train, test = (frozen_answers(network, part.images, part.labels) for part in parts)
    network.close()
    return train, test


def draw_classes(train: FrozenAnswers, test: FrozenAnswers) -> tuple[Pictures, Pictures, Pictures]:
    """Draw five classes to learn with.

    Returns:
        Training pictures of these, by the directions in which they differ most; test pictures of
        the other classes, by the same; and the features of unit length of the latter.
    """
    learned, judged = torch.split(torch.randperm(2 * WAYS), WAYS)
    found = []
    for answers, chosen in ((train, learned), (test, judged)):
        kept = [torch.from_numpy(np.flatnonzero(answers.labels == int(one))) for one in chosen]
        found.append(Pictures(torch.from_numpy(answers.features), kept))
    known = found[0].features[torch.cat(found[0].places)]
    middle = known.mean(dim=0)
    directions = torch.linalg.svd(known - middle, full_matrices=False)[2][:_DIRECTIONS].T
    size = ((known - middle) @ directions).square().mean().sqrt()
    seen = [Pictures((one.features - middle) @ directions / size, one.places) for one in found]
    return seen[0], seen[1], found[1]


@dataclass(frozen=True, slots=True)
class Episodes:
    """A batch of them.

    Attributes:
        features: (T, N, D).
        names: (T, N), each class's 0..4 in its episode.
        seen: (T, N), pictures of that class before.
        inputs: (T, N, 2 D + 5), the picture, the one before and the name of that.
    """

    features: Tensor
    names: Tensor
    seen: Tensor
    inputs: Tensor


def draw_episodes(pictures: Pictures, count: int, *, turned: bool = False) -> Episodes:
    """Draw pictures in random order, with random names for the classes.

    Turned by a rotation of its own in each episode they are never of the same classes twice, so
    that nothing can be learned by heart.
    """
    chosen = torch.stack([torch.randperm(WAYS) for _ in range(count)])
    names = torch.randint(WAYS, (STEPS, count))
    classes = chosen[torch.arange(count), names]
    which = torch.rand(STEPS, count)
    drawn = torch.empty(STEPS, count, dtype=torch.long)
    for label, places in enumerate(pictures.places):
        mask = classes == label
        drawn[mask] = places[(which[mask] * len(places)).long()]
    features = pictures.features[drawn]
    if turned:
        size = features.shape[2]
        rotations = torch.linalg.qr(torch.randn(count, size, size))[0]
        features = torch.einsum("tnd,nde->tne", features, rotations)
    hot = nn.functional.one_hot(names, WAYS)
    seen = (hot.cumsum(dim=0) - hot).gather(2, names[..., None])[..., 0]
    before = torch.cat([features, hot.float()], dim=2)[:-1]
    inputs = torch.cat([features, nn.functional.pad(before, (0, 0, 0, 0, 1, 0))], dim=2)
    return Episodes(features, names, seen, inputs)
