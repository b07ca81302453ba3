"""Drives scenario_runner's ego: hands it to the Traffic Manager of scenario_runner itself.

scenario_runner leaves its ego to another program, usually a person at `manual_control`. The Traffic
Manager that runs inside it decides in step with its ticks, however slow the machine is.
"""

import os
import sys
import time

import carla

_PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.02


def main(port: int, traffic_manager_port: int) -> None:
    """Wait for a vehicle of role `hero` and hand it over."""
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(_PATIENCE_S)
    until_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until_s:
        for vehicle in client.get_world().get_actors().filter("vehicle.*"):
            if vehicle.attributes.get("role_name") == "hero":
                vehicle.set_autopilot(True, traffic_manager_port)
                # Ending in order would wait for threads of the client that do not end.
                os._exit(0)
        time.sleep(_LOOK_EVERY_S)
    sys.exit("no vehicle of role 'hero' has come")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
