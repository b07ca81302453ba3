"""Feedback that is predicted where the backward pass through time is cut (Jaderberg et al. 2017).

The gradient that the future would send to the state at a cut is predicted from the state. The
predictor learns from what arrives at the cut itself, its own prediction at the next one included.
It starts with 0, and is listened to only while its error is below the size of what it predicts. All
of that is written for predictions per sample, so that the size of the batch plays no part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

_KEPT = 0.98

#: Goes over a part of a sequence: from the state (N, S) to the loss, a mean over the batch, and the
#: next state.
Part = Callable[[Tensor], tuple[Tensor, Tensor]]


class Synthesiser:
    """Predicts the gradient (N, S) that the future sends to states (N, S), times N."""

    def __init__(self, size: int, hidden: int, learning_rate: float) -> None:
        last = nn.Linear(hidden, size)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(
            nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last
        )
        self.optimizer = torch.optim.Adam(self.network.parameters(), learning_rate)
        self.error, self.size = 0.0, 0.0

    @torch.no_grad()
    def predict(self, state: Tensor) -> Tensor:
        """Return the prediction, or 0 while it is worse than 0."""
        listened_to = float(self.error < self.size)
        return torch.as_tensor(listened_to * self.network(state))

    def learn(self, states: Tensor, arrived: Tensor) -> None:
        """Learn from the gradients (N, S), times the batch, that arrived at states (N, S)."""
        loss = (self.network(states) - arrived).square().mean()
        self.error = _KEPT * self.error + float(loss.detach())
        self.size = _KEPT * self.size + float(arrived.square().mean())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def backward_in_parts(
    parts: Sequence[Part], state: Tensor, synthesiser: Synthesiser | None
) -> None:
    """Collect the gradients of a batch of sequences, whose feedback is cut between its parts.

    Args:
        parts: What goes over each part.
        state: (N, S) where the first one begins.
        synthesiser: Predicts and learns what was cut off; None: it is lost.
    """
    cuts, arrived = [], []
    for place, part in enumerate(parts):
        begin = state.detach().requires_grad_(place > 0)
        loss, state = part(begin)
        if synthesiser is not None and place + 1 < len(parts):
            loss = loss + (state * synthesiser.predict(state.detach())).sum() / len(state)
        loss.backward()  # type: ignore[no-untyped-call]
        if begin.grad is not None:
            cuts.append(begin.detach())
            arrived.append(begin.grad * len(begin))
    if synthesiser is not None:
        synthesiser.learn(torch.cat(cuts), torch.cat(arrived))
