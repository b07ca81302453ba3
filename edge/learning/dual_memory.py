"""A network with two memories beside it, which learns classes from a handful of images.

The static memory holds the features of examples; the dynamic memory those of images that were seen
since and of which the answer was sure. `edge.learning.read_out` tells how both are read. The
network itself never changes, so learning costs one run of it per example.

Online filling makes answers depend on the order of the images, and lets whoever may ask the
classifier mislead it. It is off unless the sidecar, or the caller, says otherwise.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic
from bicameral.protocols import ModelInfo
from bicameral.types import Prediction
from edge.classifier import FeatureClassifier
from edge.learning.dynamic_memory import DynamicMemory
from edge.learning.read_out import MixingWeights, mix, read_out, unit_rows
from edge.learning.state import MemoryState
from edge.sidecar import (
    SUFFIX,
    Sidecar,
    StateSpec,
    read_sidecar,
    write_sidecar,
)


class DualMemoryClassifier:
    """A `bicameral.protocols.ClassifierSession` that learns classes from examples at run time.

    Thread-safe: nothing changes after construction. What learns is a new classifier that shares the
    network with the old one.

    Attributes:
        network: The network beneath.
    """

    def __init__(self, sidecar: Sidecar, network: FeatureClassifier, state: MemoryState) -> None:
        """Join a network with what is remembered.

        Args:
            sidecar: Describes the whole; its labels are those of the state.
            network: Answers for the first of the labels, and gives the features.
            state: What is remembered.

        Raises:
            DataError: If they do not fit.
        """
        if state.labels[: len(network.info.labels)] != network.info.labels:
            raise DataError(
                f"the memory of {sidecar.name!r} knows the classes {state.labels}, expected those "
                f"of its network first: {network.info.labels}"
            )
        width = network.feature_count
        if state.width != width:
            raise DataError(
                f"the memory of {sidecar.name!r} holds features of {state.width} numbers, its "
                f"network gives {width}"
            )
        self._sidecar = sidecar
        self.network = network
        self._state = state
        self._network_macs = network.info.macs or 0

    @property
    def info(self) -> ModelInfo:
        """What it says about itself now: labels learned later come last.

        The fingerprint covers the network's and all that is remembered.
        """
        network, state = self.network.info, self.state
        decisive = [network.fingerprint, state.sha256]
        return replace(
            network,
            name=self._sidecar.name,
            version=self._sidecar.version,
            labels=state.labels,
            fingerprint=hashlib.sha256(json.dumps(decisive).encode()).hexdigest(),
            macs=self._network_macs + read_out_macs(state),
        )

    @property
    def state(self) -> MemoryState:
        """What is remembered now."""
        return self._state

    @property
    def example_counts(self) -> Mapping[str, int]:
        """How many examples each class was learned from."""
        return self._state.example_counts

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Turn decoded pictures (H, W, C) uint8 into canonical images (N, height, width, C) uint8.

        Raises:
            DataError: If a picture does not fit.
        """
        return self.network.prepare(images)

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        """Classify canonical images (N, height, width, C) uint8; N may be 0.

        Raises:
            DataError: If dtype or shape are others.
        """
        answer, features = self.network.predict_with_features(images)
        return _prediction(_answer(self._state, answer.probabilities, unit_rows(features)))

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's features (N, D) float32 of canonical images.

        Raises:
            DataError: If dtype or shape are others.
        """
        return self.network.features(images)

    def with_examples(self, images: NDArray[np.uint8], label: str) -> DualMemoryClassifier:
        """Return a classifier that also knows these examples; this one stays as it is.

        Both share the network: close one of them, when neither is used any more.

        Args:
            images: Canonical images (N, height, width, C) uint8, at least one.
            label: Their class; a new one is added.

        Raises:
            DataError: If the images do not fit, the label cannot be one, or a bound is exceeded.
        """
        if not len(images):
            raise DataError(f"there is no example of {label!r}; give at least one image")
        state = self.state.with_examples(unit_rows(self.features(images)), label)
        return type(self)(self._sidecar, self.network, state)

    def save(self, folder: Path, name: str | None = None) -> Path:
        """Write memory and sidecar beside the graph; return the sidecar's path.

        The sidecar comes last and names the memory by its content, so that a reader finds the old
        classifier or the new one.

        Args:
            folder: Where the graph lies.
            name: Name of the model; its own if not given.

        Raises:
            DataError: If the graph is not there.
        """
        state = self.state
        name = name or self._sidecar.name
        for file in self._sidecar.files:
            if not (folder / file.path).exists():
                raise DataError(
                    f"{self._sidecar.name!r} cannot be saved to {folder}: its graph {file.path} is "
                    "not there; copy it first"
                )
        path = folder / f"{name}{SUFFIX}"
        old = read_sidecar(path).state.path if path.exists() else None
        spec = StateSpec(
            kind="memory_head",
            path=f"{name}.{state.sha256[:12]}.npz",
            sha256=state.sha256,
            online=self._sidecar.state.online,
        )
        assert spec.path is not None  # noqa: S101 - it stands two lines above
        write_bytes_atomic(folder / spec.path, state.content)
        cost = self._sidecar.cost.model_copy(
            update={"macs": self._network_macs + read_out_macs(state)}
        )
        sidecar = self._sidecar.model_copy(
            update={"name": name, "labels": state.labels, "state": spec, "cost": cost}
        )
        write_sidecar(path, sidecar)
        if old is not None and old != spec.path:
            (folder / old).unlink(missing_ok=True)
        return path

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run blank batches of these sizes; they leave nothing in the memories."""
        image = self._sidecar.input.image
        for size in batch_sizes:
            blank = np.zeros((size, image.height, image.width, image.channels), np.uint8)
            # Not `self.predict`, which may learn from what it sees.
            DualMemoryClassifier.predict(self, blank)

    def close(self) -> None:
        """Release the graph; the classifier must not be used afterwards."""
        self.network.close()


