"""What a simulator and its clients agree on without telling each other."""

from __future__ import annotations

#: The only version of CARLA whose wire format the installed client and the pocket simulator speak.
CARLA_VERSION = "0.9.16"

#: Length of a tick. 20 Hz is what the CARLA leaderboard runs at
#: (leaderboard/leaderboard_evaluator.py, ``frame_rate = 20.0``).
TICK_S = 0.05
