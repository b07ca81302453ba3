"""The group-to-group network: which blocks exist, how they change, what is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from models.classifiers.distillation import predict_logits
from models.classifiers.training import Recipe, TrainingSettings, image_spec, train
from models.data.dataset import ImageDataset
from models.networks import group_to_group
from models.networks.architectures import build_network
from models.networks.group_to_group import (
    BlockLinear,
    GroupToGroupNetwork,
    Patches,
    Regrowth,
    hebbian_score,
)
from models.networks.layers import ImageShape
from models.networks.perceptron import PerceptronNetwork
from models.onnx_export import count_cost, onnx_from_network
from models.trainer import TrainingProgress

GREY = ImageShape(channels=1, height=28, width=28, classes=10)


def network_of(regrowth: Regrowth = "hebbian", seed: int = 0) -> GroupToGroupNetwork:
    torch.manual_seed(seed)
    return GroupToGroupNetwork(GREY, density=0.25, regrowth=regrowth)


def masks_of(network: GroupToGroupNetwork) -> list[torch.Tensor]:
    return [layer.mask.clone() for layer in network.layers]


def test_a_quarter_of_the_blocks_exists_and_every_group_has_the_same_number_of_sources() -> None:
    network = network_of()
    shapes = [tuple(layer.mask.shape) for layer in network.layers]
    assert shapes == [(32, 49), (32, 32)]  # 49 patches, then 32 groups of 32 units
    assert [set(mask.sum(dim=1).tolist()) for mask in masks_of(network)] == [{12}, {8}]
    assert [float(mask.float().mean()) for mask in masks_of(network)] == pytest.approx(
        [0.25, 0.25], abs=0.01
    )


def test_a_unit_is_moved_by_the_groups_that_feed_it_and_by_no_other() -> None:
    torch.manual_seed(0)
    layer = BlockLinear((4, 3), (2, 5), sources=2)
    effect = torch.autograd.functional.jacobian(layer, torch.randn(1, 12))[0, :, 0]
    moved = effect.reshape(2, 5, 4, 3).abs().amax(dim=(1, 3)) > 0
    assert torch.equal(moved, layer.mask)


def test_patches_hold_the_pixels_that_lie_together() -> None:
    rows = torch.arange(8.0)[:, None].expand(8, 8)
    columns = torch.arange(8.0)[None].expand(8, 8)
    shape = ImageShape(channels=2, height=8, width=8, classes=2)
    patches = Patches(shape)(torch.stack([rows, columns])[None])
    assert patches.shape == (1, 4, 32)
    lower_left = patches[0, 2].reshape(2, 16)
    assert (lower_left[0].min(), lower_left[0].max()) == (4, 7)
    assert (lower_left[1].min(), lower_left[1].max()) == (0, 3)


def test_a_picture_of_another_size_is_padded_to_whole_patches() -> None:
    shape = ImageShape(channels=1, height=10, width=7, classes=2)
    patches = Patches(shape)(torch.ones(2, 1, 10, 7))
    assert patches.shape == (2, 6, 16)
    assert float(patches.sum()) == 2 * 10 * 7


def test_rewiring_drops_the_weakest_block_and_grows_the_absent_one_of_highest_score() -> None:
    layer = BlockLinear((4, 2), (1, 3), sources=2)
    layer.mask[:] = torch.tensor([[True, True, False, False]])
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.weight[:, 2:4] = 0.1  # the block of the second group is the weakest
    layer.rewire(torch.tensor([[9.0, 9.0, 0.2, 0.3]]), 1)
    assert layer.mask.tolist() == [[True, False, False, True]]
    assert layer.weight[:, 6:8].abs().max() == 0.0  # new blocks begin at zero
    assert layer.weight[:, 0:2].min() == 1.0  # the others stay as they are


def test_groups_that_fire_together_score_high_and_silent_ones_score_zero() -> None:
    torch.manual_seed(0)
    layer = BlockLinear((3, 2), (1, 2), sources=1)
    drive = torch.randn(500, 1)
    before = torch.cat([torch.randn(500, 2), -drive.expand(500, 2), torch.ones(500, 2)], dim=1)
    score = hebbian_score(before, drive.expand(500, 2), layer)
    assert score.shape == (1, 3)
    assert score[0, 0] < 0.1
    assert score[0, 1] == pytest.approx(1.0, abs=1e-4)
    assert score[0, 2] == 0.0


@pytest.mark.parametrize(
    ("regrowth", "changes"), [("hebbian", True), ("random", True), ("none", False)]
)
def test_the_mask_changes_as_its_regrowth_says_and_keeps_its_density(
    regrowth: Regrowth, *, changes: bool
) -> None:
    network = network_of(regrowth)
    before = masks_of(network)
    network.train()(torch.randn(16, 1, 28, 28))
    network.after_step(100, 1000)
    after = masks_of(network)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) is changes
    assert [set(mask.sum(dim=1).tolist()) for mask in after] == [{12}, {8}]


@pytest.mark.parametrize("step", [1, 99, 101, 750, 800, 1000])
def test_the_mask_rests_between_changes_and_in_the_last_quarter(step: int) -> None:
    network = network_of()
    before = masks_of(network)
    network.train()(torch.randn(16, 1, 28, 28))
    network.after_step(step, 1000)
    assert all(torch.equal(a, b) for a, b in zip(before, masks_of(network), strict=True))


def settled(network: torch.nn.Module) -> torch.nn.Module:
    """Give the batch normalisations statistics far from their initial values."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(layer.weight, 0.5, 2.0)
            torch.nn.init.normal_(layer.bias)
            layer.running_mean = torch.randn(layer.num_features)
            layer.running_var = torch.rand(layer.num_features) + 0.5
    return network.eval()


