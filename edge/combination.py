"""The answer of two networks that were both asked.

The runtime and the sweeps over recorded logits call these functions, so both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import unknown_name

CombinationName = Literal["average", "post_check", "replace"]

Probabilities = NDArray[np.floating]
Scores = NDArray[np.floating]


def combine(
    name: CombinationName, pa: Probabilities, pb: Probabilities, sa: Scores, sb: Scores
) -> Probabilities:
    """Combine the answers of A and B for the images that both saw.

    Args:
        name: One of `COMBINATIONS`.
        pa: (N, C) calibrated probabilities of A.
        pb: (N, C) calibrated probabilities of B, same dtype.
        sa: (N,) scores of A, high = sure (`edge.probabilities.SCORES`).
        sb: (N,) scores of B, of the same kind.

    Returns:
        (N, C), dtype of the probabilities, rows sum to 1. It may be `pb` itself.

    Raises:
        UserError: If no combination has that name; the message lists them.
    """
    try:
        rule = COMBINATIONS[name]
    except KeyError:
        raise unknown_name("combination", name, COMBINATIONS) from None
    return rule(pa, pb, sa, sb)


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


#: Ways to combine two answers, by name.
COMBINATIONS: dict[
    CombinationName, Callable[[Probabilities, Probabilities, Scores, Scores], Probabilities]
] = {"average": average, "post_check": post_check, "replace": replace}
