"""Every architecture that trains, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from bicameral.errors import unknown_name
from models.networks.convit import ConVitNetwork
from models.networks.dense import DenseNetwork
from models.networks.dual_branch import DualBranchNetwork
from models.networks.group_to_group import GroupToGroupNetwork, Regrowth
from models.networks.inverted_residual import InvertedResidualNetwork
from models.networks.mixer import MixerNetwork
from models.networks.noprop import NoPropNetwork
from models.networks.perceptron import PerceptronNetwork
from models.networks.rep_vgg import RepVggNetwork
from models.networks.residual import ResidualNetwork
from models.networks.shuffle import ShuffleNetwork
from models.networks.spiking import SpikingNetwork
from models.networks.squeeze import SqueezeNetwork
from models.networks.vgg import VggNetwork
from models.networks.wide_residual import WideResidualNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageShape:
    """What a network is built for: channels, rows and columns of its pictures, and classes."""

    channels: int
    height: int
    width: int
    classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A network that can be built for any images.

    Attributes:
        build: Makes an untrained network; its `forward` returns logits and features.
        learning_rate: Peak of the schedule. Networks without batch normalisation need a small one.
        optimizer: ``sgd`` with Nesterov momentum, or ``adamw`` (Loshchilov and Hutter 2019, arXiv
            1711.05101).
        weight_decay: L2 penalty (sgd) or decoupled decay (adamw) of all parameters; None: that of
            the recipe, which is meant for sgd.
        epochs: Passes that a training of this network alone makes if nobody says otherwise; the
            networks of a pool all make the same number.
    """

    build: Callable[[ImageShape], nn.Module]
    learning_rate: float = 0.1
    optimizer: Literal["sgd", "adamw"] = "sgd"
    weight_decay: float | None = None
    epochs: int = 12


def _mixer(shape: ImageShape) -> nn.Module:
    return MixerNetwork(
        shape.channels,
        shape.classes,
        height=shape.height,
        columns=shape.width,
        width=48,
        depth=4,
    )


def _group_to_group(shape: ImageShape, regrowth: Regrowth) -> nn.Module:
    return GroupToGroupNetwork(
        shape.channels,
        shape.classes,
        height=shape.height,
        columns=shape.width,
        density=0.25,
        regrowth=regrowth,
    )


#: The small networks that a cascade may be made of.
POOL: dict[str, Architecture] = {
    "dual_branch": Architecture(
        build=lambda s: DualBranchNetwork(s.channels, s.classes), learning_rate=0.05
    ),
    "mixer48": Architecture(build=_mixer, learning_rate=0.05),
    "residual8": Architecture(build=lambda s: ResidualNetwork(s.channels, s.classes, width=8)),
    "residual16": Architecture(build=lambda s: ResidualNetwork(s.channels, s.classes, width=16)),
    "residual24": Architecture(build=lambda s: ResidualNetwork(s.channels, s.classes, width=24)),
    "vgg12": Architecture(build=lambda s: VggNetwork(s.channels, s.classes, width=12)),
    "vgg24": Architecture(build=lambda s: VggNetwork(s.channels, s.classes, width=24)),
    "inverted_residual16": Architecture(
        build=lambda s: InvertedResidualNetwork(s.channels, s.classes, width=16),
    ),
    "shuffle16": Architecture(build=lambda s: ShuffleNetwork(s.channels, s.classes, width=16)),
    "squeeze16": Architecture(build=lambda s: SqueezeNetwork(s.channels, s.classes, width=16)),
    "dense12": Architecture(
        build=lambda s: DenseNetwork(s.channels, s.classes, growth=12, depth=4)
    ),
    "rep_vgg16": Architecture(build=lambda s: RepVggNetwork(s.channels, s.classes, width=16)),
}

#: The large single networks that a cascade is compared with.
REFERENCES: dict[str, Architecture] = {
    "wide_residual32": Architecture(
        build=lambda s: WideResidualNetwork(s.channels, s.classes, width=32)
    ),
    "wide_residual40": Architecture(
        build=lambda s: WideResidualNetwork(s.channels, s.classes, width=40)
    ),
    "wide_residual48": Architecture(
        build=lambda s: WideResidualNetwork(s.channels, s.classes, width=48)
    ),
}

#: Networks from the literature that a cascade may also be made of; see `docs/zoo`.
ZOO: dict[str, Architecture] = {
    "dense_mlp": Architecture(
        build=lambda s: PerceptronNetwork(s.channels * s.height * s.width, s.classes), epochs=8
    ),
    "group_to_group": Architecture(build=lambda s: _group_to_group(s, "hebbian"), epochs=8),
    "convit": Architecture(
        build=lambda s: ConVitNetwork(
            s.channels, s.classes, size=(s.height, s.width), width=48, heads=4, depth=(4, 2)
        ),
        learning_rate=3e-3,
        optimizer="adamw",
        weight_decay=0.05,
        epochs=16,
    ),
    "spiking": Architecture(
        build=lambda s: SpikingNetwork(
            s.channels, s.classes, size=(s.height, s.width), width=16, hidden=256
        ),
        epochs=7,
    ),
    "noprop": Architecture(
        build=lambda s: NoPropNetwork(s.channels, s.classes, size=(s.height, s.width), width=12),
        learning_rate=0.01,
        optimizer="adamw",
        weight_decay=1e-3,
        epochs=6,
    ),
}

#: What entries of the zoo are held against to see which part of them does the work.
ABLATIONS: dict[str, Architecture] = {
    "group_to_group_fixed": Architecture(build=lambda s: _group_to_group(s, "none"), epochs=8),
    "group_to_group_random": Architecture(build=lambda s: _group_to_group(s, "random"), epochs=8),
}

ARCHITECTURES = POOL | REFERENCES | ZOO | ABLATIONS


def build_network(name: str, shape: ImageShape) -> nn.Module:
    """Build an untrained network.

    Raises:
        UserError: If there is no architecture of that name.
    """
    if name not in ARCHITECTURES:
        raise unknown_name("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name].build(shape)
