"""A cascade as it is deployed, with the single network that it is to replace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession
from edge.cascade import CascadeClassifier, same_canonical_image
from edge.loading import load_classifier
from edge.memory.settings import MemorySettings
from edge.shipped import resolve_model
from edge.sidecar import SUFFIX, Sidecar, read_sidecar, sidecar_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A cascade and its reference.

    Attributes:
        cascade: The cascade, without a memory.
        reference: The large single network.
        memory: The memory that the cascade's sidecar describes; the default one if it has none.
        has_memory: Whether the sidecar describes one.
        sidecar: The cascade's sidecar.
    """

    cascade: CascadeClassifier
    reference: ClassifierSession
    memory: MemorySettings
    has_memory: bool
    sidecar: Sidecar

    def close(self) -> None:
        """Close the networks."""
        self.cascade.close()
        self.reference.close()


def load_deployed(model: str | Path) -> Deployed:
    """Load a cascade, and as its reference the costliest network beside it that answers the same.

    With none but its own members there, that is the largest member.

    Args:
        model: Name of a shipped cascade, or path of its sidecar.

    Raises:
        DataError: If a file is absent or damaged, or the model is no cascade.
        UserError: If the name is not that of a shipped model.
    """
    path = sidecar_path(resolve_model(model))
    sidecar = read_sidecar(path)
    cascade = load_classifier(path, memory="none")
    if (
        not isinstance(cascade, CascadeClassifier)
        or sidecar.cascade is None
        or sidecar.cascade.early_exit
    ):
        raise DataError(
            f"{path} describes no cascade of whole networks, but a model of kind {sidecar.kind!r}"
        )
    beside = {found: read_sidecar(found) for found in sorted(path.parent.glob(f"*{SUFFIX}"))}
    networks = {
        found: one.cost.macs
        for found, one in beside.items()
        if (one.kind, one.labels) == ("classifier", sidecar.labels)
        and same_canonical_image(one.input.image, sidecar.input.image)
    }
    spec = sidecar.cascade.memory
    return Deployed(
        cascade=cascade,
        reference=load_classifier(max(networks, key=networks.__getitem__), memory="none"),
        memory=MemorySettings(**({} if spec is None else spec.model_dump())),
        has_memory=spec is not None,
        sidecar=sidecar,
    )
