"""The words for what an evaluation's record names, and its judgements as sentences."""

from __future__ import annotations

from bicameral.statistics import LEVEL, Estimate
from bicameral.tables import DASH, magnitude, microseconds, percent, points, points_cell, ratio
from edge.combination import CombinationName
from edge.probabilities import ScoreName
from models.cascade.policy_grid import CostName
from models.cascade.results import (
    CascadeEvaluation,
    ComparisonRecord,
    Family,
    OpponentName,
    PartName,
    SystemRecord,
)
from models.cascade.selection import MaxCost, MinAccuracy, Requirement

#: The two-sided level of every interval.
LEVEL_WORDS = f"{100.0 * LEVEL:g} %"

COST_WORDS: dict[CostName, str] = {"macs": "multiply-accumulates", "cpu_us": "CPU time"}

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

#: Names of the record that are more than words with spaces between them.
_SPOKEN = {
    "big_little": "big-little",
    "post_check": "post-check",
    "left_out": "not considered",
}


def readable(name: str) -> str:
    """Turn a name of the record into words."""
    for written, word in _SPOKEN.items():
        name = name.replace(written, word)
    return name.replace("_", " ")


def seeds_text(count: int | None) -> str:
    """Write a number of seeds."""
    return "1 seed" if count == 1 else f"{count} seeds"


def cost_text(value: float | None, cost: CostName) -> str:
    """Write a cost with its unit, or a dash."""
    if value is None:
        return DASH
    return f"{magnitude(value)} MACs" if cost == "macs" else f"{microseconds(value)} µs"


def part_title(evaluation: CascadeEvaluation, part: PartName) -> str:
    """Name a part with its architecture."""
    system = evaluation.shipped_system
    names = {"a": f"A: {system.a}", "b": f"B: {system.b}", "cascade": "cascade"}
    return names.get(part, f"reference: {evaluation.reference}")


def system_title(system: SystemRecord) -> str:
    """Name the networks of a system."""
    if system.b is None:
        return system.a
    if system.score is None:
        return f"{system.a} or {system.b} ({percent(system.test.usage.mean, 0)} %)"
    return f"{system.a} → {system.b}"


def threshold_text(system: SystemRecord, seed: int) -> str:
    """Write the threshold of a seed, or the mean over the seeds where that one has none.

    Without a policy it is a dash.
    """
    threshold = system.threshold
    if threshold is None:
        return DASH
    return f"{threshold.of_seed(seed) if seed in threshold.seeds else threshold.mean:.3f}"


def policy_text(system: SystemRecord, seed: int) -> str:
    """Say when B is asked and how two answers become one; empty without a policy."""
    if system.score is None or system.combine is None:
        return ""
    scaled = "" if system.calibrated else ", uncalibrated"
    return (
        f"{readable(system.score)} < {threshold_text(system, seed)}, "
        f"{readable(system.combine)}{scaled}"
    )


def requirement_text(requirement: Requirement, cost: CostName) -> str:
    """Say what a choice had to reach on the validation images."""
    if isinstance(requirement, MaxCost):
        return f"most accurate for at most {cost_text(requirement.cost, cost)}"
    if isinstance(requirement, MinAccuracy):
        return f"cheapest of at least {percent(requirement.accuracy)} %"
    if requirement.gap == 0.0:
        return f"cheapest that is as accurate as {requirement.architecture}"
    gap = points(requirement.gap).removeprefix("+")
    return f"cheapest within {gap} points of {requirement.architecture}"


def verdict(difference: Estimate) -> str:
    """Say which of two systems is the more accurate one, as far as the interval tells."""
    if difference.low is not None and difference.low > 0.0:
        return "more accurate"
    if difference.high is not None and difference.high < 0.0:
        return "less accurate"
    return "no difference shown"


def comparison_sentence(comparison: ComparisonRecord) -> str:
    """Say how a cascade compares with an opponent."""
    difference = comparison.accuracy_difference
    gap, cpu = points_cell(difference), ""
    if comparison.cpu_ratio is not None:
        cpu = f" and {ratio(comparison.cpu_ratio)} of its CPU time"
    return (
        f"Against {OPPONENT_WORDS[comparison.against]} ({system_title(comparison.opponent)}): "
        f"{gap.text} points {gap.small}, {verdict(difference)}, for "
        f"{ratio(comparison.macs_ratio)} of its multiply-accumulates{cpu} "
        f"({seeds_text(difference.seeds)})."
    )
