"""How trained models are called if nobody says otherwise."""

from __future__ import annotations

from pathlib import Path

from bicameral.errors import ConfigError


def model_prefix(data: str, name: str | None) -> str:
    """Return what the names of models trained on a data set begin with.

    Args:
        data: Name or place of the data set.
        name: What the user wants instead, or None.

    Raises:
        ConfigError: If it would not make a file name and a URL path without quoting.
    """
    prefix = name or Path(data).stem.replace("-", "_")
    if not prefix.isidentifier():
        raise ConfigError(f"{prefix!r} cannot begin a model's name; give a plain word with --name")
    return prefix
