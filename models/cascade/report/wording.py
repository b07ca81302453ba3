"""The words for what an evaluation's record names."""

from __future__ import annotations

from dataclasses import dataclass

from bicameral.errors import DataError
from edge.combination import CombinationName
from edge.probabilities import ScoreName
from models.cascade.bootstrap import LEVEL, Interval
from models.cascade.plan import Family
from models.cascade.policy_grid import CostName
from models.cascade.report.quantities import (
    DASH,
    cost_text,
    percent,
    points,
    points_interval,
    ratio,
    readable,
    seeds_text,
)
from models.cascade.report.svg import Ink
from models.cascade.results import (
    CascadeEvaluation,
    ChoiceRecord,
    ComparisonRecord,
    MixtureRecord,
    NetworkRole,
    OpponentName,
    PartName,
    RequirementRecord,
    SystemRecord,
)

SCORE_WORDS: dict[ScoreName, str] = {
    "margin": "margin between the two most probable classes",
    "max_probability": "highest probability",
    "entropy_normalised": "sureness (1 - normalised entropy)",
}

COMBINATION_WORDS: dict[CombinationName, str] = {
    "average": "the mean of both networks' probabilities is the answer",
    "post_check": "the surer of the two answers counts",
    "replace": "B's answer replaces A's",
}

FAMILY_WORDS: dict[Family, str] = {
    "pair": "two small networks",
    "big_little": "small network + reference",
}

ROLE_WORDS: dict[NetworkRole, str] = {
    "small": "small",
    "reference": "reference",
    "reference_candidate": "reference candidate",
    "left_out": "not considered",
}

OPPONENT_WORDS: dict[OpponentName, str] = {
    "a": "A alone",
    "b": "B alone",
    "reference": "the reference",
    "best_single_at_cost": "the best single network of at most its cost",
    "mixture_at_cost": "a random mixture of two single networks at its cost",
    "big_little_at_cost": "the best big-little cascade of at most its cost",
    "big_little_at_accuracy": "the cheapest big-little cascade of its accuracy",
    "best_with_zoo": "the best pair with a network of the zoo",
    "best_without_zoo": "the best pair without a network of the zoo",
    "paper_pair": "the paper's pair and threshold",
    "paper_threshold": "the paper's threshold for this pair",
}

PART_INKS: dict[PartName, Ink] = {
    "a": "a",
    "b": "b",
    "cascade": "cascade",
    "reference": "reference",
}


#: The two-sided level of every interval, in words.
LEVEL_WORDS = f"{100.0 * LEVEL:g} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The cascade that ships.

    Attributes:
        choice: What it was chosen as.
        system: Its networks and policy.
        score: Of how sure A is.
        combination: How two answers become one.
        accuracy: On the test images, mean over the seeds.
        shipped_accuracy: The same of the seed that ships.
    """

    choice: ChoiceRecord
    system: SystemRecord
    score: ScoreName
    combination: CombinationName
    accuracy: Interval
    shipped_accuracy: Interval


def chosen(evaluation: CascadeEvaluation) -> Chosen:
    """Return the cascade that ships.

    Raises:
        DataError: If the record does not hold it.
    """
    for choice in evaluation.choices:
        system = choice.system
        if (
            choice.name == evaluation.detail.choice
            and system is not None
            and system.score is not None
            and system.combine is not None
            and choice.test_accuracy is not None
            and choice.shipped_seed_accuracy is not None
        ):
            return Chosen(
                choice=choice,
                system=system,
                score=system.score,
                combination=system.combine,
                accuracy=choice.test_accuracy,
                shipped_accuracy=choice.shipped_seed_accuracy,
            )
    raise DataError(
        f"the evaluation has no judged cascade for the choice {evaluation.detail.choice!r}; "
        "evaluate again"
    )


def part_title(evaluation: CascadeEvaluation, part: PartName) -> str:
    """Name a part with its architecture."""
    system = chosen(evaluation).system
    names = {"a": f"A: {system.a}", "b": f"B: {system.b}", "cascade": "cascade"}
    return names.get(part, f"reference: {evaluation.reference}")


def system_title(system: SystemRecord | MixtureRecord) -> str:
    """Name the networks of a system."""
    if isinstance(system, MixtureRecord):
        return f"{system.cheaper} or {system.dearer} ({percent(system.share_of_dearer, 0)} %)"
    return system.a if system.b is None else f"{system.a} → {system.b}"


def threshold_text(system: SystemRecord, seed: int) -> str:
    """Write the threshold of a seed, or the mean over the seeds where that one has none.

    A single network has a dash.
    """
    if system.threshold is None:
        return DASH
    values = dict(zip(system.threshold.seeds, system.threshold.values, strict=True))
    return f"{values.get(seed, system.threshold.mean):.3f}"


def policy_text(system: SystemRecord | MixtureRecord, seed: int) -> str:
    """Say when B is asked and how two answers become one; empty for a single network."""
    if isinstance(system, MixtureRecord) or system.score is None or system.combine is None:
        return ""
    scaled = "" if system.calibrated else ", uncalibrated"
    return (
        f"{readable(system.score)} < {threshold_text(system, seed)}, "
        f"{readable(system.combine)}{scaled}"
    )


def requirement_text(requirement: RequirementRecord, cost: CostName) -> str:
    """Say what a choice had to reach on the validation images."""
    if requirement.kind == "max_cost":
        return f"most accurate for at most {cost_text(requirement.value, cost)}"
    if requirement.kind == "min_accuracy":
        return f"cheapest of at least {percent(requirement.value)} %"
    if requirement.value == 0.0:
        return f"cheapest that is as accurate as {requirement.architecture}"
    gap = points(requirement.value).removeprefix("+")
    return f"cheapest within {gap} points of {requirement.architecture}"


def verdict(difference: Interval) -> str:
    """Say which of two systems is the more accurate one, as far as the interval tells."""
    if difference.low > 0.0:
        return "more accurate"
    if difference.high < 0.0:
        return "less accurate"
    return "no difference shown"


def comparison_sentence(comparison: ComparisonRecord) -> str:
    """Say how a cascade compares with an opponent."""
    difference = comparison.accuracy_difference
    cpu = (
        ""
        if comparison.cpu_ratio is None
        else f" and {ratio(comparison.cpu_ratio)} of its CPU time"
    )
    return (
        f"Against {OPPONENT_WORDS[comparison.against]} ({system_title(comparison.opponent)}): "
        f"{points(difference.value)} points {points_interval(difference)}, "
        f"{verdict(difference)}, for {ratio(comparison.macs_ratio)} of its multiply-accumulates"
        f"{cpu} ({seeds_text(difference.n_seeds)})."
    )
