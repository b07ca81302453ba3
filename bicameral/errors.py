"""Every error that bicameral raises on purpose.

BicameralError
├── UserError                 exit 2: the input, a flag or a file is wrong
│   ├── ConfigError           a setting that does not parse or contradicts another
│   ├── DataError             a file or folder with the wrong content
│   └── RouteError            a route that cannot be planned or read
├── MachineError              exit 3: the machine lacks something
│   ├── MissingExtraError     an optional dependency is not installed
│   ├── MeterError            a power meter cannot be read
│   └── VersionMismatchError  a server or file speaks another version
├── SimulatorLostError        exit 4: the simulator stopped answering
└── AgentLostError            exit 4: an agent on another machine stopped answering

A message says what failed, the value, what was expected, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from pydantic import ValidationError

Value = TypeVar("Value")

#: A command did its work, raised nothing, and what it looked at is not as it should be.
FINDINGS_EXIT_CODE = 1


class BicameralError(Exception):
    """Base of all errors raised on purpose; the command line prints it without a traceback."""

    exit_code: ClassVar[int] = 1


class UserError(BicameralError):
    """What the user gave is wrong and the user can mend it."""

    exit_code: ClassVar[int] = 2


class ConfigError(UserError):
    """A setting does not parse, or contradicts another."""


class DataError(UserError):
    """A file or folder does not hold what it should."""


class RouteError(UserError):
    """A route cannot be planned or read."""


class MachineError(BicameralError):
    """The machine lacks something that the command needs."""

    exit_code: ClassVar[int] = 3


class MissingExtraError(MachineError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        """Name the package that is absent and the extra that installs it."""
        super().__init__(
            f"the package {package!r} is not installed; it comes with the extra {extra!r}: "
            f"pip install 'bicameral[{extra}]'"
        )


class MeterError(MachineError):
    """A power meter cannot be read."""


class VersionMismatchError(MachineError):
    """A server or a file speaks another version than this one."""


class SimulatorLostError(BicameralError):
    """The simulator stopped answering in the middle of the work."""

    exit_code: ClassVar[int] = 4


class AgentLostError(BicameralError):
    """An agent that drives from another process cannot be reached, or stopped answering."""

    exit_code: ClassVar[int] = 4


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Build the error for a name that a registry does not hold.

    Args:
        kind: What the registry holds, e.g. ``"weather"``.
        name: The name that was asked for.
        known: All names that exist.

    Returns:
        An error that lists the known names and the nearest one.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UserError(f"unknown {kind} {name!r}; known: {', '.join(names) or 'none'}.{hint}")


def problems_in(error: ValidationError, whole: str = "file") -> str:
    """Say what a check found, place by place, without the values that it found there.

    Args:
        error: The check's.
        whole: What to call the place of a problem of everything.
    """
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or whole}: {one['msg']}" for one in error.errors()
    )


def look_up(kind: str, name: str, known: Mapping[str, Value]) -> Value:
    """Return what a registry holds under a name.

    Raises:
        UserError: It holds no such name; see `unknown_name`.
    """
    if name not in known:
        raise unknown_name(kind, name, known)
    return known[name]
