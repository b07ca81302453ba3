"""The chosen cascade from close by: its parts, what B changed, and its other thresholds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bicameral.statistics import Estimate, Resampling
from edge.probabilities import SCORES
from models.calibration import reliability_bins
from models.cascade.candidates import SCORE
from models.cascade.complementarity import paper_complementarity
from models.cascade.judging import Bench, calibration_errors
from models.cascade.operating_points import Answers, PairAnswers, System, answer, sweep_thresholds
from models.cascade.plan import Plan
from models.cascade.pool import CalibratedPool
from models.cascade.results import (
    ChangedImage,
    ChangeRecord,
    CurveRecord,
    DetailRecord,
    PartName,
    PartRecord,
    spread,
)
from models.cascade.risk_coverage import estimate_areas, risk_coverage_curve

_CURVE_POINTS = 200


def detail_record(bench: Bench) -> DetailRecord:
    """Look closely at the finished choice on the test images."""
    plan, test, validation = bench.plan, bench.calibrated.test, bench.calibrated.validation
    seeds = test.common_seeds(plan.system.networks)
    right = [test.network(name).correct(test.labels, seeds) for name in plan.system.networks]
    several = len(right) > 1
    return DetailRecord(
        choice=plan.chosen.record.name,
        shipped_seed=plan.selection_seeds[0],
        parts=_parts(bench),
        changes=_changes(plan, test),
        complementarity_test=spread(seeds, map(paper_complementarity, *right[:2]))
        if several
        else None,
        oracle_accuracy_test=spread(seeds, np.any(right, axis=0).mean(axis=1)),
        accuracy_over_usage_validation=_accuracy_over_usage(plan, validation) if several else None,
        accuracy_over_usage_test=_accuracy_over_usage(plan, test) if several else None,
    )


def _parts(bench: Bench) -> tuple[PartRecord, ...]:
    plan, test = bench.plan, bench.calibrated.test
    labels, seed = test.labels, plan.selection_seeds[0]
    systems: dict[PartName, System] = {"cascade": plan.system}
    letters: tuple[PartName, ...] = ("a", "b", "c")
    if len(plan.system.networks) > 1:
        single = (System(networks=(name,)) for name in plan.system.networks)
        systems |= zip(letters, single, strict=False)
    systems["reference"] = System(networks=(plan.reference,))
    answers = {name: answer(test, system) for name, system in systems.items()}
    raw = {
        name: answer(bench.raw.test, plan.uncalibrated if name == "cascade" else system)
        for name, system in systems.items()
    }
    areas = _areas(answers, bench.resampling)
    records = []
    for name, after in answers.items():
        before, shipped = raw[name], after.of_seed(seed)
        right = shipped.argmax(axis=1) == labels
        records.append(
            PartRecord(
                part=name,
                confusion=_confusion(shipped, labels),
                ece_before=calibration_errors(before.probabilities, labels, before.seeds),
                ece_after=calibration_errors(after.probabilities, labels, after.seeds),
                reliability_before=reliability_bins(before.of_seed(seed), labels),
                reliability_after=reliability_bins(shipped, labels),
                aurc=areas[name][0],
                aurc_cascade_minus_this=areas[name][1],
                risk_coverage=_curve(
                    *risk_coverage_curve(shipped.max(axis=1), right, _CURVE_POINTS)
                ),
            )
        )
    return tuple(records)


def _areas(
    answers: Mapping[PartName, Answers], resampling: Resampling
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
        ranked = {
            name: (
                np.stack([answers[name].of_seed(seed).max(axis=1) for seed in seeds]),
                answers[name].of_seeds(seeds) == 1.0,
            )
            for name in dict.fromkeys(("cascade", *names))
        }
        estimates = estimate_areas(ranked, resampling)
        result |= {name: estimates[name] for name in names}
    return result


def _changes(plan: Plan, pool: CalibratedPool) -> ChangeRecord:
    """Compare the system's answers with A's."""
    labels, seed = pool.labels, plan.selection_seeds[0]
    answers = answer(pool, plan.system)
    right = answers.correct == 1.0
    right_a = pool.network(plan.system.networks[0]).correct(labels, answers.seeds)
    rescued, broken = right & ~right_a, right_a & ~right
    a = pool.network(plan.system.networks[0]).of_seed(seed)
    b = pool.network(plan.system.networks[:2][-1]).of_seed(seed)
    scores = SCORES[SCORE](a)
    cascade = answers.of_seed(seed).argmax(axis=1)

    def images(changed: NDArray[np.bool_]) -> tuple[ChangedImage, ...]:
        return tuple(
            ChangedImage(
                index=index,
                label=int(labels[index]),
                a=int(a[index].argmax()),
                b=int(b[index].argmax()),
                cascade=int(cascade[index]),
                score_a=float(scores[index]),
            )
            for index in np.flatnonzero(changed[answers.seeds.index(seed)]).tolist()
        )

    return ChangeRecord(
        asked=spread(answers.seeds, np.rint(answers.usage[:, :1].sum(axis=1) * len(labels))),
        rescued=spread(answers.seeds, rescued.sum(axis=1)),
        broken=spread(answers.seeds, broken.sum(axis=1)),
        rescued_images=images(rescued),
        broken_images=images(broken),
    )


def _accuracy_over_usage(plan: Plan, pool: CalibratedPool) -> CurveRecord:
    seed = plan.selection_seeds[0]
    a, b = pool.answers(plan.system.networks[:2], seed)
    policy = plan.system.policies[seed]
    sweep = sweep_thresholds(
        PairAnswers(a=a, b=b, labels=pool.labels, score=policy.score, combination=policy.combine)
    )
    last = len(sweep.usage) - 1
    shown = np.unique(np.linspace(0, last, min(_CURVE_POINTS, last + 1)).astype(np.int64))
    return _curve(sweep.usage[shown], sweep.accuracy[shown])


def _confusion(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[tuple[int, ...], ...]:
    """Return the counts (C, C); rows are true classes, columns answers."""
    classes = probabilities.shape[1]
    cells = np.bincount(labels * classes + probabilities.argmax(axis=1), minlength=classes**2)
    return tuple(tuple(row) for row in cells.reshape(classes, classes).tolist())


def _curve(x: NDArray[np.float64], y: NDArray[np.float64]) -> CurveRecord:
    return CurveRecord(x=tuple(x.tolist()), y=tuple(y.tolist()))
