"""A cascade as it is deployed, with the single network that it is to replace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession
from edge.cascade import CascadeClassifier, same_canonical_image
from edge.loading import load_classifier
from edge.memory.registry import settings_from_spec
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


def load_deployed(model: str | Path, reference: str | Path | None = None) -> Deployed:
    """Load a cascade and its reference.

    Args:
        model: Name of a shipped cascade, or path of its sidecar.
        reference: Name or path of a classifier; None: the network with the most
            multiply-accumulates among those beside the cascade that answer the same question. With
            none but its own members there, that is the larger member.

    Raises:
        DataError: If a file is absent or damaged, the model is no cascade, or the reference answers
            another question.
        UserError: If a name is not that of a shipped model.
    """
    path = sidecar_path(resolve_model(model))
    sidecar = read_sidecar(path)
    cascade = load_classifier(path, memory="none")
    if not isinstance(cascade, CascadeClassifier) or sidecar.cascade is None:
        raise DataError(
            f"{path} describes a model of kind {sidecar.kind!r}, expected a cascade of two networks"
        )
    network = load_classifier(
        reference_beside(path, sidecar) if reference is None else reference, memory="none"
    )
    found, expected = network.info, cascade.info
    if found.labels != expected.labels or not same_canonical_image(found.image, expected.image):
        raise DataError(
            f"{found.name!r} cannot be the reference of {expected.name!r}: its labels are "
            f"{found.labels} and its image {found.image}, expected {expected.labels} and "
            f"{expected.image} but for scale, mean and std"
        )
    spec = sidecar.cascade.memory
    return Deployed(
        cascade=cascade,
        reference=network,
        memory=MemorySettings() if spec is None else settings_from_spec(spec),
        has_memory=spec is not None,
        sidecar=sidecar,
    )


def reference_beside(path: Path, cascade: Sidecar) -> Path:
    """Return the sidecar of the costliest network of the same task in a cascade's folder."""
    networks = {
        found: sidecar.cost.macs
        for found in sorted(path.parent.glob(f"*{SUFFIX}"))
        if (sidecar := read_sidecar(found)).kind == "classifier"
        and sidecar.labels == cascade.labels
        and same_canonical_image(sidecar.input.image, cascade.input.image)
    }
    return max(networks, key=lambda found: networks[found])
