"""`bicameral assess zoo`: accuracy, calibration, robustness and cost of many classifiers."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def assess_zoo(
    models: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    /,
    *,
    data: str = "fashion-mnist",
    output: Path,
    corrupted: int | None = None,
    seed: int = 0,
) -> int:
    """Measure classifiers alike, on the test images as they are and under 15 corruptions.

    Models whose names differ in their seed only (NAME-s0, NAME-s1) are trainings of one entry.
    What is finished is kept in the output folder and not measured again, so the same command goes
    on after an interruption. CPU times are measured together, in one run.

    Args:
        models: Names of shipped models or paths; all that ship for the data set by default.
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        output: Folder for evaluation.json, evaluation.csv, zoo.html, and logits/ for
            `bicameral assess pool`.
        corrupted: Test images to corrupt, from the first on; all if not given.
        seed: Seed of the corruptions.
    """
    from bicameral.cli.extras import require_package
    from bicameral.cli.progress import ProgressBar
    from bicameral.cli.zoo_tables import print_zoo

    require_package("jinja2", "export")  # before anything is measured
    from models.classifiers.datasets import load_dataset
    from models.zoo.assessment import AssessmentSettings
    from models.zoo.assessment import assess_zoo as run_assessment
    from models.zoo.evaluation import CorruptionSettings
    from models.zoo.report import REPORT_NAME, write_report

    settings = AssessmentSettings(
        models=models,
        output=output,
        corruptions=CorruptionSettings(seed=seed, images=corrupted),
        command=shlex.join(["bicameral", *sys.argv[1:]]),
    )
    dataset = load_dataset(data)
    with ProgressBar("assess zoo") as bar:
        evaluation = run_assessment(settings, dataset, bar.update)
    write_report(output / REPORT_NAME, evaluation, dataset.test)
    print_zoo(evaluation)
    sys.stdout.write(f"wrote {output / REPORT_NAME}\n")
    return 0
