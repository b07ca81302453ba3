"""How far confidences can be trusted: reliability, risk over coverage, accuracy over usage."""

from __future__ import annotations

import numpy as np

from models.calibration import BINS
from models.cascade.report.axes import Axis, linear_axis
from models.cascade.report.charts import Chart, Point, Series, line
from models.cascade.report.figures import Figure, chart_figure
from models.cascade.report.quantities import integer, percent
from models.cascade.report.tables import Column, Table, row
from models.cascade.report.wording import PART_INKS, chosen, part_title
from models.cascade.results import (
    CascadeEvaluation,
    CurveRecord,
    PartRecord,
    ReliabilityRecord,
    Spread,
)

_SMALL = (280.0, 270.0)

#: Largest radius of a bin's mark; its area is the bin's share of the images.
_RADIUS = 9.0
_LEAST_RADIUS = 1.8

#: Where risk-coverage curves begin in the plot.
_LEAST_COVERAGE = 0.05

#: Rows of the tables of curves.
_READINGS = np.linspace(0.1, 1.0, 10)


def reliability_figures(evaluation: CascadeEvaluation) -> tuple[Figure, ...]:
    """Draw the reliability diagrams of the cascade and its parts, of the shipped seed."""
    return tuple(_reliability(evaluation, part) for part in evaluation.detail.parts)


def _reliability(evaluation: CascadeEvaluation, part: PartRecord) -> Figure:
    title = part_title(evaluation, part.part)
    seed = evaluation.detail.shipped_seed
    series = (
        Series(name="", ink="soft", points=line((0.0, 100.0), (0.0, 100.0)), line="dashed"),
        Series(name="before", ink="soft", points=_bins(part.reliability_before), mark="ring"),
        Series(
            name="after temperature scaling",
            ink=PART_INKS[part.part],
            points=_bins(part.reliability_after),
            mark="circle",
            line="thin",
        ),
    )
    chart = Chart(
        name=f"reliability-{part.part}",
        title=title,
        description=(
            f"Share of right answers over confidence in {BINS} bins on the test images, before and "
            "after temperature scaling; on the diagonal, confidence means what it says."
        ),
        x=Axis(label="confidence, %", low=0.0, high=100.0),
        y=Axis(label="right answers, %", low=0.0, high=100.0),
        series=series,
        size=_SMALL,
    )
    before, after = _of_seed(part.ece_before, seed), _of_seed(part.ece_after, seed)
    return chart_figure(
        chart,
        caption=f"ECE {percent(before)} % before, {percent(after)} % after (seed {seed}).",
        table=_reliability_table(part),
    )


def _bins(record: ReliabilityRecord) -> tuple[Point, ...]:
    total = sum(record.count)
    return tuple(
        Point(
            x=100.0 * confidence,
            y=100.0 * accuracy,
            tooltip=(
                f"{integer(count)} images: confidence {percent(confidence)} %, "
                f"right {percent(accuracy)} %"
            ),
            radius=max(_RADIUS * (count / total) ** 0.5, _LEAST_RADIUS),
        )
        for count, confidence, accuracy in zip(
            record.count, record.confidence, record.accuracy, strict=True
        )
        if count
    )


def _reliability_table(part: PartRecord) -> Table:
    def texts(record: ReliabilityRecord, k: int) -> tuple[str, str, str]:
        if not record.count[k]:
            return "0", "", ""
        return (
            integer(record.count[k]),
            percent(record.confidence[k]),
            percent(record.accuracy[k]),
        )

    bins = len(part.reliability_after.count)
    return Table(
        title="Bins",
        columns=(
            Column(label="confidence"),
            *(
                Column(label=f"{what} {when}")
                for when in ("before", "after")
                for what in ("images", "confidence %", "right %")
            ),
        ),
        rows=tuple(
            row(
                f"{k / bins:.2f}–{(k + 1) / bins:.2f}",
                *texts(part.reliability_before, k),
                *texts(part.reliability_after, k),
            )
            for k in range(bins)
        ),
    )


