"""One network as a classifier: canonical images in, calibrated probabilities out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ModelInfo, Session, TensorSpec
from bicameral.types import Prediction
from edge.preprocessing import canonical_from_picture, feed_from_canonical
from edge.probabilities import calibrated_probabilities, confidence
from edge.sidecar import OutputSpec, Sidecar
from edge.whole_graph import CANONICAL, PROBABILITIES

_UINT8 = np.dtype(np.uint8)


class OnnxClassifier:
    """`bicameral.protocols.ClassifierSession` for one graph and its sidecar of kind ``classifier``.

    Thread-safe: nothing changes after construction, and a session may run in several threads.
    """

    #: A session of the network's `edge.whole_graph.whole_graph`, which `predict` then runs.
    whole: Session | None = None

    def __init__(self, sidecar: Sidecar, session: Session) -> None:
        """Join a sidecar with a session of its graph.

        Raises:
            DataError: If the sidecar is of another kind, or the graph is not what it describes.
        """
        self._answer = _answer_output(sidecar)
        _require_input(sidecar, session)
        _require_outputs(sidecar, session)
        self._sidecar = sidecar
        self._session = session
        self._input, image = sidecar.input, sidecar.input.image
        self._shape = (image.height, image.width, image.channels)
        self._temperature = sidecar.calibration.temperature
        self.info = ModelInfo(
            name=sidecar.name,
            version=sidecar.version,
            labels=sidecar.labels,
            image=image,
            fingerprint=_fingerprint(sidecar, session),
            macs=sidecar.cost.macs or None,
        )

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Turn decoded pictures (H, W, C) uint8 into canonical images (N, height, width, C) uint8.

        The pictures may differ in size.

        Raises:
            DataError: If dtype or channels of a picture do not fit, or it is smaller than the crop.
        """
        canonical = np.empty((len(images), *self._shape), np.uint8)
        for row, picture in zip(canonical, images, strict=True):
            row[...] = canonical_from_picture(picture, self._input.image)
        return canonical

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        """Classify canonical images (N, height, width, C) uint8; N may be 0.

        Raises:
            DataError: If dtype or shape are others.
        """
        if self.whole is None or not len(images):
            return self._prediction(self._run(images)[self._answer.name])
        require_canonical(images, self._shape, self._sidecar.name)
        answer = self.whole.run({CANONICAL: images})[PROBABILITIES]
        return Prediction(probabilities=answer, confidence=confidence(answer))

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run blank batches of these sizes, so that the first real one is not the slow one."""
        for size in batch_sizes:
            self.predict(np.zeros((size, *self._shape), np.uint8))

    def close(self) -> None:
        """Release the graphs; the classifier must not be used afterwards."""
        self._session.close()
        if self.whole is not None:
            self.whole.close()

    def _run(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run the graph once; return its outputs by name."""
        require_canonical(images, self._shape, self._sidecar.name)
        if not len(images):
            outputs = self._sidecar.outputs
            return {one.name: np.empty((0, *one.shape[1:]), np.float32) for one in outputs}
        feed = feed_from_canonical(images, self._input)
        return self._session.run({self._input.name: feed})

    def _prediction(self, answer: NDArray[np.float32]) -> Prediction:
        """Calibrate what the graph answers."""
        if answer.ndim != 2:
            answer = answer.reshape(len(answer), -1)
        if self._answer.meaning == "logits":
            answer = calibrated_probabilities(answer, self._temperature)
        return Prediction(probabilities=answer, confidence=confidence(answer))


