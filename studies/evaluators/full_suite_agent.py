"""An agent for leaderboard 2.1 that has every kind of sensor of its SENSORS track.

It drives as the leaderboard's own `npc_agent` does. The leaderboard hands it a tick only when all
sensors have delivered, and stops with `SensorReceivedNoData` when one of them does not.
"""

from __future__ import annotations

from typing import Any

from leaderboard.autoagents.autonomous_agent import Track
from leaderboard.autoagents.npc_agent import NpcAgent

_MOUNT = {"x": 0.7, "y": 0.0, "z": 1.6, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}


def get_entry_point() -> str:
    """Name the class, as the leaderboard asks."""
    return "FullSuiteAgent"


class FullSuiteAgent(NpcAgent):  # type: ignore[misc] # the leaderboard has no types
    """Follows the route and looks at what each sensor sends."""

    def setup(self, path_to_conf_file: str) -> None:
        """Choose the track."""
        super().setup(path_to_conf_file)
        self.track = Track.SENSORS
        self._ticks = 0
        self._least: dict[str, int] = {}

    def sensors(self) -> list[dict[str, Any]]:
        """Return the suite: camera, lidar, radar, GNSS, IMU and speedometer."""
        return [
            {
                "type": "sensor.camera.rgb",
                "id": "camera",
                "width": 448,
                "height": 448,
                "fov": 100,
                **_MOUNT,
            },
            {"type": "sensor.lidar.ray_cast", "id": "lidar", **_MOUNT},
            {
                "type": "sensor.other.radar",
                "id": "radar",
                "horizontal_fov": 30,
                "vertical_fov": 30,
                **_MOUNT,
            },
            {"type": "sensor.other.gnss", "id": "gnss", **_MOUNT},
            {"type": "sensor.other.imu", "id": "imu", **_MOUNT},
            {"type": "sensor.speedometer", "id": "speed", "reading_frequency": 20},
        ]

    def run_step(self, input_data: dict[str, Any], timestamp: float) -> Any:
        """Count what came and let the leaderboard's driver drive."""
        self._ticks += 1
        for name, (_, data) in input_data.items():
            self._least[name] = min(self._least.get(name, len(data)), len(data))
        return super().run_step(input_data, timestamp)

    def destroy(self) -> None:
        """Say how many ticks there were, and the least that each sensor sent in one."""
        if self._ticks:
            least = ", ".join(f"{name} {count}" for name, count in sorted(self._least.items()))
            print(f"sensors of {self._ticks} ticks, least items: {least}", flush=True)
        super().destroy()
