"""What to collect: towns, weathers, routes and disturbances, as one value that a seed completes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bicameral.errors import ConfigError
from bicameral.types import AGENT_CAMERA, PACE_CAMERA, CameraSpec
from sim.client.traffic import TrafficDensity
from sim.client.weather import weather_by_name
from sim.routes.sampling import ROUTE_KINDS

Split = Literal["train", "validation", "test"]

#: Distances ahead along the route at which its points are stored; docs/dataset.md lists them.
AHEAD_M = (4.0, 6.0, 10.0, 15.0, 25.0, 40.0)

#: Version of the folder that an episode is stored in; see docs/dataset.md.
SCHEMA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMix:
    """The routes that an episode consists of.

    Attributes:
        kinds: Taken in turn, continued from episode to episode; a kind that a town does not hold
            is replaced by the next one.
        per_episode: Routes per episode; the vehicle is put onto one after the other.
        min_length_m: Shortest route.
        max_length_m: Longest route.
    """

    kinds: tuple[str, ...] = ("left", "right", "mixed", "straight", "curves", "highway")
    per_episode: int = 4
    min_length_m: float = 120.0
    max_length_m: float = 350.0


#: Where agents fail, and where others and lights are: short routes into junctions and curves, and
#: some whole routes.
JUNCTION_MIX = RouteMix(
    kinds=("left", "right", "straight", "left", "right", "curves", "mixed"),
    per_episode=6,
    min_length_m=90.0,
    max_length_m=180.0,
)


#: Scenes are posed on more of them: each has its own junction.
SCENE_MIX = replace(JUNCTION_MIX, per_episode=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbances:
    """How the vehicle is brought off the lane centre, so that coming back can be learnt.

    Attributes:
        share: Share of the routes that are disturbed, 0..1.
        lateral_m: A disturbed route begins up to this far beside the lane centre.
        heading_rad: And turned by up to this much.
        burst_rate_hz: Mean number of bursts of wrong steering per second.
        burst_min_s: Shortest burst.
        burst_max_s: Longest burst.
        burst_steer: Largest steering offset of a burst at walking pace; it falls with
            1 / (1 + (speed / 7 m/s)^2), as the curvature that a speed allows.
        lane_share: Share of the routes that begin in the middle of a neighbouring lane of the same
            direction, where there is one: so that being one lane off can be learnt.
        speed_factor_min: Every route is driven at its profile times a factor from here ...
        speed_factor_max: ... to here, disturbed or not.
    """

    share: float = 0.6
    lateral_m: float = 1.2
    heading_rad: float = 0.25
    burst_rate_hz: float = 0.25
    burst_min_s: float = 0.4
    burst_max_s: float = 1.0
    burst_steer: float = 0.35
    lane_share: float = 0.4
    speed_factor_min: float = 0.6
    speed_factor_max: float = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PedalBursts:
    """How a disturbed route among others brings the vehicle off the expert's speed.

    So that braking late, and going on where it stood for nothing, can be learnt.

    Attributes:
        rate_hz: Mean number of bursts of wrong pedals per second.
        min_s: Shortest burst.
        max_s: Longest burst.
        throttle: Largest throttle of a burst.
        brake: Largest brake of one.
        fastest: No burst of throttle above the profile's speed times this.
    """

    rate_hz: float = 0.15
    min_s: float = 0.8
    max_s: float = 2.5
    throttle: float = 0.9
    brake: float = 0.5
    fastest: float = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPlan:
    """Everything that decides what is collected, and where to.

    Attributes:
        output: Folder of the data set; plans may share one.
        towns: Names of towns, or for others the keys of `ServerChoice.town_files`.
        weathers: Names of `sim.client.weather.WEATHERS`.
        episodes: Episodes per town and weather.
        split: What all episodes of this plan are for. A test town belongs to no other split.
        seed: Decides routes, disturbances and weather.
        routes: Which routes.
        disturbances: How the vehicle is disturbed.
        capture_every_ticks: A picture every so many ticks of 0.05 s; 2 is 10 Hz.
        take_over_m: When another agent drives: cross-track error at which the expert takes over.
        give_back_m: And below which it gives the steering back.
        traffic: Who else is on the road.
        pedals: How the speed is disturbed if there is anybody.
        scenes: So many scenes among them are posed in an episode, and nothing is driven; 0: none.
    """

    output: Path
    towns: tuple[str, ...]
    weathers: tuple[str, ...] = ("clear",)
    episodes: int = 2
    split: Split = "train"
    seed: int = 0
    routes: RouteMix = field(default_factory=RouteMix)
    disturbances: Disturbances = field(default_factory=Disturbances)
    capture_every_ticks: int = 2
    take_over_m: float = 1.8
    give_back_m: float = 0.4
    traffic: TrafficDensity = field(default_factory=TrafficDensity)
    pedals: PedalBursts = field(default_factory=PedalBursts)
    scenes: int = 0

    def __post_init__(self) -> None:
        for weather in self.weathers:
            weather_by_name(weather)
        if unknown := sorted(set(self.routes.kinds) - set(ROUTE_KINDS)):
            raise ConfigError(
                f"unknown kinds of route {', '.join(unknown)}; known: {', '.join(ROUTE_KINDS)}"
            )
        for name in ("towns", "weathers"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{name} must name at least one, and none twice; got {values}")
        if self.split not in ("train", "validation", "test"):
            raise ConfigError(f"split is {self.split!r}; expected train, validation or test")
        if self.scenes and not self.traffic:
            raise ConfigError(f"{self.scenes} scenes among nobody; ask for traffic or walkers")
        counts = {"episodes": self.episodes, "capture_every_ticks": self.capture_every_ticks}
        for name, count in counts.items():
            if count < 1:
                raise ConfigError(f"{name} is {count}; expected 1 or more")

    def camera_of(self, *, driven: bool) -> CameraSpec:
        """Return the camera whose pictures are stored: among others the one for the pace.

        Args:
            driven: Whether a network steers; its own camera is stored.
        """
        return PACE_CAMERA if self.traffic and not driven else AGENT_CAMERA

    def episodes_of(self, driver: str) -> Iterator[EpisodePlan]:
        """Yield every episode, in the order in which they are driven.

        Args:
            driver: ``"expert"`` or ``"dagger:<model>"``.
        """
        label = driver.replace(":", "-").replace("/", "-")
        for index in range(self.episodes):
            for town in self.towns:
                for weather in self.weathers:
                    words = (self.seed, _word(town), _word(weather), _word(driver), index)
                    yield EpisodePlan(
                        episode_id=f"{label}-{weather}-s{self.seed}-{index:03d}",
                        town=town,
                        weather=weather,
                        driver=driver,
                        index=index,
                        entropy=words,
                    )

    def describe(self) -> dict[str, Any]:
        """Return what decides the bytes of an episode, as JSON values; counts are left out."""
        among = {"traffic": asdict(self.traffic), "pedals": asdict(self.pedals)}
        return {
            "split": self.split,
            "seed": self.seed,
            "routes": {**asdict(self.routes), "kinds": list(self.routes.kinds)},
            "disturbances": asdict(self.disturbances),
            "capture_every_ticks": self.capture_every_ticks,
            "take_over_m": self.take_over_m,
            "give_back_m": self.give_back_m,
            # Alone on the road, as all were before there were others.
            **(among if self.traffic else {}),
            **({"scenes": self.scenes} if self.scenes else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodePlan:
    """One episode of a plan.

    Attributes:
        episode_id: Name of its folder, unique within its town.
        town: Name of the town.
        weather: Name of the weather.
        driver: ``"expert"`` or ``"dagger:<model>"``.
        index: Number within its town and weather.
        entropy: Seed of everything random in it.
    """

    episode_id: str
    town: str
    weather: str
    driver: str
    index: int
    entropy: tuple[int, ...]


def _word(text: str) -> int:
    return zlib.crc32(text.encode())
