"""What the stored answers of the FashionMNIST pool choose, and what that is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bicameral.statistics import Resampling
from bicameral.tables import print_table
from models.cascade.evaluation import evaluate_cascade
from models.cascade.plan import EvaluationSettings
from models.cascade.report_tables import choice_table, comparison_table
from models.cascade.results import CascadeEvaluation, Spread
from models.cascade.search import MaxCost
from models.cascade.wording import system_title
from models.classifiers.logits import PoolLogits, read_pool_logits
from studies.measurements import Measured, single, write_measurements
from studies.study import DATA, Study

LOGITS = DATA / "fashion_mnist" / "logits"
SETTINGS = EvaluationSettings(
    references=("wide_residual32", "wide_residual40"),
    requirement=MaxCost(cost=6.6e6),
    max_usage=0.3,
    selection_seeds=(0,),
)
#: Of a quick run: images of each split, random halves, and replicates of the bootstrap.
FEW, SPLITS, REPLICATES = 500, 2, 50


def run(folder: Path, quick: bool) -> int:
    """Choose, judge and write down."""
    pool, settings = read_pool_logits(LOGITS), SETTINGS
    if quick:
        pool = _few(pool)
        resampling = Resampling(replicates=REPLICATES)
        settings = replace(settings, splits=SPLITS, resampling=resampling)
    evaluation = evaluate_cascade(pool, settings)
    write_measurements(folder / "systems.csv", measured(evaluation))
    print_table(choice_table(evaluation))
    print_table(comparison_table(evaluation, evaluation.shipped))
    against = [evaluation.shipped.against(name) for name in ("best_single_at_cost", "paper_choice")]
    better = [one is not None and (one.accuracy_difference.low or 0.0) > 0.0 for one in against]
    return int(not all(better))


def _few(pool: PoolLogits) -> PoolLogits:
    return replace(
        pool,
        validation_labels=pool.validation_labels[:FEW],
        test_labels=pool.test_labels[:FEW],
        networks=tuple(
            replace(one, validation=one.validation[:FEW], test=one.test[:FEW])
            for one in pool.networks
        ),
    )


def measured(evaluation: CascadeEvaluation) -> Measured:
    """Return the figures of networks, choices and opponents, and of the choice from close by."""
    found: Measured = {}
    for network in evaluation.networks:
        key: tuple[str, str] = (network.architecture, network.role)
        found[*key, "parameters"] = single(network.parameters)
        found[*key, "macs"] = single(network.macs)
        found[*key, "cpu_us"] = single(network.cpu_us or 0.0, "us")
        for name in ("validation_accuracy", "test_accuracy", "test_ece_before", "test_ece_after"):
            found |= _over_seeds(*key, name, getattr(network, name))
    for choice in evaluation.choices:
        by = choice.against("reference")
        if choice.system is not None and by is not None:
            key, test = (choice.name, system_title(choice.system)), choice.system.test
            for letter, usage in zip("bc", test.usage, strict=False):
                name = "usage" if letter == "b" else f"usage_{letter}"
                found |= _over_seeds(*key, name, usage)
            for name in ("halves_agree", "same_networks", "regret"):
                found[*key, name] = single(
                    getattr(choice.stability, name), n=choice.stability.splits
                )
            found[*key, "optimism"] = single(choice.stability.expected)
            found |= _over_seeds(*key, "test_accuracy", test.accuracy)
            found[*key, "macs"] = single(test.expected_macs)
            found[*key, "macs_ratio"] = single(by.macs_ratio)
            found[*key, "cpu_ratio"] = single(by.cpu_ratio or 0.0)
            found[*key, "minus_reference"] = by.accuracy_difference
            single_network = choice.against("best_single_at_cost")
            if single_network is not None:
                found[*key, "minus_single"] = single_network.accuracy_difference
    for one in evaluation.shipped.comparisons:
        key = (one.against, system_title(one.opponent))
        found |= _over_seeds(*key, "test_accuracy", one.opponent.test.accuracy)
        found[*key, "difference"] = one.accuracy_difference
        found[*key, "compared_macs"] = single(one.macs_ratio)
    for part in evaluation.detail.parts:
        key = ("shipped", part.part)
        found[*key, "aurc"] = part.aurc
        if part.aurc_cascade_minus_this is not None:
            found[*key, "cascade_minus_this"] = part.aurc_cascade_minus_this
        found |= _over_seeds(*key, "ece_before", part.ece_before)
        found |= _over_seeds(*key, "ece_after", part.ece_after)
    changes, oracle = evaluation.detail.changes, evaluation.detail.oracle_accuracy_test
    found |= _over_seeds("shipped", "cascade", "oracle_accuracy", oracle)
    for name in ("asked", "rescued", "broken"):
        found |= _over_seeds("shipped", "cascade", name, getattr(changes, name))
    return found


def _over_seeds(subject: str, condition: str, quantity: str, of: Spread) -> Measured:
    """Return a mean, and of several seeds their standard deviation and each value."""
    seeds = len(of.seeds)
    found = {(subject, condition, quantity): replace(single(of.mean, n=seeds), seeds=seeds)}
    if of.std is not None:
        found[subject, condition, f"{quantity}_std"] = single(of.std, n=seeds)
        for seed, value in zip(of.seeds, of.values, strict=True):
            found[subject, f"{condition}, seed {seed}", quantity] = single(value)
    return found


STUDY = Study(
    claim=(
        "What the stored answers choose at a tenth of the reference's multiply-accumulates is more "
        "accurate than the best single network of no more cost, and than what the paper's search "
        "finds among all pairs."
    ),
    setting=(
        "any processor (the CPU times were measured when the networks were trained, on an AMD "
        "EPYC); 10,000 validation and 10,000 test images of FashionMNIST; seed 0 decides; two "
        "minutes"
    ),
    run=run,
)
