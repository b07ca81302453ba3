"""An early exit between the stages of one classifier: chosen on validation, judged on test images.

The gate is the cascade's: the next stage runs where the score of the answer so far is below one
threshold. All scores, all ways to combine and a grid of thresholds are tried on the validation
images; the test images are opened when everything is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError, DataError
from edge.cascade import CascadePolicy
from edge.combination import COMBINATIONS
from edge.early_exit import EarlyExitClassifier
from edge.probabilities import SCORES
from edge.stages import StagedClassifier
from models.calibration import expected_calibration_error
from models.cascade.early_exit_results import EarlyExitResults, ExitRecord, StageRecord
from models.cascade.operating_points import (
    ALWAYS,
    NEVER,
    order_by_score,
    run_stages,
    threshold_for_usage,
)
from models.data.dataset import ImageDataset, LabelledImages
from models.data.task import require_same_task
from models.host import host_name
from models.measurement.streams import appended_stream, sample_images
from models.measurement.workload import MedianRange, Progress, TimedSystem, time_systems

_BATCH = 500

#: Shares of the images that go on after the first stage whose thresholds are tried.
_SHARES = np.arange(0.01, 1.0, 0.01)

#: Of these, the ones that the table of the chosen score shows beside the choice.
_SHOWN_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75)


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
        if not 0.0 <= self.max_loss < 1.0 or self.timed < 1 or self.rounds < 1:
            raise ConfigError(
                f"max_loss is {self.max_loss}, timed {self.timed} and rounds {self.rounds}; "
                "expected a share of 0..1 and at least 1 image and round"
            )


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

    def stage_accuracy(self, stage: int) -> float:
        """Return how often the answer after a stage, counted from 0, is right."""
        return float(np.mean(self.probabilities[stage].argmax(axis=1) == self.labels))

    def run(self, policy: CascadePolicy) -> ExitFigures:
        """Judge a policy on these images."""
        answers, used = run_stages(self.probabilities, policy)
        return ExitFigures(
            accuracy=float(np.mean(answers.argmax(axis=1) == self.labels)),
            ece=expected_calibration_error(answers, self.labels),
            macs=float(np.cumsum(self.macs)[used - 1].mean()),
            used=used,
        )


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
    validation = _answers(classifier, dataset.validation)
    policy = choose_policy(validation, settings.max_loss, progress)
    shown = _shown_policies(validation, policy)
    # Everything is chosen. The test images are opened here.
    test = _answers(classifier, dataset.test)
    times_us = _times_us(classifier, dataset.test, shown, settings, progress)
    return EarlyExitResults(
        model=classifier.info.name,
        model_fingerprint=classifier.info.fingerprint,
        dataset=dataset.name,
        dataset_sha256=dataset.fingerprint,
        n_validation=len(dataset.validation),
        n_test=len(dataset.test),
        max_loss=settings.max_loss,
        timed=min(settings.timed, len(dataset.test)),
        rounds=settings.rounds,
        host=host_name(),
        command=command,
        stages=_stage_records(validation, test),
        whole_cpu_us=MedianRange.of(times_us["whole"]),
        chosen=shown.index(policy),
        exits=tuple(_exit_record(one, validation, test, times_us[_title(one)]) for one in shown),
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
    least = max(map(validation.stage_accuracy, range(len(validation.macs)))) - max_loss
    best = CascadePolicy(score="max_probability", threshold=ALWAYS, combine="replace")
    best_macs = float(sum(validation.macs))
    kinds = list(product(SCORES, COMBINATIONS))
    for done, (score, combine) in enumerate(kinds):
        progress(done, len(kinds), f"{score}, {combine}")
        order = order_by_score(SCORES[score](validation.probabilities[0]))
        for threshold in (NEVER, *order.thresholds[threshold_for_usage(order, _SHARES)]):
            policy = CascadePolicy(score=score, threshold=float(threshold), combine=combine)
            found = validation.run(policy)
            if found.accuracy >= least and found.macs < best_macs:
                best, best_macs = policy, found.macs
    return best


def _shown_policies(validation: StageAnswers, chosen: CascadePolicy) -> list[CascadePolicy]:
    """Return the choice among others of its kind, from never going on to always."""
    order = order_by_score(SCORES[chosen.score](validation.probabilities[0]))
    shares = np.array(_SHOWN_SHARES)
    between = order.thresholds[threshold_for_usage(order, shares)].tolist()
    thresholds = sorted({NEVER, chosen.threshold, ALWAYS, *between})
    return [
        CascadePolicy(score=chosen.score, threshold=one, combine=chosen.combine)
        for one in thresholds
    ]


def _answers(classifier: StagedClassifier, images: LabelledImages) -> StageAnswers:
    parts: list[list[NDArray[np.float32]]] = [[] for _ in range(classifier.stages)]
    for begin in range(0, len(images), _BATCH):
        found = classifier.predict_stages(images.images[begin : begin + _BATCH])
        for part, answer in zip(parts, found, strict=True):
            part.append(answer.probabilities)
    return StageAnswers(
        probabilities=tuple(map(np.concatenate, parts)),
        labels=images.labels,
        macs=classifier.stage_macs,
    )


def _stage_records(validation: StageAnswers, test: StageAnswers) -> tuple[StageRecord, ...]:
    totals = np.cumsum(test.macs).tolist()
    return tuple(
        StageRecord(
            stage=stage + 1,
            total_macs=total,
            validation_accuracy=validation.stage_accuracy(stage),
            test_accuracy=test.stage_accuracy(stage),
            test_ece=expected_calibration_error(test.probabilities[stage], test.labels),
            test_confidence=float(test.probabilities[stage].max(axis=1).mean()),
        )
        for stage, total in enumerate(totals)
    )


def _exit_record(
    policy: CascadePolicy,
    validation: StageAnswers,
    test: StageAnswers,
    times_us: Sequence[float],
) -> ExitRecord:
    chose, judged = validation.run(policy), test.run(policy)
    return ExitRecord(
        score=policy.score,
        combine=policy.combine,
        threshold=policy.threshold,
        validation_accuracy=chose.accuracy,
        validation_ece=chose.ece,
        validation_stages=float(chose.used.mean()),
        validation_macs=chose.macs,
        test_accuracy=judged.accuracy,
        test_ece=judged.ece,
        test_stages=float(judged.used.mean()),
        test_macs=judged.macs,
        stopped_at=tuple(np.bincount(judged.used, minlength=len(test.macs) + 1)[1:].tolist()),
        cpu_us=MedianRange.of(times_us),
    )


def _times_us(
    classifier: StagedClassifier,
    images: LabelledImages,
    policies: Sequence[CascadePolicy],
    settings: EarlyExitSettings,
    progress: Progress,
) -> dict[str, tuple[float, ...]]:
    """Return CPU microseconds per image for every round: the whole graph and each policy."""
    sample = sample_images(images, settings.timed, settings.seed)
    systems = [TimedSystem(name="whole", classifier=classifier)] + [
        TimedSystem(name=_title(policy), classifier=EarlyExitClassifier(classifier, policy))
        for policy in policies
    ]
    stream = appended_stream(sample, 0.0, settings.seed)
    return time_systems(stream, systems, settings.rounds, progress)


def _title(policy: CascadePolicy) -> str:
    return f"exit at {policy.threshold!r}"


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
