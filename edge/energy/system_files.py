"""Small files of the kernel that hold one value."""

from __future__ import annotations

from pathlib import Path

from bicameral.errors import MeterError


def read_text(path: Path) -> str | None:
    """Return the stripped content, or None where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip("\0 \n\t")
    except OSError:
        return None


def read_integer(path: Path) -> int | None:
    """Return the number, or None where there is none to be read."""
    text = read_text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def require_integer(path: Path) -> int:
    """Return the number of a sensor's file.

    Raises:
        MeterError: If it cannot be read or is no number.
    """
    try:
        text = path.read_text("ascii", "replace").strip()
    except OSError as error:
        denied = isinstance(error, PermissionError)
        hint = "; run as root, or let this user read the file" if denied else ""
        raise MeterError(f"cannot read {path}: {error.strerror}{hint}") from error
    try:
        return int(text)
    except ValueError:
        raise MeterError(f"{path} holds {text[:40]!r}, expected an integer") from None
