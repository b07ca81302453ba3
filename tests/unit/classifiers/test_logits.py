"""Stored logits: small, the same bytes every time, and never half believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bicameral.errors import DataError
from models.classifiers.logits import (
    NetworkLogits,
    network_logits_path,
    read_pool_logits,
    read_pools,
    write_network_logits,
    write_targets,
)
from models.data.dataset import ImageDataset, LabelledImages

pytestmark = pytest.mark.unit

CLASSES = 3


def _part(count: int) -> LabelledImages:
    images = np.random.default_rng(count).integers(0, 256, (count, 4, 4, 1), np.uint8)
    return LabelledImages(images=images, labels=np.arange(count) % CLASSES)


def _dataset(name: str = "shapes", validation: int = 5) -> ImageDataset:
    return ImageDataset(
        name=name,
        labels=("round", "square", "star"),
        color="GRAY",
        mirror_allowed=False,
        train=_part(9),
        validation=_part(validation),
        test=_part(4),
    )


def _network(architecture: str = "res8", seed: int = 0, **changes: Any) -> NetworkLogits:
    rng = np.random.default_rng(seed)
    network = NetworkLogits(
        architecture=architecture,
        seed=seed,
        macs=2_360_000,
        parameters=19_810,
        cpu_us=71.5,
        validation=rng.normal(0, 5, (5, CLASSES)).astype(np.float32),
        test=rng.normal(0, 5, (4, CLASSES)).astype(np.float32),
    )
    return replace(network, **changes)


def test_a_pool_is_read_back_sorted_with_the_same_logits(tmp_path: Path) -> None:
    dataset = _dataset()
    write_targets(tmp_path, dataset)
    written = [_network("vgg", 10), _network("vgg", 2), _network("res8", 3)]
    for network in written:
        write_network_logits(tmp_path, network)
    pool = read_pool_logits(tmp_path)
    assert (pool.dataset, pool.dataset_sha256, pool.labels) == (
        "shapes",
        dataset.fingerprint,
        dataset.labels,
    )
    assert np.array_equal(pool.validation_labels, dataset.validation.labels)
    assert np.array_equal(pool.test_labels, dataset.test.labels)
    for network, original in zip(pool.networks, reversed(written), strict=True):
        assert replace(network, validation=0, test=0) == replace(original, validation=0, test=0)
        assert network.validation.dtype == network.test.dtype == np.float32
        np.testing.assert_array_equal(network.validation, original.validation)
        np.testing.assert_array_equal(network.test, original.test)


def test_near_ties_keep_their_class(tmp_path: Path) -> None:
    dataset = _dataset()
    near = np.full((4, CLASSES), 5.0, np.float32)
    near[:, 1] += 1e-5  # lost in float16, whose step there is 0.004
    write_targets(tmp_path, dataset)
    write_network_logits(tmp_path, _network(test=near))
    assert (read_pool_logits(tmp_path).networks[0].test.argmax(axis=1) == 1).all()


def test_the_same_logits_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_targets(folder, _dataset())
        write_network_logits(folder, _network())
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_belongs_to_one_data_set(tmp_path: Path) -> None:
    write_targets(tmp_path, _dataset())
    write_targets(tmp_path, _dataset())
    with pytest.raises(DataError, match="use another folder"):
        write_targets(tmp_path, _dataset(validation=6))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_not_written(tmp_path: Path, value: float) -> None:
    network = _network()
    network.test[2, 1] = value
    with pytest.raises(DataError, match="test logits of res8"):
        write_network_logits(tmp_path, network)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("architecture", "seed"), [("../x", 0), ("", 0), (".x", 0), ("x", -1)])
def test_a_name_that_is_no_file_name_is_refused(architecture: str, seed: int) -> None:
    with pytest.raises(DataError, match="cannot name a file"):
        network_logits_path(Path("pool"), architecture, seed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": np.zeros((5, CLASSES + 1), np.float32)}, r"shape \(5, 4\)"),
        ({"test": np.zeros((3, CLASSES), np.float32)}, r"say \(4, 3\)"),
    ],
)
def test_a_network_of_other_data_is_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_targets(tmp_path, _dataset())
    write_network_logits(tmp_path, _network(**changes))
    with pytest.raises(DataError, match=message) as error:
        read_pool_logits(tmp_path)
    assert "res8-s0.npz" in str(error.value)


def _columns(path: Path) -> dict[str, Any]:
    with np.load(path) as archive:
        return dict(archive)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": np.zeros(1)}, "extra"),
        ({"macs": np.array(1.5)}, "macs"),
        ({"test": np.full((4, CLASSES), np.inf)}, "not finite"),
        ({"seed": np.array(7)}, "seed 7; rename it"),
        ({"architecture": np.array("res8", object)}, "cannot read"),
    ],
)
def test_a_changed_file_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_targets(tmp_path, _dataset())
    write_network_logits(tmp_path, _network())
    path = tmp_path / "res8-s0.npz"
    np.savez(path, **(_columns(path) | changes))
    with pytest.raises(DataError, match=message):
        read_pool_logits(tmp_path)


@pytest.mark.parametrize("name", ["targets.npz", "res8-s0.npz"])
@pytest.mark.parametrize("damage", [0, 100, -1])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: int) -> None:
    write_targets(tmp_path, _dataset())
    write_network_logits(tmp_path, _network())
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:damage])
    with pytest.raises(DataError, match=f"cannot read .*{name}"):
        read_pool_logits(tmp_path)


def test_targets_out_of_range_are_refused(tmp_path: Path) -> None:
    write_targets(tmp_path, _dataset())
    path = tmp_path / "targets.npz"
    np.savez(path, **(_columns(path) | {"test_labels": np.array([0, 1, 2, 3])}))
    with pytest.raises(DataError, match=r"test labels must be .* within 0\.\.2"):
        read_pool_logits(tmp_path)


def test_a_pool_without_networks_or_targets_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"targets\.npz"):
        read_pool_logits(tmp_path)
    write_targets(tmp_path, _dataset())
    with pytest.raises(DataError, match="no logits of networks"):
        read_pool_logits(tmp_path)


def test_folders_of_the_same_data_are_one_pool_in_which_the_first_has_precedence(
    tmp_path: Path,
) -> None:
    dataset = _dataset()
    for folder, networks in (
        ("cnn", [_network(), _network(seed=1)]),
        ("zoo", [_network(macs=1), _network("other")]),
    ):
        write_targets(tmp_path / folder, dataset)
        for network in networks:
            write_network_logits(tmp_path / folder, network)
    pool = read_pools([tmp_path / "cnn", tmp_path / "zoo"])
    found = [(net.architecture, net.seed, net.macs) for net in pool.networks]
    assert found == [("other", 0, 2_360_000), ("res8", 0, 2_360_000), ("res8", 1, 2_360_000)]
    assert all(network.cpu_us == 0.0 for network in pool.networks), "times of different runs"
    assert read_pools([tmp_path / "cnn"]).networks[0].cpu_us == 71.5


def test_folders_of_different_data_are_no_pool(tmp_path: Path) -> None:
    for folder, validation in (("one", 5), ("other", 6)):
        write_targets(tmp_path / folder, _dataset(validation=validation))
        rng = np.random.default_rng(0)
        logits = rng.normal(0, 5, (validation, CLASSES)).astype(np.float32)
        write_network_logits(tmp_path / folder, _network(validation=logits))
    with pytest.raises(DataError, match="give folders of the same data"):
        read_pools([tmp_path / "one", tmp_path / "other"])
