"""`bicameral assess early-exit`: how much a classifier with stages saves by stopping early."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def assess_early_exit(
    model: str,
    *,
    data: str = "fashion-mnist",
    output: Path,
    max_loss: float = 0.001,
    timed: int = 300,
    rounds: int = 5,
    seed: int = 0,
) -> int:
    """Choose when a classifier may stop after a stage, judge it on test images and export it.

    The next stage runs only for images whose score is below a threshold. Score, threshold and how
    answers are combined are chosen on validation images: the fewest multiply-accumulates that lose
    no more than --max-loss of the best stage's accuracy. Writes early_exit.json, and the model
    MODEL_early_exit with a copy of its classifier to the sub-folder model/.

    Args:
        model: Name of a shipped classifier with stages, or path of its graph or sidecar.
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        output: Folder of the results.
        max_loss: Accuracy that the choice may lose on validation images, 0..1.
        timed: Test images that CPU time is taken on, one at a time.
        rounds: Rounds of timing; the table shows the median.
        seed: Seed of the sample of timed images.
    """
    from bicameral.cli.early_exit_tables import print_early_exit
    from bicameral.cli.progress import ProgressBar
    from edge.loading import load_classifier
    from edge.shipped import resolve_model
    from models.cascade import early_exit
    from models.cascade.deployed import dataset_options
    from models.cascade.early_exit_results import write_early_exit
    from models.classifiers.datasets import load_dataset

    settings = early_exit.EarlyExitSettings(
        max_loss=max_loss, timed=timed, rounds=rounds, seed=seed
    )
    path = resolve_model(model)
    classifier = early_exit.require_staged(load_classifier(path, memory="none"), str(model))
    dataset = load_dataset(data, dataset_options(classifier))
    command = shlex.join(["bicameral", *sys.argv[1:]])
    with ProgressBar(f"assess {classifier.info.name}") as bar:
        results = early_exit.assess_early_exit(classifier, dataset, settings, command, bar.update)
    classifier.close()
    print_early_exit(results)
    sys.stdout.write(f"wrote {write_early_exit(output, path, results)}\n")
    return 0
