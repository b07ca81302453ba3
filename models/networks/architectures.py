"""Every architecture that trains, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn

from bicameral.errors import unknown_name
from models.networks.convit import ConVitNetwork
from models.networks.dense import DenseNetwork
from models.networks.dual_branch import DualBranchNetwork
from models.networks.group_to_group import GroupToGroupNetwork
from models.networks.hybrid_adversarial import HybridAdversarialNetwork
from models.networks.inverted_residual import InvertedResidualNetwork
from models.networks.layers import ImageShape
from models.networks.masked import MaskedNetwork
from models.networks.mixed_transformer import MixedTransformer
from models.networks.mixer import MixerNetwork
from models.networks.monotone_boltzmann import MonotoneBoltzmann
from models.networks.noprop import NoPropNetwork
from models.networks.perceptron import PerceptronNetwork
from models.networks.perturbed import (
    PerturbedNetwork,
    StridedNetwork,
    by_attack,
    by_noise,
)
from models.networks.rep_vgg import RepVggNetwork
from models.networks.residual import ResidualNetwork
from models.networks.shuffle import ShuffleNetwork
from models.networks.spiking import SpikingNetwork
from models.networks.squeeze import SqueezeNetwork
from models.networks.vgg import VggNetwork


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


#: The small networks that a cascade may be made of.
POOL: dict[str, Architecture] = {
    "dual_branch": Architecture(build=DualBranchNetwork, learning_rate=0.05),
    "mixer48": Architecture(build=partial(MixerNetwork, width=48, depth=4), learning_rate=0.05),
    "residual8": Architecture(build=partial(ResidualNetwork, width=8)),
    "residual16": Architecture(build=partial(ResidualNetwork, width=16)),
    "residual24": Architecture(build=partial(ResidualNetwork, width=24)),
    "vgg12": Architecture(build=partial(VggNetwork, width=12)),
    "vgg24": Architecture(build=partial(VggNetwork, width=24)),
    "inverted_residual16": Architecture(build=partial(InvertedResidualNetwork, width=16)),
    "shuffle16": Architecture(build=partial(ShuffleNetwork, width=16)),
    "squeeze16": Architecture(build=partial(SqueezeNetwork, width=16)),
    "dense12": Architecture(build=partial(DenseNetwork, growth=12, depth=4)),
    "rep_vgg16": Architecture(build=partial(RepVggNetwork, width=16)),
}

#: The large single networks that a cascade is compared with.
REFERENCES: dict[str, Architecture] = {
    f"wide_residual{width}": Architecture(
        build=partial(ResidualNetwork, width=width, blocks=(1, 2, 2))
    )
    for width in (32, 40, 48)
}


def _transformer(kind: str) -> Architecture:
    """Return a vision transformer of one kind of block, trained as ConViT is."""
    return Architecture(
        build=partial(MixedTransformer, kind=kind),
        learning_rate=3e-3,
        optimizer="adamw",
        weight_decay=0.05,
        epochs=12,
    )


def _strided(build: Callable[[ImageShape], nn.Module], epochs: int) -> Architecture:
    """Return one of the small networks that are attacked; none trains longer than `han`."""
    return Architecture(
        build=build, learning_rate=1e-3, optimizer="adamw", weight_decay=0.0, epochs=epochs
    )


#: Networks from the literature that a cascade may also be made of; see `docs/zoo`.
ZOO: dict[str, Architecture] = {
    "dense_mlp": Architecture(build=PerceptronNetwork, epochs=8),
    "group_to_group": Architecture(
        build=partial(GroupToGroupNetwork, density=0.25, regrowth="hebbian"), epochs=8
    ),
    "convit": Architecture(
        build=partial(ConVitNetwork, width=48, heads=4, depth=(4, 2)),
        learning_rate=3e-3,
        optimizer="adamw",
        weight_decay=0.05,
        epochs=16,
    ),
    "dense_vit": _transformer("attention"),
    "moh_vit": _transformer("mixture_of_heads"),
    "uoe_vit": _transformer("union_of_experts"),
    "spiking": Architecture(build=partial(SpikingNetwork, width=16, hidden=256), epochs=7),
    "monotone_boltzmann": Architecture(
        build=partial(MonotoneBoltzmann, width=16),
        learning_rate=0.02,
        optimizer="adamw",
        weight_decay=0.0,
        epochs=2,
    ),
    "noprop": Architecture(
        build=partial(NoPropNetwork, width=12),
        learning_rate=0.01,
        optimizer="adamw",
        weight_decay=1e-3,
        epochs=6,
    ),
    "pgd_trained": _strided(partial(PerturbedNetwork, perturb=by_attack), 3),
    "han": _strided(partial(HybridAdversarialNetwork, backward="adversarial"), 3),
    "bidirectional": _strided(partial(HybridAdversarialNetwork, backward="reconstruction"), 4),
}

#: What entries of the zoo are held against to see which part of them does the work.
ABLATIONS: dict[str, Architecture] = {
    "grassmann_vit": _transformer("grassmann"),
    "dual_stream_vit": _transformer("dual_stream"),
    "squeeze16_masked": Architecture(build=partial(MaskedNetwork, width=16)),
    "group_to_group_fixed": Architecture(
        build=partial(GroupToGroupNetwork, density=0.25, regrowth="none"), epochs=8
    ),
    "group_to_group_random": Architecture(
        build=partial(GroupToGroupNetwork, density=0.25, regrowth="random"), epochs=8
    ),
    "strided": _strided(StridedNetwork, 3),
    "noise_trained": _strided(partial(PerturbedNetwork, perturb=by_noise), 3),
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
