"""`bicameral assess read-out`: what a classifier with a memory learns, and what misleads it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any


def assess_read_out(
    model: str = "fashion_mnist_read_out",
    /,
    *,
    data: str = "fashion-mnist",
    output: Path,
    seeds: int = 3,
    epochs: int = 6,
    draws: int = 10,
    orders: int = 3,
) -> int:
    """Measure how classes are learned from 1, 4 and 16 examples, and what streams do to a memory.

    Networks are trained on all but the last four classes, which are then learned from examples. The
    streams are test images: as they are, changed, poisoned, and in other orders. A run that was
    killed goes on with the network that it was training. Prints the tables of docs/zoo/read_out.md.

    Args:
        model: The classifier whose memory is tried on streams; a shipped name or a path.
        data: fashion-mnist, or a folder of images in at least seven classes.
        output: Folder of the networks and of read_out.json.
        seeds: Networks to train.
        epochs: Passes over their training images.
        draws: Handfuls of examples for each network.
        orders: Random orders of each stream.
    """
    from dataclasses import asdict

    from bicameral.cli.extras import require_extra
    from bicameral.cli.progress import ProgressBar
    from bicameral.files import write_json_atomic

    require_extra("train")
    from edge.dual_memory import DualMemoryClassifier
    from edge.shipped import resolve_model
    from models.classifiers.datasets import load_dataset
    from models.host import host_name
    from models.zoo.learning_study import LearningPlan, study_learning
    from models.zoo.read_out_tables import read_out_tables
    from models.zoo.stream_study import study_streams

    command = shlex.join(["bicameral", *sys.argv[1:]])
    classifier = DualMemoryClassifier.load(resolve_model(model))
    dataset = load_dataset(data)
    classes = len(dataset.labels)
    plan = LearningPlan(
        epochs=epochs,
        held_out=tuple(range(classes - 4, classes)),
        seeds=tuple(range(seeds)),
        draws=draws,
        output=output,
        command=command,
    )
    with ProgressBar("streams") as bar:
        streams = study_streams(
            classifier.network, classifier.state, dataset, orders=orders, progress=bar.update
        )
    with ProgressBar("learn classes") as bar:
        learned = study_learning(plan, dataset, bar.update)
    record: dict[str, Any] = {
        "command": command,
        "host": host_name(),
        "data": {"name": dataset.name, "sha256": dataset.fingerprint},
        "networks": {
            "architecture": plan.architecture,
            "epochs": epochs,
            "seeds": seeds,
            "held_out": [dataset.labels[label] for label in plan.held_out],
            "draws": draws,
        },
        "streams_of": {"model": classifier.info.name, "fingerprint": classifier.info.fingerprint},
        "learned": [asdict(one) for one in learned],
        **asdict(streams),
    }
    sys.stdout.write(f"{read_out_tables(record)}\n")
    path = output / "read_out.json"
    write_json_atomic(path, record)
    sys.stdout.write(f"wrote {path}\n")
    return 0
