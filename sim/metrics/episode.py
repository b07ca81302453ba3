"""The metrics of one drive. `docs/metrics.md` defines each in prose."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bicameral.curves import curvature_from_yaw
from bicameral.simulation import TICK_S
from bicameral.types import LightState, Metric, Route
from sim.evaluation.limits import Status
from sim.evaluation.records import CollisionRecord, EpisodeRecord, Trajectory
from sim.metrics.curves import compare_curves

#: A completed drive that ever was farther from its route than this is no success.
SUCCESS_CROSS_TRACK_M = 3.0

#: A route is straight where it bends less than this, as far as the windows below see.
STRAIGHT_CURVATURE_PER_M = 1.0 / 500.0
STRAIGHT_BEHIND_M = 30.0
STRAIGHT_AHEAD_M = 40.0
#: The vehicle starts from rest, so that the first stretch says nothing about its speed.
STRAIGHT_AFTER_START_M = 50.0

#: Largest angle of the Model 3's front wheels, reached at steer 1 and low speed.
MAX_WHEEL_ANGLE_RAD = math.radians(70.0)

#: What an undriven metre counts as, where a mean covers the whole route; the deviation limit.
UNDRIVEN_CROSS_TRACK_M = 5.0

#: Metrics that differ between two equal runs.
VOLATILE_METRICS = ("inference_mean_s", "inference_p95_s")

_RED = int(LightState.RED)

#: Slower than this is standing, as at the leaderboard's stop signs (RunningStopTest,
#: ``SPEED_THRESHOLD``).
STANDING_MPS = 0.1
#: Where a vehicle's middle may stand to have stopped at a line: from this far before to this far
#: behind it.
STOP_BEFORE_M = 8.0
STOP_BEHIND_M = 2.0
#: How far before the line of a red light a vehicle's middle has met it: there it has to stop, or it
#: stands behind somebody who did.
MET_BEFORE_M = 20.0


def episode_metrics(
    record: EpisodeRecord, route: Route, reference: EpisodeRecord | None
) -> dict[str, Metric]:
    """Compute every metric of a drive.

    Args:
        record: The drive.
        route: Its route.
        reference: The expert's drive of the same route, or None.

    Returns:
        Metrics by name, always the same names in the same order; invalid where there was nothing
        to measure.
    """
    trajectory = record.trajectory
    return {
        **_outcome(record, route),
        **_tracking(record, route),
        **_against_reference(trajectory, None if reference is None else reference.trajectory),
        **_smoothness(trajectory),
        **_speed(trajectory, route),
        **_decisions(trajectory),
    }


def branch_shares(record: EpisodeRecord) -> dict[str, float]:
    """Return the share of ticks in which each branch of the correction rule was taken."""
    counts = np.bincount(record.trajectory.branch, minlength=len(record.branches))
    ticks = max(len(record.trajectory), 1)
    return {name: float(counts[i]) / ticks for i, name in enumerate(record.branches)}


def route_completion(trajectory: Trajectory, route: Route, status: Status) -> float:
    """Return the share of the route that was driven, 0..1; 1 for a completed drive."""
    if status is Status.COMPLETED:
        return 1.0
    if not len(trajectory):
        return 0.0
    return min(float(np.max(trajectory.progress_m)) / route.length_m, 1.0)


def is_success(record: EpisodeRecord) -> bool:
    """Return whether the route was completed without a collision and without leaving it."""
    return (
        record.status is Status.COMPLETED
        and not record.collisions
        and float(np.max(np.abs(record.trajectory.cross_track_m))) <= SUCCESS_CROSS_TRACK_M
    )


def _outcome(record: EpisodeRecord, route: Route) -> dict[str, Metric]:
    trajectory = record.trajectory
    in_junction = _at_route(trajectory, route, route.in_junction)
    outside = sum(1 for event in record.lane_invasions if not in_junction[event.frame])
    kinds = [collision_kind(collision) for collision in record.collisions]
    lights = count_red_lights(record)
    return {
        "success": Metric(value=float(is_success(record)), unit="1"),
        "route_completion": Metric(
            value=route_completion(trajectory, route, record.status), unit="1"
        ),
        "collisions": Metric(value=float(len(record.collisions)), unit="1"),
        "collisions_vehicle": Metric(value=float(kinds.count("vehicle")), unit="1"),
        "collisions_walker": Metric(value=float(kinds.count("walker")), unit="1"),
        "collisions_static": Metric(value=float(kinds.count("static")), unit="1"),
        "lane_invasions": Metric(value=float(len(record.lane_invasions)), unit="1"),
        "lane_invasions_outside_junctions": Metric(value=float(outside), unit="1"),
        "off_road_time": Metric(value=float(np.sum(trajectory.off_road)) * TICK_S, unit="s"),
        "red_lights_met": Metric(value=float(lights.met), unit="1"),
        "red_lights_passed": Metric(value=float(lights.passed), unit="1"),
        "stop_signs_passed": Metric(value=float(count_stop_signs_passed(record)), unit="1"),
        "duration": Metric(value=len(trajectory) * TICK_S, unit="s"),
    }


class RedLights(NamedTuple):
    """Red lights of a drive: how many were met, and how many of those were passed."""

    met: int
    passed: int


def count_red_lights(record: EpisodeRecord) -> RedLights:
    """Count the red lights that were met, and passed.

    A red light is passed if the vehicle leaves the area before its stop line, in which CARLA tells
    it to obey the light, while it is red. Many a driver stops before that area. So among others a
    red light is met if it was red at any time while the vehicle was at most `MET_BEFORE_M` before
    its line; in an empty town, where agents do not stop, if it was while the vehicle was in the
    area.
    """
    light = record.trajectory.traffic_light
    passed = int(np.sum((light[:-1] == _RED) & (light[1:] == 0)))
    if record.lights is None:
        # A light that turns red over a waiting vehicle was met once, whatever it showed before.
        turns_red = (light[1:] == _RED) & (light[:-1] != _RED)
        met = int(np.sum(turns_red)) + int(len(light) > 0 and light[0] == _RED)
    else:
        lines_m = np.asarray(record.light_lines_m)
        before_m = lines_m - record.trajectory.progress_m[:, None]
        near = (before_m > 0.0) & (before_m <= MET_BEFORE_M)
        met = int(np.sum(np.any(near & (record.lights == _RED), axis=0)))
    return RedLights(met=max(met, passed), passed=passed)


def count_stop_signs_passed(record: EpisodeRecord) -> int:
    """Return how many of the route's stop signs were driven past without standing at the line."""
    trajectory = record.trajectory
    passed = 0
    for line_m in record.stop_signs_m:
        before = line_m - trajectory.progress_m
        if not len(before) or float(np.min(before)) > -STOP_BEHIND_M:
            continue
        at_line = (before < STOP_BEFORE_M) & (before > -STOP_BEHIND_M)
        passed += not np.any(np.abs(trajectory.speed_mps[at_line]) < STANDING_MPS)
    return passed


