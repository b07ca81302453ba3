"""Everything that is chosen before a test image is touched: reference, systems, opponents."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError, UserError
from bicameral.statistics import Resampling
from models.cascade.candidates import (
    Candidates,
    CostName,
    SearchAxes,
    list_candidates,
    network_cost,
    pareto_front,
    system_at,
)
from models.cascade.operating_points import System, answer, policy_for_shares
from models.cascade.paper_search import paper_cascade, paper_choice, paper_pair
from models.cascade.pool import ValidationPool
from models.cascade.results import ChoiceRecord, OpponentName
from models.cascade.search import MaxCost, NearReference, Requirement, choose, stability, unmet

#: Opponents without temperature scaling, as in the paper.
UNCALIBRATED: tuple[OpponentName, ...] = ("paper_pair", "paper_threshold", "paper_choice")

#: Largest gap to the reference, 0..1, that the default choice allows.
_GAP = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How to choose and to judge.

    Attributes:
        references: Architectures of the large single networks, e.g. a sweep of widths.
        requirement: What the chosen system must reach; None: at most 0.5 points less than the
            reference, at the least cost.
        cost: Measure of cost.
        max_usage: Largest share of the images that may go on after the first network.
        selection_seeds: Seeds whose mean accuracy decides; None: those that all networks have.
            Networks that lack one of them stand in the tables but are not chosen.
        reference_tolerance: The reference is the cheapest within this (0..1) of the best.
        splits: Random halves for the standard errors and the stability of choosing.
        resampling: Of the intervals; its seed also draws the halves.
    """

    references: tuple[str, ...]
    requirement: Requirement | None = None
    cost: CostName = "macs"
    max_usage: float = 1.0
    selection_seeds: tuple[int, ...] | None = None
    reference_tolerance: float = 0.003
    splits: int = 50
    resampling: Resampling = field(default_factory=Resampling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A requirement and what came of it.

    Attributes:
        record: What was asked for, and why it cannot be had; nothing of the test images yet.
        system: What meets it; None: nothing does.
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
        undertrained: The cheaper network that is as accurate as the reference, which then learned
            too little; None: there is none.
        left_out: Architectures without all selection seeds.
        selection_seeds: Seeds whose mean decided.
        systems: Number of systems that were compared.
        fronts: Pareto fronts of single networks, pairs and three stages, in this order.
        choices: The presets, after ``requested`` if there is one.
        chosen: The first choice that can be met: what ships.
        system: Its networks and policies.
        uncalibrated: The same networks with the same shares, without temperature scaling.
    """

    reference: str
    undertrained: str | None
    left_out: tuple[str, ...]
    selection_seeds: tuple[int, ...]
    systems: int
    fronts: tuple[tuple[System, ...], ...]
    choices: tuple[Choice, ...]
    chosen: Choice
    system: System
    uncalibrated: System


def make_plan(pool: ValidationPool, raw: ValidationPool, settings: EvaluationSettings) -> Plan:
    """Choose everything on the validation images.

    Args:
        pool: The calibrated networks.
        raw: The same with temperature 1, for the paper's procedure.
        settings: How to choose.

    Raises:
        DataError: If fewer than two networks or no reference have the selection seeds.
        UserError: If nothing meets the requirement, or an unknown architecture is named.
    """
    planner = _Planner(pool, settings)
    choices = planner.choices()
    place, system = _chosen(choices, settings)
    opponents = dict(choices[place].opponents)
    opponents["paper_pair"] = paper_cascade(raw, paper_pair(raw, planner.small))
    opponents["paper_choice"] = paper_choice(raw, planner.small)
    if len(system.networks) == 2:
        opponents["paper_threshold"] = paper_cascade(raw, system.networks)
    choices[place] = replace(choices[place], opponents=opponents)
    return Plan(
        reference=planner.reference,
        undertrained=planner.undertrained,
        left_out=tuple(name for name in pool.architectures if name not in planner.eligible),
        selection_seeds=planner.seeds,
        systems=len(planner.found.cost),
        fronts=planner.fronts(),
        choices=tuple(choices),
        chosen=choices[place],
        system=system,
        uncalibrated=_uncalibrated(pool, raw, system),
    )


def _uncalibrated(pool: ValidationPool, raw: ValidationPool, system: System) -> System:
    """Return the system with the same shares of images for each network, without temperatures."""
    answers = answer(pool, system)
    policies = {}
    for seed, usage in zip(answers.seeds, answers.usage, strict=True):
        if seed in system.policies:
            of, plain = system.policies[seed], raw.answers(system.networks, seed)
            policies[seed] = policy_for_shares(plain, of.score, of.combine, usage)
    return replace(system, policies=policies)


def _chosen(choices: Sequence[Choice], settings: EvaluationSettings) -> tuple[int, System]:
    """Return what ships: what was asked for, or else the first preset that can be met."""
    for place, choice in enumerate(choices if settings.requirement is None else choices[:1]):
        if choice.system is not None:
            return place, choice.system
    raise UserError(str(choices[0].record.unmet))


class _Planner:
    """Who may stand where, and all systems that can be made.

    Attributes:
        seeds: Seeds whose mean decides.
        eligible: All networks that have these seeds.
        small: Those that are no reference.
        reference: The large one to compare with.
        undertrained: The most accurate small network, if the reference is not shown to be better.
        found: All systems.
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
        self.eligible = [n.architecture for n in pool.networks if set(self.seeds) <= set(n.seeds)]
        self.small = tuple(name for name in self.eligible if name not in large)
        references = [name for name in self.eligible if name in large]
        if len(self.small) < 2 or not references:
            raise DataError(
                f"with the seeds {list(self.seeds)} there are the small networks "
                f"{list(self.small)} and the references {references}; at least two small ones and "
                "one reference are needed"
            )
        axes = SearchAxes(
            networks=tuple(self.eligible),
            seeds=self.seeds,
            cost=settings.cost,
            max_usage=settings.max_usage,
            splits=settings.splits,
            seed=settings.resampling.seed,
        )
        self.found = list_candidates(pool, axes)
        self._accuracy = {
            name: float(self.found.accuracy[self.found.single(name)]) for name in self.eligible
        }
        enough = max(map(self._accuracy.__getitem__, references)) - settings.reference_tolerance
        # The pool ascends in MACs.
        self.reference = next(name for name in references if self._accuracy[name] >= enough)
        best = max(self.small, key=self._accuracy.__getitem__)
        rows, base = np.array([self.found.single(best)]), self.found.single(self.reference)
        (error,) = self.found.standard_errors(rows, base)
        least = max(self._accuracy[best] + float(error), _beyond_guessing(pool.labels))
        behind = self._accuracy[self.reference] <= least
        self.undertrained = best if behind else None

    def choices(self) -> list[Choice]:
        """Meet the user's requirement and every preset.

        Where the reference learned too little, the best network is what others must come near.
        """
        anchor = self.undertrained or self.reference
        full = network_cost(self._pool.network(self.reference), self._settings.cost)
        wanted: dict[str, Requirement] = {
            "near_reference": NearReference(architecture=anchor, gap=_GAP),
            "equal_reference": NearReference(architecture=anchor, gap=0.0),
            "quarter_cost": MaxCost(cost=full / 4.0),
            "tenth_cost": MaxCost(cost=full / 10.0),
            "most_accurate": MaxCost(cost=float(self.found.cost.max())),
        }
        if self._settings.requirement is not None:
            wanted = {"requested": self._settings.requirement, **wanted}
        return [self._choice(*one) for one in wanted.items()]

    def fronts(self) -> tuple[tuple[System, ...], ...]:
        """Return the Pareto fronts of the systems of one, two and three networks."""
        stages = self.found.stages()
        fronts = []
        for size in range(1, self.found.axes.stages + 1):
            rows = np.flatnonzero(stages == size)
            front = rows[pareto_front(self.found.cost[rows], self.found.accuracy[rows])]
            fronts.append(tuple(system_at(self._pool, self.found, int(row)) for row in front))
        return tuple(fronts)

    def _choice(self, name: str, requirement: Requirement) -> Choice:
        record = ChoiceRecord(
            name=name, requirement=requirement, stability=stability(self.found, requirement)
        )
        index = choose(self.found, requirement)
        if index is None:
            return Choice(record=replace(record, unmet=unmet(self.found, requirement)))
        system = system_at(self._pool, self.found, index)
        opponents = {
            name: other for name, other in self._opponents(system, index) if other is not None
        }
        return Choice(record=record, system=system, opponents=opponents)

    def _opponents(
        self, system: System, index: int
    ) -> Iterator[tuple[OpponentName, System | None]]:
        """Yield whatever there is to compare a system with, but for the paper's."""
        names: tuple[OpponentName, ...] = ("a", "b", "c")
        yield "reference", System(networks=(self.reference,))
        limit = float(self.found.cost[index])
        yield "best_single_at_cost", self._best_at(limit, 1)
        if len(system.networks) > 1:
            yield "mixture_at_cost", _mixture_at(self.found, limit)
            yield from zip(
                names, (System(networks=(one,)) for one in system.networks), strict=False
            )
        if len(system.networks) > 2:
            yield "best_pair_at_cost", self._best_at(limit, 2)

    def _best_at(self, limit: float, size: int) -> System | None:
        """Return the most accurate system of so many networks at no more than this cost."""
        found = self.found
        rows = np.flatnonzero((found.stages() == size) & (found.cost <= limit))
        if not len(rows):
            return None
        return system_at(self._pool, found, int(rows[found.accuracy[rows].argmax()]))


def _beyond_guessing(labels: NDArray[np.int64]) -> float:
    """Return the accuracy, two standard errors above the most frequent class's share."""
    share = float(np.bincount(labels).max()) / len(labels)
    return share + 2.0 * math.sqrt(share * (1.0 - share) / len(labels))


def _mixture_at(found: Candidates, limit: float) -> System | None:
    """Return the best random mixture of two networks at this expected cost, or None.

    It lies on the upper concave hull of the networks' costs and accuracies.
    """
    rows = np.flatnonzero(found.stages() == 1)
    hull = _upper_hull(found, rows)
    costs = found.cost[hull]
    if costs[0] > limit:
        return None
    at = int(np.searchsorted(costs, limit, side="right")) - 1
    after = min(at + 1, len(hull) - 1)
    span = costs[after] - costs[at]
    (first,), (second,) = (found.networks[found.member[hull[one]]] for one in (at, after))
    share = float((limit - costs[at]) / span) if span > 0.0 else 0.0
    return System(networks=(first, second), share=share)


def _upper_hull(found: Candidates, rows: NDArray[np.int64]) -> list[int]:
    """Return the systems that lie on no line between two others, or below it."""
    cost, accuracy = found.cost, found.accuracy
    hull: list[int] = []
    for index in rows[pareto_front(cost[rows], accuracy[rows])].tolist():
        while len(hull) > 1:
            first, last = hull[-2], hull[-1]
            before = (accuracy[last] - accuracy[first]) * (cost[index] - cost[last])
            after = (accuracy[index] - accuracy[last]) * (cost[last] - cost[first])
            if before > after:
                break
            hull.pop()
        hull.append(index)
    return hull
