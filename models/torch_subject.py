"""A checkpoint of a training as a subject of a comparison: torch answers, not its export."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bicameral.errors import DataError
from bicameral.protocols import TensorSpec
from edge.session import GraphSession
from edge.shipped import resolve_model
from edge.sidecar import Sidecar, read_sidecar
from edge.subject import GraphSubject
from models.caril.training import load_network as load_driver
from models.classifiers.training import load_network as load_classifier


class TorchSession(GraphSession):
    """A torch network."""

    def __init__(self, network: nn.Module, sidecar: Sidecar, fingerprint: str) -> None:
        """Join a network in evaluation mode with the sidecar of its export."""
        extras = [(one.name, one.shape) for one in sidecar.extra_inputs]
        named = [(sidecar.input.name, sidecar.input.shape), *extras]
        shapes = {one.name: one.shape for one in sidecar.outputs}
        super().__init__(
            [TensorSpec(name=name, dtype="float32", shape=shape) for name, shape in named],
            [TensorSpec(name=name, dtype="float32", shape=shapes[name]) for name in shapes],
            fingerprint,
        )
        self._network = network

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs for one batch."""
        with torch.inference_mode():
            arrays = (np.ascontiguousarray(feeds[one.name]) for one in self.inputs)
            values = self._network(*map(torch.from_numpy, arrays))
        names = [one.name for one in self.outputs]
        return {name: value.numpy() for name, value in zip(names, values, strict=True)}

    def close(self) -> None:
        """Nothing to release."""


def load_checkpoint_subject(checkpoint: Path) -> GraphSubject:
    """Load the network of a finished training, with the sidecar that its export wrote beside it.

    Raises:
        DataError: If the checkpoint is damaged, or there is no sidecar beside it.
    """
    sidecar = read_sidecar(resolve_model(checkpoint.parent))
    if sidecar.input.in_graph:
        raise DataError(f"the sidecar beside {checkpoint} is not that of its training's export")
    folder = checkpoint.parent
    network = load_driver(checkpoint) if sidecar.agent else load_classifier(folder)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    return GraphSubject(
        title=f"{sidecar.name} (fp32, torch)",
        precision="fp32",
        sidecar=sidecar,
        session=TorchSession(network, sidecar, digest),
    )
