"""Gradient descent climbs to the edge of stability, where samples oppose each other (2311.04163).

With whole batches and the rate eta, the sharpness (largest eigenvalue of the Hessian of the loss)
grows until about 2 / eta, and stays there while the loss goes up and down. The samples whose loss
changes most from one step to the next then form two groups, one that rises and one that falls, with
a strong feature in common and opposite wishes for what to answer to it. `opposing_groups` finds
them; whether it also finds such groups that are planted (pictures with a bright patch, half of them
labelled with one class and half with another) depends on what opposes what without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bicameral.charts import Axis, Chart, Series, draw_chart
from bicameral.statistics import Estimate, mean
from studies.claims import Claim, Paper
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of
from studies.papers.opposing_groups import Opposing, strongest_opposing
from studies.papers.seeded import for_seeds

_IMAGES = 500
_UNITS = 40
_CLASSES = 10
_RATE = 0.15
_EDGE = 2.0 / _RATE
_GROUP = 20
_LOOKED_AT_EVERY = 50
_POWER_STEPS = 12

#: For the groups: pictures, of which a hundredth is planted, and the step from which all losses are
#: kept. Units of ReLU, since what a patch excites in units of tanh cannot grow with it.
_WATCHED, _PLANTED, _SEEDS = 1_000, 10, 5
_STEPS_WATCHED = (500, 1_000)
#: Classes that are hardly mistaken for each other, and tops, which are.
_APART, _TOPS = (1, 7, 8), (0, 2, 3, 4, 6)
#: By name, the classes and how bright the patch is; pictures end at 1.
_PLANTS = {
    "patch as bright as white": (None, 1.0),
    "patch of 3 times white": (None, 3.0),
    "patch of 6 times white": (None, 6.0),
    "patch of 3 times white, classes apart": (_APART, 3.0),
}
_JUDGED = "patch of 3 times white"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A training with whole batches.

    Attributes:
        sharpness: By step, every few steps.
        rises: Share of the last half of the steps in which the mean loss rose.
        opposition: Cosine of the gradients of the samples that rose and fell most, at the step
            with the largest rise of the last half.
        calm_opposition: The same at the beginning, far from the edge.
    """

    sharpness: list[float]
    rises: float
    opposition: float
    calm_opposition: float


