"""A multi-layer perceptron: pixels, two hidden layers of 1,024 units, classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.layers import ImageShape, affine_of_norm

WIDTH = 1024


class PerceptronNetwork(nn.Module):
    """Two full layers, each with batch normalisation and ReLU: the twin of the sparse network."""

    def __init__(self, shape: ImageShape) -> None:
        super().__init__()
        pixels = shape.channels * shape.height * shape.width
        self.layers = nn.ModuleList(nn.Linear(size, WIDTH, bias=False) for size in (pixels, WIDTH))
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in self.layers)
        self.head = nn.Linear(WIDTH, shape.classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, 1024)."""
        features = x.flatten(1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            features = torch.relu(norm(layer(features)))
        return self.head(features), features

    def fused(self) -> nn.Module:
        """Return a copy for run time whose batch normalisation is part of its layers."""
        return _FusedPerceptron(self).eval()


class _FusedPerceptron(nn.Module):
    def __init__(self, network: PerceptronNetwork) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for layer, norm in zip(network.layers, network.norms, strict=True):
            assert isinstance(layer, nn.Linear)  # noqa: S101 - built above
            assert isinstance(norm, nn.BatchNorm1d)  # noqa: S101
            gain, offset = affine_of_norm(norm)
            folded = nn.Linear(layer.in_features, layer.out_features)
            folded.weight = nn.Parameter((layer.weight * gain[:, None]).detach())
            folded.bias = nn.Parameter(offset.detach())
            layers += [folded, nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.head = network.head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.layers(x)
        return self.head(features), features
