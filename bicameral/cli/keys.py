"""`bicameral keys`: keys for those who may use a server."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from server.api_keys import Right, new_api_key


def new_key(
    name: str,
    /,
    *,
    rights: Annotated[tuple[Right, ...], Parameter(consume_multiple=True)] = ("infer",),
) -> int:
    """Make an API key; what the server keeps of it goes to stdout, the key itself to stderr.

    ``bicameral keys new alice >> keys.toml`` adds it to a file for ``bicameral serve --api-keys
    keys.toml``. The key is shown this once and stored nowhere.

    Args:
        name: Whose it is: letters, digits, ``_`` or ``-``.
        rights: What it allows: ``infer``, ``metrics``, ``manage``.
    """
    key, table = new_api_key(name, frozenset(rights))
    sys.stdout.write(f"\n{table}")
    sys.stderr.write(f"the key of {name}, shown only now: {key}\n")
    return 0
