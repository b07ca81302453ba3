"""One training for pictures of several sizes: weights that follow the size, against weights shared.

Ortiz et al. 2023 (arXiv 2304.07645) let a small network h make the weights of another out of a knob
g in [0, 1]: theta = theta_0 + h([cos(pi g / 2), sin(pi g / 2)]), whose input always has the same
norm, instead of theta = h(g). Here g is the size of the picture, drawn anew at every step.
"""

from __future__ import annotations

import copy
import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils import parameters_to_vector

from bicameral.files import write_bytes_atomic
from bicameral.statistics import mean, mean_over_images
from edge.preprocessing import area_weights, resize_area_int, tensor_from_canonical
from edge.sidecar import ImageSpec
from models.classifiers.training import image_spec
from models.data.dataset import ImageDataset, LabelledImages
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.paper_tables import ALONE, KNOB, LOSS, PLAIN_KNOB, RIGHT, SHARED, knob_is_worth_it
from studies.study import Study

#: Pixels of a side: those that are drawn in training, and those that are judged.
_SMALLEST, _LARGEST = 8, 28
_SIZES = (8, 13, 18, 23, 28)

_RATES = (1e-3, 1e-2, 3e-2)
_SEEDS, _STEPS, _BATCH = 3, 400, 64

#: Share of the steps, the last ones, whose mean is the loss of a training; validation images that
#: choose the learning rate, with the first seed.
_END, _CHOOSING = 0.1, 2000