def collision_kind(collision: CollisionRecord) -> str:
    """Return ``"vehicle"``, ``"walker"`` or ``"static"``."""
    first = collision.other.partition(".")[0]
    return first if first in ("vehicle", "walker") else "static"


def _tracking(record: EpisodeRecord, route: Route) -> dict[str, Metric]:
    trajectory = record.trajectory
    weight_m = np.maximum(trajectory.speed_mps, 0.0) * TICK_S
    lateral_m = np.abs(trajectory.cross_track_m)
    heading_rad = np.abs(trajectory.heading_error_rad)
    mean_m = _weighted_mean(lateral_m, weight_m, "m")
    missing = 1.0 - route_completion(trajectory, route, record.status)
    whole_m = (1.0 - missing) * (mean_m.value if mean_m.valid else 0.0)
    return {
        "cross_track_mean": mean_m,
        "cross_track_rmse": _root(_weighted_mean(lateral_m**2, weight_m, "m")),
        "cross_track_max": _maximum(lateral_m, "m"),
        "cross_track_whole_route_mean": Metric(
            value=whole_m + missing * UNDRIVEN_CROSS_TRACK_M, unit="m"
        ),
        "heading_error_mean": _weighted_mean(heading_rad, weight_m, "rad"),
        "heading_error_rmse": _root(_weighted_mean(heading_rad**2, weight_m, "rad")),
        "heading_error_max": _maximum(heading_rad, "rad"),
    }


def _against_reference(trajectory: Trajectory, reference: Trajectory | None) -> dict[str, Metric]:
    names = {
        "frechet": ("frechet_m", "m"),
        "dtw": ("dtw_m", "m"),
        "dtw_normalised": ("dtw_normalised_m", "m"),
        "area": ("area_m2", "m^2"),
        "curve_length_error": ("length_error", "1"),
    }
    if reference is None or len(reference) < 2 or not len(trajectory):
        return {name: _nothing(unit) for name, (_, unit) in names.items()}
    comparison = compare_curves(_xy(trajectory), _xy(reference))
    return {
        name: Metric(value=getattr(comparison, field), unit=unit)
        for name, (field, unit) in names.items()
    }


