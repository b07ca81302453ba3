"""An early exit between the stages of one classifier: chosen on validation, judged on test images.

The gate is the cascade's: the next stage runs where the score of the answer so far is below one
threshold. All scores, all ways to combine and a grid of thresholds are tried on the validation
images; the test images are opened when everything is chosen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError, DataError
from bicameral.files import write_json_atomic
from bicameral.statistics import share
from bicameral.tables import Table, integer, list_table, magnitude, microseconds, percent, ratio
from edge.cascade import CascadeClassifier, CascadePolicy
from edge.cascade_sidecar import CascadeSpec, CascadeStage
from edge.combination import COMBINATIONS, CombinationName
from edge.loading import load_classifier, member_sha256
from edge.probabilities import SCORES, ScoreName
from edge.sidecar import SUFFIX, Cost, write_sidecar
from edge.stages import StagedClassifier
from models.calibration import expected_calibration_error
from models.cascade.export import claim_on_test, describe_gated
from models.cascade.operating_points import (
    ALWAYS,
    NEVER,
    order_by_score,
    run_stages,
    threshold_for_usage,
)
from models.classifiers.export import copy_classifier
from models.data.dataset import ImageDataset, LabelledImages
from models.data.task import require_same_task
from models.host import host_name
from models.measurement.streams import appended_stream, sample_images
from models.measurement.workload import MedianRange, Progress, TimedSystem, time_systems

#: Name of the file in a folder of results.
EARLY_EXIT_NAME = "early_exit.json"

_LIMITS = (
    "Knows the classes of its data set only and answers with one of them for any picture; how many "
    "stages run, and with them the cost, is that of pictures like the training's."
)

_BATCH = 500

#: Shares of the images that go on after the first stage whose thresholds are tried.
_SHARES = np.arange(0.01, 1.0, 0.01)

#: Of these, the ones that the table of the chosen score shows beside the choice.
_SHOWN_SHARES = np.array((0.05, 0.1, 0.2, 0.3, 0.5, 0.75))


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyExitSettings:
    """How to choose and to measure.

    Attributes:
        max_loss: Accuracy that the choice may lose against the best stage on validation images,
            0..1.
        timed: Test images that CPU time is taken on, one at a time.
        rounds: Passes over them.
        seed: Of the sample of timed images.
    """

    max_loss: float = 0.001
    timed: int = 300
    rounds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_loss < 1.0:
            raise ConfigError(f"max_loss is {self.max_loss}, expected a share of 0..1")


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
    """One policy: the next stage runs where the score of the answer so far is below the threshold.

    Stages and multiply-accumulates are means of an image; `stopped_at` counts the test images that
    stopped after each stage; `cpu_us` is of a test image at batch 1, over the rounds.
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
    """What was measured: accuracies, shares and calibration errors 0..1, times of one thread.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitFigures:
    """What a policy does to the images of one split.

    Attributes:
        accuracy: 0..1.
        ece: Calibration error, 0..1.
        macs: Mean multiply-accumulates of an image.
        used: (N,) int64, stages that each image took.
    """

    accuracy: float
    ece: float
    macs: float
    used: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageAnswers:
    """What a classifier answers after each stage for the images of one split.

    Attributes:
        probabilities: T arrays (N, C) float32, calibrated.
        labels: (N,) int64.
        macs: T multiply-accumulates.
    """

    probabilities: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64]
    macs: tuple[int, ...]

    @classmethod
    def of(cls, classifier: StagedClassifier, images: LabelledImages) -> StageAnswers:
        """Ask a classifier for all images."""
        parts = [
            [one.probabilities for one in classifier.predict_stages(images.images[begin:][:_BATCH])]
            for begin in range(0, len(images), _BATCH)
        ]
        return cls(
            probabilities=tuple(map(np.concatenate, zip(*parts, strict=True))),
            labels=images.labels,
            macs=classifier.stage_macs,
        )

    def stage_accuracies(self) -> list[float]:
        """Return how often the answer after each stage is right."""
        return [float((of.argmax(axis=1) == self.labels).mean()) for of in self.probabilities]

    def run(self, policy: CascadePolicy) -> ExitFigures:
        """Judge a policy on these images."""
        answers, used = run_stages(self.probabilities, policy)
        return ExitFigures(
            accuracy=float(np.mean(answers.argmax(axis=1) == self.labels)),
            ece=expected_calibration_error(answers, self.labels),
            macs=float(np.cumsum(self.macs)[used - 1].mean()),
            used=used,
        )

    def thresholds(self, score: ScoreName, shares: NDArray[np.float64]) -> list[float]:
        """Return the thresholds at which these shares of the images go on after the first stage."""
        order = order_by_score(SCORES[score](self.probabilities[0]))
        found: list[float] = order.thresholds[threshold_for_usage(order, shares)].tolist()
        return found


def assess_early_exit(
    classifier: StagedClassifier,
    dataset: ImageDataset,
    settings: EarlyExitSettings,
    command: str,
    progress: Progress,
) -> EarlyExitResults:
    """Choose an early exit on validation images, judge it on test images, and take its CPU time.

    Raises:
        DataError: If the data set has other classes or images.
    """
    require_same_task(classifier, dataset)
    validation = StageAnswers.of(classifier, dataset.validation)
    policy = choose_policy(validation, settings.max_loss, progress)
    shown = _shown_policies(validation, policy)
    # Everything is chosen. The test images are opened here.
    test = StageAnswers.of(classifier, dataset.test)
    timed = sample_images(dataset.test, settings.timed, settings.seed)
    systems = [TimedSystem(name="whole", classifier=classifier)] + [
        TimedSystem(name=str(number), classifier=CascadeClassifier([classifier], one))
        for number, one in enumerate(shown)
    ]
    stream = appended_stream(timed, 0.0, settings.seed)
    times_us = time_systems(stream, systems, settings.rounds, progress)
    whole_us, *exits_us = (MedianRange.of(of_rounds) for of_rounds in times_us.values())
    return EarlyExitResults(
        model=classifier.info.name,
        model_fingerprint=classifier.info.fingerprint,
        dataset=dataset.name,
        dataset_sha256=dataset.fingerprint,
        n_validation=len(dataset.validation),
        n_test=len(dataset.test),
        max_loss=settings.max_loss,
        timed=len(timed),
        rounds=settings.rounds,
        host=host_name(),
        command=command,
        stages=_stage_records(validation, test),
        whole_cpu_us=whole_us,
        chosen=shown.index(policy),
        exits=tuple(
            _exit_record(one, validation, test, cpu_us)
            for one, cpu_us in zip(shown, exits_us, strict=True)
        ),
    )


def choose_policy(
    validation: StageAnswers, max_loss: float, progress: Progress = lambda *_: None
) -> CascadePolicy:
    """Return the policy of the fewest multiply-accumulates that keeps the accuracy.

    Args:
        validation: Answers for the validation images.
        max_loss: Accuracy that it may lose against the stage that is right most often.
        progress: Is told how far it is.
    """
    least = max(validation.stage_accuracies()) - max_loss
    best = CascadePolicy(score="max_probability", thresholds=(ALWAYS,), combine="replace")
    best_macs = float(sum(validation.macs))
    kinds = list(product(SCORES, COMBINATIONS))
    for done, (score, combine) in enumerate(kinds):
        progress(done, len(kinds), f"{score}, {combine}")
        for threshold in (NEVER, *validation.thresholds(score, _SHARES)):
            policy = CascadePolicy(score=score, thresholds=(threshold,), combine=combine)
            found = validation.run(policy)
            if found.accuracy >= least and found.macs < best_macs:
                best, best_macs = policy, found.macs
    return best


def _shown_policies(validation: StageAnswers, chosen: CascadePolicy) -> list[CascadePolicy]:
    """Return the choice among others of its kind, from never going on to always."""
    between = validation.thresholds(chosen.score, _SHOWN_SHARES)
    thresholds = sorted({NEVER, *chosen.thresholds, ALWAYS, *between})
    return [replace(chosen, thresholds=(one,)) for one in thresholds]


def _stage_records(validation: StageAnswers, test: StageAnswers) -> tuple[StageRecord, ...]:
    accuracies = zip(validation.stage_accuracies(), test.stage_accuracies(), strict=True)
    return tuple(
        StageRecord(
            stage=stage + 1,
            total_macs=sum(test.macs[: stage + 1]),
            validation_accuracy=chose,
            test_accuracy=judged,
            test_ece=expected_calibration_error(test.probabilities[stage], test.labels),
            test_confidence=float(test.probabilities[stage].max(axis=1).mean()),
        )
        for stage, (chose, judged) in enumerate(accuracies)
    )


def _exit_record(
    policy: CascadePolicy, validation: StageAnswers, test: StageAnswers, cpu_us: MedianRange
) -> ExitRecord:
    chose, judged = validation.run(policy), test.run(policy)
    return ExitRecord(
        score=policy.score,
        combine=policy.combine,
        threshold=policy.thresholds[0],
        validation_accuracy=chose.accuracy,
        validation_ece=chose.ece,
        validation_stages=float(chose.used.mean()),
        validation_macs=chose.macs,
        test_accuracy=judged.accuracy,
        test_ece=judged.ece,
        test_stages=float(judged.used.mean()),
        test_macs=judged.macs,
        stopped_at=tuple(np.bincount(judged.used, minlength=len(test.macs) + 1)[1:].tolist()),
        cpu_us=cpu_us,
    )


def require_staged(classifier: object, name: str) -> StagedClassifier:
    """Return a classifier that has stages.

    Raises:
        DataError: If it has none.
    """
    if not isinstance(classifier, StagedClassifier):
        raise DataError(
            f"{name!r} answers only once; an early exit needs a classifier whose sidecar has "
            "stages, such as one of `bicameral train classifier noprop`"
        )
    return classifier


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
    choice, n = results.choice, results.n_test
    figures = (
        ("accuracy", choice.test_accuracy, share(round(choice.test_accuracy * n), n)),
        ("ece", choice.test_ece, None),
        ("mean stages of an image", choice.test_stages, None),
    )
    name = f"{results.model}_early_exit"
    path = folder / "model" / (name + SUFFIX)
    sidecar = describe_gated(
        member,
        name=name,
        cascade=CascadeSpec(
            stages=(
                CascadeStage(
                    name=member.name, sha256=member_sha256(member), threshold=choice.threshold
                ),
            ),
            score=choice.score,
            combine=choice.combine,
        ),
        ece=(choice.validation_ece, results.n_validation),
        cost=Cost(
            macs=round(choice.validation_macs),
            parameters=member.cost.parameters,
            cpu_us=round(choice.cpu_us.median, 1),
            host=results.host,
        ),
        claims=tuple(
            claim_on_test(metric, value, interval, (n, 1), results.command)
            for metric, value, interval in figures
        ),
        limits=_LIMITS,
    )
    write_sidecar(path, sidecar)
    load_classifier(path, memory="none").close()
    return path
