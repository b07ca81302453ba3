"""Learned shifts of a dual memory: per class and zero at first, trained on frozen features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge.learning.read_out import BETA, Projection, Slots
from models.heads.frozen_features import FrozenAnswers


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionTraining:
    """How shifts are learned; optimiser and order of size of the rate are the paper's.

    Attributes:
        scale: Factor of the scores.
        epochs: Passes over the images.
        batch_size: Images per step.
        learning_rate: At the beginning; half a cosine takes it down to zero.
        weight_decay: Of AdamW.
        seed: Decides the order.
    """

    scale: float
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 0


def learn_projection(
    settings: ProjectionTraining,
    slots: Slots,
    images: FrozenAnswers,
    progress: Callable[[int, int], None] | None = None,
) -> Projection:
    """Train the shifts so that the static memory alone tells images apart.

    Args:
        settings: How.
        slots: The examples, without shifts.
        images: What to learn from; the examples should not be among them, for an image that finds
            itself in the memory is too easy.
        progress: Called with epochs done and epochs in all.
    """
    torch.set_num_threads(1)
    network = _Shifts(slots, settings.scale)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    per_epoch = max(1, len(images) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * per_epoch)
    features, labels = torch.from_numpy(images.features), torch.from_numpy(images.labels)
    rng = np.random.default_rng(settings.seed)
    for epoch in range(settings.epochs):
        order = torch.from_numpy(rng.permutation(len(images)))
        for batch in order.tensor_split(per_epoch):
            loss = functional.cross_entropy(network(features[batch]), labels[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        if progress is not None:
            progress(epoch + 1, settings.epochs)
    return network.learned()


class _Shifts(nn.Module):
    """The read-out of `edge.learning.read_out` with shifts that can be trained."""

    def __init__(self, slots: Slots, scale: float) -> None:
        super().__init__()
        classes, _, width = slots.keys.shape
        self.slots = torch.from_numpy(slots.keys)
        self.filled = torch.from_numpy(slots.filled)
        self.scale = scale
        self.query = nn.Parameter(torch.zeros(width))
        self.key = nn.Parameter(torch.zeros(classes, width))
        self.value = nn.Parameter(torch.zeros(classes, width))
        self.output = nn.Parameter(torch.zeros(classes, width))

    def forward(self, features: Tensor) -> Tensor:
        """Map unit features (N, D) to scores (N, C)."""
        queries = functional.normalize(features + self.query, dim=-1)
        keys = functional.normalize(self.slots + self.key[:, None], dim=-1)
        values = functional.normalize(self.slots + self.value[:, None], dim=-1)
        similarity = torch.einsum("nd,ckd->cnk", queries, keys)
        weights = torch.exp(BETA * (similarity - 1.0)) * self.filled[:, None]
        prototypes = functional.normalize(weights @ values, dim=-1)
        prototypes = functional.normalize(prototypes + self.output[:, None], dim=-1)
        return self.scale * torch.einsum("cnd,nd->nc", prototypes, features)

    def learned(self) -> Projection:
        """Return the shifts."""
        return Projection(
            query=self.query.detach().numpy().copy(),
            key=self.key.detach().numpy().copy(),
            value=self.value.detach().numpy().copy(),
            output=self.output.detach().numpy().copy(),
        )
