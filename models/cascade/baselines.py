"""Single networks that a cascade must beat, chosen on the validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cascade.operating_points import System
from models.cascade.policy_grid import CostName, network_cost
from models.cascade.pool import ValidationPool
from models.cascade.selection import cheapest_reaching, most_accurate_under, pareto_front


@dataclass(frozen=True, slots=True, kw_only=True)
class Singles:
    """Networks with what one image costs and how accurate they are.

    Attributes:
        names: K architectures, ascending by MACs.
        cost: (K,) float64.
        accuracy: (K,) float64, on the validation images, mean over the seeds.
    """

    names: tuple[str, ...]
    cost: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @classmethod
    def of(
        cls, pool: ValidationPool, names: Sequence[str], seeds: Sequence[int], cost: CostName
    ) -> Singles:
        """Look at some networks of a pool."""
        networks = [pool.network(name) for name in names]
        return cls(
            names=tuple(names),
            cost=np.array([network_cost(one, cost) for one in networks]),
            accuracy=np.array([one.correct(pool.labels, seeds).mean() for one in networks]),
        )

    def cheapest_within(self, tolerance: float) -> str:
        """Return the cheapest network within `tolerance` (0..1) of the most accurate one."""
        index = cheapest_reaching(self.cost, self.accuracy, float(self.accuracy.max()) - tolerance)
        return self.names[index or 0]  # the best one itself always qualifies

    def front(self) -> tuple[str, ...]:
        """Return the networks that no other one beats, ascending by cost."""
        return tuple(self.names[index] for index in pareto_front(self.cost, self.accuracy))

    def best_at(self, limit: float) -> System | None:
        """Return the most accurate network of at most this cost, or None if all cost more."""
        index = most_accurate_under(self.cost, self.accuracy, limit)
        return None if index is None else System(a=self.names[index])

    def mixture_at(self, limit: float) -> System | None:
        """Return the best random mixture of two networks at this expected cost, or None.

        It lies on the upper concave hull of the networks' costs and accuracies.
        """
        hull = self._upper_hull()
        costs = self.cost[hull]
        if costs[0] > limit:
            return None
        at = int(np.searchsorted(costs, limit, side="right")) - 1
        after = min(at + 1, len(hull) - 1)
        span = costs[after] - costs[at]
        share = float((limit - costs[at]) / span) if span > 0.0 else 0.0
        return System(a=self.names[hull[at]], b=self.names[hull[after]], share=share)

    def _upper_hull(self) -> list[int]:
        """Return the front's networks that lie on no line between two others, or below it."""
        cost, accuracy = self.cost, self.accuracy
        hull: list[int] = []
        for index in pareto_front(cost, accuracy).tolist():
            while len(hull) > 1:
                first, last = hull[-2], hull[-1]
                before = (accuracy[last] - accuracy[first]) * (cost[index] - cost[last])
                after = (accuracy[index] - accuracy[last]) * (cost[last] - cost[first])
                if before > after:
                    break
                hull.pop()
            hull.append(index)
        return hull
