"""Properties that hold for every distribution and every steering value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from agent.correction.paper import AGREE, CLASS, JITTER, LOST, PaperRule
from edge.probabilities import confidence_from_probabilities, softmax

pytestmark = pytest.mark.property

RULE = PaperRule(bin_edges=tuple(float(edge) for edge in np.linspace(-0.25, 0.25, 12)), scale=4.0)
LOGITS = hnp.arrays(np.float32, 11, elements=st.floats(-30, 30, width=32))
STEER = st.floats(-2, 2)


@settings(deadline=None)
@given(LOGITS, st.floats(0.1, 10.0))
def test_probabilities_sum_to_one_and_keep_their_order(
    logits: NDArray[np.float32], temperature: float
) -> None:
    probabilities = softmax(logits, temperature)
    assert probabilities.sum() == pytest.approx(1.0)
    assert probabilities[logits.argmax()] == probabilities.max()


@settings(deadline=None)
@given(LOGITS)
def test_confidence_lies_within_its_bounds(logits: NDArray[np.float32]) -> None:
    confidence = confidence_from_probabilities(softmax(logits))
    assert 1 / 11 - 1e-12 <= confidence.max_probability <= 1.0
    assert 0.0 <= confidence.entropy <= math.log(11)


@settings(deadline=None)
@given(LOGITS)
def test_a_higher_temperature_never_makes_it_surer(logits: NDArray[np.float32]) -> None:
    sure = [confidence_from_probabilities(softmax(logits, t)) for t in (0.5, 1.0, 2.0)]
    assert sure[0].max_probability >= sure[1].max_probability - 1e-12
    assert sure[1].max_probability >= sure[2].max_probability - 1e-12


@settings(deadline=None)
@given(STEER, LOGITS, st.integers(0, 2**32 - 1))
def test_the_papers_rule_always_takes_one_branch_and_repeats(
    steer: float, logits: NDArray[np.float32], seed: int
) -> None:
    probabilities = softmax(logits)
    first = RULE.correct(steer, probabilities, np.random.default_rng(seed))
    assert first == RULE.correct(steer, probabilities, np.random.default_rng(seed))
    corrected, branch = first
    assert branch in (AGREE, CLASS, LOST, JITTER)
    assert math.isfinite(corrected)
    if branch in (AGREE, LOST):
        assert corrected == steer
    if branch == CLASS:
        winner = int(probabilities.argmax())
        assert RULE.bin_edges[winner] <= corrected <= RULE.bin_edges[winner + 1]
    if branch == JITTER:
        # Ten draws of a standard deviation of at most 0.29 scaled: six sigma of their mean.
        assert abs(corrected - steer) < 6 * 0.29 / math.sqrt(10) / 4
