"""What the drives of the study of corrections on the path show: pairs, intervals, tests, tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bicameral.statistics import Estimate, holm, nested_mean, share, sign_flip_p
from bicameral.tables import (
    Cell,
    Entry,
    Table,
    estimate_cell,
    list_table,
    percent,
    percent_cell,
    table_of,
)
from studies.path_drives import Drive
from studies.path_plan import Comparison, StudyPlan

#: Stands where a figure will, until there are drives.
NOTHING_YET = "No drives are recorded yet."
#: Stands for all conditions together.
ALL = "all"
_SEED = 0

Key = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A system minus another, over pairs of equal town, route, seed and condition.

    Attributes:
        system: The one.
        minus: The other.
        condition: Of the pairs, or ``"all"``.
        won: Pairs in which only the one succeeded.
        lost: Pairs in which only the other did.
        difference: Of `Drive.whole_m`, with its interval over towns and routes.
        p: How often chance alone makes it as large.
        p_holm: The same for the whole family of comparisons; equal to `p` if it is none.
    """

    system: str
    minus: str
    condition: str
    won: int
    lost: int
    difference: Estimate
    p: float
    p_holm: float


class Drives:
    """All drives, by system.

    Attributes:
        conditions: In the order of the plan.
    """

    def __init__(self, drives: Iterable[Drive], plan: StudyPlan) -> None:
        """Sort drives; one without eyes counts in every condition of its route and seed."""
        self.conditions = plan.conditions
        self._blind = {name for name, system in plan.systems.items() if system.rule == "map"}
        self._by_system: dict[str, dict[Key, Drive]] = {}
        for drive in drives:
            seen = plan.conditions if drive.system in self._blind else (drive.condition,)
            mine = self._by_system.setdefault(drive.system, {})
            for condition in seen:
                counted = replace(drive, condition=condition)
                mine[counted.town, counted.route, counted.seed, condition] = counted

    def systems(self, names: Iterable[str]) -> list[str]:
        """Return those of the systems that have driven."""
        return [name for name in names if name in self._by_system]

    def common(self, names: Sequence[str]) -> list[Key]:
        """Return where every one of the systems has driven."""
        first, *others = (self._by_system[name] for name in names)
        return [key for key in first if all(key in other for other in others)]

    def of(self, name: str, keys: Iterable[Key]) -> list[Drive]:
        """Return a system's drives there."""
        mine = self._by_system[name]
        return [mine[key] for key in keys]

    def distinct(self, name: str, keys: Iterable[Key]) -> list[Drive]:
        """Return them, each once, also where one counts in several conditions."""
        if name in self._blind:
            keys = {key[:3]: key for key in keys}.values()
        return self.of(name, keys)

    def compare(self, system: str, minus: str, condition: str = ALL) -> Paired | None:
        """Compare two systems where both have driven; None if nowhere."""
        if not {system, minus} <= self._by_system.keys():
            return None
        keys = [key for key in self.common([system, minus]) if condition in (ALL, key[3])]
        if not keys:
            return None
        pairs = list(zip(self.of(system, keys), self.of(minus, keys), strict=True))
        differences = [one.whole_m - other.whole_m for one, other in pairs]
        name = f"{system} minus {minus} in {condition}"
        routes = [f"{town} {route}" for town, route, *_ in keys]
        p = sign_flip_p(differences, routes, seed=_SEED, name=name)
        places = [(town, route) for town, route, *_ in keys]
        return Paired(
            system=system,
            minus=minus,
            condition=condition,
            won=sum(one.success > other.success for one, other in pairs),
            lost=sum(one.success < other.success for one, other in pairs),
            difference=nested_mean(differences, places, "m", seed=_SEED, name=name),
            p=p,
            p_holm=p,
        )

    def family(self, comparison: Comparison) -> list[Paired]:
        """Compare a system with all its controls, in all conditions together."""
        found = [self.compare(comparison.system, minus) for minus in comparison.minus]
        family = [one for one in found if one is not None]
        adjusted = holm([one.p for one in family])
        return [replace(one, p_holm=p) for one, p in zip(family, adjusted, strict=True)]


def system_table(drives: Drives, names: Sequence[str], title: str) -> Table | None:
    """Show systems beside one another where all of them have driven; None if nowhere."""
    present = drives.systems(names)
    keys = drives.common(present) if present else []
    if not keys:
        return None
    conditions = [one for one in drives.conditions if any(key[3] == one for key in keys)]
    return table_of(
        title,
        (
            "system",
            "succeeded",
            "success %",
            "one lane off|of the failed drives, those that ended in the lane beside their own",
            "all, m",
            *conditions,
            "B asked %",
            "map's weight",
        ),
        (
            (
                name,
                *_success_cells(drives.distinct(name, keys)),
                *_distance_cells(drives.of(name, keys), conditions),
            )
            for name in present
        ),
        note=(
            f"Where each of them has driven: {len(keys)} drives, towns: "
            f"{len({key[0] for key in keys})}, routes: {len({key[:2] for key in keys})}. A map "
            "route alone is driven in one condition. Mean distance to the lane centre in metres, "
            "undriven metres counted as 5 m; intervals over towns and routes within them."
        ),
    )


