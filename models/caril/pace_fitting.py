"""What is measured after the training of a pace network: its agent block, its errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.agent_sidecar import PaceAgentSpec
from models.calibration import calibration_errors, fit_temperature
from models.caril.dataset import Frames
from models.caril.fitting import ask_network, describe_training, fit_factor
from models.networks.pace_classes import (
    EARLIER_TICKS,
    FREE_MPS,
    LIGHTS,
    SEEN_M,
    SPEED_EDGES_MPS,
    pace_labels,
)
from models.networks.pace_network import PaceNetwork

#: A light nearer than this has to be known.
_NEAR_LIGHT_M = 30.0
#: Classes of lights that let one go, and that do not.
_RED = LIGHTS.index("red")


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceFit:
    """A pace network's agent block, and how good it is on held-out frames.

    Attributes:
        agent: For the sidecar.
        temperature: Of the speed classes.
        ece_before: Their expected calibration error at temperature 1.
        ece_after: The same at their temperature.
        frames: Number of held-out frames.
        error_mps: Mean absolute error of the regression head.
        free_error_mps: The same of an answer that nothing is in the way.
        accuracy: Share of right speed classes.
        majority_accuracy: The same for the commonest class.
        stops: Frames on which to stop or stand.
        stops_known: Share of those on which the network would stop, too; None without any.
        false_stops: Share of the others on which it would.
        reds: Frames with a red light nearer than 30 m.
        reds_known: Share of those whose light is known to be red; None without any.
        false_reds: Share of all others at which it is believed to be.
    """

    agent: PaceAgentSpec
    temperature: float
    ece_before: float
    ece_after: float
    frames: int
    error_mps: float
    free_error_mps: float
    accuracy: float
    majority_accuracy: float
    stops: int
    stops_known: float | None
    false_stops: float
    reds: int
    reds_known: float | None
    false_reds: float

    def describe(self) -> str:
        """Say in one sentence how good the network is."""
        return (
            f"validation ({self.frames} frames): the speed is off by {self.error_mps:.2f} m/s "
            f"(always free: {self.free_error_mps:.2f}), its class right in "
            f"{100 * self.accuracy:.0f} % (commonest: {100 * self.majority_accuracy:.0f} %); of "
            f"{self.stops} frames on which to stop {_percent(self.stops_known)} are known, of "
            f"{self.reds} with a red light nearer than {_NEAR_LIGHT_M:.0f} m "
            f"{_percent(self.reds_known)} (and {100 * self.false_reds:.1f} % of all else believed "
            f"to be); it would stop on {100 * self.false_stops:.1f} % of the "
            f"others; calibration error {self.ece_before:.3f} -> {self.ece_after:.3f}"
        )


class _Answers(NamedTuple):
    """Raw answers of a network, in the order of its outputs."""

    speeds: NDArray[np.float32]
    scales: NDArray[np.float32]
    logits: NDArray[np.float32]
    reasons: NDArray[np.float32]


def fit_pace(network: PaceNetwork, training: Frames, validation: Frames) -> PaceFit:
    """Measure a trained network.

    Args:
        network: In evaluation mode.
        training: Frames it was trained on.
        validation: Frames of held-out episodes, same weathers.
    """
    answers = _Answers(*ask_network(network, validation))
    labels = pace_labels(validation.others)
    temperature = fit_temperature(answers.logits, labels.speed_class)
    before, after = calibration_errors(answers.logits, labels.speed_class, temperature)
    error_mps = answers.speeds[:, 0] - labels.speed_mps
    stop = labels.speed_class == 0
    would_stop = _first_half(answers.logits / temperature)
    red = (labels.light == _RED) & (labels.stop_line * SEEN_M < _NEAR_LIGHT_M)
    seen_red = answers.reasons[:, 3:].argmax(axis=1) == _RED
    return PaceFit(
        agent=PaceAgentSpec(
            **describe_training(network.settings, training),
            variant="pace",
            earlier_ticks=EARLIER_TICKS,
            speed_edges_mps=SPEED_EDGES_MPS,
            free_mps=FREE_MPS,
            seen_m=SEEN_M,
            lights=LIGHTS,
            scale_factor=fit_factor(error_mps, np.sqrt(2.0) * answers.scales[:, 0]),
        ),
        temperature=temperature,
        ece_before=before,
        ece_after=after,
        frames=len(validation),
        error_mps=float(np.abs(error_mps).mean()),
        free_error_mps=float((FREE_MPS - labels.speed_mps).mean()),
        accuracy=float((answers.logits.argmax(axis=1) == labels.speed_class).mean()),
        majority_accuracy=float(np.bincount(labels.speed_class).max() / len(validation)),
        stops=int(stop.sum()),
        stops_known=_share(would_stop[stop]),
        false_stops=_share(would_stop[~stop]) or 0.0,
        reds=int(red.sum()),
        reds_known=_share(seen_red[red]),
        false_reds=_share(seen_red[labels.light != _RED]) or 0.0,
    )


def _first_half(logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where (N,) more than half of the probability is that of the first class."""
    rest = np.logaddexp.reduce(logits[:, 1:].astype(np.float64), axis=1)
    return np.asarray(logits[:, 0] > rest)


def _share(found: NDArray[np.bool_]) -> float | None:
    return float(found.mean()) if found.size else None


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.0f} %"
