"""Records of dataclasses as JSON files, checked field by field when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from bicameral.errors import DataError

_Record = TypeVar("_Record")


def read_record(path: Path, kind: type[_Record], *, what: str, remedy: str) -> _Record:
    """Read a record that was written as `dataclasses.asdict`.

    Args:
        path: The JSON file.
        kind: Its dataclass.
        what: What it should be, for the message.
        remedy: What to do if it is not, for the message.

    Raises:
        DataError: If the file is absent or holds something else.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is no {what}: {error}; {remedy}") from error
