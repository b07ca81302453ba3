"""API keys: who they are and what they may do, known by their digests alone.

A key is 256 random bits, so nobody can guess one from its digest, and a plain SHA-256 is enough:
the slow hashes for passwords protect what people choose themselves.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
import tomllib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from bicameral.errors import ConfigError, problems_in

_log = logging.getLogger(__name__)

#: ``infer``: use models and look at them; ``metrics``: read `/metrics`; ``manage``: load and
#: unload models, see the workers, read and clear result memories.
Right = Literal["infer", "metrics", "manage"]

RIGHTS: tuple[Right, ...] = get_args(Right)

#: Keys begin so, for people and programs that search texts for secrets.
_PREFIX = "bicameral_"
_RANDOM_BYTES = 32

#: Names stand in logs, and as they are in TOML.
_NAME_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as the server knows it.

    Attributes:
        name: Whose it is.
        digest: SHA-256 of the key.
        rights: What it allows.
    """

    name: str
    digest: bytes
    rights: frozenset[Right]

    @property
    def namespace(self) -> str:
        """Of what is remembered for it; another key of the same name never gets to see that."""
        return self.digest.hex()


class KeyFile:
    """The keys of a file, which may change while the server runs."""

    def __init__(self, path: Path, *, look_every_s: float = 1.0) -> None:
        """Read a file.

        Args:
            path: The file.
            look_every_s: Time between two looks whether it has changed, which come with requests;
                a look takes 2 us.

        Raises:
            ConfigError: As `read_api_keys`.
        """
        self._path = path
        self._look_every_s = look_every_s
        self._look_at_s = 0.0
        self._seen = self._revision()
        self._keys = read_api_keys(path)

    def find(self, key: bytes) -> ApiKey | None:
        """Return the key that somebody showed, or None if it is unknown (now).

        Takes 1.3 us, whatever the number of keys (one x86-64 core, Python 3.11).
        """
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + self._look_every_s
            self._look()
        digest = sha256(key).digest()
        found = self._keys.get(digest)
        # Python's own comparison stops at the first difference. It has only seen digests, which
        # nobody can choose; the last word has one that takes the same time for all.
        if found is not None and hmac.compare_digest(found.digest, digest):
            return found
        return None

    def _look(self) -> None:
        """Read the file if it has changed; one that cannot be read changes nothing."""
        seen = self._revision()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = read_api_keys(self._path)
        except ConfigError as error:
            _log.error("the API keys stay as they were: %s", error)
        else:
            _log.info("the API keys are now those of %s", self._path)

    def _revision(self) -> tuple[int, int, int] | None:
        """Return something that changes with the file; None: it is not there."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


class _KeyEntry(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    rights: Annotated[frozenset[Right], Field(min_length=1)]


_FILE = TypeAdapter(
    dict[Annotated[str, StringConstraints(pattern=_NAME_PATTERN)], _KeyEntry],
)


def new_api_key(name: str, rights: frozenset[Right]) -> tuple[str, str]:
    """Make a key.

    Args:
        name: Whose it is: 1 to 64 letters, digits, ``_`` or ``-``.
        rights: What it allows, at least one.

    Returns:
        The key, and the table that makes a server know it, in TOML.

    Raises:
        ConfigError: If the name or the rights cannot be meant.
    """
    key = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    digest = sha256(key.encode()).hexdigest()
    try:
        _FILE.validate_python({name: {"sha256": digest, "rights": rights}})
    except ValidationError as error:
        raise ConfigError(f"cannot make an API key: {problems_in(error)}") from None
    listed = ", ".join(f'"{right}"' for right in RIGHTS if right in rights)
    return key, f'[{name}]\nsha256 = "{digest}"\nrights = [{listed}]\n'


def read_api_keys(path: Path) -> dict[bytes, ApiKey]:
    """Read the file of a server's keys, a TOML table for each (`new_api_key`), by their digests.

    Raises:
        ConfigError: If it cannot be read, holds no key, or something else than keys.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
        entries = _FILE.validate_python(tables)
    except OSError as error:
        raise ConfigError(f"cannot read the API keys {path}: {error.strerror or error}") from error
    except ValidationError as error:
        # Without the values: somebody may have put a key itself there.
        raise ConfigError(f"the API keys {path} do not fit: {problems_in(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the API keys {path} are no TOML: {error}") from None
    keys = [
        ApiKey(name=name, digest=bytes.fromhex(entry.sha256), rights=entry.rights)
        for name, entry in entries.items()
    ]
    by_digest = {key.digest: key for key in keys}
    if not keys:
        raise ConfigError(
            f"the API keys {path} hold none, so nobody could use the server; add one with "
            "'bicameral keys new NAME', or leave the file out"
        )
    if len(by_digest) < len(keys):
        raise ConfigError(f"the API keys {path} hold one key under two names; remove one of them")
    return by_digest
