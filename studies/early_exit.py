"""The shipped any-time classifier with a gate between its stages: what stopping early saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bicameral.charts import Axis, Chart, Figure, Series, draw_chart, standalone_svg
from bicameral.files import write_text_atomic
from bicameral.tables import print_table
from edge.loading import load_classifier
from models.cascade.early_exit import (
    EarlyExitResults,
    EarlyExitSettings,
    assess_early_exit,
    exit_table,
    require_staged,
    stage_table,
)
from models.data.sources import load_dataset
from models.measurement.streams import sample_images
from studies.measurements import Measured, single, write_measurements
from studies.study import Study

MODEL = "fashion_mnist_noprop"
SETTINGS = EarlyExitSettings(max_loss=0.001, timed=300, rounds=5, seed=0)
QUICK = EarlyExitSettings(max_loss=0.001, timed=5, rounds=1, seed=0)


def run(folder: Path, quick: bool) -> int:
    """Choose, judge and time the early exit."""
    classifier = require_staged(load_classifier(MODEL, memory="none"), MODEL)
    dataset = load_dataset("fashion-mnist")
    if quick:
        few = sample_images(dataset.test, 100, 0)
        dataset = replace(dataset, train=few, validation=few, test=few)
    results = assess_early_exit(
        classifier,
        dataset,
        QUICK if quick else SETTINGS,
        "python -m studies early_exit",
        lambda done, total, note: None,
    )
    classifier.close()
    print_table(stage_table(results))
    print_table(exit_table(results))
    write_measurements(folder / "early_exit.csv", _measured(results))
    write_text_atomic(folder / "early_exit.svg", standalone_svg(_figure(results)))
    best = max(record.test_accuracy for record in results.stages)
    saves = results.choice.test_macs <= 0.25 * results.stages[-1].total_macs
    return int(not saves or results.choice.test_accuracy < best - 0.005)


def _measured(results: EarlyExitResults) -> Measured:
    """Return the figures of each stage, and of each threshold of the chosen kind."""
    names = ("validation_accuracy", "test_accuracy", "test_ece", "total_macs", "test_macs",
             "test_stages")  # fmt: skip
    records = {
        **{f"stage {one.stage}": one for one in results.stages},
        **{f"below {one.threshold:.4f}": one for one in results.exits},
    }
    measured = {
        (results.model, condition, name): single(getattr(one, name), n=results.n_test)
        for condition, one in records.items()
        for name in names
        if hasattr(one, name)
    }
    for one in results.exits:
        key = (results.model, f"below {one.threshold:.4f}", "cpu_us")
        measured[key] = single(one.cpu_us.median, "us", results.timed)
    return measured


def _figure(results: EarlyExitResults) -> Figure:
    exits, choice = results.exits, results.choice
    return draw_chart(
        Chart(
            title=f"{results.model}: accuracy over multiply-accumulates",
            x=Axis(label="multiply-accumulates per test image", log=True),
            y=Axis(label="test accuracy, %"),
            series=[
                Series(
                    name="all images stop after a stage",
                    x=[float(stage.total_macs) for stage in results.stages],
                    y=[100.0 * stage.test_accuracy for stage in results.stages],
                    ink="soft",
                ),
                Series(
                    name="each stops where it is sure",
                    x=[one.test_macs for one in exits],
                    y=[100.0 * one.test_accuracy for one in exits],
                    ink="cascade",
                    line="-",
                ),
                Series(
                    name="chosen",
                    x=[choice.test_macs],
                    y=[100.0 * choice.test_accuracy],
                    ink="a",
                    marker="*",
                ),
            ],
        )
    )


STUDY = Study(
    claim=(
        "Stopping where it is sure, the any-time classifier needs a quarter of its "
        "multiply-accumulates and is at most half a point less accurate than its best stage."
    ),
    setting=(
        "AMD EPYC, two cores, one thread at batch 1; 10,000 validation and 10,000 test images of "
        "FashionMNIST, CPU time of 300 in 5 rounds; seed 0; two minutes"
    ),
    run=run,
    needs="FashionMNIST",
)
