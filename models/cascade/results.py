"""The record of an evaluation: plain values that JSON can hold.

Accuracies, shares, errors and areas are 0..1, costs are MACs and microseconds. Every mean stands
beside the values of its seeds, every interval beside the number of images and seeds it rests on.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bicameral.statistics import Estimate
from edge.combination import CombinationName
from edge.probabilities import ScoreName
from models.calibration import ReliabilityBins
from models.cascade.candidates import CostName
from models.cascade.complementarity import Complementarity
from models.cascade.search import Requirement, Stability

SCHEMA: Literal[5] = 5

NetworkRole = Literal["small", "reference", "reference_candidate", "left_out"]

PartName = Literal["a", "b", "c", "cascade", "reference"]

#: What a cascade is compared with.
OpponentName = Literal[
    "a",
    "b",
    "c",
    "reference",
    "best_single_at_cost",
    "mixture_at_cost",
    "best_pair_at_cost",
    "paper_pair",
    "paper_threshold",
    "paper_choice",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A value of every seed; `std` is the sample standard deviation, None for one seed."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    std: float | None

    def of_seed(self, seed: int) -> float:
        """Return the value of one seed."""
        return self.values[self.seeds.index(seed)]


def spread(seeds: Sequence[int], values: Iterable[float]) -> Spread:
    """Return the values of seeds with their mean and sample standard deviation."""
    plain = tuple(float(value) for value in values)
    return Spread(
        seeds=tuple(seeds),
        values=plain,
        mean=statistics.fmean(plain),
        std=statistics.stdev(plain) if len(plain) > 1 else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRecord:
    """A row of the table of the pool; calibration and area are of the test images.

    `left_out` networks lack a selection seed and stood for no choice.
    """

    architecture: str
    role: NetworkRole
    parameters: int
    macs: int
    cpu_us: float | None
    temperature: Spread
    validation_accuracy: Spread
    test_accuracy: Spread
    test_ece_before: Spread
    test_ece_after: Spread
    test_aurc: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRecord:
    """A system on one split; the expected cost is that of the usage of its networks on it.

    `usage` is the share of the images that each network but the first sees. CPU time is None where
    a network's was not measured.
    """

    accuracy: Spread
    usage: tuple[Spread, ...]
    expected_macs: float
    expected_cpu_us: float | None

    def expected_cost(self, cost: CostName) -> float | None:
        """Return the expected cost per image in one measure, None if it was not measured."""
        return self.expected_macs if cost == "macs" else self.expected_cpu_us


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemRecord:
    """A single network or a cascade.

    Several without a policy are two single networks, drawn at random per image, and the usage is
    the share of the second: a line to compare with, not a product. `thresholds` are those after
    each network but the last.
    """

    networks: tuple[str, ...]
    score: ScoreName | None
    combine: CombinationName | None
    thresholds: tuple[Spread, ...]
    calibrated: bool
    validation: SplitRecord
    test: SplitRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRecord:
    """A cascade against an opponent on the test images; differences are cascade - opponent.

    Costs are ratios cascade / opponent, on the test images.
    """

    against: OpponentName
    opponent: SystemRecord
    accuracy_difference: Estimate
    macs_ratio: float
    cpu_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRecord:
    """A preset or the request: either `system` with comparisons, or `unmet`.

    What is of the test images is filled in when the finished choice is judged.
    """

    name: str
    requirement: Requirement
    stability: Stability
    unmet: str | None = None
    system: SystemRecord | None = None
    test_accuracy: Estimate | None = None
    shipped_seed_accuracy: Estimate | None = None
    comparisons: tuple[ComparisonRecord, ...] = ()

    def against(self, name: OpponentName) -> ComparisonRecord | None:
        """Return the comparison with an opponent, None if there is no such opponent."""
        return next((one for one in self.comparisons if one.against == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRecord:
    """Points of a curve, ascending in x."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """How A, B, the cascade or the reference answers the test images.

    Matrix (rows are true classes, columns answers), bins and curve are those of the shipped seed.
    `ece_before` is without temperature scaling; for the cascade with thresholds that ask B for the
    same share of the images.
    """

    part: PartName
    confusion: tuple[tuple[int, ...], ...]
    ece_before: Spread
    ece_after: Spread
    reliability_before: ReliabilityBins
    reliability_after: ReliabilityBins
    aurc: Estimate
    aurc_cascade_minus_this: Estimate | None
    risk_coverage: CurveRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedImage:
    """A test image whose answer further networks turned right or wrong; classes by index.

    `b` is what B alone would answer. Of the shipped seed.
    """

    index: int
    label: int
    a: int
    b: int
    cascade: int
    score_a: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecord:
    """What asking B changed on the test images; counts for every seed, images for the shipped."""

    asked: Spread
    rescued: Spread
    broken: Spread
    rescued_images: tuple[ChangedImage, ...]
    broken_images: tuple[ChangedImage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailRecord:
    """The chosen cascade from close by.

    Attributes:
        choice: Name of the choice.
        shipped_seed: Seed of the networks that ship.
        parts: The networks, the cascade and the reference.
        changes: What asking more than A rescued and broke.
        complementarity_test: The paper's complementarity of A and B on the test images; None for a
            single network.
        oracle_accuracy_test: What a perfect gate would reach with all networks.
        accuracy_over_usage_validation: Accuracy of A and B over B's usage, shipped seed; None for
            a single network.
        accuracy_over_usage_test: The same on the test images; nothing was chosen by it.
    """

    choice: str
    shipped_seed: int
    parts: tuple[PartRecord, ...]
    changes: ChangeRecord
    complementarity_test: Spread | None
    oracle_accuracy_test: Spread
    accuracy_over_usage_validation: CurveRecord | None
    accuracy_over_usage_test: CurveRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeEvaluation:
    """Everything the report needs.

    Attributes:
        schema: Version of this record.
        dataset: Name of the data set.
        dataset_sha256: Its fingerprint.
        labels: Class names.
        n_validation: Validation images, on which everything was chosen.
        n_test: Test images.
        cost: Measure of cost that choices were made by.
        max_usage: Largest share of the images that may go on after the first network.
        selection_seeds: Seeds whose mean accuracy decided.
        systems: Number of systems that were compared.
        replicates: Of the bootstrap that intervals come from.
        reference: Architecture of the reference.
        undertrained: The cheaper network that is as accurate on the validation images as the
            reference, which then learned too little; None: there is none.
        networks: Table of the pool, ascending by MACs.
        complementarity: Of all networks, on the validation images.
        fronts: Pareto fronts of single networks, pairs and three stages, on the validation images.
        choices: Presets, after ``requested`` if there is one.
        detail: The chosen cascade.
        notes: What a reader must know, in sentences.
    """

    schema: Literal[5] = SCHEMA
    dataset: str
    dataset_sha256: str
    labels: tuple[str, ...]
    n_validation: int
    n_test: int
    cost: CostName
    max_usage: float
    selection_seeds: tuple[int, ...]
    systems: int
    replicates: int
    reference: str
    undertrained: str | None
    networks: tuple[NetworkRecord, ...]
    complementarity: Complementarity
    fronts: tuple[tuple[SystemRecord, ...], ...]
    choices: tuple[ChoiceRecord, ...]
    detail: DetailRecord
    notes: tuple[str, ...]

    @property
    def shipped(self) -> ChoiceRecord:
        """The choice that ships."""
        return next(choice for choice in self.choices if choice.name == self.detail.choice)

    @property
    def shipped_system(self) -> SystemRecord:
        """Its networks and policy."""
        system = self.shipped.system
        assert system is not None  # noqa: S101 - only a met requirement ships
        return system
