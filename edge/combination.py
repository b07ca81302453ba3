"""The answer of two networks that were both asked.

The runtime and the sweeps over recorded logits call these functions, so both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CombinationName = Literal["average", "post_check", "replace"]

Probabilities = NDArray[np.floating]
Scores = NDArray[np.floating]


def average(pa: Probabilities, pb: Probabilities, sa: Scores, sb: Scores) -> Probabilities:
    """Return the mean of both distributions; the scores are not needed.

    It presumes calibrated networks: the temperature is what makes their probabilities comparable.
    """
    del sa, sb
    total = pa + pb
    total *= 0.5
    return total


def post_check(pa: Probabilities, pb: Probabilities, sa: Scores, sb: Scores) -> Probabilities:
    """Return B's row where B is surer than A, else A's; ties go to A.

    The post-check of arXiv 2412.01039: B is kept if and only if its score is the higher one.
    """
    return np.where((sb > sa)[..., None], pb, pa)


def replace(pa: Probabilities, pb: Probabilities, sa: Scores, sb: Scores) -> Probabilities:
    """Return B's answer: whoever asks B believes it."""
    del pa, sa, sb
    return pb


#: Ways to combine the answers of A and B for the images that both saw, by name. Each takes (N, C)
#: calibrated probabilities of A and of B, of one dtype, and (N,) scores of both, high = sure
#: (`edge.probabilities.SCORES`). It returns (N, C) of that dtype, rows sum to 1; perhaps B's array.
COMBINATIONS: dict[
    CombinationName, Callable[[Probabilities, Probabilities, Scores, Scores], Probabilities]
] = {"average": average, "post_check": post_check, "replace": replace}
