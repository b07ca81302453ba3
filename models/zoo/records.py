"""What was measured of one trained model: plain values, and the file they are kept in.

There is one file per model and seed, written when that model is finished, so that an evaluation
that was stopped goes on behind it.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.files import write_json_atomic
from models.records import read_record

SCHEMA: Literal[1] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """How a model answered a set of images.

    Attributes:
        accuracy: Share of right answers, 0..1.
        macro_f1: Mean over the classes of the harmonic mean of precision and recall, 0..1.
        nll: Mean of -log p(true class), nats.
        ece: Expected calibration error over 15 bins, 0..1.
        correct: One bit per image, packed (`numpy.packbits`) and written in base 64, so that
            intervals and paired differences can be had later.
    """

    accuracy: float
    macro_f1: float
    nll: float
    ece: float
    correct: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionRecord:
    """How a model answered the images under one corruption of one strength."""

    corruption: str
    level: int
    answers: AnswerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """Everything that was measured of one model, but for its CPU time.

    Attributes:
        schema: Version of this record.
        entry: Name of the entry it is a training of, e.g. ``noprop``.
        seed: Seed of the training.
        model: Name in its sidecar.
        fingerprint: Of the classifier session: graph, calibration, policy, state.
        dataset_sha256: Fingerprint of the data set.
        corruptions_sha256: `models.zoo.corruptions.definition_sha256`.
        n_images: Test images.
        n_corrupted: How many of them, from the first on, were corrupted.
        macs: Multiply-accumulates for one image, expected ones of a cascade; None: unknown.
        parameters: Number of weights.
        bytes: Size of the files that are needed to run it.
        clean: The images as they are.
        corrupted: The images under every corruption.
    """

    schema: Literal[1] = SCHEMA
    entry: str
    seed: int
    model: str
    fingerprint: str
    dataset_sha256: str
    corruptions_sha256: str
    n_images: int
    n_corrupted: int
    macs: int | None
    parameters: int
    bytes: int
    clean: AnswerRecord
    corrupted: tuple[ConditionRecord, ...]


def packed(correct: NDArray[np.bool_]) -> str:
    """Write bits (N,) as text."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode("ascii")


def unpacked(text: str, count: int) -> NDArray[np.bool_]:
    """Read `count` bits (count,) that `packed` wrote."""
    octets = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    if len(octets) != (count + 7) // 8:
        raise DataError(f"{len(octets)} packed bytes cannot hold {count} answers; evaluate again")
    return np.unpackbits(octets, count=count).astype(bool)


def write_model_record(path: Path, record: ModelRecord) -> None:
    """Write a record as JSON, whole or not at all."""
    write_json_atomic(path, asdict(record))


def read_model_record(path: Path) -> ModelRecord:
    """Read a record.

    Raises:
        DataError: If the file is absent or is not one of this version.
    """
    return read_record(
        path,
        ModelRecord,
        what=f"record of a model of schema {SCHEMA}",
        remedy="remove it and evaluate again",
    )