def _success_cells(drives: Sequence[Drive]) -> list[str | Cell]:
    succeeded = sum(drive.success for drive in drives)
    off = sum(drive.one_lane_off for drive in drives)
    return [
        f"{succeeded} of {len(drives)}",
        percent_cell(share(succeeded, len(drives)), 0),
        f"{off} of {len(drives) - succeeded}",
    ]


def _distance_cells(drives: Sequence[Drive], conditions: Sequence[str]) -> list[str | Cell]:
    return [
        estimate_cell(whole_m(drives), 3),
        *(
            estimate_cell(_mean_of([one for one in drives if one.condition == condition]), 2)
            for condition in conditions
        ),
        percent(fmean(drive.share_b for drive in drives), 0),
        f"{fmean(drive.map_weight for drive in drives):.2f}",
    ]


def whole_m(drives: Sequence[Drive]) -> Estimate:
    """Estimate the mean of `Drive.whole_m`."""
    places = [(drive.town, drive.route) for drive in drives]
    values = [drive.whole_m for drive in drives]
    return nested_mean(values, places, "m", seed=_SEED, name=drives[0].system)


def _mean_of(drives: Sequence[Drive]) -> Estimate:
    value = fmean(drive.whole_m for drive in drives)
    return Estimate(value=value, low=None, high=None, n=len(drives), unit="m")


def pair_table(pairs: Sequence[Paired], title: str) -> Table:
    """Show comparisons."""
    far = "difference m|of the mean distance to the lane centre over the whole route"
    shown: dict[str, Callable[[Paired], Entry]] = {
        "system": lambda one: one.system,
        "minus": lambda one: one.minus,
        "condition": lambda one: one.condition,
        "pairs": lambda one: one.difference.n,
        "won|only the first succeeded": lambda one: one.won,
        "lost|only the second succeeded": lambda one: one.lost,
        far: lambda one: estimate_cell(one.difference, 3, signed=True),
        "p": lambda one: _p(one.p),
        "p of the family|Holm": lambda one: _p(one.p_holm),
    }
    return list_table(title, pairs, shown, words=3)


def comparison_table(drives: Drives, plan: StudyPlan) -> Table:
    """Show every family of comparisons of the plan."""
    pairs = [one for comparison in plan.comparisons for one in drives.family(comparison)]
    return pair_table(pairs, "Paired differences, all conditions")


def condition_table(drives: Drives, plan: StudyPlan) -> Table:
    """Show the claim's comparisons condition by condition; p-values of each by itself."""
    claim = plan.comparisons[0]
    found = [
        drives.compare(claim.system, minus, condition)
        for minus in claim.minus
        for condition in plan.conditions
    ]
    return pair_table([one for one in found if one is not None], "Condition by condition")


def beaten(drives: Drives, plan: StudyPlan) -> dict[str, bool]:
    """Return for each control of the claim that has driven whether the claim's system beats it."""
    return {
        one.minus: (one.difference.value or 0.0) < 0.0 and one.p_holm < plan.significance
        for one in drives.family(plan.comparisons[0])
    }


def describe_claim(drives: Drives, plan: StudyPlan) -> str:
    """Say which controls are beaten and which are not, and what is lost where seeing is easy."""
    claim = plan.comparisons[0]
    judged = beaten(drives, plan)
    if not judged:
        return NOTHING_YET
    level = f"p < {plan.significance:g} (Holm for {len(judged)} controls)"
    sentences = [
        _judged(f"{claim.system} beats", [name for name, won in judged.items() if won], level),
        _judged("Not shown against", [name for name, won in judged.items() if not won], level),
        _judged("Not driven yet:", [name for name in claim.minus if name not in judged], ""),
    ]
    easy = drives.compare(claim.system, "vision", "clear")
    if easy is not None:
        cell = estimate_cell(easy.difference, 3, signed=True)
        sentences.append(
            f"In clear weather {claim.system} minus vision is {cell.text} m {cell.small}, "
            f"{easy.won} drives won and {easy.lost} lost of {easy.difference.n}."
        )
    return " ".join(sentence for sentence in sentences if sentence)


def _judged(verb: str, names: Sequence[str], level: str) -> str:
    if not names:
        return ""
    return f"{verb} {', '.join(names)}{f' at {level}' if level else ''}."


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def table_systems(plan: StudyPlan) -> dict[str, tuple[str, ...]]:
    """Return the systems of each stage by what the stage is for, without repetitions."""
    by_systems = {frozenset(stage.systems): stage for stage in reversed(plan.stages)}
    return {stage.why.capitalize(): stage.systems for stage in reversed(by_systems.values())}
