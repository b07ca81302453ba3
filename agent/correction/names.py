"""The corrections as requests and commands name them; which an agent knows depends on its kind."""

from __future__ import annotations

from typing import Final, Literal

CorrectionName = Literal["none", "paper", "second_opinion", "fusion"]

#: Those that ask network B: a second opinion needs one, fusion does without.
MAY_ASK_B: Final = ("second_opinion", "fusion")
