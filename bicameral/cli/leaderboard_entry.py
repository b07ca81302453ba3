"""`bicameral leaderboard-entry`: write what the official evaluators are given."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console


def leaderboard_entry(output: Path = Path("leaderboard-entry"), /) -> int:
    """Write the agent file and its configuration for CARLA leaderboard 2.1 and Bench2Drive.

    The agent competes on the track SENSORS: camera, satellite receiver, compass and speedometer,
    and the way from the global plan. A configuration that is there is kept.

    Args:
        output: Folder for both files.
    """
    from agent.entry.files import write_entry

    files = write_entry(output)
    Console().print(
        f"For leaderboard_evaluator.py: --track SENSORS --agent {files.agent.absolute()} "
        f"--agent-config {files.config.absolute()}\nIts Python needs this package: "
        "pip install bicameral",
        highlight=False,
        soft_wrap=True,
    )
    return 0
