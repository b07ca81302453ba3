"""A linear map that makes features as alike as somebody finds the pictures (arXiv 2306.04507).

Of three pictures, somebody says which two are most alike. The map makes that pair's product the
largest of the three, keeps every picture's neighbours as they were, and stays near a multiple of
the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentSettings:
    """How a map is fitted.

    Attributes:
        local: Weight of the neighbours, 0..1; the judgments have the rest.
        temperature: Of the cosines that tell neighbours apart.
        plainness: Weight of the squared distance from a multiple of the identity.
        scale: The multiple to begin with.
        steps: Number of steps, of so many judgments and as many pictures.
        batch_size: Judgments of a step.
        learning_rate: Of Adam.
        seed: Decides what is drawn.
    """

    local: float = 0.5
    temperature: float = 0.1
    plainness: float = 1e-2
    scale: float = 0.1
    steps: int = 400
    batch_size: int = 256
    learning_rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """A fitted map.

    Attributes:
        mean: (D,) subtracted from features.
        std: Divides them.
        weight: (D, D), from the left.
    """

    mean: NDArray[np.float32]
    std: float
    weight: NDArray[np.float32]

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map features (N, D) to as many of the same size."""
        return np.asarray((features - self.mean) / self.std @ self.weight.T)


def agreement(features: NDArray[np.float32], triplets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return of which triplets (N, 3) of images the first two are most alike, by their cosine."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    first, second, odd = (unit[triplets[:, column]] for column in range(3))
    pairs = [
        (one * other).sum(axis=1) for one, other in ((first, second), (first, odd), (second, odd))
    ]
    return np.asarray((pairs[0] > pairs[1]) & (pairs[0] > pairs[2]))


def fit_alignment(
    features: NDArray[np.float32], triplets: NDArray[np.int64], settings: AlignmentSettings
) -> Alignment:
    """Fit a map to judgments.

    Args:
        features: (N, D) of images.
        triplets: (M, 3) of these; the first two are judged to be most alike.
        settings: How.
    """
    torch.set_num_threads(1)
    mean, std = features.mean(axis=0), float(features.std())
    scaled = torch.from_numpy((features - mean) / std)
    weight = nn.Parameter(settings.scale * torch.eye(features.shape[1]))
    optimizer = torch.optim.Adam([weight], lr=settings.learning_rate)
    rng = np.random.default_rng(settings.seed)
    for _ in range(settings.steps):
        drawn = triplets[rng.integers(0, len(triplets), settings.batch_size)]
        first, second, odd = (scaled[drawn[:, column]] @ weight.T for column in range(3))
        pairs = ((first, second), (first, odd), (second, odd))
        products = torch.stack([(one * other).sum(dim=1) for one, other in pairs], dim=1)
        judged = functional.cross_entropy(products, torch.zeros(len(drawn), dtype=torch.int64))
        some = scaled[rng.integers(0, len(scaled), settings.batch_size)]
        kept = _neighbours_lost(some, some @ weight.T, settings.temperature)
        even = weight.diagonal().mean() * torch.eye(len(weight))
        loss = (1.0 - settings.local) * judged + settings.local * kept
        loss = loss + settings.plainness * (weight - even).square().sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Alignment(mean=mean, std=std, weight=weight.detach().numpy())


def _neighbours_lost(before: Tensor, after: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of who is near whom after the map against before it."""
    itself = torch.eye(len(before), dtype=torch.bool)

    def logits(of: Tensor) -> Tensor:
        unit = functional.normalize(of, dim=1)
        return (unit @ unit.T / temperature).masked_fill(itself, -1e9)

    return functional.cross_entropy(logits(after), logits(before).softmax(dim=1))