@pytest.mark.parametrize("name", ["group_to_group", "dense_mlp"])
@pytest.mark.parametrize(
    "shape", [GREY, ImageShape(channels=3, height=30, width=33, classes=4)], ids=["28", "30x33"]
)
def test_the_exported_form_computes_what_the_trained_one_computes(
    name: str, shape: ImageShape
) -> None:
    torch.manual_seed(1)
    network = settled(build_network(name, shape))
    images = torch.randn(5, shape.channels, shape.height, shape.width)
    with torch.inference_mode():
        expected = network(images)
        found = network.fused()(images)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_exported_file_holds_and_multiplies_a_quarter_of_the_dense_twins() -> None:
    sparse, dense = (
        onnx_from_network(network.eval().fused(), {"image": torch.zeros(1, 1, 28, 28)}, ["y", "f"])
        for network in (network_of(), PerceptronNetwork(GREY))
    )
    (macs, parameters), (dense_macs, dense_parameters) = count_cost(sparse), count_cost(dense)
    assert macs / dense_macs == pytest.approx(0.25, abs=0.01)
    assert parameters / dense_parameters == pytest.approx(0.25, abs=0.01)
    assert len(sparse) < 0.3 * len(dense)
    nodes = onnx.load_from_string(sparse).graph.node
    assert sum(node.op_type == "MatMul" for node in nodes) == 2


class _StoppedError(Exception):
    pass


def test_a_killed_training_ends_with_the_same_masks_and_weights(
    synthetic_dataset: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_to_group, "_REWIRE_EVERY", 5)
    recipe = Recipe(epochs=3, batch_size=32)  # 24 steps

    def settings(folder: str) -> TrainingSettings:
        return TrainingSettings(
            architecture="group_to_group",
            output=tmp_path / folder,
            recipe=recipe,
            checkpoint_every=7,
        )

    def stop(progress: TrainingProgress) -> None:
        if progress.step == 13:
            raise _StoppedError

    whole = train(settings("whole"), synthetic_dataset)
    with pytest.raises(_StoppedError):
        train(settings("killed"), synthetic_dataset, progress=stop)
    resumed = train(settings("killed"), synthetic_dataset)
    initial = build_initial(synthetic_dataset)
    assert any(
        not torch.equal(one, whole.state_dict()[name])
        for name, one in initial.items()
        if name.endswith("mask")
    )
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def build_initial(dataset: ImageDataset) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    height, width, channels = dataset.image_shape
    shape = ImageShape(channels=channels, height=height, width=width, classes=len(dataset.labels))
    return build_network("group_to_group", shape).state_dict()


@pytest.mark.parametrize("architecture", ["group_to_group", "dense_mlp"])
def test_it_learns(architecture: str, synthetic_dataset: ImageDataset, tmp_path: Path) -> None:
    network = train(
        TrainingSettings(
            architecture=architecture, output=tmp_path, recipe=Recipe(epochs=4, batch_size=32)
        ),
        synthetic_dataset,
    )
    test = synthetic_dataset.test
    logits = predict_logits(network, test.images, image_spec(synthetic_dataset))
    assert np.mean(logits.argmax(axis=1) == test.labels) > 0.8
