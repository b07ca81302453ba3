"""From the logits of a pool to everything the report needs, in two steps that never mix.

First everything is chosen on the validation images; then the test images are opened and the
finished choices are judged on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.cascade.complementarity import complementarity
from models.cascade.detail import detail_record
from models.cascade.judging import Bench, Splits, calibration_errors, judge_choice
from models.cascade.operating_points import System, answer
from models.cascade.plan import EvaluationSettings, Plan, make_plan
from models.cascade.pool import (
    fit_temperatures,
    held_out_pool,
    unit_temperatures,
    validation_pool,
)
from models.cascade.results import (
    CascadeEvaluation,
    ChoiceRecord,
    NetworkRecord,
    NetworkRole,
    spread,
)
from models.cascade.risk_coverage import area_under_risk_coverage
from models.classifiers.logits import PoolLogits


def evaluate_cascade(pool: PoolLogits, settings: EvaluationSettings) -> CascadeEvaluation:
    """Choose a cascade on the validation images and judge it on the test images.

    Args:
        pool: Logits of all networks on both splits.
        settings: How to choose and to judge.

    Raises:
        DataError: If fewer than two small networks or no reference can be chosen.
        UserError: If no cascade meets the requirement, or an unknown architecture is named.
    """
    temperatures, ones = fit_temperatures(pool), unit_temperatures(pool)
    validation, raw_validation = validation_pool(pool, temperatures), validation_pool(pool, ones)
    plan = make_plan(validation, raw_validation, settings)

    # Everything is chosen. The test images are opened here, and nothing below chooses.
    bench = Bench(
        plan=plan,
        calibrated=Splits(
            validation=validation, test=held_out_pool(pool, temperatures), calibrated=True
        ),
        raw=Splits(validation=raw_validation, test=held_out_pool(pool, ones), calibrated=False),
        resampling=settings.resampling,
    )
    describe = bench.calibrated.record
    choices = tuple(judge_choice(choice, bench) for choice in plan.choices)
    return CascadeEvaluation(
        dataset=pool.dataset,
        dataset_sha256=pool.dataset_sha256,
        labels=pool.labels,
        n_validation=len(pool.validation_labels),
        n_test=len(pool.test_labels),
        cost=settings.cost,
        max_usage=settings.max_usage,
        selection_seeds=plan.selection_seeds,
        systems=plan.systems,
        replicates=settings.resampling.replicates,
        reference=plan.reference,
        undertrained=plan.undertrained,
        networks=tuple(
            _network(bench, name, _role(name, plan, settings)) for name in validation.architectures
        ),
        complementarity=complementarity(validation, validation.architectures),
        fronts=tuple(tuple(map(describe, front)) for front in plan.fronts),
        choices=choices,
        detail=detail_record(bench),
        notes=tuple(_notes(bench, choices)),
    )


def _network(bench: Bench, architecture: str, role: NetworkRole) -> NetworkRecord:
    splits, system = bench.calibrated, System(networks=(architecture,))
    network, labels = splits.test.network(architecture), splits.test.labels
    validated, found = answer(splits.validation, system), answer(splits.test, system)
    raw, seeds = bench.raw.test.network(architecture), network.seeds
    areas = map(area_under_risk_coverage, network.probabilities.max(axis=2), found.correct == 1.0)
    return NetworkRecord(
        architecture=architecture,
        role=role,
        parameters=network.parameters,
        macs=network.macs,
        cpu_us=network.cpu_us if network.cpu_us > 0.0 else None,
        temperature=spread(seeds, network.temperatures),
        validation_accuracy=spread(seeds, validated.correct.mean(axis=1)),
        test_accuracy=spread(seeds, found.correct.mean(axis=1)),
        test_ece_before=calibration_errors(raw.probabilities, labels, seeds),
        test_ece_after=calibration_errors(network.probabilities, labels, seeds),
        test_aurc=spread(seeds, areas),
    )


def _role(architecture: str, plan: Plan, settings: EvaluationSettings) -> NetworkRole:
    if architecture == plan.reference:
        return "reference"
    if architecture in plan.left_out:
        return "left_out"
    return "reference_candidate" if architecture in settings.references else "small"


def _notes(bench: Bench, choices: Sequence[ChoiceRecord]) -> Iterator[str]:
    """Yield what a reader must know before believing the numbers."""
    plan = bench.plan
    if plan.undertrained is not None:
        better, worse = (
            answer(bench.calibrated.validation, System(networks=(name,))).correct.mean()
            for name in (plan.undertrained, plan.reference)
        )
        yield (
            f"The reference {plan.reference} is undertrained: with {100 * worse:.2f} % of the "
            f"validation images it is not shown to be better than {plan.undertrained}, which costs "
            f"less and reaches {100 * better:.2f} %, or than guessing. Train for more epochs "
            "before you believe what is said about it; choices that should come near it come near "
            f"{plan.undertrained} instead."
        )
    if len(answer(bench.calibrated.test, plan.system).seeds) == 1:
        yield (
            f"One training of {' with '.join(plan.system.networks)} was judged: the intervals "
            "cover the draw of the test images, not how training varies."
        )
    if len(plan.selection_seeds) == 1:
        yield (
            "Systems were chosen by the accuracy of one seed of every network; the optimism of "
            "choosing covers the images, not the seed."
        )
    if plan.left_out:
        yield (
            f"Not considered, for want of the seeds {list(plan.selection_seeds)}: "
            f"{', '.join(plan.left_out)}."
        )
    for choice in choices:
        if choice.unmet is not None:
            yield f"{choice.name}: {choice.unmet}."
