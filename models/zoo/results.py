"""What was measured of the zoo: the record that ships with the project. Needs no torch.

`python -m studies zoo` writes it. Accuracies, shares and errors are 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from bicameral.statistics import Estimate
from bicameral.tables import (
    Cell,
    Table,
    columns,
    estimate_cell,
    integer,
    percent,
    percent_cell,
    row,
)
from models.records import read_record

SCHEMA: Literal[2] = 2

EVALUATION_NAME = "evaluation.json"

#: Measures of cost; less is better.
CostName = Literal["macs", "cpu_us", "bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryEvaluation:
    """An entry, over all of its trainings.

    Attributes:
        name: Name of the entry.
        models: Names of the models that were measured, one per training.
        ships: Whether weights ship with the project.
        accuracy: On the test images, over images and trainings.
        macro_f1: Mean F1 score of the classes, over trainings.
        nll: Mean of -log p(true class) in nats, over trainings.
        ece: Expected calibration error over 15 bins, over trainings.
        robustness: Mean accuracy over all corruptions and strengths, over images and trainings.
        corrupted_ece: Mean calibration error over them, over trainings.
        corrupted: Mean accuracy by corruption and strength, such as ``noise 10``.
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
    accuracy: Estimate
    macro_f1: Estimate
    nll: Estimate
    ece: Estimate
    robustness: Estimate
    corrupted_ece: Estimate
    corrupted: dict[str, float]
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
        command: Command line that measured it.
        host: Processor that CPU times were measured on.
        versions: Versions of the software, by name.
        entries: By accuracy, best first.
    """

    schema: Literal[2] = SCHEMA
    dataset: str
    dataset_sha256: str
    n_test: int
    n_corrupted: int
    seed: int
    command: str
    host: str
    versions: dict[str, str]
    entries: tuple[EntryEvaluation, ...]

    def entry(self, name: str) -> EntryEvaluation | None:
        """Return an entry, or None if it was not measured."""
        return next((one for one in self.entries if one.name == name), None)


def read_evaluation(path: Path) -> ZooEvaluation:
    """Read an evaluation.

    Raises:
        DataError: If the file is absent or is not one of this version.
    """
    return read_record(
        path,
        ZooEvaluation,
        what=f"evaluation of a zoo of schema {SCHEMA}",
        remedy="make it with python -m studies zoo",
    )


def shipped_evaluation() -> ZooEvaluation:
    """Return the evaluation that ships: FashionMNIST, all entries.

    Raises:
        DataError: If it is absent or damaged.
    """
    return read_evaluation(Path(str(resources.files("models.zoo"))) / EVALUATION_NAME)


def figure_table(evaluation: ZooEvaluation, name: Callable[[str], str | Cell] = str) -> Table:
    """List all figures, the most accurate entry first.

    Args:
        evaluation: What to show.
        name: Writes the name of an entry.
    """
    return Table(
        title=f"classifiers on {evaluation.n_test} test images of {evaluation.dataset}",
        columns=columns(
            "classifier",
            "n|trainings",
            "accuracy %|95 % interval over images and trainings",
            "macro F1 %|mean F1 score of the classes",
            "NLL|mean of -log p(true class), nats",
            "ECE|expected calibration error, 15 bins",
            "corrupted %|mean accuracy over all corruptions and strengths",
            "corrupted ECE|mean over all corruptions and strengths",
            "M MACs|million multiply-accumulates per image, expected ones of a cascade",
            "parameters",
            "CPU µs|per image at batch 1, one thread",
            "KiB|of the files that are needed to run it",
            "ships|whether the weights come with the project",
        ),
        rows=tuple(
            row(
                name(one.name),
                len(one.models),
                percent_cell(one.accuracy),
                percent(one.macro_f1.value),
                estimate_cell(one.nll, 3).text,
                estimate_cell(one.ece, 4).text,
                percent_cell(one.robustness, 1),
                estimate_cell(one.corrupted_ece, 3).text,
                None if one.macs is None else f"{one.macs / 1e6:.2f}",
                integer(one.parameters),
                f"{one.cpu_us:.0f}",
                f"{one.bytes / 1024:.0f}",
                "yes" if one.ships else "no",
            )
            for one in evaluation.entries
        ),
        note="n: trainings; intervals of 95 % over test images and trainings. corrupted: mean over "
        f"all corruptions, {evaluation.n_corrupted} images each. CPU: one thread of "
        f"{evaluation.host} at batch 1, all in turns.",
    )
