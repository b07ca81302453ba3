"""Optional dependencies: which extra brings which package, and whether it is there."""

from __future__ import annotations

import importlib.metadata
import re

from bicameral.errors import MissingExtraError

_REQUIREMENT = re.compile(r"""([\w.-]+).*;.*\bextra == ['"]([\w-]+)['"]""")


def extra_packages() -> dict[str, tuple[str, ...]]:
    """Return the packages that each extra installs, as the installed package's metadata say."""
    found: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("bicameral") or ():
        if match := _REQUIREMENT.match(line):
            found.setdefault(match[2], []).append(match[1])
    return {extra: tuple(names) for extra, names in found.items()}


def missing_packages(extra: str) -> tuple[str, ...]:
    """Return the packages of an extra that are not installed, without importing them."""
    return tuple(name for name in extra_packages()[extra] if not _is_installed(name))


def require_extra(extra: str) -> None:
    """Raise `MissingExtraError` naming the first package of the extra that is absent."""
    missing = missing_packages(extra)
    if missing:
        raise MissingExtraError(missing[0], extra)


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
