"""An IDX data set from the network: a TOML file names its four files and their checksums.

name = "kuzushiji"
labels = ["o", "ki", "su"]          # optional; else 0, 1, 2, ..
mirror_allowed = false              # optional; whether a mirrored image keeps its label

[[files]]                           # four times
url = "https://example.org/train-images-idx3-ubyte.gz"
sha256 = "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"
name = "train-images-idx3-ubyte.gz" # optional; else the last part of the URL
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bicameral.download import fetch_file
from bicameral.errors import DataError, problems_in
from bicameral.files import user_cache_folder
from models.data.idx import IDX_FILES


class DownloadFile(BaseModel):
    """One file: where it is, what it must hash to, and what it is called here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str = ""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"expected http://.. or https://.., got {url!r}")
        return url

    @property
    def file_name(self) -> str:
        """Name of the file in the cache."""
        return self.name or urlsplit(self.url).path.rsplit("/", 1)[-1]


class DownloadList(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    labels: tuple[str, ...] = ()
    mirror_allowed: bool | None = None
    files: tuple[DownloadFile, ...]

    @model_validator(mode="after")
    def _check_files(self) -> DownloadList:
        found = Counter(file.file_name.removesuffix(".gz") for file in self.files)
        if found != Counter(IDX_FILES):
            raise ValueError(
                f"the files are called {', '.join(sorted(found.elements())) or 'nothing'}, "
                f"expected {', '.join(IDX_FILES)}, each once, with or without .gz; where a URL "
                "ends differently, give the file a name"
            )
        return self


def read_download_list(path: Path) -> DownloadList:
    """Read and check a TOML file.

    Raises:
        DataError: If it cannot be read, is no TOML, or has unknown, missing or wrong entries.
    """
    try:
        return DownloadList.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"cannot read the download list {path}: {error}") from error
    except ValidationError as error:
        raise DataError(f"{path} is no valid download list: {problems_in(error)}") from error


def download(wanted: DownloadList, cache: Path) -> Path:
    """Fetch what the cache does not hold yet.

    Files in the cache are checked too, and fetched again if they are damaged.

    Args:
        wanted: The files.
        cache: Folder of all downloaded data sets; see `default_cache`.

    Returns:
        The folder that holds the four files.

    Raises:
        DataError: If a file is not the one that the list describes.
        MachineError: If a file cannot be fetched.
    """
    content = "\n".join(sorted(f"{file.file_name} {file.sha256}" for file in wanted.files))
    folder = cache / f"{wanted.name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    for file in wanted.files:
        fetch_file(file.url, file.sha256, folder / file.file_name)
    return folder


def default_cache() -> Path:
    """Return the user's cache of data sets."""
    return user_cache_folder() / "datasets"
