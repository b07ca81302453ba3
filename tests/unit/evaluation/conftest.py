"""Builders of hand-made routes, trajectories and episodes."""

import numpy as np
import pytest

from bicameral.types import Route
from sim.evaluation.limits import Status
from sim.evaluation.records import COLUMNS, EpisodeRecord, Trajectory

LENGTH_M = 200
SPEED_MPS = 10.0
TICK_S = 0.05


def make_route(name="straight"):
    n = LENGTH_M + 1
    s = np.arange(n, dtype=float)
    return Route(
        name=name,
        town="Harbour",
        kind="straight",
        xyz_m=np.column_stack([s, np.zeros(n), np.zeros(n)]),
        yaw_rad=np.zeros(n),
        s_m=s,
        command=np.full(n, 4, np.int8),
        in_junction=(s >= 100) & (s < 120),
        lane_width_m=np.full(n, 3.5),
        speed_limit_mps=np.full(n, SPEED_MPS),
        target_speed_mps=np.full(n, SPEED_MPS),
    )


def make_drive(ticks=400, lateral_m=0.0, heading_rad=0.0, **columns):
    """Drive straight on at constant speed, a fixed distance beside the route."""
    x = np.arange(ticks) * SPEED_MPS * TICK_S
    values = {name: np.zeros(ticks) for name in COLUMNS}
    values |= {
        "frame": np.arange(ticks),
        "time_s": np.arange(ticks) * TICK_S,
        "x_m": x,
        "y_m": np.full(ticks, lateral_m),
        "yaw_rad": np.full(ticks, heading_rad),
        "speed_mps": np.full(ticks, SPEED_MPS),
        "progress_m": x,
        "cross_track_m": np.full(ticks, lateral_m),
        "heading_error_rad": np.full(ticks, heading_rad),
        "confidence": np.full(ticks, np.nan),
    }
    return Trajectory(**(values | columns))


def make_record(trajectory, status=Status.COMPLETED, **changes):
    plain = {
        "episode_id": "e",
        "role": "evaluation",
        "agent": "a",
        "correction": "none",
        "route": "straight",
        "town": "Harbour",
        "weather": "clear",
        "seed": 1,
        "repetition": 0,
        "branches": ("none",),
        "wall_time_s": 1.0,
        "versions": {},
        "trained_on": None,
        "driven_on": "pocket",
        "weather_parameters": {},
        "start": {},
    }
    return EpisodeRecord(**(plain | changes), status=status, trajectory=trajectory)


@pytest.fixture
def straight_route():
    """200 m straight on, with a junction from 100 m to 120 m."""
    return make_route()


@pytest.fixture
def drive():
    """Build a trajectory: 400 ticks of 0.5 m beside the straight route."""
    return make_drive


@pytest.fixture
def record():
    """Build an episode around a trajectory."""
    return make_record
