"""A perceptron of blocks that rewire against its dense twin, and against other ways to rewire."""

from __future__ import annotations

from pathlib import Path

from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, write_measurements
from studies.networks import NetworkTraining, train_classifier
from studies.pairs import ON_TEST_IMAGES, compare_pair
from studies.study import Study

_ENTRY = "group_to_group"
_SEEDS = (0, 1, 2)

#: What it is compared with, and what that shows.
_OTHERS = {
    "dense_mlp": "four times the weights",
    "group_to_group_random": "blocks regrown at random",
    "group_to_group_fixed": "the mask it begins with",
}


def run(folder: Path, quick: bool) -> int:
    """Train three networks of each kind, and compare them."""
    dataset = fashion_mnist(300 if quick else None)
    others = list(_OTHERS)[: 1 if quick else None]
    trained = {
        name: [
            train_classifier(
                NetworkTraining(
                    architecture=name,
                    seed=seed,
                    output=folder / f"{name}-s{seed}",
                    epochs=1 if quick else None,
                ),
                dataset,
            )
            for seed in _SEEDS[: 1 if quick else None]
        ]
        for name in (_ENTRY, *others)
    }
    measured: Measured = {}
    for name in others:
        subject = f"{_ENTRY} against {name}"
        rounds = 2 if quick else 25
        measured |= compare_pair(subject, trained[_ENTRY], trained[name], dataset, rounds)
    write_measurements(folder / "group_to_group.csv", measured)
    against_twin = measured[f"{_ENTRY} against {others[0]}", ON_TEST_IMAGES, "difference"]
    return 0 if (against_twin.low or 0.0) > -0.005 else 1


STUDY = Study(
    claim="A perceptron with a quarter of the weights, in blocks, is at most half a point less "
    "accurate than its dense twin.",
    setting="One thread of a shared AMD EPYC; n = 3 trainings (seeds 0, 1, 2) of four networks, 8 "
    "epochs, 10,000 test images; 25 CPU-minutes.",
    run=run,
    needs=NEEDS,
)