def small_images(count: int, classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """Return (N, 196) pictures of 14 x 14 pixels around 0, perhaps of some classes, and these."""
    part = fashion_mnist(count if classes is None else 5 * count).train
    pixels = torch.from_numpy(np.ascontiguousarray(part.images)).float().mean(dim=3) / 255.0
    small = torch.nn.functional.avg_pool2d(pixels[:, None], 2).flatten(1)
    small, labels = small - small.mean(), torch.from_numpy(np.asarray(part.labels))
    if classes is not None:
        keep = torch.isin(labels, torch.tensor(classes))
        small, labels = small[keep], labels[keep]
    return small[:count], labels[:count]


def plant(images: Tensor, labels: Tensor, brightness: float) -> tuple[Tensor, Tensor]:
    """Give the first images a bright patch, and half of them one label, half another."""
    pictures = images.clone().view(-1, 14, 14)
    pictures[:_PLANTED, :5, :5] = brightness
    changed = labels.clone()
    changed[:_PLANTED] = torch.arange(_PLANTED) % 2
    return pictures.flatten(1), changed


class Descent:
    """A perceptron of one hidden layer under gradient descent on the squared error."""

    def __init__(
        self, images: Tensor, labels: Tensor, activation: Callable[[Tensor], Tensor] = torch.tanh
    ) -> None:
        self.images, self.activation = images, activation
        self.targets = torch.nn.functional.one_hot(labels, _CLASSES).float()
        sides = (images.shape[1], _UNITS, _CLASSES)
        self.weights = [(torch.randn(a, b) / a**0.5).requires_grad_() for a, b in pairwise(sides)]

    def features(self) -> Tensor:
        """Return what the hidden units say of each sample (N, units)."""
        return self.activation(self.images @ self.weights[0])

    def losses(self) -> Tensor:
        """Return the loss of each sample (N,)."""
        answers = self.features() @ self.weights[1]
        return torch.as_tensor((answers - self.targets).square().sum(dim=1) / 2.0)

    def step(self) -> Tensor:
        """Go one step down; return the losses (N,) before it."""
        losses = self.losses()
        slopes = torch.autograd.grad(losses.mean(), self.weights)
        with torch.no_grad():
            for weight, slope in zip(self.weights, slopes, strict=True):
                weight -= _RATE * slope
        return losses.detach()

    def sharpness(self) -> float:
        """Return the largest eigenvalue of the Hessian, by power iteration."""
        slopes = torch.autograd.grad(self.losses().mean(), self.weights, create_graph=True)
        direction = [torch.randn_like(weight) for weight in self.weights]
        size = torch.zeros(())
        for _ in range(_POWER_STEPS):
            size = torch.stack([one.square().sum() for one in direction]).sum().sqrt()
            direction = [one / size for one in direction]
            inner = torch.stack([(s * d).sum() for s, d in zip(slopes, direction, strict=True)])
            direction = list(torch.autograd.grad(inner.sum(), self.weights, retain_graph=True))
        return float(torch.stack([one.square().sum() for one in direction]).sum().sqrt())

    def opposition(self, change: Tensor) -> float:
        """Return the cosine of the gradients of those that rose and that fell most (N,)."""
        order = change.argsort()
        falling, rising = self.gradient(order[:_GROUP]), self.gradient(order[-_GROUP:])
        return float(torch.nn.functional.cosine_similarity(falling, rising, dim=0))

    def gradient(self, group: Tensor) -> Tensor:
        """Return that of the mean loss of some samples, as one vector."""
        of = torch.autograd.grad(self.losses()[group].mean(), self.weights)
        return torch.cat([one.flatten() for one in of])


def descend(images: Tensor, labels: Tensor, steps: int) -> Course:
    """Train, and look at what happens at the edge."""
    run = Descent(images, labels)
    before, calm, sharpness, rises = run.step(), 0.0, [], []
    strongest = (0.0, 0.0)
    for step in range(1, steps):
        if step % _LOOKED_AT_EVERY == 0:
            sharpness.append(run.sharpness())
        after = run.losses().detach()
        change = after - before
        if step == _GROUP:
            calm = run.opposition(change)
        if step >= steps // 2:
            rise = float(change.mean())
            rises.append(rise > 0.0)
            if rise > strongest[0]:
                strongest = (rise, run.opposition(change))
        before = run.step()
    return Course(
        sharpness=sharpness,
        rises=float(np.mean(rises)),
        opposition=strongest[1],
        calm_opposition=calm,
    )


def first_groups(images: Tensor, labels: Tensor, quick: bool) -> Opposing | None:
    """Train, watch all losses of the last steps, and return the groups that oppose most."""
    first, steps = (20, 60) if quick else _STEPS_WATCHED
    run = Descent(images, labels, torch.relu)
    losses = torch.stack([run.step() for _ in range(steps)])[first:]
    return strongest_opposing(losses, run.features().detach(), run.gradient)


def planted_share(
    classes: Sequence[int] | None, brightness: float, seeds: int, quick: bool
) -> Estimate:
    """Return the share of planted samples in the groups that are found first."""
    images, labels = plant(*small_images(_WATCHED, classes), brightness)
    found = for_seeds(range(seeds), lambda: first_groups(images, labels, quick))
    return mean([float((one.samples < _PLANTED).float().mean()) if one else 0.0 for one in found])


def share_of_tops(seeds: int, quick: bool) -> Estimate:
    """Return the share of tops in the groups that are found first where nothing is planted."""
    images, labels = small_images(_WATCHED)
    tops = torch.isin(labels, torch.tensor(_TOPS)).float()
    found = for_seeds(range(seeds), lambda: first_groups(images, labels, quick))
    return mean([float(tops[one.samples].mean()) if one else 0.0 for one in found])


def measure(quick: bool) -> Findings:
    """Train on pictures as they are, and with planted pairs."""
    seeds, steps = (2, 60) if quick else (3, 2_000)
    images, labels = small_images(_IMAGES)
    plain = for_seeds(range(seeds), lambda: descend(images, labels, steps))
    planted = {
        name: planted_share(*plants, 1 if quick else _SEEDS, quick)
        for name, plants in _PLANTS.items()
    }
    curve = np.array([one.sharpness for one in plain])  # (seeds, looks)
    points = [mean(curve[:, place]) for place in range(curve.shape[1])]
    places = [_LOOKED_AT_EVERY * (place + 1.0) for place in range(curve.shape[1])]
    measured: Measured = {
        ("pictures", f"step {step:.0f}", "sharpness"): one
        for step, one in zip(places, points, strict=True)
    }
    measured["pictures", "last half", "share of steps that rise"] = mean([c.rises for c in plain])
    measured["pictures", "beginning", "cosine of rising and falling"] = mean(
        [one.calm_opposition for one in plain]
    )
    for name, share in planted.items():
        measured[name, "", "planted share of the groups found first"] = share
    chart = Chart(
        title=f"Sharpness under gradient descent with whole batches at the rate {_RATE}",
        x=Axis(label="step"),
        y=Axis(label="largest eigenvalue of the Hessian", low=0.0),
        series=[
            Series(
                name="2 / rate",
                x=(0.0, places[-1]),
                y=(_EDGE, _EDGE),
                ink="soft",
                marker="",
                line="--",
            ),
            Series(
                name="sharpness",
                x=places,
                y=[one.value or 0.0 for one in points],
                ink="a",
                line="-",
                intervals=points,
            ),
        ],
    )
    late = curve[:, curve.shape[1] // 2 :].mean(axis=1)
    return Findings(
        claims={
            "edge": mean(np.abs(late / _EDGE - 1.0)),
            "opposition": mean([one.opposition for one in plain]),
            "natural": share_of_tops(1 if quick else _SEEDS, quick),
            "planted": planted[_JUDGED],
        },
        figure=draw_chart(chart),
        measured=measured,
    )


STUDY = study_of(
    Paper(
        title="Outliers with opposing signals have an outsized effect on neural network "
        "optimization",
        arxiv="2311.04163",
        claims={
            "edge": Claim(
                text="Sharpness settles at 2 / rate: relative distance over the last half",
                relation="at most",
                threshold=0.15,
                published="about 2 / rate",
            ),
            "opposition": Claim(
                text="Where the loss jumps, the 20 samples that rise most and the 20 that fall "
                "most pull in opposite directions: cosine of their gradients",
                relation="at most",
                threshold=-0.5,
                published="opposing signals",
            ),
            "natural": Claim(
                text="The opposing groups that are found first, by rises and falls between "
                "steps, are pictures that one mistakes for each other: share of tops in them, of "
                "which the data have a half",
                threshold=0.8,
                published="groups with one feature in common",
            ),
            "planted": Claim(
                text="One in a hundred pictures has a bright patch and one of two labels: their "
                "share in the opposing groups that are found first",
                threshold=0.8,
                published="not reported",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="With whole batches the sharpness climbs to 2 / rate, where two groups of samples pull "
    "in opposite directions.",
    setting="One thread of a shared AMD EPYC; n = 3 trainings (seeds 0 to 2) of 2,000 steps on "
    "500 pictures; groups: n = 5 (seeds 0 to 4 of the weights) of 1,000 steps on 1,000 "
    "pictures for each case, settings fixed on seeds 100 and 101; 2 CPU-minutes.",
    needs=NEEDS,
)
