"""The record of a zoo's evaluation: what tables, page and command line show. Needs no torch.

Accuracies, shares and errors are 0..1. Every interval stands beside the number of images and
trainings that it rests on.
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from bicameral.files import write_json_atomic, write_text_atomic
from models.cascade.bootstrap import Interval
from models.cascade.results import Spread
from models.records import read_record

SCHEMA: Literal[1] = 1

EVALUATION_NAME = "evaluation.json"
TABLE_NAME = "evaluation.csv"

#: Measures of cost; less is better.
CostName = Literal["macs", "cpu_us", "bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionRecord:
    """A corruption as it was applied."""

    name: str
    unit: str
    strengths: tuple[float, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionSummary:
    """Accuracy and calibration error under one corruption of one strength."""

    corruption: str
    level: int
    accuracy: Spread
    ece: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryEvaluation:
    """An entry, over all of its trainings.

    Attributes:
        name: Name of the entry.
        models: Names of the models that were measured, one per training.
        ships: Whether weights ship with the project.
        accuracy: On the test images, mean over the trainings.
        accuracy_of_seeds: The same for every training.
        macro_f1: Mean F1 score of the classes.
        nll: Mean of -log p(true class), nats.
        ece: Expected calibration error.
        robustness: Mean accuracy over all corruptions and strengths.
        corrupted_ece: Mean calibration error over them.
        corrupted: Every corruption and strength.
        macs: Multiply-accumulates for one image, expected ones of a cascade; None: unknown.
        parameters: Number of weights.
        cpu_us: CPU time for one image at batch 1, of the first model.
        bytes: Size of the files that are needed to run it.
        unbeaten_by: Costs at which no other entry is at least as accurate for at most as much.
        good_for: What the figures say it is good for, in sentences.
    """

    name: str
    models: tuple[str, ...]
    ships: bool
    accuracy: Interval
    accuracy_of_seeds: Spread
    macro_f1: Spread
    nll: Spread
    ece: Spread
    robustness: Interval
    corrupted_ece: Spread
    corrupted: tuple[ConditionSummary, ...]
    macs: int | None
    parameters: int
    cpu_us: float
    bytes: int
    unbeaten_by: tuple[CostName, ...]
    good_for: str

    def cost(self, name: CostName) -> float | None:
        """Return one of its costs."""
        costs = {"macs": self.macs, "cpu_us": self.cpu_us, "bytes": self.bytes}
        return costs[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooEvaluation:
    """Everything that was measured.

    Attributes:
        schema: Version of this record.
        dataset: Name of the data set.
        dataset_sha256: Its fingerprint.
        n_test: Test images.
        n_corrupted: How many of them, from the first on, were corrupted.
        seed: Seed of the corruptions.
        corruptions: What the images went through.
        command: Command line that measured it.
        host: Processor that CPU times were measured on.
        versions: Versions of the software, by name.
        entries: By accuracy, best first.
    """

    schema: Literal[1] = SCHEMA
    dataset: str
    dataset_sha256: str
    n_test: int
    n_corrupted: int
    seed: int
    corruptions: tuple[CorruptionRecord, ...]
    command: str
    host: str
    versions: dict[str, str]
    entries: tuple[EntryEvaluation, ...]

    def entry(self, name: str) -> EntryEvaluation | None:
        """Return an entry, or None if it was not measured."""
        return next((one for one in self.entries if one.name == name), None)


def write_evaluation(folder: Path, evaluation: ZooEvaluation) -> None:
    """Write ``evaluation.json`` and ``evaluation.csv``, each whole or not at all."""
    write_json_atomic(folder / EVALUATION_NAME, asdict(evaluation))
    rows = [_csv_row(one) for one in evaluation.entries]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(folder / TABLE_NAME, table.getvalue())


def read_evaluation(path: Path) -> ZooEvaluation:
    """Read an evaluation.

    Raises:
        DataError: If the file is absent or is not one of this version.
    """
    return read_record(
        path,
        ZooEvaluation,
        what=f"evaluation of a zoo of schema {SCHEMA}",
        remedy="make it with bicameral assess zoo",
    )


def shipped_evaluation() -> ZooEvaluation:
    """Return the evaluation that ships: FashionMNIST, all entries.

    Raises:
        DataError: If it is absent or damaged.
    """
    return read_evaluation(Path(str(resources.files("models.zoo"))) / EVALUATION_NAME)


def _csv_row(one: EntryEvaluation) -> dict[str, object]:
    row: dict[str, object] = {
        "name": one.name,
        "seeds": len(one.models),
        "accuracy": one.accuracy.value,
        "accuracy_low": one.accuracy.low,
        "accuracy_high": one.accuracy.high,
        "macro_f1": one.macro_f1.mean,
        "nll": one.nll.mean,
        "ece": one.ece.mean,
        "robustness": one.robustness.value,
        "robustness_low": one.robustness.low,
        "robustness_high": one.robustness.high,
        "corrupted_ece": one.corrupted_ece.mean,
        "macs": one.macs,
        "parameters": one.parameters,
        "cpu_us": one.cpu_us,
        "bytes": one.bytes,
        "ships": one.ships,
    }
    for condition in one.corrupted:
        row[f"{condition.corruption}_{condition.level + 1}"] = condition.accuracy.mean
    return {
        key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()
    }
