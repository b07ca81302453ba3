"""Everything that is chosen before a test image is touched: reference, policies, opponents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError, UserError
from bicameral.statistics import Resampling
from models.cascade.baselines import (
    Mixture,
    best_single,
    choose_reference,
    mixture_at_cost,
    single_front,
)
from models.cascade.operating_points import OperatingPoint, point_for_usage
from models.cascade.optimism import (
    SelectionOptimism,
    SplitHalves,
    selection_optimism,
    split_halves,
)
from models.cascade.paper_search import paper_pair, paper_point
from models.cascade.policy_grid import (
    CostName,
    PolicyAxes,
    PolicyGrid,
    expected_cost,
    network_cost,
    sweep_policies,
)
from models.cascade.pool import ValidationPool
from models.cascade.selection import (
    MaxCost,
    MinAccuracy,
    NearReference,
    Requirement,
    find,
    front_points,
    unmet,
)

#: ``pair``: two small networks; ``big_little``: a small network and the reference.
Family = Literal["pair", "big_little"]

#: What can answer: a cascade, two networks drawn at random, or the architecture of a network.
System = OperatingPoint | Mixture | str

#: What a cascade is compared with.
OpponentName = Literal[
    "a",
    "b",
    "reference",
    "best_single_at_cost",
    "mixture_at_cost",
    "big_little_at_cost",
    "big_little_at_accuracy",
    "best_with_zoo",
    "best_without_zoo",
    "paper_pair",
    "paper_threshold",
]

#: Opponents without temperature scaling, as in the paper.
UNCALIBRATED: tuple[OpponentName, ...] = ("paper_pair", "paper_threshold")

#: Largest gap to the reference, 0..1, that the default choice allows.
_GAP = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How to choose and to judge.

    Attributes:
        references: Architectures of the large single networks, e.g. a sweep of widths; all other
            networks are small ones, of which pairs are made.
        requirement: What the chosen cascade must reach; None: at most 0.5 points less than the
            reference, at the least cost.
        cost: Measure of cost.
        max_usage: Largest share of the images that B may see.
        selection_seeds: Seeds whose mean accuracy decides; None: those that all networks have.
            Networks that lack one of them stand in the tables but are not chosen.
        reference_tolerance: The reference is the cheapest within this (0..1) of the best.
        zoo: Small networks that are new to the pool: the best pair with one of them is compared
            with the best pair without.
        splits: Random halves for the optimism of choosing.
        resampling: Of the intervals; its seed also draws the halves.
    """

    references: tuple[str, ...]
    requirement: Requirement | None = None
    cost: CostName = "macs"
    max_usage: float = 1.0
    selection_seeds: tuple[int, ...] | None = None
    reference_tolerance: float = 0.003
    zoo: tuple[str, ...] = ()
    splits: int = 50
    resampling: Resampling = field(default_factory=Resampling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A requirement and what came of it.

    Attributes:
        name: Name of the preset, or ``requested``.
        family: Which policies it was chosen from.
        requirement: What it must reach.
        optimism: How much the validation accuracy of a policy chosen so flatters it.
        point: The policy; None: none meets the requirement.
        unmet: Why there is none; empty with a policy.
        allowance: What was added to a required accuracy (0 if nothing reaches that much), or how
            far below the most accurate policy a limit of cost lets the cheapest one be.
        opponents: What the policy is compared with, chosen by validation accuracy.
    """

    name: str
    family: Family
    requirement: Requirement
    optimism: SelectionOptimism
    point: OperatingPoint | None = None
    unmet: str = ""
    allowance: float = 0.0
    opponents: Mapping[OpponentName, System] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All choices.

    Attributes:
        reference: Architecture of the reference.
        small: Architectures that pairs were made of.
        left_out: Architectures without all selection seeds.
        selection_seeds: Seeds whose mean decided.
        policies: Number of policies that were compared (pairs of small networks).
        front: Pareto front of the pairs of small networks.
        big_little_front: Pareto front of small network + reference.
        single_front: Pareto front of the single networks.
        choices: The presets, after ``requested`` if there is one.
        chosen: Name of the first choice that has a policy: what ships.
        point: That policy.
        uncalibrated: The chosen pair at the same usage of B, without temperature scaling.
    """

    reference: str
    small: tuple[str, ...]
    left_out: tuple[str, ...]
    selection_seeds: tuple[int, ...]
    policies: int
    front: tuple[OperatingPoint, ...]
    big_little_front: tuple[OperatingPoint, ...]
    single_front: tuple[str, ...]
    choices: tuple[Choice, ...]
    chosen: str
    point: OperatingPoint
    uncalibrated: OperatingPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roles:
    """Who may stand where; `eligible` networks have all selection seeds."""

    seeds: tuple[int, ...]
    eligible: tuple[str, ...]
    small: tuple[str, ...]
    reference: str
    zoo: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    """The policies of one family, with their random halves."""

    family: Family
    grid: PolicyGrid
    halves: SplitHalves


def make_plan(pool: ValidationPool, raw: ValidationPool, settings: EvaluationSettings) -> Plan:
    """Choose everything on the validation images.

    Args:
        pool: The calibrated networks.
        raw: The same with temperature 1, for the paper's procedure.
        settings: How to choose.

    Raises:
        DataError: If fewer than two small networks or no reference have the selection seeds.
        UserError: If no policy meets the requirement, or an unknown architecture is named.
    """
    roles = _roles(pool, settings)
    pairs = _candidates(pool, "pair", roles, settings)
    big_little = _candidates(pool, "big_little", roles, settings)
    choices = _choices(pool, pairs, big_little, roles, settings)
    chosen, point = _chosen(choices, settings)
    paper: dict[OpponentName, System] = {
        "paper_pair": paper_point(raw, paper_pair(raw, roles.small)),
        "paper_threshold": paper_point(raw, (point.a, point.b)),
    }
    return Plan(
        reference=roles.reference,
        small=roles.small,
        left_out=tuple(name for name in pool.architectures if name not in roles.eligible),
        selection_seeds=roles.seeds,
        policies=int(np.isfinite(pairs.grid.accuracy[0]).sum()),
        front=front_points(pool, pairs.grid),
        big_little_front=front_points(pool, big_little.grid),
        single_front=single_front(pool, roles.eligible, roles.seeds, settings.cost),
        choices=tuple(
            replace(one, opponents={**one.opponents, **paper}) if one.name == chosen else one
            for one in choices
        ),
        chosen=chosen,
        point=point,
        uncalibrated=point_for_usage(
            raw,
            (point.a, point.b),
            score=point.score,
            combination=point.combination,
            usage=sum(point.validation_usage) / len(point.seeds),
        ),
    )


def _roles(pool: ValidationPool, settings: EvaluationSettings) -> _Roles:
    seeds = settings.selection_seeds or pool.common_seeds(pool.architectures)
    unmeasured = [n.architecture for n in pool.networks if n.cpu_us <= 0.0]
    if settings.cost == "cpu_us" and unmeasured:
        raise DataError(
            f"the CPU time of {', '.join(unmeasured)} was not measured, so it cannot be the cost "
            "to choose by; measure it, or choose by MACs"
        )
    large = [pool.network(name).architecture for name in settings.references]
    eligible = tuple(n.architecture for n in pool.networks if set(seeds) <= set(n.seeds))
    small = tuple(name for name in eligible if name not in large)
    references = tuple(name for name in eligible if name in large)
    if len(small) < 2 or not references:
        raise DataError(
            f"with the seeds {list(seeds)} there are the small networks {list(small)} and the "
            f"references {list(references)}; at least two small ones and one reference are needed"
        )
    reference = choose_reference(pool, references, seeds, settings.reference_tolerance)
    return _Roles(
        seeds=tuple(seeds),
        eligible=eligible,
        small=small,
        reference=reference,
        zoo=tuple(name for name in small if name in settings.zoo),
    )


def _candidates(
    pool: ValidationPool, family: Family, roles: _Roles, settings: EvaluationSettings
) -> _Candidates:
    axes = PolicyAxes(
        firsts=roles.small,
        seconds=roles.small if family == "pair" else (roles.reference,),
        seeds=roles.seeds,
        cost=settings.cost,
        max_usage=settings.max_usage,
    )
    return _Candidates(
        family=family,
        grid=sweep_policies(pool, axes),
        halves=split_halves(pool, axes, splits=settings.splits, seed=settings.resampling.seed),
    )


def _choices(
    pool: ValidationPool,
    pairs: _Candidates,
    big_little: _Candidates,
    roles: _Roles,
    settings: EvaluationSettings,
) -> tuple[Choice, ...]:
    """Meet the user's requirement and every preset."""
    near = NearReference(architecture=roles.reference, gap=_GAP)
    equal = NearReference(architecture=roles.reference, gap=0.0)
    full = network_cost(pool.network(roles.reference), settings.cost)
    dearest = float(pairs.grid.cost.max())
    wanted: list[tuple[str, _Candidates, Requirement]] = [
        ("near_reference", pairs, near),
        ("equal_reference", pairs, equal),
        ("quarter_cost", pairs, MaxCost(cost=full / 4.0)),
        ("tenth_cost", pairs, MaxCost(cost=full / 10.0)),
        ("most_accurate", pairs, MaxCost(cost=dearest)),
        ("big_little_near_reference", big_little, near),
        ("big_little_equal_reference", big_little, equal),
    ]
    if settings.requirement is not None:
        wanted.insert(0, ("requested", pairs, settings.requirement))
    return tuple(
        _choice(pool, name, candidates, requirement, (big_little.grid, roles))
        for name, candidates, requirement in wanted
    )


def _choice(
    pool: ValidationPool,
    name: str,
    candidates: _Candidates,
    requirement: Requirement,
    against: tuple[PolicyGrid, _Roles],
) -> Choice:
    """Meet one requirement, with an allowance for the optimism of choosing where that is possible.

    Args:
        pool: The networks.
        name: Of the choice.
        candidates: Policies to choose from.
        requirement: What to reach.
        against: Big-little policies, and who may stand where, to find the opponents among.
    """
    grid = candidates.grid
    choice = Choice(
        name=name,
        family=candidates.family,
        requirement=requirement,
        optimism=selection_optimism(pool, grid, candidates.halves, requirement),
    )
    allowance = max(0.0, choice.optimism.expected)
    point = find(pool, grid, requirement, allowance)
    if point is None:
        allowance = 0.0
        point = find(pool, grid, requirement)
    if point is None:
        return replace(choice, unmet=unmet(pool, grid, requirement))
    choice = replace(choice, point=point, allowance=allowance)
    return replace(choice, opponents=dict(_opponents(pool, choice, point, grid, against)))


def _opponents(
    pool: ValidationPool,
    choice: Choice,
    point: OperatingPoint,
    grid: PolicyGrid,
    against: tuple[PolicyGrid, _Roles],
) -> Iterator[tuple[OpponentName, System]]:
    """Yield whatever there is to compare a policy with, but for the paper's."""
    (big_little, roles), axes = against, grid.axes
    usage, accuracy = (
        float(np.mean([of[point.seeds.index(seed)] for seed in axes.seeds]))
        for of in (point.validation_usage, point.validation_accuracy)
    )
    limit = expected_cost(pool, point.a, point.b, usage, axes.cost)
    single = best_single(pool, roles.eligible, axes.seeds, cost=axes.cost, limit=limit)
    mixture = mixture_at_cost(pool, roles.eligible, axes.seeds, cost=axes.cost, limit=limit)
    found: list[tuple[OpponentName, System | None]] = [
        ("a", point.a),
        ("b", point.b),
        ("reference", roles.reference),
        ("best_single_at_cost", single),
        ("mixture_at_cost", mixture),
    ]
    if choice.family == "pair":
        found += [
            ("big_little_at_cost", find(pool, big_little, MaxCost(cost=limit))),
            ("big_little_at_accuracy", find(pool, big_little, MinAccuracy(accuracy=accuracy))),
        ]
    if choice.family == "pair" and roles.zoo:
        found.append(_across_the_zoo(pool, choice, point, grid, roles.zoo))
    yield from ((name, system) for name, system in found if system is not None)


def _across_the_zoo(
    pool: ValidationPool,
    choice: Choice,
    point: OperatingPoint,
    grid: PolicyGrid,
    zoo: Sequence[str],
) -> tuple[OpponentName, OperatingPoint | None]:
    """Return what meets the requirement best on the other side: with the zoo, or without it."""
    of_zoo = _zoo_pairs(grid.axes, zoo)
    is_of_zoo = point.a in zoo or point.b in zoo
    others = (~of_zoo if is_of_zoo else of_zoo)[..., None, None, None]
    # What is no number is never found.
    masked = replace(grid, accuracy=np.where(others, grid.accuracy, np.nan))
    other = find(pool, masked, choice.requirement, choice.allowance)
    return "best_without_zoo" if is_of_zoo else "best_with_zoo", other


def _zoo_pairs(axes: PolicyAxes, zoo: Sequence[str]) -> NDArray[np.bool_]:
    """Return which pairs (F, B) hold a network of the zoo."""
    first, second = (np.isin(names, zoo) for names in (axes.firsts, axes.seconds))
    return np.asarray(first[:, None] | second[None, :])


def _chosen(choices: Sequence[Choice], settings: EvaluationSettings) -> tuple[str, OperatingPoint]:
    """Return what ships: what was asked for, or else the first preset that can be met."""
    reasons = []
    for choice in choices if settings.requirement is None else choices[:1]:
        if choice.point is not None:
            return choice.name, choice.point
        reasons.append(choice.unmet)
    raise UserError(reasons[0])
