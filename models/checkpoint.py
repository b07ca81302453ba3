"""Checkpoints: everything that decides how a training goes on; and the log beside them."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic, write_text_atomic

_SCHEMA = 1

#: What is stored as JSON: integers of 128 bits, which torch's safe loader does not know, and rows.
_AS_JSON = ("numpy_rng", "log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """State after `step` steps.

    Attributes:
        step: Steps done.
        identity: Hash of settings and data; another one cannot continue from here.
        network: The network's `state_dict`.
        optimizer: The optimiser's `state_dict`.
        torch_rng: State of torch's global generator (dropout).
        numpy_rng: `bit_generator.state` of the sampling and augmentation generator.
        log: Rows of the CSV log so far.
        settings: The `NetworkSettings` as a plain dict, for warm starts and export.
    """

    step: int
    identity: str
    network: dict[str, Tensor]
    optimizer: dict[str, Any]
    torch_rng: Tensor
    numpy_rng: dict[str, Any]
    log: list[dict[str, float]]
    settings: dict[str, str]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    record = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    record |= {name: json.dumps(record[name]) for name in _AS_JSON}
    buffer = io.BytesIO()
    torch.save({"schema": _SCHEMA, **record}, buffer)
    write_bytes_atomic(path, buffer.getvalue())


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it can run code (`weights_only`).

    Raises:
        DataError: If it is absent, damaged, or of another schema.
    """
    try:
        record = torch.load(path, map_location="cpu", weights_only=True)
        if (schema := record.pop("schema")) != _SCHEMA:
            raise DataError(f"{path} has schema {schema!r}, expected {_SCHEMA}")
        return Checkpoint(**(record | {name: json.loads(record[name]) for name in _AS_JSON}))
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"cannot read the checkpoint {path}: {error}") from error
    except pickle.UnpicklingError as error:
        raise DataError(f"{path} is no checkpoint of this project: {error}") from error


def write_log(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the log of a training as CSV, whole or not at all."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(path, table.getvalue())
