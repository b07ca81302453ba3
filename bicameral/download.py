"""Files from the network that are kept only if they hash to what is expected."""

from __future__ import annotations

import hashlib
import http.client
import logging
import urllib.error
import urllib.request
from pathlib import Path

from bicameral.errors import DataError, MachineError
from bicameral.files import write_bytes_atomic

_LOGGER = logging.getLogger(__name__)

_TIMEOUT_S = 60.0
_MAX_FILE_BYTES = 1 << 30


def fetch_file(url: str, sha256: str, path: Path) -> bool:
    """Fetch a file unless it is there already; a damaged one is fetched again.

    Args:
        url: Where it is, http or https.
        sha256: What it must hash to, hexadecimal.
        path: Where it is kept.

    Returns:
        Whether it had to be fetched.

    Raises:
        DataError: If the file there is another one.
        MachineError: If it cannot be fetched.
    """
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return False
    _LOGGER.info("fetching %s", url)
    data = _fetch(url)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise DataError(
            f"{url} gave {len(data)} bytes with sha256 {digest}, expected {sha256}; "
            "nothing was kept: the file there has changed, or the list is wrong"
        )
    write_bytes_atomic(path, data)
    return True


def _fetch(url: str) -> bytes:
    """Return the whole content behind a URL of http or https."""
    try:
        # The list admits no other schemes, and urllib follows no redirection to a file.
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310
            data: bytes = response.read(_MAX_FILE_BYTES + 1)
            missing: int | None = response.length  # None: not announced
    except urllib.error.HTTPError as error:
        with error:
            raise MachineError(
                f"cannot fetch {url}: the server answered {error.code} {error.reason}"
            ) from error
    except (OSError, http.client.HTTPException) as error:
        raise MachineError(
            f"cannot fetch {url}: {error}; check the connection, or put the files into a folder "
            "and give that"
        ) from error
    if len(data) > _MAX_FILE_BYTES:
        raise DataError(f"{url} is larger than {_MAX_FILE_BYTES:,} bytes; nothing was kept")
    # A read with a limit does not notice that the connection broke off early.
    if missing:
        raise MachineError(
            f"cannot fetch {url}: it broke off after {len(data)} bytes, {missing} are missing; "
            "try again"
        )
    return data
