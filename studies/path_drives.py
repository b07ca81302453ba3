"""A drive of the study of corrections on the path as a row of its record."""

from __future__ import annotations

from dataclasses import dataclass

import carla
import numpy as np

from bicameral.types import Route
from sim.evaluation.records import EpisodeRecord
from sim.metrics.episode import episode_metrics
from studies.lane_choice import ends_one_lane_off


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One drive.

    Attributes:
        town: Where.
        route: Name of the route.
        seed: Number of the episode's seed.
        condition: See `sim.evaluation.conditions`.
        system: Who drove.
        success: 1 if the route was completed without a contact and never more than 3 m off.
        completed: Share of the route that was driven.
        cross_track_m: Mean distance to the lane centre where it drove.
        whole_m: The same over the whole route, each metre not driven counted as 5 m.
        one_lane_off: 1 if it failed, and stood in the lane beside its own at the end.
        share_b: Share of the ticks in which network B was asked.
        map_weight: Mean weight of the map's path, 10 m ahead; 0 where the map does not count.
    """

    town: str
    route: str
    seed: int
    condition: str
    system: str
    success: int
    completed: float
    cross_track_m: float
    whole_m: float
    one_lane_off: int
    share_b: float
    map_weight: float

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What tells it from all others: route, seed, condition and system."""
        return self.route, self.seed, self.condition, self.system


def drive_of(record: EpisodeRecord, route: Route, town_map: carla.Map) -> Drive:
    """Return the row of a stored episode."""
    metrics = episode_metrics(record, route, None)
    success = metrics["success"].value == 1.0
    weights = record.trajectory.diagnostics.get("map_weight_10m", np.zeros(1))
    off = not success and ends_one_lane_off(record.trajectory, route, town_map)

    def value(name: str) -> float:
        return round(metrics[name].value, 4)

    return Drive(
        town=record.town,
        route=record.route,
        seed=record.repetition,
        condition=record.weather,
        system=record.agent,
        success=int(success),
        completed=value("route_completion"),
        cross_track_m=value("cross_track_mean"),
        whole_m=value("cross_track_whole_route_mean"),
        one_lane_off=int(off),
        share_b=round(float(np.mean(record.trajectory.asked_b)), 4)
        if len(record.trajectory)
        else 0.0,
        map_weight=round(float(np.mean(weights)), 4),
    )
