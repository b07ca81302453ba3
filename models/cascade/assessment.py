"""What a deployed cascade answers on test images, beside its networks and the one it is to replace.

What it costs is measured by `models.measurement`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ClassifierSession
from bicameral.statistics import Estimate, mean_over_images, share
from bicameral.tables import (
    Table,
    columns,
    csv_text,
    integer,
    magnitude,
    percent,
    percent_cell,
    points_cell,
    ratio,
    row,
)
from bicameral.types import Prediction
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
class SystemAnswers:
    """How the cascade or a single network answers the test images.

    Attributes:
        title: ``cascade``, ``A``, ``B`` or ``reference``.
        model: Name of the model.
        accuracy: With its interval.
        ece: Expected calibration error, 0..1.
        macs: Mean multiply-accumulates of an image; None if unknown.
        cascade_minus_this: Paired difference of the accuracies; None for the cascade.
    """

    title: str
    model: str
    accuracy: Estimate
    ece: float
    macs: float | None
    cascade_minus_this: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Everything.

    Attributes:
        systems: The cascade first, the reference last.
        share_b: Share of the images that B saw.
        repeat_hits: Share of the images that the sidecar's memory, empty at first, answered when
            all came a second time; None if the sidecar describes no memory.
        changed_answers: Share of all images, of both times, that with the memory got another answer
            than without; None likewise.
        notes: What a reader must know.
    """

    systems: tuple[SystemAnswers, ...]
    share_b: Estimate
    repeat_hits: Estimate | None
    changed_answers: Estimate | None
    notes: tuple[str, ...]


def assess_cascade(
    deployed: Deployed,
    images: LabelledImages,
    *,
    dataset_sha256: str,
    seed: int = 0,
    progress: Progress = lambda done, total, note: None,
) -> Assessment:
    """Judge a cascade on test images.

    Args:
        deployed: The cascade, its reference and its memory.
        images: Test images.
        dataset_sha256: Fingerprint of their data set.
        seed: Of the order in which images come a second time.
        progress: Is told how far it is.
    """
    cascade = deployed.cascade
    sessions: dict[str, ClassifierSession] = {
        "cascade": cascade,
        "A": cascade.a,
        "B": cascade.b,
        "reference": deployed.reference,
    }
    answers: dict[str, Prediction] = {}
    for done, (title, session) in enumerate(sessions.items()):
        progress(done, len(sessions) + 1, f"answers of {session.info.name}")
        answers[title] = _answers(session, images)
    asked = np.array([trace.stage == "b" for trace in answers["cascade"].trace or ()])
    right = {
        title: (of.probabilities.argmax(axis=1) == images.labels).astype(np.float64)[None]
        for title, of in answers.items()
    }
    progress(len(sessions), len(sessions) + 1, "the memory")
    hits, changed = _memory(deployed, images, answers["cascade"], seed)
    macs = {title: session.info.macs for title, session in sessions.items()}
    if macs["A"] is not None and macs["B"] is not None:
        macs["cascade"] = round(macs["A"] + float(asked.mean()) * macs["B"])
    return Assessment(
        systems=tuple(
            SystemAnswers(
                title=title,
                model=session.info.name,
                accuracy=mean_over_images(right[title]),
                ece=expected_calibration_error(answers[title].probabilities, images.labels),
                macs=macs[title],
                cascade_minus_this=None
                if title == "cascade"
                else mean_over_images(right["cascade"] - right[title]),
            )
            for title, session in sessions.items()
        ),
        share_b=share(int(asked.sum()), len(asked)),
        repeat_hits=hits,
        changed_answers=changed,
        notes=tuple(_notes(deployed, dataset_sha256)),
    )


def assessment_table(assessment: Assessment) -> Table:
    """Show the cascade beside the others."""
    reference = assessment.systems[-1]
    note = f"B sees {percent_cell(assessment.share_b, 1)} % of the images."
    if assessment.repeat_hits is not None:
        note += (
            f" When all come a second time, the memory answers "
            f"{percent_cell(assessment.repeat_hits, 1)} % of them; of all answers "
            f"{percent_cell(assessment.changed_answers)} % are not what the networks say."
        )
    return Table(
        title=f"answers for {integer(reference.accuracy.n)} test images",
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
        rows=tuple(
            row(
                one.title,
                one.model,
                percent_cell(one.accuracy),
                percent(one.ece),
                magnitude(one.macs),
                ratio(one.macs / reference.macs if one.macs and reference.macs else None),
                points_cell(one.cascade_minus_this),
                marked=one.title == "cascade",
            )
            for one in assessment.systems
        ),
        note=note,
    )


def assessment_csv(assessment: Assessment) -> str:
    """Return all figures as a tidy CSV, a figure a row."""
    rows: list[tuple[str, str, str, Estimate]] = []
    for one in assessment.systems:
        n = one.accuracy.n
        rows.append((one.title, one.model, "accuracy", one.accuracy))
        rows.append((one.title, one.model, "ece", _plain(one.ece, n)))
        rows.append((one.title, one.model, "macs", _plain(one.macs, n)))
        if one.cascade_minus_this is not None:
            rows.append((one.title, one.model, "cascade_minus_this", one.cascade_minus_this))
    cascade = assessment.systems[0]
    for name in ("share_b", "repeat_hits", "changed_answers"):
        estimate = getattr(assessment, name)
        if estimate is not None:
            rows.append((cascade.title, cascade.model, name, estimate))
    return csv_text(
        ("system", "model", "quantity", "value", "low", "high", "n", "unit"),
        [(*names, of.value, of.low, of.high, of.n, of.unit) for *names, of in rows],
    )


def _plain(value: float | None, n: int) -> Estimate:
    return Estimate(value=value, low=None, high=None, n=n)


def _answers(session: ClassifierSession, images: LabelledImages) -> Prediction:
    """Classify all images, none of them from a memory."""
    parts = [
        session.predict(images.images[start : start + _BATCH])
        for start in range(0, len(images), _BATCH)
    ]
    return Prediction(
        probabilities=np.concatenate([part.probabilities for part in parts]),
        confidence=np.concatenate([part.confidence for part in parts]),
        trace=tuple(trace for part in parts for trace in part.trace or ()) or None,
    )


def _memory(
    deployed: Deployed, images: LabelledImages, answers: Prediction, seed: int
) -> tuple[Estimate | None, Estimate | None]:
    """Show all images twice, one at a time, to the cascade with its memory."""
    if not deployed.has_memory:
        return None, None
    cascade, stream = deployed.cascade, appended_stream(images, 1.0, seed)
    remembering = CascadeClassifier(
        cascade.a, cascade.b, cascade.policy, memory=LocalMemory(deployed.memory)
    )
    served = np.empty(len(stream), np.int64)
    hit = np.empty(len(stream), np.bool_)
    for place, frame in enumerate(stream.order.tolist()):
        found = remembering.predict(images.images[frame : frame + 1])
        served[place] = found.probabilities[0].argmax()
        hit[place] = (found.trace or ())[0].stage == "memory"
    expected: NDArray[np.int64] = answers.probabilities.argmax(axis=1)[stream.order]
    again = stream.repeated
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
