"""The taxonomy of infinitely deep networks (arXiv 2204.14126), on data whose Bayes rule is known.

The data are the paper's kind: two classes of points on the positive part of the unit sphere,
square roots of Dirichlet samples, 40 % of one class.
"""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from bicameral.errors import ConfigError
from models.heads.kernels import (
    Kernel,
    PowerMap,
    network_gaussian_process,
    singular_kernel,
)

_SHARE = 0.4
_CONCENTRATIONS = ((2.0, 3.0, 3.0), (4.0, 3.0, 2.0))


@cache
def sphere_data(seed: int, count: int = 1000) -> tuple[Tensor, Tensor, Tensor]:
    """Return points (N, 3), classes (N,), and the classes that the Bayes rule gives."""
    torch.manual_seed(seed)
    labels = (torch.rand(count) < _SHARE).long()
    families = [torch.distributions.Dirichlet(torch.tensor(one)) for one in _CONCENTRATIONS]
    drawn = torch.stack([family.sample((count,)) for family in families])
    points = drawn[labels, torch.arange(count)].clamp(1e-6)
    points = points / points.sum(dim=1, keepdim=True)
    priors = torch.tensor([1.0 - _SHARE, _SHARE]).log()
    posterior = torch.stack([family.log_prob(points) for family in families], dim=1) + priors
    return points.double().sqrt(), labels, posterior.argmax(dim=1)


def voted(kernel: Kernel) -> Tensor:
    """Classify the test points by the training points' votes, weighted by a kernel."""
    points, labels, _ = sphere_data(0)
    weights = kernel(sphere_data(1)[0] @ points.T)
    return (weights @ torch.nn.functional.one_hot(labels).double()).argmax(dim=1)


def accuracy(found: Tensor) -> float:
    return float((found == sphere_data(1)[1]).double().mean())


def nearest() -> Tensor:
    points, labels, _ = sphere_data(0)
    return labels[(sphere_data(1)[0] @ points.T).argmax(dim=1)]


def arc_cosine(z: Tensor) -> Tensor:
    """Map cosines as a layer of ReLU units does (Cho and Saul 2009), normalised to k(1) = 1."""
    z = z.clamp(-1.0, 1.0)
    return (torch.sqrt(1.0 - z * z) + z * (math.pi - torch.acos(z))) / math.pi


def exponent(layer: PowerMap) -> float:
    """Return the exponent of a map's singular kernel, -2 ln k'(0) / ln k'(1)."""
    return -2.0 * math.log(layer.a) / math.log(layer.a + (1.0 - layer.a) * layer.m)


def test_relu_networks_become_a_majority_vote() -> None:
    assert float(arc_cosine(torch.zeros(1))) > 0.0
    deep = voted(network_gaussian_process(arc_cosine, 100))
    assert set(deep.tolist()) == {0}  # 60 % of the training points


def test_maps_that_are_flat_at_zero_become_the_nearest_neighbour() -> None:
    deep = voted(network_gaussian_process(PowerMap(a=0.0, m=2), 17))
    assert float((deep == nearest()).double().mean()) > 0.98


def test_the_singular_kernel_of_the_spheres_dimension_comes_close_to_the_bayes_rule() -> None:
    layer = PowerMap(a=0.5, m=3)
    assert exponent(layer) == pytest.approx(2.0)  # the dimension of the sphere in three coordinates
    singular = accuracy(voted(singular_kernel(layer, 30)))
    bayes, one = accuracy(sphere_data(1)[2]), accuracy(nearest())
    assert one < bayes - 0.05  # there is something to lose
    assert bayes - 0.04 < singular <= bayes + 0.01
    assert singular > one + 0.02


@pytest.mark.parametrize(
    ("layer", "alpha"),  # the exponents that the paper's polynomials give
    [
        (PowerMap(a=0.5, m=7), 1.0),
        (PowerMap(a=0.5, m=3), 2.0),
        (PowerMap(a=0.25, m=3), 3.026),
    ],
)
def test_the_singular_kernel_grows_like_a_power_of_the_distance(
    layer: PowerMap, alpha: float
) -> None:
    assert exponent(layer) == pytest.approx(alpha, abs=1e-3)
    # Over a factor of the distance at which the map repeats itself, the wobble cancels.
    near = 1e-3
    far = near * (layer.a + (1.0 - layer.a) * layer.m) ** 2
    distances = torch.tensor([near, far], dtype=torch.float64)
    values = singular_kernel(layer, 60)(1.0 - distances.square() / 2.0)
    slope = float((values[1] / values[0]).log() / (distances[1] / distances[0]).log())
    assert -slope == pytest.approx(alpha, rel=0.01)


def test_a_relu_layers_kernel_is_the_mean_product_of_random_units() -> None:
    torch.manual_seed(0)
    x = torch.tensor([1.0, 0.0, 0.0])
    y = torch.tensor([0.6, 0.8, 0.0])
    units = torch.randn(200_000, 3)
    sampled = 2.0 * (torch.relu(units @ x) * torch.relu(units @ y)).mean()
    assert float(arc_cosine(x @ y)) == pytest.approx(float(sampled), abs=0.01)


def test_a_straight_map_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a = 1\.0"):
        PowerMap(a=1.0, m=3)


def test_finite_networks_solved_exactly_reproduce_their_training_points_and_learn() -> None:
    kernel = network_gaussian_process(arc_cosine, 3)
    points, labels, _ = sphere_data(0)
    signs = 2.0 * labels.double() - 1.0
    gram = kernel(points @ points.T)

    def solved(ridge: float) -> Tensor:
        return torch.linalg.solve(gram + ridge * torch.eye(len(points)), signs)

    few = slice(0, 60)
    exact = torch.linalg.solve(gram[few, few], signs[few])
    torch.testing.assert_close(gram[few, few] @ exact, signs[few], rtol=1e-3, atol=1e-3)
    found = (kernel(sphere_data(1)[0] @ points.T) @ solved(1.0) > 0).long()
    assert accuracy(found) > accuracy(sphere_data(1)[2]) - 0.02
