"""What was driven and what the correction changed, in a plain sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bicameral.statistics import Estimate
from sim.metrics.summary import ALL_WEATHERS, BASELINE
from sim.report.tables import estimate_from_entry

#: The distance to the lane centre that is told.
_OFF = "cross_track_mean"

#: What the names of conditions leave open.
_FAULTS = {
    "pitch_up": "the camera 3° too high",
    "pitch_down": "the camera 3° too low",
    "yaw_right": "the camera 3° too far right",
    "sideways": "the camera 0.2 m too far right",
    "patch": "the camera partly covered",
}

#: What people call the correction modes; others go by their own name.
_CORRECTIONS = {
    "paper": "the paper's correction",
    "second_opinion": "the second network's correction",
    "fusion": "the map's correction",
}


def describe_outcome(
    results: Mapping[str, Any], training_towns: Sequence[str] | None = None
) -> str:
    """Say in plain sentences what was driven, and how well with and without each correction.

    Args:
        results: The `bicameral` block of results.json.
        training_towns: Every town that any of the networks was trained on; None if unknown.
    """
    plan = results["plan"]
    weathers = plan["weathers"]
    whole = weathers[0] if len(weathers) == 1 else ALL_WEATHERS
    groups = [
        group for group in results["groups"] if group["weather"] == whole and group["episodes"]
    ]
    pairs = [pair for pair in results["paired"] if pair["weather"] == whole and pair["pairs"]]
    return f"{_driven(plan, training_towns)} {_compared(plan['agents'][0]['name'], groups, pairs)}"


def describe_omissions(plan: Mapping[str, Any]) -> list[str]:
    """Say what of a routes file was not driven, a sentence a kind; nothing if nothing was.

    Args:
        plan: The content of plan.json.
    """
    told = []
    dropped = [
        route["dropped_scenarios"] for route in plan["routes"] if "dropped_scenarios" in route
    ]
    if dropped:
        kinds = Counter(kind for scenarios in dropped for kind in scenarios)
        named = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        told.append(
            f"{_count(kinds.total(), 'scenario')} on {len(dropped)} of {len(plan['routes'])} "
            f"routes dropped, since scenarios are not driven here: {named}. The word 'Perfect' is "
            "withheld from these routes. The leaderboard's own program drives them, with what "
            "'bicameral leaderboard-entry' writes."
        )
    if skipped := plan.get("skipped_towns"):
        towns = ", ".join(f"{count} on {town}" for town, count in sorted(skipped.items()))
        told.append(
            f"{_count(sum(skipped.values()), 'route')} of the file left out, since their town "
            f"is not here: {towns}. 'bicameral maps get' fetches what can be fetched; of others, "
            "name the folder with their .xodr file by --maps, or set CARLA_ROOT."
        )
    return told


def _driven(plan: Mapping[str, Any], training_towns: Sequence[str] | None) -> str:
    routes = plan["routes"]
    towns = list(dict.fromkeys(route["town"] for route in routes))
    parts = [f"{_count(len(routes), 'route')} of {_listed(towns)}"]
    if training_towns is not None:
        known = [town for town in towns if town in training_towns]
        kind = "a town" if len(towns) == 1 else "towns"
        if not known:
            parts.append(f"{kind} no network was trained on")
        else:
            parts.append(f"{_listed(known)} being known from training")
    if plan["repetitions"] > 1:
        parts.append(f"{plan['repetitions']} times each")
    if plan["weathers"] != ["clear"]:
        word = "condition" if len(plan["weathers"]) == 1 else "conditions"
        parts.append(f"in the {word} {_listed(map(_condition, plan['weathers']))}")
    if "traffic" in plan:
        density = plan["traffic"]
        others = [_count(density[kind], kind[:-1]) for kind in density if density[kind]]
        parts.append(f"among {_listed(others)}")
    agents = list(dict.fromkeys(map(_driver, plan["agents"])))
    return f"Driven: {', '.join(parts)}, by {_listed(agents)}."


def _driver(agent: Mapping[str, Any]) -> str:
    """Name a driver, and say so if its networks do not only see."""
    navigation = agent["kwargs"].get("navigation", {})
    if not navigation.get("intent"):
        return str(agent["name"])
    off_m = navigation["sigma_m"]
    return f"{agent['name']}, told where its lane leads by a position that is {off_m:g} m off"


def _condition(name: str) -> str:
    return f"{name} ({_FAULTS[name]})" if name in _FAULTS else name


def _compared(
    agent: str, groups: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]
) -> str:
    own = [pair for pair in pairs if pair["agent"] == pair["baseline"] == agent]
    if not own:
        rates = [f"{_succeeded(group)} by {_name(group)}" for group in groups]
        return f"Succeeded: {_listed(rates)}. No drive was compared with and without a correction."
    of_mode = {group["correction"]: group for group in groups if group["agent"] == agent}
    without = of_mode[BASELINE]
    modes = [
        f"with {_correction(pair['correction'])} {_succeeded(of_mode[pair['correction']])} "
        f"({_change(pair)})"
        for pair in own
    ]
    told = (
        f"Without a correction {_succeeded(without)} drives of {agent} succeeded, {_listed(modes)}."
    )
    if not all(estimate_from_entry(pair["differences"][_OFF]).valid for pair in own):
        return told
    distances = [
        f"{_metres(of_mode[pair['correction']])} with {_correction(pair['correction'])} "
        f"({_nearer(pair)})"
        for pair in own
    ]
    return (
        f"{told} Mean distance to the lane centre: {_metres(without)} without, "
        f"{_listed(distances)}."
    )


def _change(pair: Mapping[str, Any]) -> str:
    """Say what a correction changed of the very same drives."""
    won, lost = pair["won"], pair["lost"]
    if not won and not lost:
        return "the same drives: no difference"
    if won == lost:
        return f"as many, but {_count(won, 'other')}"
    more = f"{won - lost} more" if won > lost else f"{lost - won} fewer"
    return f"{more}, {_weighed(estimate_from_entry(pair['differences']['success']))}"


def _nearer(pair: Mapping[str, Any]) -> str:
    """Say how much nearer to the lane centre a correction kept the very same drives."""
    difference = estimate_from_entry(pair["differences"][_OFF])
    metres = difference.value or 0.0
    if abs(metres) < 0.005:
        return "no difference"
    word = "less" if metres < 0.0 else "more"
    return f"{abs(metres):.2f} m {word}, {_weighed(difference)}"


def _weighed(difference: Estimate) -> str:
    low, high = difference.low, difference.high
    if low is None or high is None or low <= 0.0 <= high:
        return "which may be chance"
    return "beyond what chance explains"


def _metres(group: Mapping[str, Any]) -> str:
    return f"{group['metrics'][_OFF]['value']:.2f} m"


def _succeeded(group: Mapping[str, Any]) -> str:
    count = round(group["success"]["value"] * group["episodes"])
    return f"{count} of {group['episodes']}"


def _name(group: Mapping[str, Any]) -> str:
    if group["correction"] == BASELINE:
        return str(group["agent"])
    return f"{group['agent']} with {_correction(group['correction'])}"


def _correction(mode: str) -> str:
    return _CORRECTIONS.get(mode, f"the correction {mode}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