def classifier() -> nn.Sequential:
    """Build a network for grey pictures of any size (N, 1, H, W), to logits (N, 10).

    It has no batch normalisation, whose statistics would be other ones for each size.
    """

    def stage(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        return convolution, nn.GroupNorm(outputs // 8, outputs), nn.ReLU()

    return nn.Sequential(
        *stage(1, 8),
        nn.MaxPool2d(2),
        *stage(8, 16),
        nn.MaxPool2d(2),
        *stage(16, 32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


class Hypernetwork(nn.Module):
    """A network whose weights follow from the size of the pictures that it gets.

    Nearly all of its parameters are in the last layer of h, 65 for each weight of the network.

    Args:
        network: Takes pictures of any size; without buffers.
        norm_preserving: Whether it is the paper's form, or theta = h(g).
    """

    def __init__(self, network: nn.Module, *, norm_preserving: bool) -> None:
        super().__init__()
        self._network = [network]  # in a list, so that its weights are not parameters of this one
        self._shapes = {name: weight.shape for name, weight in network.named_parameters()}
        first = parameters_to_vector(network.parameters()).detach()
        self.base = nn.Parameter(first) if norm_preserving else None
        inputs = 2 if norm_preserving else 1
        sizes = (inputs, 16, 64, len(first))
        layers = [nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
        for layer in layers:
            nn.init.kaiming_normal_(
                layer.weight, a=0.01, mode="fan_out" if norm_preserving else "fan_in"
            )
            nn.init.zeros_(layer.bias)
        first_layer, second, last = layers
        self.h = nn.Sequential(first_layer, nn.LeakyReLU(), second, nn.LeakyReLU(), last)

    def weights(self, size: int) -> dict[str, Tensor]:
        """Return the network's parameters by name for pictures of so many pixels a side."""
        knob = (size - _SMALLEST) / (_LARGEST - _SMALLEST)
        if self.base is None:
            theta = self.h(torch.tensor([knob]))
        else:
            angle = math.pi * knob / 2
            theta = self.base + self.h(torch.tensor([math.cos(angle), math.sin(angle)]))
        parts = theta.split([shape.numel() for shape in self._shapes.values()])
        return {
            name: part.view(shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures (N, C, H, H) to logits (N, classes)."""
        weights = self.weights(images.shape[-1])
        return torch.as_tensor(functional_call(self._network[0], weights, (images,)))

    def baked(self, size: int) -> nn.Module:
        """Return the network with its weights for one size, to be exported as any other is."""
        network = copy.deepcopy(self._network[0])
        network.load_state_dict(self.weights(size))
        return network


def run(folder: Path, quick: bool) -> int:
    """Train all forms at each learning rate, and compare them at each size."""
    torch.set_num_threads(1)
    dataset = fashion_mnist(200 if quick else None)
    trainings = _Trainings(folder, dataset, steps=3 if quick else _STEPS)
    seeds = 1 if quick else _SEEDS
    sizes = _SIZES[:1] if quick else _SIZES
    few = dataset.validation.select(np.arange(min(_CHOOSING, len(dataset.validation))))
    measured: Measured = {}
    right: dict[tuple[str, int], NDArray[np.float64]] = {}
    for name, judged in [
        *((name, sizes) for name in (KNOB, PLAIN_KNOB, SHARED)),
        *((ALONE, (size,)) for size in sizes),
    ]:
        trained: dict[tuple[float, int], nn.Module] = {}
        scores: dict[float, float] = {}
        for rate in _RATES:
            losses = []
            # Of networks for one size, which are many, only the first seed chooses the rate.
            for seed in range(1 if name == ALONE else seeds):
                network, loss = trainings.trained(name, judged, rate, seed)
                trained[rate, seed] = network
                losses.append(loss)
            right_of_few = [_right(trained[rate, 0], few, trainings.spec, one) for one in judged]
            scores[rate] = float(np.mean(right_of_few))
            if name != ALONE:
                measured[name, f"rate {rate:g}", LOSS] = mean(losses)
        best = max(scores, key=lambda rate: scores[rate])
        networks = [
            trained.get((best, seed)) or trainings.trained(name, judged, best, seed)[0]
            for seed in range(seeds)
        ]
        for size in judged:
            measured[name, str(size), "best rate"] = single(best)
            answers = [_right(one, dataset.test, trainings.spec, size) for one in networks]
            right[name, size] = np.array(answers, np.float64)
            measured[name, str(size), RIGHT] = mean_over_images(right[name, size])
            print(f"{name} at {size} px, rate {best:g}: {right[name, size].mean():.4f}", flush=True)
    for name, other in ((KNOB, SHARED), (KNOB, ALONE), (SHARED, ALONE)):
        for size in sizes:
            gap = right[name, size] - right[other, size]
            measured[name, str(size), f"minus {other}"] = mean_over_images(gap)
    write_measurements(folder / "picture_sizes.csv", measured)
    print_measurements(measured, title="picture_sizes")
    return 0 if quick or knob_is_worth_it(measured) == "holds" else 1


STUDY = Study(
    claim="A network whose weights follow the size of the picture learns faster than the default "
    "hypernetwork, is within half a point of a network for that size alone, and is better than "
    "one with the same weights for all sizes.",
    setting="One thread of a shared AMD EPYC; n = 3 seeds, 400 steps of 64 pictures at each of 3 "
    "learning rates, 10,000 test images; 6 CPU-minutes.",
    run=run,
    needs=NEEDS,
)


class _Trainings:
    """Trains with Adam, down half a cosine; what is finished is kept in files."""

    def __init__(self, folder: Path, dataset: ImageDataset, steps: int) -> None:
        self._folder, self._images, self._steps = folder, dataset.train, steps
        self.spec = image_spec(dataset)

    def trained(
        self, name: str, judged: Sequence[int], rate: float, seed: int
    ) -> tuple[nn.Module, float]:
        """Return a trained network and the mean of its last losses.

        Args:
            name: The way; alone it is trained with the sizes that it is judged by.
            judged: Sizes that it is judged by.
            rate: Learning rate at the beginning.
            seed: Decides weights, images and sizes.
        """
        torch.manual_seed(seed)
        network: nn.Module = classifier()
        if name in (KNOB, PLAIN_KNOB):
            network = Hypernetwork(network, norm_preserving=name == KNOB)
        parts = (name.replace(" ", "_"), judged[-1], f"{rate:g}", seed, self._steps)
        path = self._folder / f"{'-'.join(map(str, parts))}.pt"
        if not path.exists():
            drawn = judged if name == ALONE else range(_SMALLEST, _LARGEST + 1)
            kept = {"loss": self._fit(network, drawn, rate, seed), "network": network.state_dict()}
            buffer = io.BytesIO()
            torch.save(kept, buffer)
            write_bytes_atomic(path, buffer.getvalue())
        kept = torch.load(path, weights_only=True)
        network.load_state_dict(kept["network"])
        return network, kept["loss"]

    def _fit(self, network: nn.Module, drawn: Sequence[int], rate: float, seed: int) -> float:
        rng = np.random.default_rng(seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self._steps)
        losses = []
        for _ in range(self._steps):
            rows = rng.integers(0, len(self._images), _BATCH)
            images = torch.from_numpy(tensor_from_canonical(self._images.images[rows], self.spec))
            logits = network(_reduced(images, int(rng.choice(drawn))))
            loss = functional.cross_entropy(logits, torch.from_numpy(self._images.labels[rows]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        return float(np.mean(losses[-max(1, round(_END * self._steps)) :]))


def _reduced(images: Tensor, size: int) -> Tensor:
    """Return images (N, C, H, H) as the server would reduce them, but not rounded."""
    if images.shape[-1] == size:
        return images
    weights = torch.from_numpy(area_weights(images.shape[-1], size) / images.shape[-1]).float()
    return weights @ images @ weights.T


def _right(
    network: nn.Module, images: LabelledImages, spec: ImageSpec, size: int
) -> NDArray[np.bool_]:
    """Return which images (N,) a network answers rightly that gets them in this size."""
    reduced = resize_area_int(images.images, size, size)
    smaller = spec.model_copy(update={"height": size, "width": size})
    tensor = torch.from_numpy(tensor_from_canonical(reduced, smaller))
    with torch.inference_mode():
        answers = torch.cat([network(part).argmax(dim=1) for part in torch.split(tensor, 500)])
    return np.asarray(answers.numpy() == images.labels)
