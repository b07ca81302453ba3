"""A classifier that answers after each of its stages, and computes no more than it is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import Session, TensorSpec
from bicameral.types import Prediction
from edge.classifier import FeatureClassifier, require_canonical
from edge.preprocessing import feed_from_canonical
from edge.probabilities import calibrated_probabilities, confidence
from edge.sidecar import Sidecar

#: What a stage takes from the one before, what it answers with, and what it hands on.
CARRIED = "carried"
STAGE_LOGITS = "logits"
CARRIED_ON = "carried_on"


class StagedClassifier(FeatureClassifier):
    """A `FeatureClassifier` that answers at any time, better with every stage.

    `predict` runs the whole graph, which is all stages at once; `predict_stages` and `advance` run
    one graph per stage, so that a stage that nobody asks for costs nothing.
    """

    def __init__(self, sidecar: Sidecar, session: Session, stages: Sequence[Session]) -> None:
        """Join a sidecar that has stages with sessions of the whole graph and of each stage.

        Raises:
            DataError: If they do not fit each other, or as `FeatureClassifier`.
        """
        super().__init__(sidecar, session)
        if not stages or len(stages) != len(sidecar.stages):
            raise DataError(
                f"{sidecar.name!r} describes {len(sidecar.stages)} stages and has {len(stages)} "
                "graphs for them, expected the same number and at least one"
            )
        whole = next(spec for spec in session.inputs if spec.name == sidecar.input.name)
        for number, stage in enumerate(stages, start=1):
            _require_stage(sidecar, number, stage, whole)
        self._stages = tuple(stages)
        self._temperatures = tuple(stage.temperature for stage in sidecar.stages)
        decisive = [stage.model_dump(include={"sha256", "temperature"}) for stage in sidecar.stages]
        text = json.dumps([self.info.fingerprint, decisive], sort_keys=True)
        self.info = replace(self.info, fingerprint=hashlib.sha256(text.encode()).hexdigest())

    @property
    def stages(self) -> int:
        """How many stages there are."""
        return len(self._stages)

    @property
    def stage_macs(self) -> tuple[int, ...]:
        """Multiply-accumulates of each stage for one image."""
        return tuple(stage.macs for stage in self._sidecar.stages)

    def predict_stages(self, images: NDArray[np.uint8]) -> Iterator[Prediction]:
        """Yield one prediction after each stage; what is not fetched is not computed.

        Args:
            images: Canonical images (N, height, width, C) uint8; N may be 0.

        Raises:
            DataError: If dtype or shape are others.
        """
        for probabilities in self.run_stages(images):
            yield Prediction(probabilities=probabilities, confidence=confidence(probabilities))

    def run_stages(
        self, images: NDArray[np.uint8]
    ) -> Generator[NDArray[np.float32], NDArray[np.int64] | None, None]:
        """Yield calibrated probabilities (N, C) float32 after each stage.

        Sent are the indices of the images that go on, or None for all of them.

        Args:
            images: Canonical images (N, height, width, C) uint8; N may be 0.

        Raises:
            DataError: If dtype or shape are others.
        """
        require_canonical(images, self._shape, self.info.name)
        feeds = {self._input.name: feed_from_canonical(images, self._input)}
        for stage, temperature in zip(self._stages, self._temperatures, strict=True):
            if not len(images):
                yield np.empty((0, len(self.info.labels)), np.float32)
                continue
            found = stage.run(feeds)
            feeds[CARRIED] = found[CARRIED_ON]
            left = yield calibrated_probabilities(found[STAGE_LOGITS], temperature)
            if left is not None:
                feeds = {name: values[left] for name, values in feeds.items()}

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run blank batches of these sizes through the whole graph and through each stage."""
        super().warm_up(batch_sizes)
        for size in batch_sizes:
            for _ in self.predict_stages(np.zeros((size, *self._shape), np.uint8)):
                pass

    def close(self) -> None:
        """Release all graphs; the classifier must not be used afterwards."""
        super().close()
        for stage in self._stages:
            stage.close()


def _require_stage(sidecar: Sidecar, number: int, session: Session, image: TensorSpec) -> None:
    """Check the inputs and outputs of one stage's graph."""
    taken = {spec.name: spec for spec in session.inputs}
    given = {spec.name: spec for spec in session.outputs}
    wanted = {image.name} if number == 1 else {image.name, CARRIED}
    logits = given.get(STAGE_LOGITS)
    if (
        set(taken) != wanted
        or taken[image.name] != image
        or set(given) != {STAGE_LOGITS, CARRIED_ON}
        or logits is None
        or logits.shape != (-1, len(sidecar.labels))
    ):
        raise DataError(
            f"stage {number} of {sidecar.name!r} takes {session.inputs} and gives "
            f"{session.outputs}, expected {sorted(wanted)} with the image as {image.shape}, and "
            f"{STAGE_LOGITS!r} (-1, {len(sidecar.labels)}) and {CARRIED_ON!r}"
        )
