"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_bytes_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file under a temporary name in its folder, then rename it into place.

    Args:
        path: Destination; its folder is created when absent.
        data: The whole content.
        mode: Permissions; it is never readable for more than these.

    Raises:
        OSError: If the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text with `write_bytes_atomic`."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, value: Any) -> None:
    """Write JSON with `write_bytes_atomic`; two spaces of indent, trailing newline, no NaN."""
    write_text_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def user_cache_folder() -> Path:
    """Return the user's folder for what can be made again (XDG base directory specification)."""
    return _user_folder("XDG_CACHE_HOME", ".cache")


def user_data_folder() -> Path:
    """Return the user's folder for what is to be kept (XDG base directory specification)."""
    return _user_folder("XDG_DATA_HOME", ".local/share")


def _user_folder(variable: str, usual: str) -> Path:
    base = os.environ.get(variable, "")
    # The specification says that a relative path is to be ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / usual
    return root / "bicameral"


@contextmanager
def hidden_folder_beside(path: Path) -> Iterator[Path]:
    """Give a hidden folder in the folder of `path`, from where a rename brings things there.

    It is removed at the end, with all that was not moved.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
