"""What a deployed cascade answers on test images, beside its networks and the one it is to replace.

What it costs is measured by `models.measurement`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ClassifierSession
from bicameral.statistics import Estimate, mean_over_images, share
from bicameral.tables import (
    Row,
    Table,
    columns,
    csv_text,
    integer,
    magnitude,
    percent_cell,
    points_cell,
    ratio,
    row,
)
from edge.cascade import CascadeClassifier
from edge.memory.local import LocalMemory
from models.calibration import expected_calibration_error
from models.cascade.deployed import Deployed
from models.data.dataset import LabelledImages
from models.measurement.streams import appended_stream

#: Name of the file in a folder of results.
ASSESSMENT_NAME = "assessment.csv"

_BATCH = 100

#: Is told (done, total, what is being done).
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """How the cascade and single networks answer the test images.

    Attributes:
        models: Names of the models by system: ``cascade``, ``A``, ``B``, ... and ``reference``.
        figures: By system and quantity: ``accuracy``; ``ece``, the calibration error; ``macs``,
            mean multiply-accumulates of an image; ``cascade_minus_this``, the paired difference of
            the accuracies. Of the cascade also ``share_b``, ..., of the images that B saw. Where
            the sidecar describes a memory, which is empty at first, for all images shown twice:
            ``repeat_hits``, the share of repeats that it answered, and ``changed_answers``, the
            share of all images that got another answer than without it.
        notes: What a reader must know.
    """

    models: Mapping[str, str]
    figures: Mapping[tuple[str, str], Estimate]
    notes: tuple[str, ...]


def assess_cascade(
    deployed: Deployed,
    images: LabelledImages,
    *,
    dataset_sha256: str,
    progress: Progress = lambda done, total, note: None,
) -> Assessment:
    """Judge a cascade on test images.

    Args:
        deployed: The cascade, its reference and its memory.
        images: Test images.
        dataset_sha256: Fingerprint of their data set.
        progress: Is told how far it is.
    """
    cascade = deployed.cascade
    sessions: dict[str, ClassifierSession] = {
        "cascade": cascade,
        **dict(zip(map(str.upper, cascade.stages), cascade.members, strict=True)),
        "reference": deployed.reference,
    }
    answers: dict[str, NDArray[np.float32]] = {}
    figures: dict[tuple[str, str], Estimate] = {}
    macs: dict[str, float | None] = {name: one.info.macs for name, one in sessions.items()}
    for done, (system, session) in enumerate(sessions.items()):
        progress(done, len(sessions) + 1, f"answers of {session.info.name}")
        answers[system], stages = _answers(session, images)
        if system == "cascade":
            by_stage = cascade.macs_by_stage()
            spent = [by_stage[stage] or math.nan for stage in stages]
            macs["cascade"] = None if math.isnan(sum(spent)) else round(sum(spent) / len(spent))
            for name in cascade.stages[1:]:
                asked = sum(stage >= name for stage in stages)
                figures["cascade", f"share_{name}"] = share(asked, len(stages))
    right = {
        system: (of.argmax(axis=1) == images.labels).astype(np.float64)[None]
        for system, of in answers.items()
    }
    for system, of in answers.items():
        figures[system, "accuracy"] = mean_over_images(right[system])
        figures[system, "ece"] = _plain(expected_calibration_error(of, images.labels), images)
        figures[system, "macs"] = _plain(macs[system], images)
        if system != "cascade":
            difference = right["cascade"] - right[system]
            figures[system, "cascade_minus_this"] = mean_over_images(difference)
    if deployed.has_memory:
        progress(len(sessions), len(sessions) + 1, "the memory")
        hits, changed = _memory(deployed, images, answers["cascade"])
        figures["cascade", "repeat_hits"] = hits
        figures["cascade", "changed_answers"] = changed
    return Assessment(
        models={system: session.info.name for system, session in sessions.items()},
        figures=figures,
        notes=tuple(_notes(deployed, dataset_sha256)),
    )


def assessment_table(assessment: Assessment) -> Table:
    """Show the cascade beside the others."""
    figures = assessment.figures
    note = " ".join(
        f"{name[-1].upper()} sees {percent_cell(of, 1)} % of the images."
        for (_, name), of in figures.items()
        if name.startswith("share_")
    )
    if ("cascade", "repeat_hits") in figures:
        note += (
            f" When all come a second time, the memory answers "
            f"{percent_cell(figures['cascade', 'repeat_hits'], 1)} % of them; of all answers "
            f"{percent_cell(figures['cascade', 'changed_answers'])} % are not what the networks "
            "say."
        )

    def line(system: str) -> Row:
        macs, by = figures[system, "macs"].value, figures["reference", "macs"].value
        return row(
            system,
            assessment.models[system],
            percent_cell(figures[system, "accuracy"]),
            percent_cell(figures[system, "ece"]),
            magnitude(macs),
            ratio(macs / by if macs and by else None),
            points_cell(figures.get((system, "cascade_minus_this"))),
            marked=system == "cascade",
        )

    return Table(
        title=f"answers for {integer(figures['cascade', 'accuracy'].n)} test images",
        columns=columns(
            "system",
            "model",
            "accuracy %|with its 95 % interval over the images",
            "ECE %|expected calibration error",
            "MACs|multiply-accumulates per image",
            "of the reference",
            "cascade minus it|points, paired on the same images",
            words=2,
        ),
        rows=tuple(map(line, assessment.models)),
        note=note,
    )


def assessment_csv(assessment: Assessment) -> str:
    """Return all figures as a tidy CSV, a figure a row."""
    return csv_text(
        ("system", "model", "quantity", "value", "low", "high", "n", "unit"),
        [
            (system, assessment.models[system], name, of.value, of.low, of.high, of.n, of.unit)
            for (system, name), of in assessment.figures.items()
        ],
    )


def _plain(value: float | None, images: LabelledImages) -> Estimate:
    return Estimate(value=value, low=None, high=None, n=len(images))


def _answers(
    session: ClassifierSession, images: LabelledImages
) -> tuple[NDArray[np.float32], list[str]]:
    """Classify all images, none of them from a memory; say of a cascade's which stage answered."""
    parts = [
        session.predict(images.images[start : start + _BATCH])
        for start in range(0, len(images), _BATCH)
    ]
    stages = [trace.stage for part in parts for trace in part.trace or ()]
    return np.concatenate([part.probabilities for part in parts]), stages


