"""What was measured of an early exit: its record and tables, and the sidecar of the choice.

Accuracies, shares and calibration errors are 0..1, times microseconds of CPU time of one thread.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from bicameral.files import write_json_atomic
from bicameral.statistics import share
from bicameral.tables import Table, integer, list_table, magnitude, microseconds, percent, ratio
from edge.combination import CombinationName
from edge.loading import load_classifier, member_sha256
from edge.probabilities import ScoreName
from edge.sidecar import (
    SUFFIX,
    CascadeMember,
    CascadeSpec,
    Claim,
    Cost,
    Sidecar,
    write_sidecar,
)
from models.cascade.export import cascade_sidecar, claim_on_test
from models.classifiers.export import copy_classifier
from models.measurement.workload import MedianRange

#: Name of the file in a folder of results.
EARLY_EXIT_NAME = "early_exit.json"

_LIMITS = (
    "Knows the classes of its data set only and answers with one of them for any picture; how many "
    "stages run, and with them the cost, is that of pictures like the training's."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """All images stop after this stage.

    Attributes:
        stage: Its number, from 1.
        total_macs: Multiply-accumulates up to here.
        validation_accuracy: On the validation images.
        test_accuracy: On the test images.
        test_ece: Calibration error with the stage's own temperature.
        test_confidence: Mean confidence.
    """

    stage: int
    total_macs: int
    validation_accuracy: float
    test_accuracy: float
    test_ece: float
    test_confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRecord:
    """One policy.

    Attributes:
        score: Of how sure an answer is.
        combine: How the answers so far and of the next stage become one.
        threshold: The next stage runs where the score is below.
        validation_accuracy: On the validation images.
        validation_ece: Calibration error on the validation images.
        validation_stages: Mean stages of a validation image.
        validation_macs: Mean multiply-accumulates of a validation image.
        test_accuracy: On the test images.
        test_ece: Calibration error on the test images.
        test_stages: Mean stages of a test image.
        test_macs: Mean multiply-accumulates of a test image.
        stopped_at: Test images that stopped after each stage.
        cpu_us: CPU time of a test image at batch 1, over the rounds.
    """

    score: ScoreName
    combine: CombinationName
    threshold: float
    validation_accuracy: float
    validation_ece: float
    validation_stages: float
    validation_macs: float
    test_accuracy: float
    test_ece: float
    test_stages: float
    test_macs: float
    stopped_at: tuple[int, ...]
    cpu_us: MedianRange


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyExitResults:
    """The whole file.

    Attributes:
        model: Name of the classifier.
        model_fingerprint: Its fingerprint.
        dataset: Name of the data set.
        dataset_sha256: Its fingerprint.
        n_validation: Validation images, which chose.
        n_test: Test images, which judged.
        max_loss: Accuracy that the choice was allowed to lose against the best stage, on the
            validation images.
        timed: Test images that CPU time was taken on.
        rounds: Passes over them, everything in turns.
        host: The processor.
        command: The command line.
        stages: What every stage answers for all images.
        whole_cpu_us: CPU time of the graph that holds all stages.
        chosen: Index of the choice in `exits`.
        exits: The choice among others of its kind, by ascending threshold.
        schema: Version of this record.
    """

    model: str
    model_fingerprint: str
    dataset: str
    dataset_sha256: str
    n_validation: int
    n_test: int
    max_loss: float
    timed: int
    rounds: int
    host: str
    command: str
    stages: tuple[StageRecord, ...]
    whole_cpu_us: MedianRange
    chosen: int
    exits: tuple[ExitRecord, ...]
    schema: Literal[1] = 1

    @property
    def choice(self) -> ExitRecord:
        """The policy that was chosen."""
        return self.exits[self.chosen]


def stage_table(results: EarlyExitResults) -> Table:
    """Show what each stage answers if all images stop after it."""
    return list_table(
        f"{results.model} on {integer(results.n_test)} test images: all stop after a stage",
        results.stages,
        {
            "stage": lambda record: record.stage,
            "MACs": lambda record: magnitude(record.total_macs),
            "validation %": lambda record: percent(record.validation_accuracy),
            "test %": lambda record: percent(record.test_accuracy),
            "ECE %": lambda record: percent(record.test_ece),
            "mean confidence %": lambda record: percent(record.test_confidence, 1),
        },
        words=0,
    )


def exit_table(results: EarlyExitResults) -> Table:
    """Show the choice among others of its kind."""
    choice, whole_us = results.choice, results.whole_cpu_us.median
    table = list_table(
        f"each stops where its {choice.score} reaches a threshold ({choice.combine})",
        results.exits,
        {
            "threshold": lambda record: f"{record.threshold:.4f}",
            "stages": lambda record: f"{record.test_stages:.2f}",
            "MACs": lambda record: magnitude(record.test_macs),
            "validation %": lambda record: percent(record.validation_accuracy),
            "test %": lambda record: percent(record.test_accuracy),
            "CPU µs": lambda record: microseconds(record.cpu_us.median),
            "of all": lambda record: ratio(record.cpu_us.median / whole_us),
        },
        words=0,
        marked=lambda record: record is choice,
    )
    return replace(
        table,
        note=(
            f"Marked: chosen on {integer(results.n_validation)} validation images, the fewest "
            f"multiply-accumulates that lose at most {percent(results.max_loss)} points against "
            f"the best stage. CPU: one thread, batch 1, median of {results.rounds} rounds in turns "
            f"on {results.host}; the graph of all stages takes {microseconds(whole_us)} µs."
        ),
    )


def write_early_exit(folder: Path, model: Path, results: EarlyExitResults) -> Path:
    """Write the figures, and the chosen early exit as a model with a copy of its classifier.

    Args:
        folder: Gets `EARLY_EXIT_NAME`, and the models in its sub-folder ``model``.
        model: Path of the classifier's graph or sidecar.
        results: What was measured.

    Returns:
        The sidecar of the early exit, ``MODEL_early_exit``.
    """
    write_json_atomic(folder / EARLY_EXIT_NAME, asdict(results))
    member = copy_classifier(model, folder / "model", results.model)
    path = folder / "model" / f"{results.model}_early_exit{SUFFIX}"
    write_sidecar(path, _described(member, results, path.name.removesuffix(SUFFIX)))
    load_classifier(path, memory="none").close()
    return path


def _described(member: Sidecar, results: EarlyExitResults, name: str) -> Sidecar:
    choice = results.choice
    return cascade_sidecar(
        member,
        name=name,
        cascade=CascadeSpec(
            a=CascadeMember(name=member.name, sha256=member_sha256(member)),
            b=None,
            score=choice.score,
            threshold=choice.threshold,
            combine=choice.combine,
        ),
        ece=(choice.validation_ece, results.n_validation),
        cost=Cost(
            macs=round(choice.validation_macs),
            parameters=member.cost.parameters,
            cpu_us=round(choice.cpu_us.median, 1),
            host=results.host,
        ),
    ).model_copy(update={"claims": _claims(results), "limits": _LIMITS})


def _claims(results: EarlyExitResults) -> tuple[Claim, ...]:
    choice, n = results.choice, results.n_test
    figures = (
        ("accuracy", choice.test_accuracy, share(round(choice.test_accuracy * n), n)),
        ("ece", choice.test_ece, None),
        ("mean stages of an image", choice.test_stages, None),
    )
    return tuple(
        claim_on_test(metric, value, interval, (n, 1), results.command)
        for metric, value, interval in figures
    )
