"""`bicameral.toml`, the settings of the commands."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from cyclopts import CycloptsError
from cyclopts.config import Toml


class SettingsFile(Toml):
    """A TOML file whose faults are told with its name, which cyclopts leaves out."""

    def _load_config(self, path: Path) -> dict[str, Any]:
        try:
            # Editors of Windows put a mark of the byte order before the text.
            return tomllib.loads(path.read_text("utf-8-sig"))
        except (OSError, ValueError) as error:
            raise CycloptsError(
                msg=f"cannot read the settings {path}: {error}; mend the file or take it away"
            ) from error
