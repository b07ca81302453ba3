"""The recorder's methods, which say that there is none."""

from __future__ import annotations

from typing import Any

from sim.pocket.methods.dispatch import Method, fires, returns

_NO_RECORDER = "the pocket simulator has no recorder"


def explain_absence(*_arguments: Any) -> str:
    """Return a text that says so; these methods answer texts for people."""
    return _NO_RECORDER


def accept(*_arguments: Any) -> None:
    """Accept a setting of the recorder or replayer."""


METHODS: dict[str, Method] = {
    "start_recorder": returns(explain_absence),
    "stop_recorder": fires(accept),
    "show_recorder_file_info": returns(explain_absence),
    "show_recorder_collisions": returns(explain_absence),
    "show_recorder_actors_blocked": returns(explain_absence),
    "replay_file": returns(explain_absence),
    "stop_replayer": fires(accept),
    "set_replayer_time_factor": fires(accept),
    "set_replayer_ignore_hero": fires(accept),
    "set_replayer_ignore_spectator": fires(accept),
}
