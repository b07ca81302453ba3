"""Whether hidden layers look like their inputs or like their targets (2401.13558).

Four clusters of inputs stand for two bits a and b of +-1 each; the target is a b, exclusive or.
The inputs have the coordinates a, b and s a b in random directions, with noise. s says how much of
the target the inputs show already: 0 is exclusive or, 1 puts the clusters equally far from each
other, 2 makes them nearly separable by the target. One hidden layer of tanh or ReLU is trained on
the squared error from beginnings of several sizes. Its kernel is compared with that of the targets
and of the inputs by centred kernel alignment (CKA), 0..1. What keeps the geometry of the inputs
should also serve a memory better that is taught new classes, so that is measured on pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bicameral.charts import HeatMap, draw_heat_map
from bicameral.statistics import mean
from studies.claims import Claim, Paper
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of
from studies.papers.seeded import for_seeds, train
from studies.papers.taught_classes import taught_accuracy

_UNITS = 100
_INPUTS = 20
_PER_CLUSTER = 16
_NOISE = 0.1
_SHOWN = (0.0, 0.5, 1.0, 2.0)
_SCALES = (0.1, 0.3, 1.0)
_RATE = 5e-3
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "ReLU": torch.relu}

Array = NDArray[np.float64]


def draw_inputs(shown: float) -> tuple[Tensor, Tensor]:
    """Draw inputs (N, d) and targets (N,) of +-1 for how much the inputs show of the target."""
    bits = torch.tensor([(a, b) for a in (-1.0, 1.0) for b in (-1.0, 1.0)])
    targets = bits.prod(dim=1)
    corners = torch.cat([bits, shown * targets[:, None]], dim=1)
    directions = torch.linalg.qr(torch.randn(_INPUTS, 3))[0]
    inputs = (corners @ directions.T).repeat_interleave(_PER_CLUSTER, dim=0)
    inputs = inputs + _NOISE * torch.randn_like(inputs)
    return inputs, targets.repeat_interleave(_PER_CLUSTER)


def alignment(one: Tensor, other: Tensor) -> Tensor:
    """Return the linear CKA of features (..., N, D) and (N, E)."""
    kernels = []
    for features in (one, other):
        centred = features - features.mean(dim=-2, keepdim=True)
        kernels.append(centred @ centred.transpose(-1, -2))
    product = (kernels[0] * kernels[1]).sum(dim=(-1, -2))
    sizes = [kernel.square().sum(dim=(-1, -2)).sqrt() for kernel in kernels]
    return torch.as_tensor(product / (sizes[0] * sizes[1]))


def train_layers(shown: float, activation: Callable[[Tensor], Tensor], steps: int) -> Array:
    """Train a network from a beginning of each scale.

    Returns:
        (3, scales): alignment with the targets, with the inputs, and the loss.
    """
    inputs, targets = draw_inputs(shown)
    scale = torch.tensor(_SCALES)[:, None, None]
    inner = (scale * torch.randn(len(_SCALES), _INPUTS, _UNITS)).requires_grad_()
    bias = torch.zeros(len(_SCALES), 1, _UNITS, requires_grad=True)
    outer = (scale * torch.randn(len(_SCALES), _UNITS, 1) / _UNITS**0.5).requires_grad_()

    def losses() -> Tensor:
        answers = activation(inputs @ inner + bias) @ outer
        return torch.as_tensor((answers[..., 0] - targets).square().mean(dim=1))

    train((inner, bias, outer), lambda _: losses().sum(), steps, _RATE)
    with torch.no_grad():
        hidden = activation(inputs @ inner + bias)
        with_targets = alignment(hidden, targets[:, None])
        found = torch.stack([with_targets, alignment(hidden, inputs), losses()])
    return np.asarray(found, np.float64)


def measure(quick: bool) -> Findings:
    """Train at every scale and alignment, with both activations."""
    seeds, steps = (2, 20) if quick else (5, 400)
    found = {
        name: np.array(
            [for_seeds(range(seeds), partial(train_layers, shown, act, steps)) for shown in _SHOWN]
        )  # (shown, seeds, 3, scales)
        for name, act in _ACTIVATIONS.items()
    }
    measured: Measured = {}
    for name, of in found.items():
        for row, shown in enumerate(_SHOWN):
            for column, scale in enumerate(_SCALES):
                for place, what in enumerate(("targets", "inputs", "loss")):
                    quantity = what if what == "loss" else f"alignment with {what}"
                    key = (name, f"shown {shown}, scale {scale}", quantity)
                    measured[key] = mean(of[row, :, place, column])
    dataset = fashion_mnist(200 if quick else 10_000)
    taught = {
        name: for_seeds(range(seeds), partial(taught_accuracy, dataset, act, steps))
        for name, act in _ACTIVATIONS.items()
    }
    for name, right in taught.items():
        measured[name, "read-out of new classes", "accuracy"] = mean(right)
    more = found["tanh"] - found["ReLU"]  # (shown, seeds, 3, scales)
    by_targets = more[:, :, 0]
    shades = by_targets.mean(axis=1)
    picture = HeatMap(
        title="How much closer to the targets tanh units lie than ReLU units",
        rows=[f"{shown:g}" for shown in _SHOWN],
        columns=[f"{scale:g}" for scale in _SCALES],
        values=shades,
        texts=[[f"{value:+.2f}" for value in row] for row in shades],
        labels=("how much of the target the inputs show", "scale of the beginning"),
    )
    claims = {
        "exclusive or": mean(by_targets[0].mean(axis=1)),
        "half": mean(by_targets[1].mean(axis=1)),
        "equal distances": mean(by_targets[2].mean(axis=1)),
        "separable": mean(by_targets[3].mean(axis=1)),
        "inputs": mean(-more[:, :, 1].mean(axis=(0, 2))),
        "taught": mean(np.subtract(taught["ReLU"], taught["tanh"])),
    }
    return Findings(claims=claims, figure=draw_heat_map(picture), measured=measured)


def _region(name: str) -> Claim:
    return Claim(
        text=f"{name}: tanh units lie closer to the targets than ReLU units; difference of "
        "alignments, mean over scales",
        threshold=0.0,
        published="closer",
    )


STUDY = study_of(
    Paper(
        title="Task structure and nonlinearity jointly determine learned representational geometry",
        arxiv="2401.13558",
        claims={
            "exclusive or": _region("Exclusive or"),
            "half": _region("Exclusive or with a hint"),
            "equal distances": _region("Clusters equally far from each other"),
            "separable": _region("Nearly separable"),
            "inputs": Claim(
                text="ReLU units keep more of the inputs' geometry; difference of alignments, mean "
                "over tasks and scales",
                threshold=0.0,
                published="more",
            ),
            "taught": Claim(
                text="So they serve a memory better that is taught new classes: accuracy of the "
                "read-out from four examples of each, less that with tanh units",
                published="not reported",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="Tanh units take on the geometry of the targets, ReLU units keep that of the inputs.",
    setting="One thread of a shared AMD EPYC; n = 5 trainings (seeds 0 to 4) for each of 4 tasks, "
    "3 scales and 2 activations, 100 units, 400 steps, and of 2 networks that name five kinds of "
    "clothes; 1 CPU-minute.",
    needs=NEEDS,
)
