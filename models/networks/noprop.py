"""Blocks that learn alone to denoise a label (NoProp-DT, Li, Teh, Pascanu 2025, arXiv 2503.24322).

A label is a vector u of its class's embedding. Block t is given the picture and a noisy label
z_{t-1} = sqrt(abar_{t-1}) u + sqrt(1 - abar_{t-1}) noise, and estimates the clean one. At training
the noise is drawn anew for every block, so no block waits for another and no gradient goes from one
to the next. At inference the blocks stand in a chain: each estimate moves z a step towards a clean
label, so there is an answer after every block.

Time runs as in the paper's equations: t = 0 is pure noise, t = T clean (several re-implementations
count backwards). What differs from the paper:

* Inference draws nothing. It begins with z_0 = 0, the mean of the noise that the first block was
  trained with, and leaves out the noise of the later steps (c_t = 0): an image has one answer.
* The answer after block t is the mean of the probabilities of blocks 1..t. The paper reads the
  class from z_T with p_out, which here serves the training alone, as the anchor that keeps the
  embeddings apart. The last blocks were trained on labels with hardly any noise and believe
  whatever z says: their own answers are right as often, but much too sure.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.layers import ImageShape, conv_norm_relu

#: Blocks, size of a label's embedding and weight of the blocks' losses: the paper's.
BLOCKS = 10
EMBEDDING = 20
_ETA = 0.1

#: Offset of the cosine schedule (Nichol and Dhariwal 2021, arXiv 2102.09672): abar_T stays below 1.
_OFFSET = 0.008
#: abar_0 is 0 in the schedule; this much of the label keeps the first step's coefficients finite.
_LEAST_SIGNAL = 1e-4

#: Added to a mean probability before its logarithm: far below what a block can tell, and a number
#: that half precision holds.
_FLOOR = 1e-4


def cosine_schedule(blocks: int) -> tuple[float, ...]:
    """Return abar_0 .. abar_T, the share of the label in the noisy label's variance, ascending."""
    angles = (((blocks - t) / blocks + _OFFSET) / (1.0 + _OFFSET) for t in range(blocks + 1))
    return tuple(max(math.cos(angle * math.pi / 2.0) ** 2, _LEAST_SIGNAL) for angle in angles)


