"""What the shipped cascade keeps of its promise when pictures change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.statistics import paired_difference, share
from edge.cascade import CascadeClassifier
from models.calibration import expected_calibration_error
from models.cascade.deployed import load_deployed
from models.data.corruptions import condition_name, conditions, corrupt, mirrored
from studies.images import NEEDS, fashion_mnist, in_batches, predict
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.study import Study

IMAGES, FEW = 2500, 64

#: As much less accurate than A alone may the cascade be, 0..1.
WORSE = 0.01

Images = NDArray[np.uint8]


def run(folder: Path, quick: bool) -> int:
    """Ask the cascade, A alone and the reference about every change of the same pictures."""
    deployed = load_deployed("fashion_mnist_cascade")
    others = {"A alone": deployed.cascade.members[0], "reference": deployed.reference}
    test = fashion_mnist(FEW if quick else IMAGES).test
    n, found, worst = len(test), Measured(), 0.0
    for change, images in _changed(test.images).items():
        answers = {name: predict(one, images) for name, one in others.items()}
        answers["cascade"], reached = _ask(deployed.cascade, images)
        right = {name: one.argmax(axis=1) == test.labels for name, one in answers.items()}
        for name, one in answers.items():
            found[name, change, "accuracy"] = share(int(right[name].sum()), n)
            found[name, change, "ece"] = single(expected_calibration_error(one, test.labels), n=n)
        for stage in deployed.cascade.stages[1:]:
            asked = sum(one >= stage for one in reached)
            found["cascade", change, f"share_{stage}"] = share(asked, n)
        for other in others:
            gained = int((right["cascade"] & ~right[other]).sum())
            lost = int((right[other] & ~right["cascade"]).sum())
            found["cascade", change, f"minus {other}"] = paired_difference(gained, lost, n)
        worst = min(worst, found["cascade", change, "minus A alone"].value or 0.0)
    deployed.close()
    write_measurements(folder / "cascade_changes.csv", found)
    print_measurements(found)
    return int(worst < -WORSE)


def _changed(images: Images) -> dict[str, Images]:
    """Return the pictures as they are and with every change, by what the table calls it."""
    return {
        "unchanged": images,
        "mirrored": mirrored(images),
        "inverted": 255 - images,
        **{condition_name(*one): corrupt(images, *one) for one in conditions()},
    }


def _ask(cascade: CascadeClassifier, images: Images) -> tuple[NDArray[np.float32], list[str]]:
    """Return the probabilities (N, C), and the last stage that each image reached."""
    parts = [cascade.predict(batch) for batch in in_batches(images)]
    stages = [trace.stage for part in parts for trace in part.trace or ()]
    return np.concatenate([part.probabilities for part in parts]), stages


STUDY = Study(
    claim=(
        "Whatever changes in the pictures, the shipped cascade is at most one point less accurate "
        "than its first network alone."
    ),
    setting=(
        f"any processor; the first {IMAGES:,} test images of FashionMNIST; seed 0 of the networks "
        "and of the changes; two minutes"
    ),
    run=run,
    needs=NEEDS,
)
