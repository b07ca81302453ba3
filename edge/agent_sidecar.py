"""The block of a driving agent in a sidecar: what its network answers with, and how sure it is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bicameral.types import CameraSpec
from edge.sidecar_part import Pair, Part


class InputRange(Part):
    """Picture statistics of the training frames, as uint8 units (low, high).

    `brightness` is the mean over all pixels and channels of the cropped and resized picture,
    `contrast` the standard deviation. Outside of them the network's confidence means little.
    """

    brightness: Pair
    contrast: Pair


class ConfidenceThreshold(Part):
    """Below `threshold` the network counts as unsure.

    `asked_share` is the share of validation frames below it, which is how it was chosen.
    """

    score: Literal["max_probability"] = "max_probability"
    threshold: float = Field(ge=0, le=1)
    asked_share: float = Field(ge=0, le=1)
    split: str
    n: int


class DriverSpec(Part):
    """What every driving agent needs to know about its network.

    Attributes:
        contrast: ``standardise`` if the graph itself subtracts each picture's mean and divides by
            its standard deviation.
        commands: Meaning of the columns of the one-hot input ``command``; empty for ``paper``.
        camera: Camera of the training data.
        trained_on: Simulator of the training data, ``pocket`` or ``carla``.
        towns: Training towns.
        weathers: Training weathers.
        input_range: Picture statistics of the training data.
    """

    #: How messages call such an agent.
    title: ClassVar[str]

    contrast: Literal["none", "standardise"]
    commands: tuple[str, ...]
    camera: CameraSpec
    trained_on: str
    towns: tuple[str, ...]
    weathers: tuple[str, ...]
    input_range: InputRange


class AgentSpec(DriverSpec):
    """An agent whose network answers with a steering value and a steering class.

    Attributes:
        variant: ``paper`` sees only the image; ``conditional`` also command and speed.
        bin_edges: 12 ascending edges of the 11 steering classes, raw steer -1..1. Class k is
            [edge k, edge k+1), the last one closed.
        class_means: Mean training label of each class, raw steer.
        steering_scale: Raw steer times this is the unit of the regression loss and of the paper's
            correction rule (4: a label of 1 is a raw steer of 0.25).
        confidence: When this network counts as unsure.
    """

    title = "an agent that steers itself"

    variant: Literal["paper", "conditional"]
    bin_edges: tuple[float, ...]
    class_means: tuple[float, ...]
    steering_scale: float = Field(gt=0)
    confidence: ConfidenceThreshold

    @model_validator(mode="after")
    def _check_bins(self) -> AgentSpec:
        edges = self.bin_edges
        _require_ascending("bin_edges", edges)
        if len(self.class_means) != len(edges) - 1:
            raise ValueError(
                f"{len(edges)} edges need {len(edges) - 1} class means, got {len(self.class_means)}"
            )
        return self


class OffsetClasses(Part):
    """The classes of the path's lateral offset at one distance ahead.

    Attributes:
        distance_m: How far ahead, along the path.
        bin_edges_m: K - 1 ascending inner edges of K classes, metres, positive right. Class k is
            [edge k - 1, edge k); the outer classes are open.
        bin_means_m: Mean training label of each class.
        bin_variances_m2: Variance of the training labels within each class.
        temperature: What this distance's logits are divided by.
    """

    distance_m: float = Field(gt=0)
    bin_edges_m: tuple[float, ...]
    bin_means_m: tuple[float, ...]
    bin_variances_m2: tuple[float, ...]
    temperature: float = Field(gt=0)

    @model_validator(mode="after")
    def _check_bins(self) -> OffsetClasses:
        _require_ascending("bin_edges_m", self.bin_edges_m)
        count = len(self.bin_edges_m) + 1
        if {len(self.bin_means_m), len(self.bin_variances_m2)} != {count}:
            raise ValueError(
                f"{count - 1} inner edges make {count} classes, got {len(self.bin_means_m)} means "
                f"and {len(self.bin_variances_m2)} variances"
            )
        return self


class LaneIntent(Part):
    """The optional input that says where the wanted lane lies.

    The tensor is (x, y) of the route at each distance ahead, in the car's frame, divided by
    `scale_m`, and a last column that is 1, or 0 where all others are 0 and nothing is known.
    """

    distances_m: tuple[float, ...]
    scale_m: float = Field(gt=0)


class SpreadThreshold(Part):
    """Above `threshold_m` the network counts as unsure.

    The score is the calibrated standard deviation of the path's offset `distance_m` ahead.
    `asked_share` is the share of validation frames above it, which is how it was chosen.
    """

    distance_m: float = Field(gt=0)
    threshold_m: float = Field(gt=0)
    asked_share: float = Field(ge=0, le=1)
    split: str
    n: int


class PathAgentSpec(DriverSpec):
    """An agent whose network answers with the path ahead, twice.

    The regression head gives the lateral offset of the path at each of `distances_m` and a scale of
    its error (Laplace), the classification head a distribution over offsets at some of them.

    Attributes:
        variant: ``path``.
        distances_m: Ascending distances ahead along the path.
        scale_factors: Standard deviation of the regression head's error at each distance, as a
            multiple of sqrt(2) times the scale that the graph gives: fitted on held-out episodes.
        spread_factors: The same for the classification head's standard deviation, at each distance;
            between and beyond the distances of its classes it is interpolated in proportion.
        classes: The classification head, by distance.
        intent: The optional input ``intent``; None: the graph has none.
        confidence: When this network counts as unsure.
    """

    title = "an agent that sees the path"

    variant: Literal["path"]
    distances_m: tuple[float, ...]
    scale_factors: tuple[float, ...]
    spread_factors: tuple[float, ...]
    classes: tuple[OffsetClasses, ...]
    intent: LaneIntent | None
    confidence: SpreadThreshold

    @model_validator(mode="after")
    def _check_distances(self) -> PathAgentSpec:
        ahead = self.distances_m
        _require_ascending("distances_m", ahead)
        if {len(self.scale_factors), len(self.spread_factors)} != {len(ahead)}:
            raise ValueError(
                f"{len(ahead)} distances need as many scale_factors and spread_factors, got "
                f"{len(self.scale_factors)} and {len(self.spread_factors)}"
            )
        strange = [one.distance_m for one in self.classes if one.distance_m not in ahead]
        if strange or not self.classes:
            raise ValueError(f"classes at {strange}: each must be at one of distances_m, {ahead}")
        return self


class PaceAgentSpec(DriverSpec):
    """A network that tells an agent how fast others and lights let it drive, twice, and why.

    The regression head gives a speed and a scale of its error (Laplace), the classification head a
    distribution over speeds. The temperature of its logits is the sidecar's. The reasons are the
    distance and the speed of a vehicle ahead, the distance of a stop line, and logits of `lights`.

    Attributes:
        variant: ``pace``.
        earlier_ticks: How many ticks before the picture the input ``earlier`` was taken.
        speed_edges_mps: K - 1 ascending inner edges of the K speed classes, above 0. Class 0 is to
            stop or stand, the last one goes up to `free_mps`.
        free_mps: The speed where nothing is in the way; the unit of the speed of a vehicle ahead.
        seen_m: Unit of the distances of a vehicle ahead and of a stop line, which are 1 where there
            is none.
        lights: What the columns of the answer about lights mean.
        scale_factor: Standard deviation of the regression head's error, as a multiple of sqrt(2)
            times the scale that the graph gives: fitted on held-out episodes.
    """

    title = "a network that sets the pace of an agent"

    variant: Literal["pace"]
    earlier_ticks: int = Field(gt=0)
    speed_edges_mps: tuple[float, ...]
    free_mps: float = Field(gt=0)
    seen_m: float = Field(gt=0)
    lights: tuple[Literal["none", "red", "yellow", "green"], ...]
    scale_factor: float = Field(gt=0)

    @model_validator(mode="after")
    def _check_edges(self) -> PaceAgentSpec:
        _require_ascending("speed_edges_mps", (0.0, *self.speed_edges_mps, self.free_mps))
        return self


#: The block of any kind.
AnyAgentSpec = Annotated[AgentSpec | PathAgentSpec | PaceAgentSpec, Field(discriminator="variant")]


def _require_ascending(name: str, values: Sequence[float]) -> None:
    if any(right <= left for left, right in itertools.pairwise(values)):
        raise ValueError(f"{name} must ascend, got {values}")