def risk_coverage_figure(evaluation: CascadeEvaluation) -> Figure:
    """Draw how many answers are wrong on the share of images that a system is surest of."""
    parts = evaluation.detail.parts
    series = tuple(
        Series(
            name=part_title(evaluation, part.part),
            ink=PART_INKS[part.part],
            points=tuple(
                point
                for point in _curve_points(part.risk_coverage)
                if point.x >= 100.0 * _LEAST_COVERAGE
            ),
            line="solid",
        )
        # The cascade is drawn last, over the others.
        for part in sorted(parts, key=lambda part: part.part == "cascade")
    )
    chart = Chart(
        name="risk-coverage",
        title="Risk over coverage, test images",
        description=(
            "Share of wrong answers among the images that each system is surest of, over their "
            "share of all images; lower is better."
        ),
        x=Axis(label="coverage: share of images answered, surest first, %", low=0.0, high=100.0),
        y=linear_axis(
            "risk: wrong answers among them, %",
            [0.0, *(point.y for shown in series for point in shown.points)],
            bounds=(0.0, 100.0),
        ),
        series=series,
    )
    return chart_figure(
        chart,
        caption=(
            f"Curves of seed {evaluation.detail.shipped_seed}, from a coverage of "
            f"{percent(_LEAST_COVERAGE, 0)} % on, below which a few images decide; areas are of "
            "whole curves and means over the seeds. The further a curve falls to the left, the "
            "more it helps to refuse the least sure images."
        ),
        table=_readings(
            "Risk, %",
            "coverage, %",
            {part_title(evaluation, p.part): p.risk_coverage for p in parts},
        ),
    )


def usage_figure(evaluation: CascadeEvaluation) -> Figure:
    """Draw the accuracy of the chosen pair over the share of images that B sees."""
    detail = evaluation.detail
    system = chosen(evaluation).system
    curves = {
        "validation images": detail.accuracy_over_usage_validation,
        "test images": detail.accuracy_over_usage_test,
    }
    seed = detail.shipped_seed
    spots = [
        Point(
            x=100.0 * _of_seed(split.usage, seed),
            y=100.0 * _of_seed(split.accuracy, seed),
            tooltip=f"chosen threshold: {percent(_of_seed(split.accuracy, seed))} %",
            label=label,
            radius=6.0,
        )
        for split, label in ((system.validation, ""), (system.test, "chosen"))
    ]
    validation, test = (_curve_points(curve) for curve in curves.values())
    series = (
        Series(name="validation images", ink="soft", points=validation, line="thin"),
        Series(name="test images", ink="cascade", points=test, line="solid"),
        Series(name="", ink="soft", points=(spots[0],), mark="star"),
        Series(name="chosen threshold", ink="cascade", points=(spots[1],), mark="star"),
    )
    oracle = _of_seed(detail.oracle_accuracy_test, seed)
    chart = Chart(
        name="accuracy-over-usage",
        title="Accuracy over B's share",
        description=(
            "Accuracy of the chosen pair over the share of images that B sees, as the threshold "
            "rises; on the left A alone, on the right both on every image."
        ),
        x=Axis(label="images that B sees, %", low=0.0, high=100.0),
        y=linear_axis(
            "accuracy, %",
            [point.y for shown in series for point in shown.points],
            bounds=(0.0, 100.0),
        ),
        series=series,
    )
    return chart_figure(
        chart,
        caption=(
            f"Seed {seed}. A gate that knew which images B mends would reach "
            f"{percent(oracle)} % on the test images with the same two networks."
        ),
        table=_readings("Accuracy, %", "B's share, %", curves),
    )


def _curve_points(curve: CurveRecord) -> tuple[Point, ...]:
    return line(_percents(curve.x), _percents(curve.y))


def _percents(shares: tuple[float, ...]) -> list[float]:
    return [100.0 * share for share in shares]


def _readings(title: str, label: str, curves: dict[str, CurveRecord]) -> Table:
    """Read curves off at round places."""
    return Table(
        title=title,
        columns=(Column(label=label), *(Column(label=name) for name in curves)),
        rows=tuple(
            row(
                percent(float(at), 0),
                *(percent(float(np.interp(at, curve.x, curve.y))) for curve in curves.values()),
            )
            for at in _READINGS
        ),
    )


def _of_seed(spread: Spread, seed: int) -> float:
    return spread.values[spread.seeds.index(seed)]
