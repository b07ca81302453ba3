"""Everything that is chosen before a test image is touched: reference, cascades, opponents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bicameral.errors import DataError, UserError
from bicameral.statistics import Resampling
from models.cascade.baselines import Singles
from models.cascade.operating_points import System, answer, cascade_for_usage
from models.cascade.optimism import SplitHalves, selection_optimism, split_halves
from models.cascade.paper_search import paper_cascade, paper_pair
from models.cascade.policy_grid import (
    CostName,
    PolicyAxes,
    PolicyGrid,
    expected_cost,
    network_cost,
    sweep_policies,
)
from models.cascade.pool import ValidationPool
from models.cascade.results import ChoiceRecord, Family, OpponentName
from models.cascade.selection import (
    MaxCost,
    MinAccuracy,
    NearReference,
    Requirement,
    find,
    front_systems,
    unmet,
)

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
        record: What was asked for, and why it cannot be had; nothing of the test images yet.
        system: The cascade; None: none meets the requirement.
        opponents: What it is compared with, chosen by validation accuracy.
    """

    record: ChoiceRecord
    system: System | None = None
    opponents: Mapping[OpponentName, System] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All choices.

    Attributes:
        reference: Architecture of the reference.
        left_out: Architectures without all selection seeds.
        selection_seeds: Seeds whose mean decided.
        policies: Number of policies that were compared (pairs of small networks).
        front: Pareto front of the pairs of small networks.
        big_little_front: Pareto front of small network + reference.
        single_front: Pareto front of the single networks.
        choices: The presets, after ``requested`` if there is one.
        chosen: The first choice that can be met: what ships.
        system: Its cascade.
        uncalibrated: The chosen pair at the same usage of B, without temperature scaling.
    """

    reference: str
    left_out: tuple[str, ...]
    selection_seeds: tuple[int, ...]
    policies: int
    front: tuple[System, ...]
    big_little_front: tuple[System, ...]
    single_front: tuple[System, ...]
    choices: tuple[Choice, ...]
    chosen: Choice
    system: System
    uncalibrated: System


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
    planner = _Planner(pool, settings)
    choices = planner.choices()
    place, system = _chosen(choices, settings)
    pair = (system.a, str(system.b))
    paper: dict[OpponentName, System] = {
        "paper_pair": paper_cascade(raw, paper_pair(raw, planner.small)),
        "paper_threshold": paper_cascade(raw, pair),
    }
    chosen = replace(choices[place], opponents={**choices[place].opponents, **paper})
    choices[place] = chosen
    policy = next(iter(system.policies.values()))
    return Plan(
        reference=planner.reference,
        left_out=tuple(name for name in pool.architectures if name not in planner.singles.names),
        selection_seeds=planner.seeds,
        policies=int(np.isfinite(planner.pairs.grid.accuracy[0]).sum()),
        front=front_systems(pool, planner.pairs.grid),
        big_little_front=front_systems(pool, planner.big_little.grid),
        single_front=tuple(System(a=name) for name in planner.singles.front()),
        choices=tuple(choices),
        chosen=chosen,
        system=system,
        uncalibrated=cascade_for_usage(
            raw,
            pair,
            score=policy.score,
            combination=policy.combine,
            usage=float(answer(pool, system).usage.mean()),
        ),
    )


def _chosen(choices: Sequence[Choice], settings: EvaluationSettings) -> tuple[int, System]:
    """Return what ships: what was asked for, or else the first preset that can be met."""
    for place, choice in enumerate(choices if settings.requirement is None else choices[:1]):
        if choice.system is not None:
            return place, choice.system
    raise UserError(str(choices[0].record.unmet))


class _Planner:
    """Who may stand where, and the policies that are left.

    Attributes:
        seeds: Seeds whose mean decides.
        singles: All networks that have these seeds.
        small: Those that pairs are made of.
        reference: The large one to compare with.
        pairs: Cascades of two small networks.
        big_little: Cascades of a small network and the reference.
    """

    def __init__(self, pool: ValidationPool, settings: EvaluationSettings) -> None:
        self._pool, self._settings = pool, settings
        self.seeds = settings.selection_seeds or pool.common_seeds(pool.architectures)
        unmeasured = [n.architecture for n in pool.networks if n.cpu_us <= 0.0]
        if settings.cost == "cpu_us" and unmeasured:
            raise DataError(
                f"the CPU time of {', '.join(unmeasured)} was not measured, so it cannot be the "
                "cost to choose by; measure it, or choose by MACs"
            )
        large = [pool.network(name).architecture for name in settings.references]
        eligible = [n.architecture for n in pool.networks if set(self.seeds) <= set(n.seeds)]
        self.small = tuple(name for name in eligible if name not in large)
        references = [name for name in eligible if name in large]
        if len(self.small) < 2 or not references:
            raise DataError(
                f"with the seeds {list(self.seeds)} there are the small networks "
                f"{list(self.small)} and the references {references}; at least two small ones and "
                "one reference are needed"
            )
        self.singles = Singles.of(pool, eligible, self.seeds, settings.cost)
        by_macs = Singles.of(pool, references, self.seeds, "macs")
        self.reference = by_macs.cheapest_within(settings.reference_tolerance)
        self.pairs = self._candidates("pair", self.small)
        self.big_little = self._candidates("big_little", (self.reference,))

    def _candidates(self, family: Family, seconds: tuple[str, ...]) -> _Candidates:
        settings = self._settings
        axes = PolicyAxes(
            firsts=self.small,
            seconds=seconds,
            seeds=self.seeds,
            cost=settings.cost,
            max_usage=settings.max_usage,
        )
        seed = settings.resampling.seed
        return _Candidates(
            family=family,
            grid=sweep_policies(self._pool, axes),
            halves=split_halves(self._pool, axes, splits=settings.splits, seed=seed),
        )

    def choices(self) -> list[Choice]:
        """Meet the user's requirement and every preset."""
        near = NearReference(architecture=self.reference, gap=_GAP)
        equal = NearReference(architecture=self.reference, gap=0.0)
        full = network_cost(self._pool.network(self.reference), self._settings.cost)
        dearest = float(self.pairs.grid.cost.max())
        wanted: list[tuple[str, _Candidates, Requirement]] = [
            ("near_reference", self.pairs, near),
            ("equal_reference", self.pairs, equal),
            ("quarter_cost", self.pairs, MaxCost(cost=full / 4.0)),
            ("tenth_cost", self.pairs, MaxCost(cost=full / 10.0)),
            ("most_accurate", self.pairs, MaxCost(cost=dearest)),
            ("big_little_near_reference", self.big_little, near),
            ("big_little_equal_reference", self.big_little, equal),
        ]
        if self._settings.requirement is not None:
            wanted.insert(0, ("requested", self.pairs, self._settings.requirement))
        return [self._choice(*one) for one in wanted]

    def _choice(self, name: str, candidates: _Candidates, requirement: Requirement) -> Choice:
        """Meet one requirement, with an allowance for the optimism of choosing where possible."""
        pool, grid = self._pool, candidates.grid
        optimism = selection_optimism(pool, grid, candidates.halves, requirement)
        record = ChoiceRecord(
            name=name, family=candidates.family, requirement=requirement, optimism=optimism
        )
        for allowance in (max(0.0, optimism.expected), 0.0):
            system = find(pool, grid, requirement, allowance)
            if system is not None:
                record = replace(record, allowance=allowance)
                opponents = {
                    name: other
                    for name, other in self._opponents(record, system, grid)
                    if other is not None
                }
                return Choice(record=record, system=system, opponents=opponents)
        return Choice(record=replace(record, unmet=unmet(pool, grid, requirement)))

    def _opponents(
        self, record: ChoiceRecord, system: System, grid: PolicyGrid
    ) -> Iterator[tuple[OpponentName, System | None]]:
        """Yield whatever there is to compare a cascade with, but for the paper's."""
        pool, cost = self._pool, self._settings.cost
        answers = answer(pool, system)
        rows = [answers.seeds.index(seed) for seed in self.seeds]
        limit = expected_cost(pool, system.a, system.b, float(answers.usage[rows].mean()), cost)
        yield "a", System(a=system.a)
        yield "b", System(a=str(system.b))
        yield "reference", System(a=self.reference)
        yield "best_single_at_cost", self.singles.best_at(limit)
        yield "mixture_at_cost", self.singles.mixture_at(limit)
        if record.family == "big_little":
            return
        same = MinAccuracy(accuracy=float(answers.correct[rows].mean()))
        yield "big_little_at_cost", find(pool, self.big_little.grid, MaxCost(cost=limit))
        yield "big_little_at_accuracy", find(pool, self.big_little.grid, same)
        zoo = [name for name in self.small if name in self._settings.zoo]
        if not zoo:
            return
        # The best on the other side: with a network of the zoo, or without.
        of_zoo = np.isin(self.small, zoo)
        holds = of_zoo[:, None] | of_zoo[None, :]
        is_of_zoo = not {system.a, system.b}.isdisjoint(zoo)
        others = (~holds if is_of_zoo else holds)[..., None, None, None]
        # What is no number is never found.
        masked = replace(grid, accuracy=np.where(others, grid.accuracy, np.nan))
        other = find(pool, masked, record.requirement, record.allowance or 0.0)
        yield "best_without_zoo" if is_of_zoo else "best_with_zoo", other
