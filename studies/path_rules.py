"""The drivers that the study of corrections on the path compares, by name of their rule.

The product's rules stand beside controls that lack what is claimed to help: a constant weight knows
nothing of confidence, a shuffled one has the confidence of another drive, and a random hand-over
only its share.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.correction.registry import PATH_CORRECTIONS, make_path_rule
from agent.network_agent import RouteDriver
from agent.path.agent import PathAgent
from agent.path.fusion import FusionRule, FusionSettings, Vision
from agent.path.navigation import NavigationSettings, Navigator
from agent.path.opinions import FusedPath, PathOpinions, PathRule
from agent.path.pursuit import pursue
from bicameral.errors import unknown_name
from bicameral.protocols import DrivingAgent
from bicameral.types import CameraSpec, Decision, Observation, Route
from edge.path_model import PathModel, PathOutput
from edge.shipped import resolve_model
from studies.study import DATA

#: Where the path is seen, and the map's is taken: what the networks of this project answer for.
DISTANCES_M = np.array([4.0, 6.0, 10.0, 15.0, 25.0])

#: Standard deviations of vision, tick after tick of drives on the validation town.
POOL = DATA / "driving" / "path_fusion_pool.csv"

#: A hand-over at random lasts so many ticks: a second, as those of a rule do.
_HELD_TICKS = 20

#: Of the fusion, where the plan says nothing else: when it was committed, no error of the map was
#: learned, and a larger distance to the map was allowed.
AS_STUDIED: dict[str, Any] = {"tracks_map": False, "innovation_sigmas": 3.0}

#: Keeps the draws of the controls apart from all others of the episode.
_STREAM = 77

Vector = NDArray[np.float64]
_Path = Callable[[PathOpinions], Vector]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What was chosen, or seen, on the validation town.

    Attributes:
        map_weight: Best constant weight of the map's path.
        share_b: Share of the ticks in which the second opinion follows network B.
        share_map: Mean weight of the map's path in the fusion.
    """

    map_weight: float
    share_b: float
    share_map: float


