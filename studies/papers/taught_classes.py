"""How well a memory of examples learns new classes from the hidden units of a small network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge.learning.read_out import BETA, Slots, read_out_scores, unit_rows
from models.data.dataset import ImageDataset, LabelledImages
from studies.papers.seeded import train

_UNITS = 100
_LEARNED = 5
_EXAMPLES = 4
_BATCH = 100
_RATE = 1e-3


def taught_accuracy(
    dataset: ImageDataset, activation: Callable[[Tensor], Tensor], steps: int
) -> float:
    """Train on five classes; return the accuracy of a read-out among the other five.

    It gets four examples of each, and features that are hidden units of the activation.
    """
    order = torch.randperm(len(dataset.labels))
    inner = nn.Linear(dataset.train.images[0].size, _UNITS)
    outer = nn.Linear(_UNITS, _LEARNED)
    pixels, labels = _of_classes(dataset.train, order[:_LEARNED])

    def loss(_: int) -> Tensor:
        drawn = torch.randint(len(pixels), (_BATCH,))
        answers = outer(activation(inner(pixels[drawn])))
        return functional.cross_entropy(answers, labels[drawn])

    train((*inner.parameters(), *outer.parameters()), loss, steps, _RATE)
    taught, known = _of_classes(dataset.train, order[_LEARNED:])
    asked, wanted = _of_classes(dataset.test, order[_LEARNED:])
    shown = torch.cat([torch.where(known == one)[0][:_EXAMPLES] for one in range(_LEARNED)])
    with torch.no_grad():
        examples, features = (
            unit_rows(activation(inner(one)).numpy()) for one in (taught[shown], asked)
        )
    slots = Slots.of(examples, known[shown].numpy(), _LEARNED)
    answers = read_out_scores(features, slots, beta=BETA, scale=1.0).argmax(axis=1)
    return float(np.mean(answers == wanted.numpy()))


def _of_classes(part: LabelledImages, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels (N, P) around 0 of some classes, and each one's place among these."""
    match = torch.from_numpy(part.labels)[:, None] == classes
    kept = match.any(dim=1)
    pixels = torch.from_numpy(part.images[kept.numpy()]).float().flatten(1) / 255.0 - 0.5
    return pixels, match[kept].int().argmax(dim=1)
