"""A correction on recorded pictures: who would have steered, and how far off.

For choosing thresholds on validation data. It says nothing about driving: the pictures are those
that another driver caused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.correction.protocol import Correction, CorrectionRule, Opinions
from bicameral.types import RoadOption
from edge.dual_head import DualHeadModel

#: An error of the steering beyond this is a large one (raw steer).
LARGE_ERROR = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFrame:
    """One recorded tick.

    Attributes:
        picture: (H, W, 3) uint8 RGB, the camera's picture.
        speed_mps: Forward speed.
        command: Navigation command.
        steer: The expert's raw steer.
    """

    picture: NDArray[np.uint8]
    speed_mps: float
    command: RoadOption
    steer: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayScore:
    """A correction over recorded frames.

    Attributes:
        frames: Number of frames.
        error: Mean absolute error of the corrected steering.
        error_a: The same for network A alone.
        error_b: The same for network B alone; None without one.
        asked_a: Share of the frames in which the rule asked A.
        asked_b: Share of the frames in which the rule asked B.
        branches: Share of each branch that was taken.
        detection_confidence: Area under the ROC curve of A's confidence as a detector of A's large
            errors; None if A makes none, or only such.
        detection_disagreement: The same for the difference between A's and B's steering.
    """

    frames: int
    error: float
    error_a: float
    error_b: float | None
    asked_a: float
    asked_b: float
    branches: dict[str, float]
    detection_confidence: float | None
    detection_disagreement: float | None


def replay_correction(
    rule: CorrectionRule,
    models: tuple[DualHeadModel, DualHeadModel | None],
    episodes: Iterable[Iterable[RecordedFrame]],
    *,
    seed: int = 0,
) -> ReplayScore:
    """Run a correction over recorded episodes, then ask both networks about every frame.

    Args:
        rule: The correction.
        models: Network A, and network B or None.
        episodes: Each the frames of one episode, in order.
        seed: Of the rule.

    Raises:
        ValueError: If there are no frames.
    """
    corrections: list[Correction] = []
    asked: list[tuple[bool, bool]] = []
    rows: list[tuple[float, float, float, float]] = []
    for number, episode in enumerate(episodes):
        rule.begin(seed + number)
        for frame in episode:
            opinions = Opinions(models, frame.picture, frame.speed_mps, frame.command)
            corrections.append(rule.correct(opinions))
            asked.append((opinions.asked_a, opinions.asked_b))
            a = opinions.ask_a()
            steer_b = np.nan if models[1] is None else opinions.ask_b().steer
            rows.append((frame.steer, a.steer, steer_b, float(a.probabilities.max())))
    if not rows:
        raise ValueError("no recorded frames to replay")
    return _score(corrections, np.array(asked), np.array(rows), both=models[1] is not None)


def _score(
    corrections: Sequence[Correction],
    asked: NDArray[np.bool_],
    rows: NDArray[np.float64],
    *,
    both: bool,
) -> ReplayScore:
    label, steer_a, steer_b, confidence_a = rows.T
    steer = np.array([correction.steer for correction in corrections])
    counts = Counter(correction.branch for correction in corrections)
    large = np.abs(steer_a - label) > LARGE_ERROR
    return ReplayScore(
        frames=len(label),
        error=float(np.abs(steer - label).mean()),
        error_a=float(np.abs(steer_a - label).mean()),
        error_b=float(np.abs(steer_b - label).mean()) if both else None,
        asked_a=float(asked[:, 0].mean()),
        asked_b=float(asked[:, 1].mean()),
        branches={name: count / len(label) for name, count in sorted(counts.items())},
        detection_confidence=area_under_roc(-confidence_a, large),
        detection_disagreement=area_under_roc(np.abs(steer_a - steer_b), large) if both else None,
    )


def area_under_roc(score: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Return the probability that a positive scores above a negative; ties count half.

    Args:
        score: (N,) high = suspected positive.
        positive: (N,) the truth.

    Returns:
        0..1, or None if one of the two kinds is missing.
    """
    count = int(positive.sum())
    if count in (0, positive.size):
        return None
    _, inverse, sizes = np.unique(score, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    mean_rank = (ends - sizes + 1 + ends) / 2.0
    rank_sum = float(mean_rank[inverse][positive].sum())
    return (rank_sum - count * (count + 1) / 2.0) / (count * (positive.size - count))