def make_driver(
    rule: str,
    networks: tuple[str, str | None],
    constants: Mapping[str, float],
    navigation: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> DrivingAgent:
    """Make a driver from what a plan says of it.

    Args:
        rule: A correction of `PathAgent`, or one of this file.
        networks: The first network, and the second or None: names of shipped ones, or files.
        constants: Fields of `Constants`.
        navigation: Fields of `NavigationSettings` that differ from its defaults. The networks are
            not told the lane unless it says so: the plan of `path_fusion` is older than that.
        settings: Fields of `FusionSettings`, likewise.

    Raises:
        UserError: If there is no such rule or network.
    """
    told = NavigationSettings(**{"intent": False, **navigation})
    if rule == "map":
        return MapDriver(told)
    first, second = (
        None if one is None else PathModel.load(resolve_model(one)) for one in networks
    )
    assert first is not None  # noqa: S101 - the plan names it
    fusion = FusionSettings(**{**AS_STUDIED, **settings})
    if rule in PATH_CORRECTIONS:
        made = make_path_rule(rule, first.agent, second, fusion)
    elif rule in _CONTROLS:
        made = _CONTROLS[rule](Constants(**constants), fusion)
    else:
        raise unknown_name("rule", rule, [*PATH_CORRECTIONS, *_CONTROLS, "map"])
    return PathAgent((first, second), made, navigator=Navigator(told))


class MapDriver:
    """Follows the path of the map alone; a `bicameral.protocols.DrivingAgent` without eyes."""

    name = "map"
    #: It knows what the others are told, too.
    privileged = False
    camera: CameraSpec | None = None

    def __init__(self, navigation: NavigationSettings) -> None:
        """Take the settings of the navigation system."""
        self._navigator = Navigator(navigation)
        self._driver = RouteDriver(0)

    def begin(self, route: Route, seed: int) -> None:
        """Forget the last episode and prepare for this route."""
        self._driver.begin(route)
        self._navigator.begin(route, seed)

    def act(self, observation: Observation) -> Decision:
        """Steer along the map's path, as seen from where the navigation system believes to be."""
        self._driver.update(observation.pose)
        self._navigator.update(observation.pose)
        offsets_m = self._navigator.path(DISTANCES_M).offsets_m
        steer = pursue(DISTANCES_M, offsets_m, observation.speed_mps)
        control = self._driver.control(observation.speed_mps, steer, 1.0)
        return Decision(control=control, branch="map", diagnostics={"map_weight_10m": 1.0})

    def close(self) -> None:
        """Nothing to release."""


class ConstantWeight:
    """The mean path of the networks and that of the map, weighed alike at every moment."""

    name = "constant_weight"

    def __init__(self, map_weight: float) -> None:
        """Take the weight of the map's path, 0..1; with 0 it is the mean of the networks."""
        self._weight = map_weight

    def begin(self, seed: int) -> None:
        """Nothing to forget."""
        del seed

    def fuse(self, opinions: PathOpinions) -> FusedPath:
        """Return the weighed mean."""
        seen = mean_path(opinions)
        path = self._weight * opinions.map.offsets_m + (1.0 - self._weight) * seen
        return _led(path, "constant", self._weight)


class RandomHandOver:
    """Another path is followed in a share of the time, a second at a time, at random."""

    name = "random_hand_over"

    def __init__(self, share: float, own: _Path, other: _Path) -> None:
        """Take the share of the time, 0..1, in which the other path is followed, and both paths."""
        self._share = share
        self._paths = {False: own, True: other}
        self._rng = np.random.default_rng(0)
        self._ticks = 0
        self._handed_over = False

    def begin(self, seed: int) -> None:
        """Begin an episode."""
        self._rng = np.random.default_rng([seed, _STREAM])
        self._ticks = 0

    def fuse(self, opinions: PathOpinions) -> FusedPath:
        """Return the path whose turn it is."""
        if self._ticks % _HELD_TICKS == 0:
            self._handed_over = bool(self._rng.random() < self._share)
        self._ticks += 1
        path = self._paths[self._handed_over](opinions)
        follows_map = float(self._paths[self._handed_over] is _path_of_map)
        return _led(path, "other" if self._handed_over else "own", follows_map)


class ShuffledConfidence(FusionRule):
    """The fusion, with how sure vision is taken from another drive, tick after tick.

    So it has the right distribution, and changes as smoothly, but knows nothing of this picture.
    """

    def __init__(self, fusion: FusionSettings, pool: Vector) -> None:
        """Take the fusion's settings and (N, D) standard deviations in the order of their ticks."""
        super().__init__(fusion)
        self._pool = pool
        self._next = 0

    def begin(self, seed: int) -> None:
        """Begin an episode somewhere in the other drives."""
        self._next = int(np.random.default_rng([seed, _STREAM]).integers(len(self._pool)))

    def see(self, answers: list[PathOutput]) -> Vision:
        """Return the path that is seen, and the confidence of another moment."""
        variances_m2 = self._pool[self._next % len(self._pool)] ** 2
        self._next += 1
        return replace(super().see(answers), variances_m2=variances_m2)


class RecordedConfidence(FusionRule):
    """The fusion, with vision's standard deviations among the diagnostics: what fills the pool."""

    _std_m: Sequence[float] = ()

    def see(self, answers: list[PathOutput]) -> Vision:
        """Return what the networks say, and remember how sure they are."""
        seen = super().see(answers)
        self._std_m = np.sqrt(seen.variances_m2).tolist()
        return seen

    def fuse(self, opinions: PathOpinions) -> FusedPath:
        """Fuse, and say how sure vision was."""
        fused = super().fuse(opinions)
        told = dict(zip(pool_columns(), self._std_m, strict=True))
        return replace(fused, diagnostics={**fused.diagnostics, **told})


def mean_path(opinions: PathOpinions) -> Vector:
    """Return the mean of the paths that the networks see."""
    if not opinions.has_b:
        return opinions.ask_a().offsets_m
    return (opinions.ask_a().offsets_m + opinions.ask_b().offsets_m) / 2.0


def pool_columns() -> list[str]:
    """Return the names of a pool's columns: a standard deviation at each distance."""
    return [f"vision_std_{distance_m:g}m" for distance_m in DISTANCES_M]


def read_pool(path: Path = POOL) -> NDArray[np.float64]:
    """Read a pool: (N, D) standard deviations in the order of their ticks."""
    with path.open(encoding="utf-8", newline="") as file:
        return np.array(
            [[float(one[name]) for name in pool_columns()] for one in csv.DictReader(file)]
        )


def _path_of_a(opinions: PathOpinions) -> Vector:
    return opinions.ask_a().offsets_m


def _path_of_b(opinions: PathOpinions) -> Vector:
    return opinions.ask_b().offsets_m


def _path_of_map(opinions: PathOpinions) -> Vector:
    return opinions.map.offsets_m


def _led(path: Vector, branch: str, map_weight: float) -> FusedPath:
    return FusedPath(
        offsets_m=path,
        std_m=np.full(len(path), np.nan),
        branch=branch,
        diagnostics={"map_weight_10m": map_weight},
    )


#: Controls, from the constants and the settings of the fusion.
_CONTROLS: dict[str, Callable[[Constants, FusionSettings], PathRule]] = {
    "mean": lambda _, __: ConstantWeight(0.0),
    "constant_weight": lambda chosen, _: ConstantWeight(chosen.map_weight),
    "shuffled_confidence": lambda _, fusion: ShuffledConfidence(fusion, read_pool()),
    "random_map": lambda chosen, _: RandomHandOver(chosen.share_map, mean_path, _path_of_map),
    "random_b": lambda chosen, _: RandomHandOver(chosen.share_b, _path_of_a, _path_of_b),
    "recorded_fusion": lambda _, fusion: RecordedConfidence(fusion),
}
