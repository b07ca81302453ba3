"""What the studies that train share: repeatable beginnings and one short training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

_Result = TypeVar("_Result")


def for_seeds(seeds: Sequence[int], measure: Callable[[], _Result]) -> list[_Result]:
    """Measure once for each seed of torch's generator, which is left as it was."""
    results = []
    for seed in seeds:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            results.append(measure())
    return results


def train(
    parameters: Iterable[Tensor],
    loss: Callable[[int], Tensor],
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> None:
    """Minimise a loss by AdamW at a constant rate.

    Args:
        parameters: What is trained.
        loss: Returns the loss, a scalar, of a step 0..steps - 1.
        steps: How many.
        learning_rate: Of every step.
        weight_decay: By step and learning rate.
    """
    optimizer = torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay)
    for step in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss(step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
