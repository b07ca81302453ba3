"""A cascade is loaded with the reference that belongs to it, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.memory.settings import MemorySettings
from models.cascade.deployed import load_deployed
from models.data.dataset import ImageDataset, LabelledImages
from models.data.task import dataset_options, require_same_task

pytestmark = pytest.mark.unit

Writer = Callable[..., Path]


@pytest.fixture
def write_pair(tmp_path: Path, write_pair: Writer, write_classifier: Writer) -> Callable[..., Path]:
    """Write a cascade of `a` (100 MACs) and `b` (300 MACs); keywords go to its block."""

    def write(**cascade: Any) -> Path:
        path = write_pair(tmp_path, member={"cost": {"macs": 100}}, **cascade)
        write_classifier(tmp_path, "b", seed=5, cost={"macs": 300})
        return path

    return write


def test_the_reference_is_the_costliest_network_of_the_same_task_beside_it(
    tmp_path: Path, write_pair: Writer, write_classifier: Writer
) -> None:
    write_classifier(tmp_path, "large", seed=1, cost={"macs": 9000})
    write_classifier(tmp_path, "larger", seed=2, cost={"macs": 9_900}, image={"invert": True})
    deployed = load_deployed(write_pair(memory={"max_entries": 7}))
    assert deployed.reference.info.name == "large"
    assert deployed.cascade.memory is None
    assert deployed.has_memory
    assert (deployed.memory.key, deployed.memory.max_entries) == ("exact", 7)


def test_with_its_members_alone_the_larger_one_is_the_reference(write_pair: Writer) -> None:
    assert load_deployed(write_pair()).reference.info.name == "b"


def test_a_cascade_without_a_memory_is_measured_with_the_default_one(write_pair: Writer) -> None:
    deployed = load_deployed(write_pair())
    assert not deployed.has_memory
    assert deployed.memory == MemorySettings()


def test_a_single_network_is_refused(tmp_path: Path, write_classifier: Writer) -> None:
    with pytest.raises(DataError, match="no cascade of whole networks"):
        load_deployed(write_classifier(tmp_path, "single"))


def test_pictures_of_a_folder_become_images_of_the_cascades_size(write_pair: Writer) -> None:
    options = dataset_options(load_deployed(write_pair()).cascade)
    assert (options.image_size, options.color) == ((8, 8), "GRAY")


def test_images_or_classes_of_another_task_are_refused(
    write_pair: Writer, pictures: np.ndarray
) -> None:
    deployed = load_deployed(write_pair())

    def dataset(images: np.ndarray, labels: tuple[str, ...]) -> ImageDataset:
        part = LabelledImages(images=images, labels=np.arange(len(images)) % len(labels))
        return ImageDataset(
            name="pictures",
            labels=labels,
            color="GRAY",
            train=part,
            validation=part,
            test=part,
            mirror_allowed=False,
        )

    require_same_task(deployed.cascade, dataset(pictures, deployed.cascade.info.labels))
    with pytest.raises(DataError, match="'pair' expects"):
        require_same_task(deployed.cascade, dataset(pictures, ("cat", "dog")))
    smaller = np.ascontiguousarray(pictures[:, :6])
    with pytest.raises(DataError, match=r"images of \(6, 8, 1\)"):
        require_same_task(deployed.cascade, dataset(smaller, deployed.cascade.info.labels))
