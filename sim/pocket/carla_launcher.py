"""``python -m sim.pocket.carla_launcher``: the simulator, started as CARLA's own launcher is.

Evaluators such as Bench2Drive start and end the server themselves, by `CarlaUE4.sh` in the folder
`CARLA_ROOT`. `write_launcher` makes such a folder for this simulator.
"""

from __future__ import annotations

import logging
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bicameral.files import user_data_folder, write_bytes_atomic
from sim.pocket.__main__ import main as run_simulator
from sim.pocket.map_store import CARLA_MAP_FOLDER

_LAUNCHER = """#!/bin/sh
# The pocket simulator in the place of CARLA: takes -carla-rpc-port=N and the name of a map.
# The paths of the program that starts it (-E) and its folder (-P) are not searched.
exec {python} -E -P -m sim.pocket.carla_launcher "$@"
"""
_PORT = re.compile(r"-{1,2}(?:carla-rpc-port|carla-port|carla-world-port|world-port)=(\d+)")

logger = logging.getLogger(__name__)


def carla_root() -> Path:
    """Return the user's folder that stands for a CARLA installation."""
    return user_data_folder() / "carla"


def write_launcher(folder: Path) -> Path:
    """Make a folder that can stand for a CARLA installation, or complete it.

    Args:
        folder: Gets `CarlaUE4.sh` and an empty folder for further maps. A launcher that is there
            is replaced.

    Returns:
        The launcher.
    """
    (folder / CARLA_MAP_FOLDER).mkdir(parents=True, exist_ok=True)
    launcher = folder / "CarlaUE4.sh"
    text = _LAUNCHER.format(python=shlex.quote(sys.executable))
    write_bytes_atomic(launcher, text.encode(), mode=0o755)
    return launcher


def translated(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of ``python -m sim.pocket`` for those of CARLA's launcher.

    What only a graphics engine understands, such as ``-RenderOffScreen``, is left out and logged.
    """
    ours = ["--compile-first"]
    left_out = []
    for argument in arguments:
        port = _PORT.fullmatch(argument)
        if port:
            ours += ["--port", port[1]]
        elif argument.startswith("-"):
            left_out.append(argument)
        else:
            ours += ["--town", argument]
    if left_out:
        logger.warning("these arguments make no difference here: %s", " ".join(left_out))
    return ours


if __name__ == "__main__":
    sys.exit(run_simulator(translated(sys.argv[1:])))
