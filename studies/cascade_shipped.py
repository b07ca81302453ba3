"""What the shipped cascade is worth: three trainings of its first network, one of its second.

The first network answers, and the large one itself is asked about the few images of which that one
is least sure. Thresholds are found on the validation images, where the same share goes on in every
training; the test images judge.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.statistics import mean_over_images, share
from edge.cascade import CascadePolicy
from models.calibration import expected_calibration_error
from models.cascade.candidates import COMBINATION, SCORE
from models.cascade.operating_points import policy_for_shares, run_stages
from models.cascade.pool import (
    CalibratedPool,
    fit_temperatures,
    held_out_pool,
    validation_pool,
)
from models.classifiers.logits import read_pool_logits
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.study import DATA, Study

LOGITS = DATA / "fashion_mnist" / "logits"
A, LARGE = "squeeze16_student", "wide_residual32"
#: Share of the validation images that goes on: the most that leaves room below a tenth of the
#: large network's multiply-accumulates.
SHARE = 0.0175

#: Least accuracy against the large network's and against A's, 0..1, and most of the first's cost.
NEAR, BETTER, TENTH = -0.001, 0.003, 0.1


def answers(pool: CalibratedPool, seed: int) -> list[NDArray[np.float32]]:
    """Return the probabilities (N, C) of a training of A and of the large network."""
    return [pool.network(A).of_seed(seed), pool.network(LARGE).of_seed(0)]


def policy(pool: CalibratedPool, seed: int) -> CascadePolicy:
    """Return the gate of a training, from the validation images."""
    return policy_for_shares(answers(pool, seed), SCORE, COMBINATION, (SHARE,))


def run(folder: Path, quick: bool) -> int:
    """Judge all trainings together and each by itself; there is nothing to shorten."""
    del quick
    logits = read_pool_logits(LOGITS)
    temperatures = fit_temperatures(logits)
    splits = {
        "validation": validation_pool(logits, temperatures),
        "test": held_out_pool(logits, temperatures),
    }
    found = Measured()
    for split, pool in splits.items():
        first, large = pool.network(A), pool.network(LARGE)
        seeds, right = first.seeds, []
        for seed in seeds:
            gate = policy(splits["validation"], seed)
            probabilities, used = run_stages(answers(pool, seed), gate)
            right.append(probabilities.argmax(axis=1) == pool.labels)
            share_b = float((used > 1).mean())
            own = f"{split}, seed {seed}"
            found["cascade", own, "accuracy"] = share(int(right[-1].sum()), len(used))
            found["cascade", own, "share_b"] = single(share_b, n=len(used))
            cost = first.macs / large.macs + share_b
            found["cascade", own, "macs_ratio"] = single(cost, n=len(used))
            error = expected_calibration_error(probabilities, pool.labels)
            found["cascade", own, "ece"] = single(error, n=len(used))
        alone, by = first.correct(pool.labels, seeds), large.correct(pool.labels, (0,))
        found["cascade", split, "accuracy"] = mean_over_images(np.array(right, np.float64))
        found["a", split, "accuracy"] = mean_over_images(alone.astype(np.float64))
        found["reference", split, "accuracy"] = mean_over_images(by.astype(np.float64))
        gains = {"minus_a": alone, "minus_reference": by}
        for name, other in gains.items():
            found["cascade", split, name] = mean_over_images(np.array(right, np.float64) - other)
    write_measurements(folder / "shipped.csv", found)
    print_measurements(found)
    gap, gain = (found["cascade", "test", name] for name in ("minus_reference", "minus_a"))
    costs = [of.value or 0.0 for (_, on, name), of in found.items()
             if name == "macs_ratio" and on.startswith("test")]  # fmt: skip
    near = (gap.value or 0.0) >= NEAR and (gap.high or 0.0) >= 0.0
    return int(not near or (gain.value or 0.0) < BETTER or max(costs) > TENTH)


STUDY = Study(
    claim=(
        "The shipped cascade is at most 0.1 points less accurate than the large network for a "
        "tenth of its multiply-accumulates, and at least 0.3 points better than A alone."
    ),
    setting="any processor; 10,000 validation and 10,000 test images of FashionMNIST; three "
    "trainings of A, one of the large network; seconds",
    run=run,
)
