"""The page of the zoo: one self-contained HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic
from models.cascade.bootstrap import Interval
from models.cascade.report.quantities import (
    DASH,
    integer,
    magnitude,
    microseconds,
    percent,
    percent_interval,
    spread_percent,
)
from models.cascade.report.rendering import render_page
from models.cascade.report.tables import Cell, Column, Row, Table, row
from models.cascade.report.thumbnails import data_url
from models.cascade.results import Spread
from models.classifiers.dataset import LabelledImages
from models.zoo.catalogue import CATALOGUE
from models.zoo.corruptions import corrupt
from models.zoo.figures import calibration_figure, front_figure, kept_figure, robustness_figure
from models.zoo.results import EntryEvaluation, ZooEvaluation

REPORT_NAME = "zoo.html"

#: Test images that show what the corruptions do.
_EXAMPLES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What a corruption of one strength makes of a few images; `sources` are data URLs."""

    title: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionExamples:
    """A corruption, why it is measured, and what it does."""

    name: str
    why: str
    examples: tuple[Example, ...]


def write_report(path: Path, evaluation: ZooEvaluation, test: LabelledImages) -> None:
    """Write the page, whole or not at all.

    Args:
        path: Destination.
        evaluation: What to show.
        test: The test images that were measured.

    Raises:
        DataError: If these are other images than were measured.
        OSError: If the file cannot be written.
    """
    if len(test) != evaluation.n_test:
        raise DataError(
            f"there are {len(test)} test images, {evaluation.n_test} of {evaluation.dataset} were "
            "measured; give the same data set"
        )
    page = render_page(
        "zoo.html",
        title=f"Classifiers on {evaluation.dataset}",
        lead=_lead(evaluation),
        notes=_notes(evaluation),
        fronts=[
            front_figure(evaluation, "macs", wide=True),
            front_figure(evaluation, "cpu_us", wide=False),
            front_figure(evaluation, "bytes", wide=False),
        ],
        uses=use_table(evaluation),
        figures=figure_table(evaluation),
        robustness=robustness_figure(evaluation),
        kept=kept_figure(evaluation),
        calibration=calibration_figure(evaluation),
        corruptions=_examples(evaluation, test),
        provenance=_provenance(evaluation),
        versions=sorted(evaluation.versions.items()),
        command=evaluation.command,
    )
    write_bytes_atomic(path, page.encode("utf-8", "replace"))


def _lead(evaluation: ZooEvaluation) -> str:
    trainings = sum(len(one.models) for one in evaluation.entries)
    return (
        f"{len(evaluation.entries)} classifiers in {trainings} trainings, measured alike on "
        f"{integer(evaluation.n_test)} test images as they are, and on "
        f"{integer(evaluation.n_corrupted)} of them under {len(evaluation.corruptions)} "
        "corruptions of three strengths."
    )


def _notes(evaluation: ZooEvaluation) -> list[str]:
    single = [one.name for one in evaluation.entries if len(one.models) == 1]
    notes = [
        f"CPU times are of one thread of {evaluation.host} at batch 1, all entries taking turns in "
        "one run: read them as ratios.",
    ]
    if single:
        notes.insert(
            0,
            f"There is one training (n = 1) of {', '.join(single)}: those intervals cover the draw "
            "of the test images, not how training varies.",
        )
    return notes


def use_table(evaluation: ZooEvaluation) -> Table:
    """List what each entry is good for."""
    return Table(
        title="What each is good for",
        columns=(
            Column(label="classifier"),
            Column(label="what it offers"),
            Column(label="what the figures say"),
        ),
        rows=tuple(_use_row(one) for one in evaluation.entries),
        words=3,
    )


def _use_row(one: EntryEvaluation) -> Row:
    listed = CATALOGUE.get(one.name)
    name = Cell(text=one.name, small=listed.title if listed else "")
    return row(name, listed.offers if listed else DASH, one.good_for or DASH)


def figure_table(evaluation: ZooEvaluation) -> Table:
    """List all figures, the most accurate entry first."""
    return Table(
        title="All figures",
        columns=(
            Column(label="classifier"),
            Column(label="trainings", help="n of the intervals"),
            Column(label="accuracy %", help="95 % interval over images and trainings"),
            Column(label="macro F1 %"),
            Column(label="NLL", help="mean of -log p(true class), nats"),
            Column(label="ECE", help="expected calibration error, 15 bins"),
            Column(label="corrupted %", help="mean accuracy over all corruptions and strengths"),
            Column(label="corrupted ECE", help="mean over all corruptions and strengths"),
            Column(label="MACs", help="multiply-accumulates per image, expected ones of a cascade"),
            Column(label="parameters"),
            Column(label="CPU µs", help="per image at batch 1, one thread"),
            Column(label="KiB", help="of the files that are needed to run it"),
            Column(label="ships"),
        ),
        rows=tuple(_figure_row(one) for one in evaluation.entries),
    )


def _figure_row(one: EntryEvaluation) -> Row:
    f1, deviation = spread_percent(one.macro_f1)
    return row(
        one.name,
        str(len(one.models)),
        _interval_cell(one.accuracy),
        Cell(text=f1, small=deviation),
        _number_cell(one.nll),
        _number_cell(one.ece),
        _interval_cell(one.robustness),
        _number_cell(one.corrupted_ece),
        DASH if one.macs is None else magnitude(one.macs),
        integer(one.parameters),
        microseconds(one.cpu_us),
        integer(one.bytes / 1024),
        "yes" if one.ships else "no",
    )


def _interval_cell(interval: Interval) -> Cell:
    return Cell(text=percent(interval.value), small=percent_interval(interval))


def _number_cell(spread: Spread) -> Cell:
    deviation = "" if spread.std is None else f"± {spread.std:.4f}"
    return Cell(text=f"{spread.mean:.4f}", small=deviation)


def _examples(evaluation: ZooEvaluation, test: LabelledImages) -> list[CorruptionExamples]:
    """Show the first images of different classes, corrupted as they were for the measurement."""
    _, index = np.unique(test.labels, return_index=True)
    chosen = index[:_EXAMPLES]
    last = int(chosen.max()) + 1
    found = []
    for one in evaluation.corruptions:
        examples = [Example(title="as it is", sources=_urls(test.images[chosen]))]
        for level, strength in enumerate(one.strengths):
            # Draws depend on the place in the array: corrupt all of them up to the last one shown.
            changed = corrupt(test.images[:last], one.name, level, evaluation.seed)[chosen]
            examples.append(Example(title=f"{one.name} {strength:g}", sources=_urls(changed)))
        found.append(
            CorruptionExamples(
                name=one.name, why=f"{one.unit}; {one.why}", examples=tuple(examples)
            )
        )
    return found


def _urls(images: np.ndarray) -> tuple[str, ...]:
    return tuple(data_url(image) for image in images)


def _provenance(evaluation: ZooEvaluation) -> list[tuple[str, str]]:
    first = evaluation.entries[0].accuracy
    return [
        ("data set", evaluation.dataset),
        ("sha256 of data set and split", evaluation.dataset_sha256),
        ("test images", integer(evaluation.n_test)),
        ("corrupted test images", f"the first {integer(evaluation.n_corrupted)}"),
        ("seed of the corruptions", str(evaluation.seed)),
        (
            "intervals",
            f"95 %, bootstrap over images and trainings, {integer(first.replicates)} replicates",
        ),
        ("CPU times measured on", evaluation.host),
        ("page made at", datetime.now(UTC).isoformat(timespec="seconds")),
    ]