def _smoothness(trajectory: Trajectory) -> dict[str, Metric]:
    asked = (trajectory.steer - trajectory.steer_noise).astype(np.float64)
    change = np.abs(np.diff(asked))
    rate_radps = change * MAX_WHEEL_ANGLE_RAD / TICK_S
    return {
        "steering_change": _mean(change, "1"),
        "steering_rate_rms": _root(_mean(rate_radps**2, "rad/s")),
        "steering_reversals": _reversals(asked),
    }


def _reversals(steer: NDArray[np.float64]) -> Metric:
    """Count changes of the direction of steering that are larger than 0.02, per second."""
    if len(steer) < 2:
        return _nothing("1/s")
    count, direction, extreme = 0, 0, float(steer[0])
    for value in steer.tolist():
        if direction * (value - extreme) >= 0.0 and direction:
            extreme = value
        elif abs(value - extreme) > 0.02:
            count += direction != 0
            direction = 1 if value > extreme else -1
            extreme = value
    return Metric(value=count / (len(steer) * TICK_S), unit="1/s")


def _speed(trajectory: Trajectory, route: Route) -> dict[str, Metric]:
    straight = _at_route(trajectory, route, straight_points(route))
    limit_mps = np.interp(trajectory.progress_m, route.s_m, route.speed_limit_mps)
    share = trajectory.speed_mps[straight] / np.maximum(limit_mps[straight], 0.1)
    return {
        "speed_mean": _mean(trajectory.speed_mps, "m/s"),
        "speed_share_on_straights": _mean(share, "1"),
    }


def straight_points(route: Route) -> NDArray[np.bool_]:
    """Return (N,) bool: where the route is straight behind and ahead, and the start is past.

    The windows reach as far as a vehicle needs to leave a bend behind and to brake for the next,
    so that the speed there is a matter of the speed limit.
    """
    bend = np.abs(curvature_from_yaw(route.s_m, route.yaw_rad, 4.0)) > STRAIGHT_CURVATURE_PER_M
    bends_before = np.concatenate([[0], np.cumsum(bend)])
    first = np.searchsorted(route.s_m, route.s_m - STRAIGHT_BEHIND_M)
    last = np.searchsorted(route.s_m, route.s_m + STRAIGHT_AHEAD_M, side="right")
    bends = bends_before[last] - bends_before[first]
    result: NDArray[np.bool_] = (bends == 0) & (route.s_m >= STRAIGHT_AFTER_START_M)
    return result


def _decisions(trajectory: Trajectory) -> dict[str, Metric]:
    measured = trajectory.inference_s[trajectory.inference_s > 0.0].astype(np.float64)
    p95 = _nothing("s")
    if len(measured):
        p95 = Metric(value=float(np.percentile(measured, 95.0)), unit="s")
    confidence = trajectory.confidence[np.isfinite(trajectory.confidence)]
    return {
        "confidence_mean": _mean(confidence.astype(np.float64), "1"),
        "share_asked_b": _mean(trajectory.asked_b.astype(np.float64), "1"),
        "inference_mean_s": _mean(measured, "s"),
        "inference_p95_s": p95,
    }


def _at_route(trajectory: Trajectory, route: Route, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    index = np.searchsorted(route.s_m, trajectory.progress_m, side="right") - 1
    result: NDArray[np.bool_] = values[np.clip(index, 0, len(values) - 1)]
    return result


def _xy(trajectory: Trajectory) -> NDArray[np.float64]:
    return np.column_stack([trajectory.x_m, trajectory.y_m])


def _nothing(unit: str) -> Metric:
    return Metric(value=math.nan, unit=unit, valid=False)


def _mean(values: NDArray[np.float64], unit: str) -> Metric:
    return Metric(value=float(np.mean(values)), unit=unit) if len(values) else _nothing(unit)


def _maximum(values: NDArray[np.float64], unit: str) -> Metric:
    return Metric(value=float(np.max(values)), unit=unit) if len(values) else _nothing(unit)


def _weighted_mean(values: NDArray[np.float64], weights: NDArray[np.float64], unit: str) -> Metric:
    total = float(np.sum(weights))
    if total <= 0.0:
        return _nothing(unit)
    return Metric(value=float(np.sum(values * weights)) / total, unit=unit)


def _root(metric: Metric) -> Metric:
    return Metric(value=math.sqrt(metric.value), unit=metric.unit) if metric.valid else metric