class DenoisingBlock(nn.Module):
    """A picture (N, channels, H, W) and a noisy label (N, EMBEDDING) to logits and features."""

    def __init__(self, shape: ImageShape, *, width: int, hidden: int) -> None:
        super().__init__()
        left = ((shape.height + 1) // 8, (shape.width + 1) // 8)
        self.trunk = nn.Sequential(
            conv_norm_relu(shape.channels, width, 5, stride=2),
            conv_norm_relu(width, 2 * width),
            nn.MaxPool2d(2),
            conv_norm_relu(2 * width, 3 * width),
            nn.MaxPool2d(2),
            # As wide as what is left of the picture: a dense layer with batch normalisation.
            nn.Conv2d(3 * width, hidden, left, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        )
        self.label = nn.Linear(EMBEDDING, hidden)
        self.label_skip = nn.Linear(hidden, hidden)
        self.join = nn.Linear(2 * hidden, hidden)
        self.head = nn.Linear(hidden, shape.classes)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, classes) and features (N, hidden); a z (1, EMBEDDING) does for all."""
        label = torch.relu(self.label(z))
        label = label + torch.relu(self.label_skip(label))
        # The dense layer over both, side by side, written so that a single label need not be
        # repeated: that keeps the batch size out of the exported graph.
        of_picture, of_label = self.join.weight.chunk(2, dim=1)
        joined = functional.linear(self.trunk(x), of_picture, self.join.bias)
        features = torch.relu(joined + functional.linear(label, of_label))
        return self.head(features), features


class NoPropNetwork(nn.Module):
    """T blocks that share nothing but the classes' embeddings."""

    #: What `forward` returns behind logits and features: name and meaning.
    extra_outputs = (("stage_logits", "stage_logits"),)

    def __init__(self, shape: ImageShape, *, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.abar = cosine_schedule(BLOCKS)
        self.blocks = nn.ModuleList(
            DenoisingBlock(shape, width=width, hidden=hidden) for _ in range(BLOCKS)
        )
        self.embedding = nn.Parameter(nn.init.orthogonal_(torch.empty(shape.classes, EMBEDDING)))
        self.read_out = nn.Linear(EMBEDDING, shape.classes)

    def stages(self) -> tuple[NoPropStage, ...]:
        """Return one module per block, which hands z on; see `capabilities.AnyTime`."""
        numbers = range(1, len(self.blocks) + 1)
        return tuple(NoPropStage(self, t).train(self.training) for t in numbers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits, features and stage logits.

        Returns:
            Logits (N, classes), features (N, hidden) of the first block, which sees the picture
            and no guess of the label, and the logits after each block (N, T, classes), of which the
            last are the first result.
        """
        z, total = x.new_zeros(1, EMBEDDING), x.new_zeros(1, self.embedding.shape[0])
        stages, features = [], []
        for t, block in enumerate(self.blocks, start=1):
            logits, hidden = block(x, z)
            features.append(hidden)
            estimate = torch.softmax(logits, dim=1)
            total = total + estimate
            stages.append(self.answer(t, total))
            if t < len(self.blocks):
                z = self.step(t, estimate, z)
        return stages[-1], features[0], torch.stack(stages, dim=1)

    def answer(self, t: int, total: Tensor) -> Tensor:
        """Return logits (N, classes) from the sum of the first t blocks' probabilities."""
        return torch.log(total / t + _FLOOR)

    def step(self, t: int, estimate: Tensor, z: Tensor) -> Tensor:
        """Return z_t = a_t uhat_t + b_t z_{t-1}, the mean of the paper's denoising step.

        Args:
            t: 1..T.
            estimate: (N, classes), block t's probabilities; uhat is the mean embedding under them.
            z: (N, EMBEDDING) or (1, EMBEDDING), z_{t-1}.
        """
        before, after = self.abar[t - 1], self.abar[t]
        alpha = before / after
        towards = math.sqrt(after) * (1.0 - alpha) / (1.0 - before)
        keep = math.sqrt(alpha) * (1.0 - after) / (1.0 - before)
        return towards * (estimate @ self.embedding) + keep * z

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the paper's objective, CE(p_out(y | z_T)) + KL(q(z_0 | y) || p(z_0)) + all blocks.

        Args:
            images: (N, channels, H, W).
            labels: (N,) int64.
        """
        target = self.embedding[labels]
        read = functional.cross_entropy(
            self.read_out(self._noisy(len(self.blocks), target)), labels
        )
        noise = 1.0 - self.abar[0]
        # Between two Gaussians; only the part with the embedding moves anything.
        divergence = 0.5 * (
            self.abar[0] * target.square().sum(dim=1).mean()
            + EMBEDDING * (noise - 1.0 - math.log(noise))
        )
        local = [self.block_loss(t, images, target) for t in range(1, len(self.blocks) + 1)]
        return read + divergence + torch.stack(local).sum()

    def block_loss(self, t: int, images: Tensor, target: Tensor) -> Tensor:
        """Return (T / 2) eta (SNR(t) - SNR(t-1)) |uhat_t - u|^2, all that block t learns from.

        Args:
            t: 1..T.
            images: (N, channels, H, W).
            target: (N, EMBEDDING), the embeddings u of the true classes.
        """
        logits, _ = self.blocks[t - 1](images, self._noisy(t - 1, target))
        estimate = torch.softmax(logits, dim=1) @ self.embedding
        gain = self._signal_to_noise(t) - self._signal_to_noise(t - 1)
        weight = 0.5 * len(self.blocks) * _ETA * gain
        return weight * (estimate - target).square().sum(dim=1).mean()

    def _noisy(self, t: int, target: Tensor) -> Tensor:
        """Draw z_t ~ N(sqrt(abar_t) u, 1 - abar_t)."""
        signal = self.abar[t]
        return math.sqrt(signal) * target + math.sqrt(1.0 - signal) * torch.randn_like(target)

    def _signal_to_noise(self, t: int) -> float:
        return self.abar[t] / (1.0 - self.abar[t])


class NoPropStage(nn.Module):
    """Block t at inference, with what it needs of the blocks before."""

    def __init__(self, network: NoPropNetwork, t: int) -> None:
        super().__init__()
        self.network, self.t = network, t

    def forward(self, x: Tensor, carried: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map images and what block t - 1 handed on to logits (N, classes) and what t hands on.

        It is z_t and the sum of the probabilities so far, (N, EMBEDDING + classes).
        """
        if carried is None:
            carried = x.new_zeros(1, EMBEDDING + self.network.embedding.shape[0])
        z, total = carried[:, :EMBEDDING], carried[:, EMBEDDING:]
        logits, _ = self.network.blocks[self.t - 1](x, z)
        estimate = torch.softmax(logits, dim=1)
        total = total + estimate
        z = self.network.step(self.t, estimate, z)
        return self.network.answer(self.t, total), torch.cat([z, total], dim=1)
