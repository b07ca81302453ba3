"""One set of weights used both ways: picture to class, and backwards from a code to a picture.

Bidirectional learning and hybrid adversarial networks (Pontes-Filho and Liwicki 2018, arXiv
1805.08006). Backwards the same weights are transposed; biases and normalisations are not shared.

* *Bidirectional learning*: backwards the code is a class, and its pictures are to come out.
* *Hybrid adversarial network* (HAN): backwards the code is noise, and a second network of the
  classifier's shape, the discriminator, is not to tell what comes out from real pictures.

Every batch is first a step backwards, then (HAN) a step of the discriminator, then one of the
classifier. The first two have Adam optimisers of their own, with the paper's rates; their state
belongs to the network's, so that a killed training goes on as it was. Only the classifier is
exported. What differs from the authors' code: a quarter of the channels, and the classifier's
schedule and AdamW are those of all networks here.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from models.networks.layers import ImageShape
from models.networks.perturbed import StridedNetwork

#: Of both: with the usual 0.9 adversarial networks swing (Radford et al. 2016, arXiv 1511.06434).
_BETAS = (0.5, 0.999)
_BACKWARD_RATE = 1e-3
_DISCRIMINATOR_RATE = 2e-4

#: What is learned backwards: pictures of a class, or pictures that look real.
Backward = Literal["reconstruction", "adversarial"]


class HybridAdversarialNetwork(StridedNetwork):
    """A `StridedNetwork` that also makes pictures with its weights transposed."""

    def __init__(self, shape: ImageShape, *, backward: Backward) -> None:
        super().__init__(shape)
        self._shape = shape
        self._map = (self.second.out_channels, shape.height // 4, shape.width // 4)
        self.back_norms = nn.ModuleList(
            nn.BatchNorm1d(layer.in_features) for layer in (self.head, self.dense)
        )
        self.back_biases = nn.ParameterList(
            torch.zeros(layer.in_channels) for layer in (self.second, self.first)
        )
        back = [
            *(layer.weight for layer in (self.head, self.dense, self.second, self.first)),
            *self.back_norms.parameters(),
            *self.back_biases,
        ]
        self._optimizers = [Adam(back, lr=_BACKWARD_RATE, betas=_BETAS)]
        self.discriminator: StridedNetwork | None = None
        if backward == "adversarial":
            self.discriminator = StridedNetwork(shape, outputs=1)
            rival = self.discriminator.parameters()
            self._optimizers.append(Adam(rival, lr=_DISCRIMINATOR_RATE, betas=_BETAS))

    def fused(self) -> StridedNetwork:
        """Return the classifier alone, which is what runs."""
        classifier = StridedNetwork(self._shape)
        classifier.load_state_dict(self.state_dict(), strict=False)
        return classifier.train(self.training)

    def generate(self, codes: Tensor) -> Tensor:
        """Map codes (N, classes) backwards to pictures (N, channels, H, W), 0..1."""
        x = codes
        for layer, norm in zip((self.head, self.dense), self.back_norms, strict=True):
            x = torch.relu(norm(functional.linear(x, layer.weight.t())))
        x = x.reshape(-1, *self._map)
        height, width = self._shape.height, self._shape.width
        x = torch.relu(_transposed(x, self.second, self.back_biases[0], (height // 2, width // 2)))
        return torch.sigmoid(_transposed(x, self.first, self.back_biases[1], (height, width)))

    def codes(self, count: int) -> Tensor:
        """Draw codes (count, classes) of a hybrid adversarial network, evenly in -1..1."""
        return torch.rand(count, self.head.out_features) * 2.0 - 1.0

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Make the steps that precede the classifier's; return its cross-entropy.

        Args:
            images: (B, C, H, W) float32, all in the same linear scale.
            labels: (B,) int64.
        """
        darkest = images.amin(dim=(0, 2, 3), keepdim=True)
        brightest = images.amax(dim=(0, 2, 3), keepdim=True)
        pictures = (images - darkest) / (brightest - darkest).clamp(min=1e-6)
        if self.discriminator is None:
            codes = functional.one_hot(labels, self.head.out_features).to(images.dtype)
            self._step(0, functional.mse_loss(self.generate(codes), pictures))
        else:
            fake = self.discriminator(self.generate(self.codes(len(images))))[0]
            self._step(0, _real(fake, real=True), again=True)
            real = self.discriminator(pictures)[0]
            self._step(1, _real(real, real=True) + _real(fake, real=False))
        return functional.cross_entropy(self(images)[0], labels)

    def _step(self, which: int, loss: Tensor, *, again: bool = False) -> None:
        """Lower a loss by the parameters of one optimiser, whose gradients alone are computed.

        Args:
            which: The optimiser's index.
            loss: A scalar.
            again: Whether another loss is to go through the same graph.
        """
        optimizer = self._optimizers[which]
        moved = optimizer.param_groups[0]["params"]
        # Neither is anything left of the classifier's step before, which moves the same weights,
        # nor for the one that follows.
        optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=moved, retain_graph=again)  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of the optimisers."""
        return {str(index): one.state_dict() for index, one in enumerate(self._optimizers)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on with what `get_extra_state` returned."""
        for index, one in enumerate(self._optimizers):
            one.load_state_dict(state[str(index)])


def _transposed(x: Tensor, layer: nn.Conv2d, bias: Tensor, size: tuple[int, int]) -> Tensor:
    """Run a convolution backwards: maps (N, out, h, w) to maps (N, in, *size)."""
    height, width = size
    left_over = (height - 2 * x.shape[2], width - 2 * x.shape[3])
    return functional.conv_transpose2d(
        x, layer.weight, bias, stride=2, padding=1, output_padding=left_over
    )


def _real(logits: Tensor, *, real: bool) -> Tensor:
    wanted = torch.full_like(logits, float(real))
    return functional.binary_cross_entropy_with_logits(logits, wanted)
