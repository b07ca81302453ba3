"""What the shipped cascade keeps of its promise when pictures change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.statistics import paired_difference, share
from edge.probabilities import SCORES
from models.calibration import expected_calibration_error
from models.cascade.deployed import load_deployed
from models.data.corruptions import corrupt
from studies.images import NEEDS, fashion_mnist, predict
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.study import Study

IMAGES, FEW = 2500, 64

#: As much less accurate than A alone may the cascade be, 0..1.
WORSE = 0.01

Images = NDArray[np.uint8]

#: Changes of canonical images, by what the table calls them.
CHANGES: dict[str, Callable[[Images], Images]] = {
    "unchanged": lambda images: images,
    "mirrored": lambda images: np.ascontiguousarray(images[:, :, ::-1]),
    "noise, standard deviation 10": lambda images: corrupt(images, "noise", 0),
    "noise, standard deviation 25": lambda images: corrupt(images, "noise", 1),
    "inverted": lambda images: 255 - images,
    "shifted by 2 pixels": lambda images: corrupt(images, "shift", 1),
}


def run(folder: Path, quick: bool) -> int:
    """Ask the cascade, A alone and the reference about every change of the same pictures."""
    deployed = load_deployed("fashion_mnist_cascade")
    policy = deployed.cascade.policy
    systems = {
        "cascade": deployed.cascade,
        "A alone": deployed.cascade.members[0],
        "reference": deployed.reference,
    }
    test = fashion_mnist(FEW if quick else IMAGES).test
    n, found, worst = len(test), Measured(), 0.0
    for change, apply in CHANGES.items():
        images = apply(test.images)
        answers = {name: predict(one, images) for name, one in systems.items()}
        right = {name: one.argmax(axis=1) == test.labels for name, one in answers.items()}
        for name, one in answers.items():
            found[name, change, "accuracy"] = share(int(right[name].sum()), n)
            found[name, change, "ece"] = single(expected_calibration_error(one, test.labels), n=n)
        asked = SCORES[policy.score](answers["A alone"]) < policy.thresholds[0]
        found["cascade", change, "share_b"] = share(int(asked.sum()), n)
        for other in ("A alone", "reference"):
            gained = int((right["cascade"] & ~right[other]).sum())
            lost = int((right[other] & ~right["cascade"]).sum())
            found["cascade", change, f"minus {other}"] = paired_difference(gained, lost, n)
        worst = min(worst, found["cascade", change, "minus A alone"].value or 0.0)
    deployed.close()
    write_measurements(folder / "cascade_changes.csv", found)
    print_measurements(found)
    return int(worst < -WORSE)


STUDY = Study(
    claim=(
        "Whatever changes in the pictures, the shipped cascade is at most one point less accurate "
        "than its first network alone."
    ),
    setting=(
        f"any processor; the first {IMAGES:,} test images of FashionMNIST; seed 0 of the networks "
        "and of the changes; a minute"
    ),
    run=run,
    needs=NEEDS,
)