class FeatureClassifier(OnnxClassifier):
    """An `OnnxClassifier` that shows its penultimate features."""

    def __init__(self, sidecar: Sidecar, session: Session) -> None:
        """Join a sidecar that has an output of meaning ``features`` with a session of its graph.

        Raises:
            DataError: If there is not exactly one such output, or as `OnnxClassifier`.
        """
        super().__init__(sidecar, session)
        found = [output for output in sidecar.outputs if output.meaning == "features"]
        if len(found) != 1 or len(found[0].shape) != 2 or found[0].shape[1] < 1:
            raise DataError(
                f"{sidecar.name!r} has outputs {[(one.name, one.shape) for one in found]} of "
                "meaning 'features', expected exactly one of shape (-1, D)"
            )
        self._features = found[0]

    @property
    def feature_count(self) -> int:
        """Number of features of an image."""
        return self._features.shape[1]

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return features (N, D) float32 of canonical images (N, height, width, C) uint8.

        Raises:
            DataError: If dtype or shape are others.
        """
        return self._run(images)[self._features.name]

    def predict_with_features(
        self, images: NDArray[np.uint8]
    ) -> tuple[Prediction, NDArray[np.float32]]:
        """Return what `predict` and `features` return, of a single run.

        Raises:
            DataError: If dtype or shape are others.
        """
        values = self._run(images)
        answer, features = values[self._answer.name], values[self._features.name]
        return self._prediction(answer), features


def require_canonical(
    images: NDArray[np.uint8], shape: tuple[int, int, int], classifier: str
) -> None:
    """Refuse everything but canonical images.

    Args:
        images: What was given.
        shape: Height, width and channels of a canonical image.
        classifier: How the message calls the classifier.

    Raises:
        DataError: If it is no (N, height, width, channels) uint8 array.
    """
    if (
        not isinstance(images, np.ndarray)
        or (images.dtype is not _UINT8 and images.dtype != _UINT8)
        or images.ndim != 4
        or images.shape[1:] != shape
    ):
        got = (
            f"shape {images.shape} and dtype {images.dtype}"
            if isinstance(images, np.ndarray)
            else f"a {type(images).__name__}"
        )
        raise DataError(
            f"{classifier!r} got {got}, expected canonical images of shape "
            f"(N, {', '.join(map(str, shape))}) and dtype uint8; prepare() makes them"
        )


def _answer_output(sidecar: Sidecar) -> OutputSpec:
    """Return the output that holds logits or probabilities."""
    if sidecar.kind != "classifier":
        raise DataError(f"model {sidecar.name!r} is of kind {sidecar.kind!r}, not a classifier")
    if sidecar.state.kind != "none":
        raise DataError(
            f"model {sidecar.name!r} has a memory beside its graph, which alone is only a part of "
            "it; edge.loading.load_classifier loads the whole"
        )
    found = [output for output in sidecar.outputs if output.meaning in ("logits", "probabilities")]
    classes = len(sidecar.labels)
    # Networks that end in a pooling give (-1, C, 1, 1).
    if len(found) != 1 or [size for size in found[0].shape[1:] if size != 1] != [classes]:
        raise DataError(
            f"{sidecar.name!r} has outputs {[(one.name, one.shape) for one in found]} of meaning "
            f"'logits' or 'probabilities', expected exactly one of shape (-1, {classes}) for its "
            f"{classes} labels"
        )
    temperature = sidecar.calibration.temperature
    if found[0].meaning == "probabilities" and temperature != 1.0:
        raise DataError(
            f"{sidecar.name!r} has temperature {temperature} but its graph ends in probabilities; "
            "a temperature divides logits: export the graph without its softmax"
        )
    return found[0]


def _require_input(sidecar: Sidecar, session: Session) -> None:
    """Check that the graph takes one image tensor, and the one that the sidecar describes."""
    spec, image = sidecar.input, sidecar.input.image
    size, dtype = (image.height, image.width), "UINT8" if spec.in_graph else "FP32"
    expected = TensorSpec(
        name=spec.name,
        dtype="uint8" if spec.in_graph else "float32",
        shape=(-1, image.channels, *size) if spec.layout == "NCHW" else (-1, *size, image.channels),
    )
    if spec.dtype != dtype or sidecar.extra_inputs:
        raise DataError(
            f"{sidecar.name!r} takes {spec.dtype} {spec.layout} and "
            f"{len(sidecar.extra_inputs)} extra inputs, expected {dtype} alone where in_graph is "
            f"{str(spec.in_graph).lower()}"
        )
    found = [(one.name, one.dtype) for one in session.inputs]
    if found != [(expected.name, expected.dtype)] or not _same_shape(
        session.inputs[0].shape, expected.shape
    ):
        raise DataError(
            f"the graph of {sidecar.name!r} takes {_described(session.inputs)}, its sidecar says "
            f"{_described((expected,))}"
        )


def _require_outputs(sidecar: Sidecar, session: Session) -> None:
    """Check that the graph has the sidecar's outputs, as float32 and of the sidecar's shapes."""
    found = {spec.name: spec for spec in session.outputs}
    for output in sidecar.outputs:
        spec = found.get(output.name)
        if spec is None or spec.dtype != "float32" or not _same_shape(spec.shape, output.shape):
            raise DataError(
                f"the graph of {sidecar.name!r} gives {_described(session.outputs)}, its sidecar "
                f"says {(output.name, 'float32', output.shape)}"
            )


def _same_shape(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Compare shapes; -1 fits any size, for a graph may leave open what a sidecar knows."""
    return len(found) == len(expected) and all(
        one == other or -1 in (one, other) for one, other in zip(found, expected, strict=True)
    )


def _described(specs: Sequence[TensorSpec]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(spec.name, spec.dtype, spec.shape) for spec in specs]


def _fingerprint(sidecar: Sidecar, session: Session) -> str:
    decisive = {
        "graph": session.fingerprint,
        "input": sidecar.input.model_dump(mode="json"),
        "outputs": [output.model_dump(mode="json") for output in sidecar.outputs],
        "labels": sidecar.labels,
        "temperature": sidecar.calibration.temperature,
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
