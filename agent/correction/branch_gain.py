"""How often each branch of the paper's rule is taken on recorded frames, and what it gains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.correction.paper import AGREE, CLASS, JITTER, LOST, PaperRule
from edge.probabilities import softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchGain:
    """One branch over a set of frames.

    Attributes:
        frames: Frames in which the branch was taken.
        share: The same as a share of all frames.
        error_before: Mean absolute error of the regression head in these frames, raw steer; None
            if there are none.
        error_after: The same after the correction.
    """

    frames: int
    share: float
    error_before: float | None
    error_after: float | None


def measure_branches(
    rule: PaperRule,
    steer: NDArray[np.floating],
    logits: NDArray[np.floating],
    label: NDArray[np.floating],
) -> dict[str, BranchGain]:
    """Apply the rule to recorded answers.

    Args:
        rule: The paper's rule for this network.
        steer: (N,) regression head, raw steer.
        logits: (N, K) classification head.
        label: (N,) the expert's raw steer.

    Returns:
        Every branch by name, in the order of the rule.
    """
    rng = np.random.default_rng(0)
    probabilities = softmax(logits)
    answers = [
        rule.correct(float(value), row, rng)
        for value, row in zip(steer, probabilities, strict=True)
    ]
    corrected = np.array([answer[0] for answer in answers])
    taken = np.array([answer[1] for answer in answers], dtype=str)
    before, after = np.abs(steer - label), np.abs(corrected - label)
    gains: dict[str, BranchGain] = {}
    for branch in (AGREE, CLASS, LOST, JITTER):
        here = taken == branch
        count = int(here.sum())
        gains[branch] = BranchGain(
            frames=count,
            share=count / max(len(answers), 1),
            error_before=float(before[here].mean()) if count else None,
            error_after=float(after[here].mean()) if count else None,
        )
    return gains
