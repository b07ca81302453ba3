"""The chosen cascade from close by: its parts, what B changed, and its other thresholds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bicameral.statistics import Estimate, Resampling
from edge.probabilities import SCORES
from models.calibration import reliability_bins
from models.cascade.complementarity import oracle_accuracy, paper_complementarity
from models.cascade.judging import Bench, calibration_errors, run_system
from models.cascade.operating_points import (
    Answers,
    OperatingPoint,
    PairAnswers,
    sweep_thresholds,
)
from models.cascade.plan import Plan
from models.cascade.pool import CalibratedPool
from models.cascade.results import (
    ChangedImage,
    ChangeRecord,
    CurveRecord,
    DetailRecord,
    PartName,
    PartRecord,
    ReliabilityRecord,
    spread,
)
from models.cascade.risk_coverage import (
    RankedAnswers,
    estimate_areas,
    risk_coverage_curve,
)

_CURVE_POINTS = 200


def detail_record(bench: Bench) -> DetailRecord:
    """Look closely at the finished choice on the test images."""
    plan, calibrated = bench.plan, bench.calibrated
    point, labels = plan.point, calibrated.test.labels
    correct_a, correct_b = (
        calibrated.test.network(name).correct(labels, point.seeds) for name in (point.a, point.b)
    )
    return DetailRecord(
        choice=plan.chosen,
        shipped_seed=plan.selection_seeds[0],
        parts=_parts(bench),
        changes=_changes(plan, calibrated.test),
        complementarity_test=spread(
            point.seeds, list(map(paper_complementarity, correct_a, correct_b))
        ),
        oracle_accuracy_test=spread(point.seeds, list(map(oracle_accuracy, correct_a, correct_b))),
        accuracy_over_usage_validation=_accuracy_over_usage(plan, calibrated.validation),
        accuracy_over_usage_test=_accuracy_over_usage(plan, calibrated.test),
    )


def _parts(bench: Bench) -> tuple[PartRecord, ...]:
    plan, test = bench.plan, bench.calibrated.test
    point, labels, seed = plan.point, test.labels, plan.selection_seeds[0]
    systems: dict[PartName, tuple[OperatingPoint | str, OperatingPoint | str]] = {
        "cascade": (point, plan.uncalibrated),
        "a": (point.a, point.a),
        "b": (point.b, point.b),
        "reference": (plan.reference, plan.reference),
    }
    answers = {name: run_system(test, after) for name, (after, _) in systems.items()}
    areas = _areas(answers, test, bench.resampling)
    records = []
    for name, (_, before) in systems.items():
        area, difference = areas[name]
        uncalibrated = run_system(bench.raw.test, before)
        shipped = _of_seed(answers[name], seed)
        coverage, risk = risk_coverage_curve(
            shipped.max(axis=1), shipped.argmax(axis=1) == labels, _CURVE_POINTS
        )
        records.append(
            PartRecord(
                part=name,
                confusion=_confusion(shipped, labels),
                ece_before=calibration_errors(
                    uncalibrated.probabilities, labels, uncalibrated.seeds
                ),
                ece_after=calibration_errors(
                    answers[name].probabilities, labels, answers[name].seeds
                ),
                reliability_before=_reliability(_of_seed(uncalibrated, seed), labels),
                reliability_after=_reliability(shipped, labels),
                aurc=area,
                aurc_cascade_minus_this=difference,
                risk_coverage=_curve(coverage, risk),
            )
        )
    return tuple(records)


def _areas(
    answers: dict[PartName, Answers], pool: CalibratedPool, resampling: Resampling
) -> dict[PartName, tuple[Estimate, Estimate | None]]:
    """Return every part's area under the risk-coverage curve, and the cascade's minus it.

    Parts with the same seeds are resampled together; one with fewer seeds, with a cascade of those.
    """
    cascade = answers["cascade"]
    common = {
        name: tuple(seed for seed in cascade.seeds if seed in of.seeds)
        for name, of in answers.items()
    }
    result: dict[PartName, tuple[Estimate, Estimate | None]] = {}
    for seeds in dict.fromkeys(common.values()):
        names = [name for name in answers if common[name] == seeds]
        ranked: dict[str, RankedAnswers] = {
            name: _ranked(answers[name], pool.labels, seeds)
            for name in dict.fromkeys(("cascade", *names))
        }
        estimates = estimate_areas(ranked, resampling)
        result |= {name: estimates[name] for name in names}
    return result


def _changes(plan: Plan, pool: CalibratedPool) -> ChangeRecord:
    """Compare the cascade's answers with A's."""
    point, labels, seed = plan.point, pool.labels, plan.selection_seeds[0]
    answers = run_system(pool, point)
    right = answers.correct(labels, point.seeds)
    right_a = pool.network(point.a).correct(labels, point.seeds)
    rescued, broken = right & ~right_a, right_a & ~right
    row = point.seeds.index(seed)
    a, b = (pool.network(name).of_seed(seed) for name in (point.a, point.b))
    scores = SCORES[point.score](a)

    def images(changed: NDArray[np.bool_]) -> tuple[ChangedImage, ...]:
        return tuple(
            ChangedImage(
                index=int(index),
                label=int(labels[index]),
                a=int(a[index].argmax()),
                b=int(b[index].argmax()),
                cascade=int(answers.probabilities[row, index].argmax()),
                score_a=float(scores[index]),
            )
            for index in np.flatnonzero(changed)
        )

    return ChangeRecord(
        asked=spread(point.seeds, answers.asked.sum(axis=1).tolist()),
        rescued=spread(point.seeds, rescued.sum(axis=1).tolist()),
        broken=spread(point.seeds, broken.sum(axis=1).tolist()),
        rescued_images=images(rescued[row]),
        broken_images=images(broken[row]),
    )


def _accuracy_over_usage(plan: Plan, pool: CalibratedPool) -> CurveRecord:
    point = plan.point
    a, b = (pool.network(name).of_seed(plan.selection_seeds[0]) for name in (point.a, point.b))
    sweep = sweep_thresholds(
        PairAnswers(a=a, b=b, labels=pool.labels, score=point.score, combination=point.combination)
    )
    last = len(sweep.usage) - 1
    shown = np.unique(np.linspace(0, last, min(_CURVE_POINTS, last + 1)).astype(np.int64))
    return _curve(sweep.usage[shown], sweep.accuracy[shown])


def _ranked(answers: Answers, labels: NDArray[np.int64], seeds: tuple[int, ...]) -> RankedAnswers:
    rows = [answers.seeds.index(seed) for seed in seeds]
    return RankedAnswers(
        confidence=answers.probabilities[rows].max(axis=2), correct=answers.correct(labels, seeds)
    )


def _of_seed(answers: Answers, seed: int) -> NDArray[np.float32]:
    return np.asarray(answers.probabilities[answers.seeds.index(seed)])


def _reliability(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> ReliabilityRecord:
    bins = reliability_bins(probabilities, labels)
    return ReliabilityRecord(
        count=tuple(bins.count.tolist()),
        confidence=tuple(bins.confidence.tolist()),
        accuracy=tuple(bins.accuracy.tolist()),
    )


def _confusion(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[tuple[int, ...], ...]:
    """Return the counts (C, C); rows are true classes, columns answers."""
    classes = probabilities.shape[1]
    cells = np.bincount(labels * classes + probabilities.argmax(axis=1), minlength=classes**2)
    return tuple(tuple(row) for row in cells.reshape(classes, classes).tolist())


def _curve(x: NDArray[np.float64], y: NDArray[np.float64]) -> CurveRecord:
    return CurveRecord(x=tuple(x.tolist()), y=tuple(y.tolist()))
