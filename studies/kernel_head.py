"""A kernel machine on a network's features, in five ways, against the network's own linear head.

The networks are `squeeze16_distilled` as it ships and, where they are, its other trainings in
``runs/*/networks/``, which `docs/cascade.md` says how to make.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.shipped import shipped_model
from edge.sidecar import SUFFIX, read_sidecar
from models.calibration import negative_log_likelihood
from models.data.dataset import ImageDataset
from models.heads.head import HeadTraining
from models.heads.kernel_graph import POINTS, FittedHeads, fit_kernel_heads, write_kernel_head
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, single, write_measurements
from studies.pairs import ON_TEST_IMAGES, compare_pair
from studies.study import Study

_NETWORK = "squeeze16_distilled"
_SUBJECT = "kernel_head against linear head"


def run(folder: Path, quick: bool) -> int:
    """Fit a head of every mode on each network, and compare the best with the linear head."""
    dataset = fashion_mnist()
    bases = [shipped_model(f"fashion_mnist_{_NETWORK}")]
    if quick:
        few = np.arange(150)
        validation, test = dataset.validation.select(few), dataset.test.select(few)
        dataset = replace(dataset, validation=validation, test=test)
    else:
        bases += sorted(Path("runs").glob(f"*/networks/{_NETWORK}-s[1-9]/*{SUFFIX}"))
    heads: list[Path] = []
    measured: Measured = {}
    for base in bases:
        training = _training(base, dataset, folder)
        fitted = fit_kernel_heads(training, print, 100 if quick else POINTS)
        heads.append(write_kernel_head(training, fitted))
        measured |= _modes(fitted, training.seed)
    measured |= compare_pair(_SUBJECT, heads, bases, dataset, 2 if quick else 25)
    write_measurements(folder / "kernel_head.csv", measured)
    difference = measured[_SUBJECT, ON_TEST_IMAGES, "difference"]
    return 0 if (difference.low or 0.0) > -0.001 else 1


STUDY = Study(
    claim="A kernel machine on a network's features answers as well as the network's own linear "
    "head, within a tenth of a point.",
    setting="One thread of a shared AMD EPYC; n = 3 networks (seeds 0, 1, 2), 5,000 training "
    "images each, 10,000 test images; 10 CPU-minutes.",
    run=run,
    needs=f"{NEEDS}; two further trainings of {_NETWORK}, or n is 1",
)


def _training(base: Path, dataset: ImageDataset, folder: Path) -> HeadTraining:
    seed = read_sidecar(base).training.seed
    return HeadTraining(
        base=base,
        dataset=dataset,
        output=folder / f"kernel_head-s{seed}",
        name="fashion_mnist_kernel_head",
        seed=seed,
        command="python -m studies kernel_head",
        limits="Made by a study, to be measured and nothing else.",
    )


def _modes(fitted: FittedHeads, seed: int) -> Measured:
    """Return how every mode did, and the linear head; the test images chose nothing."""
    validation, test = fitted.validation, fitted.test
    measured: Measured = {}
    for choice in fitted.choices:
        key: tuple[str, str] = (
            choice.mode,
            f"seed {seed}" + (f", {choice.kernel}" if choice.kernel else ""),
        )
        right = choice.head.logits(test).argmax(axis=1) == test.labels
        measured |= {
            (*key, "validation accuracy"): single(choice.accuracy, n=len(validation.labels)),
            (*key, "validation NLL"): single(choice.nll, "nats", len(validation.labels)),
            (*key, "test accuracy"): single(right.mean(), n=len(test.labels)),
            (*key, "points"): single(choice.points),
        }
        if choice.mode in ("ridge", "correction"):
            measured[*key, "ridge"] = single(choice.ridge)
        if choice.mode == "correction":
            measured[*key, "step"] = single(choice.head.step)
    key = ("linear", f"seed {seed}")
    loss = negative_log_likelihood(validation.logits, validation.labels, 1.0)
    for name, answers in (("validation", validation), ("test", test)):
        right = answers.logits.argmax(axis=1) == answers.labels
        measured[*key, f"{name} accuracy"] = single(np.mean(right), n=len(right))
    measured[*key, "validation NLL"] = single(loss, "nats", len(validation.labels))
    return measured
