"""`bicameral assess pair`: is one classifier better than another, and faster?"""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from models.cascade.bootstrap import Interval
    from models.zoo.pairs import PairComparison


def assess_pair(
    models: Annotated[tuple[str, ...], Parameter(consume_multiple=True)],
    /,
    *,
    against: Annotated[tuple[str, ...], Parameter(consume_multiple=True)],
    data: str = "fashion-mnist",
    output: Path,
) -> int:
    """Compare two classifiers on the same test images: accuracy paired by image, CPU in turns.

    Args:
        models: Names of shipped models or paths of the first classifier, one for each seed.
        against: Those of the second, in the order of the same seeds.
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        output: JSON file to write.
    """
    from bicameral.cli.progress import ProgressBar
    from bicameral.files import write_json_atomic
    from edge.shipped import resolve_model
    from models.classifiers.datasets import load_dataset
    from models.zoo.pairs import compare_pair

    with ProgressBar("assess pair") as bar:
        found = compare_pair(
            [resolve_model(model) for model in models],
            [resolve_model(model) for model in against],
            load_dataset(data),
            shlex.join(["bicameral", *sys.argv[1:]]),
            bar.update,
        )
    write_json_atomic(output, asdict(found))
    _print(found)
    sys.stdout.write(f"wrote {output}\n")
    return 0


def _print(found: PairComparison) -> None:
    n = found.difference
    sys.stdout.write(
        f"accuracy {_points(found.accuracy)} against {_points(found.other_accuracy)} %\n"
        f"difference {_points(found.difference)} points, paired, {n.n_images} images, "
        f"{n.n_seeds} seeds\n"
    )
    for one in found.cpu:
        sys.stdout.write(
            f"batch {one.batch_size}: {one.cpu_us:.1f} against {one.other_cpu_us:.1f} CPU µs an "
            f"image, the other one takes {one.ratio:.2f} times as long\n"
        )


def _points(interval: Interval) -> str:
    value, low, high = (100.0 * x for x in (interval.value, interval.low, interval.high))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
