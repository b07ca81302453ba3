"""A classifier that answers after each of its stages, and computes no more than it is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import Session, TensorSpec
from bicameral.types import Prediction
from edge.classifier import FeatureClassifier, require_canonical
from edge.preprocessing import feed_from_canonical
from edge.probabilities import calibrated_probabilities
from edge.sidecar import Sidecar

#: What a stage takes from the one before, what it answers with, and what it hands on.
CARRIED = "carried"
STAGE_LOGITS = "logits"
CARRIED_ON = "carried_on"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """Where the computation of N images stands.

    Attributes:
        done: Stages that were computed.
        feed: (N, ...) what the graphs take as the image.
        carried: (N, ...) float32, what the last stage handed on; None before the first.
    """

    done: int
    feed: NDArray[Any]
    carried: NDArray[np.float32] | None

    def rows(self, index: NDArray[np.integer]) -> StageState:
        """Return the state of some of the images."""
        carried = None if self.carried is None else self.carried[index]
        return StageState(done=self.done, feed=self.feed[index], carried=carried)


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
        state = self.begin(images)
        for _ in self._stages:
            probabilities, state = self.advance(state)
            confidence = np.maximum.reduce(probabilities, axis=-1)
            yield Prediction(probabilities=probabilities, confidence=confidence)

    def begin(self, images: NDArray[np.uint8]) -> StageState:
        """Return the state of canonical images (N, height, width, C) uint8 before the first stage.

        Raises:
            DataError: If dtype or shape are others.
        """
        require_canonical(images, self._shape, self.info.name)
        return StageState(done=0, feed=feed_from_canonical(images, self._input), carried=None)

    def advance(self, state: StageState) -> tuple[NDArray[np.float32], StageState]:
        """Compute the next stage.

        Args:
            state: With a stage left to compute.

        Returns:
            Calibrated probabilities (N, C) float32, and the state after this stage.
        """
        stage = state.done
        if not len(state.feed):
            nothing = np.empty((0, len(self.info.labels)), np.float32)
            return nothing, StageState(done=stage + 1, feed=state.feed, carried=nothing)
        feeds = {self._input.name: state.feed}
        if state.carried is not None:
            feeds[CARRIED] = state.carried
        found = self._stages[stage].run(feeds)
        after = StageState(done=stage + 1, feed=state.feed, carried=found[CARRIED_ON])
        return calibrated_probabilities(found[STAGE_LOGITS], self._temperatures[stage]), after

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
