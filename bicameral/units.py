"""Conversions between SI units and the units of CARLA's API, and angle arithmetic."""

from __future__ import annotations

import math

KMH_PER_MPS = 3.6


def mps_from_kmh(speed_kmh: float) -> float:
    """Convert km/h to m/s."""
    return speed_kmh / KMH_PER_MPS


def kmh_from_mps(speed_mps: float) -> float:
    """Convert m/s to km/h."""
    return speed_mps * KMH_PER_MPS


def wrap_rad(angle_rad: float) -> float:
    """Map an angle to [-pi, pi)."""
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi


def wrap_deg(angle_deg: float) -> float:
    """Map an angle to [-180, 180)."""
    return (angle_deg + 180.0) % 360.0 - 180.0
