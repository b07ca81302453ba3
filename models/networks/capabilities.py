"""What a network may offer besides `forward`, which returns logits, features and extra outputs.

Tested by isinstance, so that no network carries methods that it does not need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from edge.sidecar import OutputMeaning


@runtime_checkable
class Reparameterised(Protocol):
    """A network that runs in another form than it trains in, e.g. with fewer branches."""

    def fused(self) -> nn.Module:
        """Return a copy for run time that computes the same."""


@runtime_checkable
class OwnObjective(Protocol):
    """A network that does not learn from the cross-entropy of its logits."""

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return what to minimise, a scalar.

        Args:
            images: (B, C, H, W) float32.
            labels: (B,) int64.
        """


@runtime_checkable
class LossTerms(Protocol):
    """A network that learns from the cross-entropy and from something else besides."""

    def with_loss_terms(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits (B, classes) of images (B, C, H, W), and what is added to their loss.

        The terms are scalars by name, under which the log of a training has them.
        """


@runtime_checkable
class AdaptsStructure(Protocol):
    """A network that changes its own wiring while it trains.

    Everything that decides the next change lies in buffers, so that a checkpoint holds it.
    """

    def after_step(self, step: int, steps: int) -> None:
        """Change what is due after an optimiser step.

        Args:
            step: Steps made so far, from 1.
            steps: Steps of the whole training.
        """


@runtime_checkable
class ExtraOutputs(Protocol):
    """A network whose `forward` returns more than logits and features."""

    @property
    def extra_outputs(self) -> tuple[tuple[str, OutputMeaning], ...]:
        """Name and meaning of each further output, in order."""


@runtime_checkable
class AnyTime(Protocol):
    """A network that answers after each of several stages; an output has all of their logits."""

    def stages(self) -> Sequence[nn.Module]:
        """Return the stages as they are exported, sharing this network's weights.

        The first one's `forward` takes images, that of every other one also what the stage before
        handed on; all return logits (N, classes) and what they hand on (N, ...).
        """
