"""Networks of finished trainings, for what looks inside of them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from bicameral.errors import DataError
from edge.sidecar import Sidecar, read_sidecar
from edge.subject import find_model
from models.checkpoint import read_checkpoint
from models.classifiers.architectures import build_network
from models.classifiers.dataset import ImageDataset
from models.classifiers.training import image_shape, load_network

Network = TypeVar("Network", bound=nn.Module)


def load_trained(checkpoint: Path, kind: type[Network], dataset: ImageDataset) -> Network:
    """Load a network of the given class, in evaluation mode.

    Args:
        checkpoint: ``checkpoint.pt`` of a finished training, the exported model beside it.
        kind: What it must be.
        dataset: What it must have been trained on.

    Raises:
        DataError: If the checkpoint is damaged, of another network, or of other data.
    """
    _sidecar(checkpoint, dataset)
    return _of_kind(load_network(checkpoint.parent), kind, checkpoint)


def untrained_twin(checkpoint: Path, kind: type[Network], dataset: ImageDataset) -> Network:
    """Build a network as the training of a checkpoint began with it, from the same seed.

    Raises:
        DataError: As `load_trained`.
    """
    sidecar = _sidecar(checkpoint, dataset)
    architecture = read_checkpoint(checkpoint).settings["architecture"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sidecar.training.seed)
        network = build_network(architecture, image_shape(dataset))
    return _of_kind(network.eval(), kind, checkpoint)


def _sidecar(checkpoint: Path, dataset: ImageDataset) -> Sidecar:
    sidecar = read_sidecar(find_model(checkpoint.parent))
    trained_on = sidecar.training.data
    if trained_on.sha256 != dataset.fingerprint:
        raise DataError(
            f"{checkpoint} was trained on {trained_on.name!r} with the fingerprint "
            f"{trained_on.sha256}, and {dataset.name!r} has {dataset.fingerprint}"
        )
    return sidecar


def _of_kind(network: nn.Module, kind: type[Network], checkpoint: Path) -> Network:
    if not isinstance(network, kind):
        raise DataError(
            f"{checkpoint} holds a {type(network).__name__}, expected a {kind.__name__}"
        )
    return network