def _memory(
    deployed: Deployed, images: LabelledImages, answers: NDArray[np.float32]
) -> tuple[Estimate, Estimate]:
    """Show all images twice, one at a time, to the cascade with its memory."""
    cascade, stream = deployed.cascade, appended_stream(images, 1.0, seed=0)
    memory = LocalMemory(deployed.memory)
    remembering = CascadeClassifier(cascade.members, cascade.policy, memory=memory)
    served = np.empty(len(stream), np.int64)
    hit = np.empty(len(stream), np.bool_)
    for place, frame in enumerate(stream.order.tolist()):
        found = remembering.predict(images.images[frame : frame + 1])
        served[place] = found.probabilities[0].argmax()
        hit[place] = (found.trace or ())[0].stage == "memory"
    expected, again = answers.argmax(axis=1)[stream.order], stream.repeated
    return (
        share(int(hit[again].sum()), int(again.sum())),
        share(int((served != expected).sum()), len(stream)),
    )


def _notes(deployed: Deployed, dataset_sha256: str) -> Iterator[str]:
    name = deployed.cascade.info.name
    if not deployed.has_memory:
        yield f"The sidecar of {name!r} describes no memory."
    if deployed.sidecar.training.data.sha256 != dataset_sha256:
        yield (
            f"{name!r} was trained on other data, or on another split, than this: it may have "
            "learned from these test images."
        )
    yield "`bicameral measure` says what it costs."
