"""Complementarity of all networks, and what the cascade and its parts confuse."""

from __future__ import annotations

from dataclasses import replace

from models.cascade.report.figures import Figure
from models.cascade.report.matrices import Tile, TintedMatrix, draw_matrix
from models.cascade.report.quantities import integer, percent
from models.cascade.report.svg import Ink
from models.cascade.report.tables import Column, Table, complementarity_table, row
from models.cascade.report.wording import chosen, part_title
from models.cascade.results import CascadeEvaluation, ComplementarityRecord, Matrix, PartRecord

#: With more classes a matrix is no longer readable: the most frequent confusions are listed.
MAX_MATRIX_CLASSES = 20

_LISTED_CONFUSIONS = 20


def complementarity_figure(evaluation: CascadeEvaluation) -> Figure:
    """Draw complementarity below and oracle accuracy above the diagonal."""
    record = evaluation.complementarity
    system = chosen(evaluation).system
    size = len(record.architectures)
    ranges: dict[Ink, tuple[float, float]] = {
        "cascade": _range(record.paper),
        "b": _range(record.oracle_accuracy),
    }
    tiles = tuple(
        tuple(
            replace(
                _pair_tile(record, i, j, ranges),
                framed={record.architectures[i], record.architectures[j]} == {system.a, system.b},
            )
            for j in range(size)
        )
        for i in range(size)
    )
    matrix = TintedMatrix(
        name="complementarity",
        title="Complementarity and oracle accuracy",
        description=(
            "Below the diagonal the complementarity of two networks in percent, above it the share "
            "of images that at least one of them gets right; the table lists all pairs."
        ),
        rows=record.architectures,
        columns=record.architectures,
        tiles=tiles,
        side=42.0,
    )
    return Figure(
        title=matrix.title,
        caption=(
            f"On the {integer(record.n_images)} validation images, in percent. Below the diagonal "
            "(green): the paper's complementarity, twice the smaller of the two shares that only "
            "one of the networks gets right. Above it (orange): oracle accuracy, what a perfect "
            "gate would reach. On it: the network's own accuracy. The chosen pair is framed."
        ),
        legend=(),
        svg=draw_matrix(matrix),
        table=complementarity_table(evaluation),
    )


def _pair_tile(
    record: ComplementarityRecord, i: int, j: int, ranges: dict[Ink, tuple[float, float]]
) -> Tile:
    paper, oracle = record.paper[i][j], record.oracle_accuracy[i][j]
    first, second = record.architectures[i], record.architectures[j]
    if i == j:
        own = percent(oracle, 1)
        return Tile(text=own, ink="soft", strength=0.0, tooltip=f"{first} alone: {own} %")
    ink: Ink = "cascade" if i > j else "b"
    value = paper if i > j else oracle
    low, high = ranges[ink]
    return Tile(
        text=percent(value, 1),
        ink=ink,
        strength=(value - low) / (high - low) if high > low else 0.0,
        tooltip=(
            f"{first} and {second}: complementarity {percent(paper)} %, oracle {percent(oracle)} %"
        ),
    )


def _range(matrix: Matrix) -> tuple[float, float]:
    values = [value for i, line in enumerate(matrix) for value in line[:i]]
    return min(values), max(values)


def confusion_figures(evaluation: CascadeEvaluation) -> tuple[Figure, ...]:
    """Draw the confusion matrices of the cascade and its parts, of the shipped seed."""
    return tuple(_confusion(evaluation, part) for part in evaluation.detail.parts)


def confusion_tables(evaluation: CascadeEvaluation) -> tuple[Table, ...]:
    """List the most frequent confusions of the cascade and its parts."""
    return tuple(_confusion_table(evaluation, part) for part in evaluation.detail.parts)


def _confusion(evaluation: CascadeEvaluation, part: PartRecord) -> Figure:
    title = part_title(evaluation, part.part)
    labels = evaluation.labels
    matrix = TintedMatrix(
        name=f"confusion-{part.part}",
        title=f"Confusions of {title}",
        description=(
            "Rows are true classes, columns answers; cells count test images. "
            f"{integer(_errors(part))} answers are wrong."
        ),
        rows=labels,
        columns=labels,
        tiles=tuple(
            tuple(
                _confusion_tile(labels[i], labels[j], count, sum(counts))
                for j, count in enumerate(counts)
            )
            for i, counts in enumerate(part.confusion)
        ),
    )
    return Figure(
        title=title,
        caption=f"{integer(_errors(part))} answers are wrong.",
        legend=(),
        svg=draw_matrix(matrix),
        table=None,
    )


def _confusion_tile(true: str, answer: str, count: int, total: int) -> Tile:
    share = count / total if total else 0.0
    same = true == answer
    return Tile(
        text=str(count) if count else "",
        ink="cascade" if same else "paper",
        # The root shows the rare confusions, too.
        strength=0.7 * share if same else min(1.5 * share, 1.0) ** 0.5,
        tooltip=f"true {true}, answered {answer}: {integer(count)} of {integer(total)}",
    )


def _confusion_table(evaluation: CascadeEvaluation, part: PartRecord) -> Table:
    counts = [
        (count, i, j)
        for i, line in enumerate(part.confusion)
        for j, count in enumerate(line)
        if i != j and count
    ]
    counts.sort(key=lambda entry: -entry[0])
    return Table(
        title=f"{part_title(evaluation, part.part)}: {integer(_errors(part))} wrong answers",
        columns=(Column(label="true class"), Column(label="answer"), Column(label="images")),
        rows=tuple(
            row(evaluation.labels[i], evaluation.labels[j], integer(count))
            for count, i, j in counts[:_LISTED_CONFUSIONS]
        ),
        words=2,
    )


def _errors(part: PartRecord) -> int:
    return sum(sum(line) - line[i] for i, line in enumerate(part.confusion))
