"""The corrections as requests and commands name them; which an agent knows depends on its kind."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

from bicameral.errors import ConfigError, unknown_name

CorrectionName = Literal["none", "paper", "second_opinion", "fusion"]

#: Those that ask network B: a second opinion needs one, fusion does without.
MAY_ASK_B: Final = ("second_opinion", "fusion")


def require_correction(name: str, known: Collection[str], second: object | None) -> None:
    """Refuse what an agent cannot do.

    Args:
        name: Of the correction.
        known: Names of those that the agent knows.
        second: Network B, or its name, or None.

    Raises:
        UserError: If it has no such correction.
        ConfigError: If the correction needs a second network and there is none.
    """
    if name not in known:
        raise unknown_name("correction", name, known)
    if name == "second_opinion" and second is None:
        raise ConfigError("the correction 'second_opinion' needs a second network; give one")
