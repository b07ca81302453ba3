"""Some of many routes, by the grammar of the leaderboard's ``--routes-subset``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from bicameral.errors import ConfigError

Picked = TypeVar("Picked")


def pick_routes(routes: Mapping[str, Picked], subset: str) -> list[Picked]:
    """Pick routes by id, e.g. ``"24211,24240-24340"``.

    Args:
        routes: By their ids, in driving order.
        subset: Ids, and ranges from one id to another in that order; empty picks all.

    Returns:
        The picked ones in the order of `routes`.

    Raises:
        ConfigError: If there is no route of such an id, or a range ends before it begins.
    """
    ids = list(routes)
    if not subset.strip():
        return list(routes.values())
    picked: set[int] = set()
    for group in subset.replace(" ", "").split(","):
        # An id may hold a dash itself; the leaderboard's do not.
        first, _, last = (group, "", group) if group in routes else group.partition("-")
        missing = next((one for one in (first, last) if one not in routes), None)
        if missing is not None:
            raise ConfigError(
                f"route subset {subset!r}: there is no route with the id {missing!r}; there are "
                f"{', '.join(ids[:8])}{' and so on' if len(ids) > 8 else ''}; write for example "
                f"{ids[0]!r}, or {ids[0] + '-' + ids[-1]!r} for all from one to the other"
            )
        begin, end = ids.index(first), ids.index(last)
        if end < begin:
            raise ConfigError(
                f"route subset {subset!r}: {last!r} comes before {first!r}; write '{last}-{first}'"
            )
        picked.update(range(begin, end + 1))
    return [routes[ids[i]] for i in sorted(picked)]
