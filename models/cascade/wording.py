"""The words for what an evaluation's record names, and its judgements as sentences."""

from __future__ import annotations

from bicameral.statistics import LEVEL, Estimate
from bicameral.tables import DASH, magnitude, microseconds, percent, points, points_cell, ratio
from edge.combination import CombinationName
from edge.probabilities import ScoreName
from models.cascade.candidates import CostName
from models.cascade.results import (
    CascadeEvaluation,
    ComparisonRecord,
    OpponentName,
    PartName,
    Spread,
    SystemRecord,
)
from models.cascade.search import MaxCost, MinAccuracy, Requirement

#: The two-sided level of every interval.
LEVEL_WORDS = f"{100.0 * LEVEL:g} %"

COST_WORDS: dict[CostName, str] = {"macs": "multiply-accumulates", "cpu_us": "CPU time"}

SCORE_WORDS: dict[ScoreName, str] = {
    "margin": "margin between the two most probable classes",
    "max_probability": "highest probability",
    "entropy_normalised": "sureness (1 - normalised entropy)",
}

COMBINATION_WORDS: dict[CombinationName, str] = {
    "average": "the mean of both probabilities is the answer",
    "post_check": "the surer of the two answers counts",
    "replace": "B's answer replaces A's",
}

#: What a system of so many networks is called.
SIZE_WORDS = {1: "one network", 2: "pair", 3: "three stages"}

OPPONENT_WORDS: dict[OpponentName, str] = {
    "a": "A alone",
    "b": "B alone",
    "c": "C alone",
    "reference": "the reference",
    "best_single_at_cost": "the best single network of at most its cost",
    "mixture_at_cost": "a random mixture of two single networks at its cost",
    "best_pair_at_cost": "the best pair of at most its cost",
    "paper_pair": "the paper's pair and threshold",
    "paper_threshold": "the paper's threshold for this pair",
    "paper_choice": "what the paper's search finds among all pairs",
}

#: Names of the record that are more than words with spaces between them.
_SPOKEN = {
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
    if part == "reference":
        return f"reference: {evaluation.reference}"
    if part == "cascade":
        return "cascade"
    network = evaluation.shipped_system.networks["abc".index(part)]
    return f"{part.upper()}: {network}"


def system_title(system: SystemRecord) -> str:
    """Name the networks of a system."""
    if system.score is None and len(system.networks) > 1:
        return f"{' or '.join(system.networks)} ({percent(system.test.usage[0].mean, 0)} %)"
    return " → ".join(system.networks)


def threshold_text(threshold: Spread, seed: int) -> str:
    """Write the threshold of a seed, or the mean over the seeds where that one has none."""
    return f"{threshold.of_seed(seed) if seed in threshold.seeds else threshold.mean:.3f}"


def policy_text(system: SystemRecord, seed: int) -> str:
    """Say when the next network is asked and how answers become one; empty without a policy."""
    if system.score is None or system.combine is None:
        return ""
    scaled = "" if system.calibrated else ", uncalibrated"
    thresholds = ", ".join(threshold_text(one, seed) for one in system.thresholds)
    return f"{readable(system.score)} < {thresholds}, {readable(system.combine)}{scaled}"


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
    """Say how a system compares with an opponent."""
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
