"""`bicameral train classifier`: one classifier by name, trained, exported and described."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Literal

_LIMITS = "Knows the classes of its data set only and answers with one of them for any picture."


def train_classifier(
    entry: str,
    data: str,
    *,
    output: Path,
    seed: int = 0,
    epochs: int | None = None,
    base: str | None = None,
    mirror: bool = False,
    precision: Literal["fp32", "bf16"] = "fp32",
    name: str | None = None,
) -> int:
    """Train one classifier, calibrate it on validation images and export it to ONNX.

    A run that was killed goes on when the same command is given again, and ends with the same
    weights as an uninterrupted one. `bicameral zoo` lists what there is.

    Args:
        entry: Name of an architecture, or of a head that uses another classifier's features.
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        output: Folder of the run; the model is written to its sub-folder model/.
        seed: Seed of weights, order and augmentation.
        epochs: Passes over the training images; as the architecture needs if not given.
        base: For a head: the classifier whose features it uses, a shipped name or a path.
        mirror: Train on mirrored images too, if the data set allows it.
        precision: Arithmetic of a network's training; bf16 pays only on a processor that has it.
        name: The model's name begins with it; the data set's name if not given.
    """
    from bicameral.cli.extras import require_extra
    from bicameral.cli.model_names import model_prefix
    from bicameral.cli.progress import ProgressBar

    require_extra("train")
    from edge.sidecar import read_sidecar
    from models.classifiers.augmentation import Augmentation
    from models.zoo.training import ClassifierTraining
    from models.zoo.training import train_classifier as train

    settings = ClassifierTraining(
        entry=entry,
        source=data,
        output=output,
        prefix=model_prefix(data, name),
        augmentation=Augmentation(mirror=mirror),
        seed=seed,
        epochs=epochs,
        precision=precision,
        base=base,
        command=shlex.join(["bicameral", *sys.argv[1:]]),
        limits=_LIMITS,
    )
    with ProgressBar(f"train {settings.name}") as bar:
        path = train(settings, bar.update)
    sidecar = read_sidecar(path)
    for claim in sidecar.claims:
        interval = "" if claim.ci95 is None else f" [{claim.ci95[0]:.4f}, {claim.ci95[1]:.4f}]"
        sys.stdout.write(
            f"{claim.metric} {claim.value:.4f}{interval} on {claim.n} {claim.split} images\n"
        )
    sys.stdout.write(f"wrote {path}\n")
    return 0
