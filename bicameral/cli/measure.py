"""`bicameral measure`: what classifiers cost on streams, in joules where there is a meter."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from bicameral.cli.progress import ProgressBar
from bicameral.files import write_text_atomic
from bicameral.tables import print_table
from models.measurement.notes import measurement_notes
from models.measurement.record import (
    DEFAULT_MODELS,
    MEASUREMENT_NAME,
    MeasurePlan,
    streams_from_percents,
)
from models.measurement.run import run_plan
from models.measurement.summary import FIGURES_NAME, figures_csv, summarise
from models.measurement.tables import cost_table, footprint_table

#: The paper's four: `models.measurement.record.DEFAULT_MODELS`.
_PAPERS: tuple[str, ...] = ()


def measure(
    *,
    models: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = _PAPERS,
    streams: str = "0,50,100",
    data: str = "fashion-mnist",
    images: int = 1000,
    rounds: int = 5,
    sessions: int = 2,
    meter: str = "auto",
    output: Path = Path("runs/measure"),
    resume: bool = False,
) -> int:
    """Measure energy, CPU time, latency, memory and accuracy of classifiers, one image at a time.

    Without a meter the energy is left out, with the reason, and nothing is estimated in its place.
    Every finished round is kept: after an interruption, --resume goes on.

    Args:
        models: Shipped models by name, or paths of sidecars; "NAME+memory" is a cascade with its
            result memory. Costs are relative to the first. By default the paper's experiment: a
            large network, the cascade's first network alone, the cascade, the cascade with memory.
        streams: Percentages of the images that come a second time, one stream for each.
        data: fashion-mnist, a folder (IDX files, CIFAR-10 batches, or one sub-folder per class),
            or a .toml list of files to download.
        images: Test images that the streams are made of, a random sample.
        rounds: Windows of every model on every stream in each session.
        sessions: How often everything is repeated in a process of its own.
        meter: ina3221, rapl, nvml, none; auto takes the Jetson's or the processor's.
        output: Folder for measurement.json, its figures as measurement.csv, and report.html where
            jinja2 and matplotlib are installed.
        resume: Go on with what the output folder holds.
    """
    plan = MeasurePlan(
        models=models or DEFAULT_MODELS,
        streams=streams_from_percents(streams),
        data=data,
        images=images,
        rounds=rounds,
        sessions=sessions,
        meter=meter,
    )
    command = shlex.join(["bicameral", *sys.argv[1:]])
    with ProgressBar("measure") as bar:
        measurement = run_plan(plan, output, command, resume=resume, progress=bar.update)
    summary = summarise(measurement)
    print_table(cost_table(measurement, summary))
    print_table(footprint_table(measurement))
    for note in measurement_notes(measurement, summary):
        Console().print(f"- {note}", highlight=False)
    write_text_atomic(output / FIGURES_NAME, figures_csv(measurement))
    sys.stdout.write(f"wrote {output / MEASUREMENT_NAME} and {output / FIGURES_NAME}\n")
    try:
        from models.measurement.report import REPORT_NAME, write_measurement_report

        write_measurement_report(output / REPORT_NAME, measurement)
        sys.stdout.write(f"wrote {output / REPORT_NAME}\n")
    except ImportError as error:
        sys.stdout.write(f"no report.html: {error}; install bicameral[export] and give --resume\n")
    return 0
