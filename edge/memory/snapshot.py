"""A result memory on disk: one NPZ file, no pickle, whole or not at all.

Entries that have the same shapes are arrays of one group; the member ``header`` holds JSON. Where a
key must be verified, the file holds the images, and keys are computed from them on reading, so that
they always fit; otherwise it holds the keys and no image.
"""

from __future__ import annotations

import io
import itertools
import struct
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bicameral.errors import DataError, VersionMismatchError
from bicameral.files import write_bytes_atomic
from bicameral.types import Prediction
from edge.memory.answers import FiledAnswer, file_answers, one_row
from edge.memory.keys import KeyScheme

SCHEMA = 1

#: What reading a damaged archive raises; pydantic's errors are ValueErrors.
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgedAnswer:
    """An entry outside of a memory: its age instead of a time on the memory's clock."""

    namespace: str
    filed: FiledAnswer
    age_s: float


class _Header(BaseModel):
    """Contents of the member ``header``; group k belongs to ``namespaces[k]``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: int
    key: str
    written_unix_s: float
    namespaces: tuple[str, ...]


def write_snapshot(path: Path, scheme: KeyScheme, entries: Sequence[AgedAnswer]) -> None:
    """Write entries, least recently used first, readable for the file's owner only.

    Raises:
        OSError: If the file cannot be written.
    """
    ranked = sorted(enumerate(entries), key=lambda item: _shapes(item[1]))
    groups = [list(group) for _, group in itertools.groupby(ranked, lambda item: _shapes(item[1]))]
    header = _Header(
        schema_version=SCHEMA,
        key=scheme.name,
        written_unix_s=time.time(),
        namespaces=tuple(group[0][1].namespace for group in groups),
    )
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(header.model_dump_json().encode(), np.uint8)
    }
    for number, group in enumerate(groups):
        for name, values in _group_arrays(group).items():
            arrays[f"{number}_{name}"] = values
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes_atomic(path, buffer.getvalue(), mode=0o600)


def read_snapshot(path: Path, scheme: KeyScheme) -> list[AgedAnswer]:
    """Read entries, least recently used first; the time since writing is added to their age.

    Raises:
        DataError: If the file is absent, damaged, or of a memory with another key.
        VersionMismatchError: If it has another version's format.
    """
    try:
        arrays = _read_arrays(path)
        header = _Header.model_validate_json(arrays["header"].tobytes())
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if header.schema_version != SCHEMA:
        raise VersionMismatchError(
            f"the memory snapshot {path} has schema {header.schema_version}, this version reads "
            f"{SCHEMA}; delete it, and the memory starts empty"
        )
    if header.key != scheme.name:
        raise DataError(
            f"the memory snapshot {path} is of a memory with the key {header.key!r}, this one has "
            f"{scheme.name!r}; load it into a memory with that key, or delete it"
        )
    # A clock that was set back must not make entries younger.
    slept_s = max(time.time() - header.written_unix_s, 0.0)
    ranked: list[tuple[int, AgedAnswer]] = []
    try:
        for number, namespace in enumerate(header.namespaces):
            prefix = f"{number}_"
            group = {
                name.removeprefix(prefix): values
                for name, values in arrays.items()
                if name.startswith(prefix)
            }
            ranked += _entries_from_group(scheme, namespace, group, slept_s)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return [entry for _, entry in sorted(ranked, key=lambda item: item[0])]


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is no whole memory snapshot: {str(error) or type(error).__name__}; delete it, and "
        "the memory starts empty"
    )


def _shapes(entry: AgedAnswer) -> tuple[str, tuple[int, ...], int, int]:
    """Return what entries must have in common to be rows of the same arrays."""
    filed = entry.filed
    image_shape = filed.image.shape if filed.image is not None else ()
    return entry.namespace, image_shape, filed.answer.probabilities.size, len(filed.key)


def _group_arrays(group: Sequence[tuple[int, AgedAnswer]]) -> dict[str, NDArray[Any]]:
    filed = [entry.filed for _, entry in group]
    arrays: dict[str, NDArray[Any]] = {
        "rank": np.array([rank for rank, _ in group], np.int64),
        "age_s": np.array([entry.age_s for _, entry in group], np.float64),
        "probabilities": np.concatenate([item.answer.probabilities for item in filed]),
        "confidence": np.concatenate([item.answer.confidence for item in filed]),
    }
    images = [item.image for item in filed if item.image is not None]
    if images:
        arrays["images"] = np.stack(images)
    else:
        keys = b"".join(item.key for item in filed)
        arrays["keys"] = np.frombuffer(keys, np.uint8).reshape(len(filed), -1)
    return arrays


def _entries_from_group(
    scheme: KeyScheme, namespace: str, group: Mapping[str, NDArray[Any]], slept_s: float
) -> list[tuple[int, AgedAnswer]]:
    rank, age_s = _column(group, "rank", np.int64, 1), _column(group, "age_s", np.float64, 1)
    probabilities = _column(group, "probabilities", np.float32, 2)
    confidence = _column(group, "confidence", np.float32, 1)
    if not np.isfinite(probabilities).all() or not (age_s >= 0).all():
        raise ValueError("probabilities or ages are no finite numbers")
    results = Prediction(probabilities=probabilities, confidence=confidence)
    if scheme.verified:
        filed = file_answers(scheme, _column(group, "images", np.uint8, 4), results)
    else:
        keys = _column(group, "keys", np.uint8, 2)
        filed = [
            FiledAnswer(key=key.tobytes(), content=b"", image=None, answer=one_row(results, index))
            for index, key in enumerate(keys)
        ]
    return [
        (int(place), AgedAnswer(namespace=namespace, filed=item, age_s=float(age) + slept_s))
        for place, item, age in zip(rank, filed, age_s, strict=True)
    ]


def _column(
    group: Mapping[str, NDArray[Any]], name: str, dtype: type[np.generic], dimensions: int
) -> NDArray[Any]:
    values = group[name]
    if values.dtype != dtype or values.ndim != dimensions or len(values) != len(group["rank"]):
        raise ValueError(f"the array {name!r} has shape {values.shape} and dtype {values.dtype}")
    return values


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # All checksums first, because numpy parses an array's header before it can know.
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the member {damaged} does not fit its checksum")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
