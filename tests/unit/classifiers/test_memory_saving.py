"""What `--memory-saving` keeps: the forward pass exactly, the gradients nearly, a quarter of it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from bicameral.errors import ConfigError
from models.activation_compression import Packed, compress_activations
from models.classifiers.training import Recipe, TrainingSettings, train
from models.data.dataset import ImageDataset
from models.networks.architectures import build_network
from models.networks.layers import ImageShape

GREY = ImageShape(channels=1, height=28, width=28, classes=10)


def loss_and_gradient(network: nn.Module, *, saving: bool) -> tuple[float, Tensor]:
    torch.manual_seed(1)
    images, labels = torch.randn(32, 1, 28, 28), torch.arange(32) % 10
    network.zero_grad()
    with compress_activations(network) if saving else nullcontext():
        loss = functional.cross_entropy(network(images)[0], labels)
    loss.backward()
    return loss.item(), torch.cat([one.grad.flatten() for one in network.parameters()])


@pytest.mark.parametrize("name", ["dense_vit", "uoe_vit", "squeeze16"])
def test_the_loss_is_the_same_to_the_bit_and_the_gradient_points_where_it_did(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, GREY)
    exact, near = (loss_and_gradient(network, saving=saving) for saving in (False, True))
    assert near[0] == exact[0]
    assert functional.cosine_similarity(near[1], exact[1], dim=0) > 0.999
    assert not torch.equal(near[1], exact[1])


def test_it_keeps_less_than_a_third_of_the_bytes() -> None:
    torch.manual_seed(0)
    network, saved = build_network("dense_vit", GREY), {False: 0, True: 0}
    images, labels = torch.randn(32, 1, 28, 28), torch.arange(32) % 10
    hooks = compress_activations(network)
    weights = {one.untyped_storage().data_ptr() for one in network.parameters()}

    def count(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            saved[False] += tensor.nbytes
            kept = hooks.pack_hook(tensor)
            if isinstance(kept, Packed):
                saved[True] += kept.codes.nbytes + kept.low.nbytes + kept.step.nbytes
            else:
                saved[True] += kept.nbytes
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor):
        functional.cross_entropy(network(images)[0], labels)
    assert saved[True] <= 0.3 * saved[False]


def test_zeros_stay_zeros_and_rounding_shifts_nothing() -> None:
    torch.manual_seed(0)
    pack = compress_activations(nn.Linear(1, 1)).pack_hook
    values = torch.rand(4, 4096).relu()
    values[:, ::2] = 0.0
    kept = pack(values)
    assert isinstance(kept, Packed)
    found = kept.unpack()
    assert torch.equal(found[:, ::2], values[:, ::2])
    assert (found - values).abs().max() <= 1.0 / 255.0
    assert (found - values).mean().abs() < 1e-4


def test_a_training_in_less_memory_learns_and_is_another_training(
    synthetic_dataset: ImageDataset, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=3, batch_size=32, memory_saving=True)
    saving = TrainingSettings(architecture="squeeze16", output=tmp_path, recipe=recipe)
    train(saving, synthetic_dataset)
    log = np.genfromtxt(tmp_path / "log.csv", delimiter=",", names=True)
    assert np.atleast_1d(log["loss"])[-1] < 1.0
    other = replace(saving, recipe=replace(recipe, memory_saving=False))
    with pytest.raises(ConfigError, match="other settings"):
        train(other, synthetic_dataset)


def test_packing_leaves_what_it_packs_as_it_was() -> None:
    values = torch.randn(4, 4096)
    before = values.clone()
    kept = compress_activations(nn.Linear(1, 1)).pack_hook(values)
    assert isinstance(kept, Packed)
    codes = kept.codes.clone()
    kept.unpack()
    assert torch.equal(values, before)
    assert torch.equal(kept.codes, codes)
