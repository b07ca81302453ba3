"""Training in less memory: what the backward pass needs is kept in 8 bits (Mesa, 2111.11124).

The forward pass is exact. What operations save of it for the backward pass is stored in 256 steps
between the least and the largest number of each sample, rounded up or down by chance, so that no
gradient is shifted; what a ReLU stopped stays zero, and what it let through does not become zero.
Weights, integers and small tensors are left as they are.
Unlike the authors' code this takes any network and needs no GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from bicameral.allocation import keep_large_blocks_apart

#: Smaller tensors are not worth it.
_LEAST_NUMBERS = 4096
_STEPS = 255.0
#: With 4 MiB a training of `dense_vit` with 512 images held a tenth more, in as much time.
_LARGE_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A saved tensor: `low + step * codes`, of every sample its own."""

    codes: Tensor
    low: Tensor
    step: Tensor

    def unpack(self) -> Tensor:
        """Return the tensor, as far as 256 steps say."""
        return (self.step * self.codes).add_(self.low)


def compress_activations(network: nn.Module) -> saved_tensors_hooks:
    """Return a context for a forward pass, whose saved tensors are then kept in 8 bits.

    Args:
        network: Its weights, and views of them, are left alone. They live as long as the network,
            so a place in memory is a name for them, which it is for nothing else.

    From then on the C library gives freed memory of this process back: what is kept lies between
    what is freed, so that otherwise the process would grow by more than is saved.
    """
    keep_large_blocks_apart(_LARGE_BLOCK_BYTES)
    weights = {one.untyped_storage().data_ptr() for one in network.parameters()}

    def pack(tensor: Tensor) -> Tensor | Packed:
        kept = (
            tensor.dtype != torch.float32
            or tensor.numel() < _LEAST_NUMBERS
            or tensor.untyped_storage().data_ptr() in weights
        )
        return tensor if kept else _packed(tensor.detach())

    def unpack(saved: Tensor | Packed) -> Tensor:
        return saved.unpack() if isinstance(saved, Packed) else saved

    return saved_tensors_hooks(pack, unpack)


def _packed(tensor: Tensor) -> Packed:
    axes = tuple(range(1, tensor.ndim)) or (0,)
    low = tensor.amin(dim=axes, keepdim=True)
    step = ((tensor.amax(dim=axes, keepdim=True) - low) / _STEPS).clamp_min(1e-12)
    # In place: what saves memory should not need four times as much for a moment.
    numbers = (tensor - low).div_(step).add_(torch.rand_like(tensor)).floor_().clamp_max_(_STEPS)
    # What a ReLU let through, however little, must not become what it stopped.
    codes = torch.maximum(numbers.to(torch.uint8), (tensor > low).to(torch.uint8))
    return Packed(codes=codes, low=low, step=step)