class OnlineDualMemoryClassifier(DualMemoryClassifier):
    """One that fills its dynamic memory from what it sees, image by image, in their order.

    Thread-safe; images of several threads are taken one after the other. As in the authors' code,
    an image enters the memory before its own answer is read out, and what decides whether and where
    it enters is the answer without the dynamic memory, so the memory cannot confirm itself.
    """

    def __init__(self, sidecar: Sidecar, network: FeatureClassifier, state: MemoryState) -> None:
        """Begin with what is remembered; see `DualMemoryClassifier`."""
        super().__init__(sidecar, network, state)
        self._lock = threading.Lock()
        self._dynamic = DynamicMemory(state)

    @property
    def state(self) -> MemoryState:
        """What is remembered now."""
        with self._lock:
            return self._dynamic.state()

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        """Classify canonical images (N, height, width, C) uint8, and remember them; N may be 0.

        Raises:
            DataError: If dtype or shape are others.
        """
        answer, features = self.network.predict_with_features(images)
        network, features = answer.probabilities, unit_rows(features)
        state = self._state
        settings = state.settings
        beta, scale, weights = settings.beta, settings.scale, settings.weights
        static = read_out(features, state.static_slots, beta=beta, scale=scale)
        without = MixingWeights(network=weights.network, static=weights.static, dynamic=0.0)
        judged = mix(network, static, None, without)
        dynamic = np.empty_like(static)
        with self._lock:
            for row in range(len(images)):
                feature = features[row : row + 1]
                self._dynamic.offer(feature[0], judged[row])
                dynamic[row] = self._dynamic.read(feature)[0]
        return _prediction(mix(network, static, dynamic, weights))


def network_sidecar(sidecar: Sidecar, state: MemoryState) -> Sidecar:
    """Describe the network alone, whose classes are the first ones of the whole."""
    found = [output for output in sidecar.outputs if output.meaning in ("logits", "probabilities")]
    known = found[0].shape[-1] if found else 0
    cost = sidecar.cost.model_copy(update={"macs": sidecar.cost.macs - read_out_macs(state)})
    return sidecar.model_copy(
        update={"labels": sidecar.labels[:known], "state": StateSpec(), "cost": cost}
    )


def read_out_macs(state: MemoryState) -> int:
    """Return the multiply-accumulates of reading both memories for one image."""
    slots = 2 * len(state.static) + len(state.dynamic)
    # Similarity, weighted sum and score.
    return state.width * (2 * slots + 2 * len(state.labels))


def _answer(
    state: MemoryState, network: NDArray[np.float32], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Mix the network's probabilities with what the memories say about unit features."""
    settings = state.settings
    beta, scale = settings.beta, settings.scale
    static = read_out(features, state.static_slots, beta=beta, scale=scale)
    dynamic = None  # where nothing was seen, it would only be the static memory once more
    if len(state.dynamic):
        dynamic = read_out(features, state.dynamic_slots, beta=beta, scale=scale)
    return mix(network, static, dynamic, settings.weights)


def _prediction(mixed: NDArray[np.float64]) -> Prediction:
    probabilities = mixed.astype(np.float32)
    return Prediction(
        probabilities=probabilities, confidence=probabilities.max(axis=-1, initial=0.0)
    )
