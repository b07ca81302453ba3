"""How far two models are apart on the same samples, and whether that is within tolerance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.statistics import paired_difference
from edge.samples import Samples
from edge.subject import PROBABILITIES, Answers, Subject, answer_all
from edge.targets import COARSENESS, Precision

#: Figures of answers that are no numbers.
_FAR = (np.inf,) * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What two models may differ by.

    Attributes:
        difference: Largest absolute difference of any output, relative to 1 + its largest value
            in A; None: not limited.
        mean_probability: Mean absolute difference of a class probability.
        steer: 99th percentile of the difference of a raw steer.
        agreement: Share of samples with the same first class, at least.
        accuracy_drop: What B's accuracy may be below A's, 0..1 (0.005: half a point).
    """

    difference: float | None
    mean_probability: float
    steer: float
    agreement: float
    accuracy_drop: float


#: By the lower of the two precisions. fp32: the same sums in another order. fp16 has 11 bits, so
#: 5e-4 relative per operation; int8 may cost half a point of accuracy.
TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(
        difference=1e-4, mean_probability=1e-5, steer=1e-4, agreement=0.999, accuracy_drop=0.001
    ),
    "fp16": Tolerance(
        difference=2e-2, mean_probability=1e-3, steer=2e-3, agreement=0.99, accuracy_drop=0.002
    ),
    "int8": Tolerance(
        difference=None, mean_probability=2e-2, steer=2e-2, agreement=0.95, accuracy_drop=0.005
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDifference:
    """Absolute differences of one output over all samples.

    Attributes:
        output: Its name.
        largest: Maximum.
        mean: Mean.
        median: 50th percentile.
        p99: 99th percentile.
        largest_value: Largest absolute value in A, for scale.
    """

    output: str
    largest: float
    mean: float
    median: float
    p99: float
    largest_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyDelta:
    """Accuracies of both and B - A with the interval of `bicameral.statistics`, all 0..1."""

    a: float
    b: float
    delta: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two models on the same samples.

    Attributes:
        a: Title of the reference.
        b: Title of the other.
        samples: What they were asked about.
        count: Number of samples.
        outputs: One per output that both have.
        agreement: Share with the same first class; None without classes.
        accuracy: None without labels.
        failures: What is outside of the tolerance; empty: passed.
    """

    a: str
    b: str
    samples: str
    count: int
    outputs: tuple[OutputDifference, ...]
    agreement: float | None
    accuracy: AccuracyDelta | None
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything is within tolerance."""
        return not self.failures


def tolerance_for(a: Precision, b: Precision, *, discontinuous: bool = False) -> Tolerance:
    """Return the tolerance of the coarser precision.

    Args:
        a: Precision of one model.
        b: Precision of the other.
        discontinuous: Whether they are cascades or spiking networks. A sample whose confidence
            lies at the threshold may be answered by one network here and by both there, and a
            neuron may fire here and not there, however little the numbers before it differ. So
            the largest difference says nothing and is not limited; of a cascade's networks it is.
    """
    tolerance = TOLERANCES[max(a, b, key=COARSENESS.index)]
    return replace(tolerance, difference=None) if discontinuous else tolerance


def compare(a: Subject, b: Subject, samples: Samples, tolerance: Tolerance) -> Comparison:
    """Ask both about all samples.

    Raises:
        DataError: If the samples do not fit a model, or the two have no output in common.
    """
    answers_a, answers_b = answer_all(a, samples), answer_all(b, samples)
    common = [name for name in answers_a if name in answers_b]
    if not common or any(answers_a[name].shape != answers_b[name].shape for name in common):
        raise DataError(
            f"{a.title} answers {_shapes(answers_a)} and {b.title} {_shapes(answers_b)}; only "
            "models with the same outputs can be compared"
        )
    outputs = tuple(_difference(name, answers_a[name], answers_b[name]) for name in common)
    agreement, accuracy = None, None
    if PROBABILITIES in common:
        first_a, first_b = (one[PROBABILITIES].argmax(axis=-1) for one in (answers_a, answers_b))
        agreement = float(np.mean(first_a == first_b))
        if samples.labels is not None:
            accuracy = accuracy_delta(first_a == samples.labels, first_b == samples.labels)
    return Comparison(
        a=a.title,
        b=b.title,
        samples=samples.description,
        count=len(samples),
        outputs=outputs,
        agreement=agreement,
        accuracy=accuracy,
        failures=_failures(outputs, agreement, accuracy, tolerance),
    )


def accuracy_delta(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> AccuracyDelta:
    """Compare which answers (N,) of two models are right."""
    gained = int(np.sum(correct_b & ~correct_a))
    lost = int(np.sum(correct_a & ~correct_b))
    delta = paired_difference(gained, lost, len(correct_a))
    return AccuracyDelta(
        a=float(correct_a.mean()),
        b=float(correct_b.mean()),
        delta=float(correct_b.mean()) - float(correct_a.mean()),
        low=delta.low,
        high=delta.high,
    )


def _difference(name: str, a: NDArray[np.float32], b: NDArray[np.float32]) -> OutputDifference:
    with np.errstate(invalid="ignore"):
        apart = np.abs(a.astype(np.float64) - b.astype(np.float64)).reshape(-1)
    finite = bool(np.isfinite(apart).all())  # an overflow in fp16 is no small difference
    figures = (apart.max(), apart.mean(), *np.quantile(apart, (0.5, 0.99))) if finite else _FAR
    largest, mean, median, p99 = map(float, figures)
    return OutputDifference(
        output=name,
        largest=largest,
        mean=mean,
        median=median,
        p99=p99,
        largest_value=float(np.abs(a).max()),
    )


def _failures(
    outputs: tuple[OutputDifference, ...],
    agreement: float | None,
    accuracy: AccuracyDelta | None,
    tolerance: Tolerance,
) -> tuple[str, ...]:
    checks: list[tuple[str, float, float]] = []
    for one in outputs:
        if tolerance.difference is not None:
            limit = tolerance.difference * (1.0 + one.largest_value)
            checks.append((f"largest difference of {one.output}", one.largest, limit))
        if one.output == PROBABILITIES:
            limit = tolerance.mean_probability
            checks.append((f"mean difference of {one.output}", one.mean, limit))
        if one.output == "steer":
            checks.append(("99th percentile of the difference of steer", one.p99, tolerance.steer))
    if agreement is not None:
        limit = 1.0 - tolerance.agreement
        checks.append(("share of samples with another first class", 1.0 - agreement, limit))
    if accuracy is not None:
        checks.append(("drop of accuracy", -accuracy.delta, tolerance.accuracy_drop))
    # A comparison that is not "at most" also catches NaN.
    return tuple(
        f"{what} is {value:.3g}, allowed is {limit:.3g}"
        for what, value, limit in checks
        if not value <= limit + 1e-12
    )


def _shapes(answers: Answers) -> dict[str, tuple[int, ...]]:
    return {name: value.shape[1:] for name, value in answers.items()}
