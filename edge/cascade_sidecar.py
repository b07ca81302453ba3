"""The block of a cascade in a sidecar: its stages, the gates between them, its result memory."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from bicameral.errors import ConfigError
from edge.combination import CombinationName
from edge.probabilities import ScoreName
from edge.sidecar_part import FileName, Part


class CascadeStage(Part):
    """A network of a cascade: its sidecar lies beside the cascade's and bears its name.

    Attributes:
        name: Of that sidecar.
        sha256: `edge.loading.member_sha256` of it: for a network the hash of its ONNX file.
        threshold: The next stage runs if and only if the score of the answer so far is below it: 0
            never, above 1 always. None for the last one.
        share: Share of the images that got this far, on the split of the cascade's calibration;
            None where that was not recorded.
        share_interval: Between which shares windows of images like those lie
            (`edge.share_alarm`); None: nobody is told when they do not.
    """

    name: FileName
    sha256: str
    threshold: float | None = Field(default=None, ge=0)
    share: float | None = Field(default=None, ge=0, le=1)
    share_interval: tuple[float, float] | None = None


class CascadeMemory(Part):
    """The result memory in front of a cascade.

    Attributes:
        key: ``exact`` by content, ``dhash_verified`` also near duplicates whose stored thumbnail
            differs by at most the tolerance.
        tolerance_mae_u8: Mean absolute difference per pixel, grey levels 0..255.
        max_entries: Entries held at most.
        max_age_s: Older entries are forgotten; None: never.
        store_min_confidence: Only results at least this confident are stored, 0..1.
    """

    key: Literal["exact", "dhash_verified"]
    tolerance_mae_u8: float = Field(ge=0, le=255)
    max_entries: int = Field(gt=0)
    max_age_s: float | None = Field(gt=0)
    store_min_confidence: float = Field(ge=0, le=1)


class CascadeSpec(Part):
    """Networks that are asked in turn, each about the images of which those before are not sure.

    A single one with a threshold is an early exit: a classifier with `stages` of its own, between
    all of which the threshold stands. Without a threshold it answers alone.
    """

    stages: tuple[CascadeStage, ...] = Field(min_length=1, max_length=26)
    score: ScoreName
    combine: CombinationName
    memory: CascadeMemory | None = None

    @property
    def thresholds(self) -> tuple[float, ...]:
        """What the answer after each stage is compared with."""
        return tuple(one.threshold for one in self.stages if one.threshold is not None)

    @property
    def early_exit(self) -> bool:
        """Whether it stops between the stages of a single network."""
        return len(self.stages) == len(self.thresholds) == 1

    def require_whole(self) -> None:
        """Refuse an early exit, for whoever can run whole networks only.

        Raises:
            ConfigError: If it is one.
        """
        if self.early_exit:
            name = self.stages[0].name
            raise ConfigError(
                f"an early exit runs {name!r} stage by stage, which is possible on ONNX Runtime "
                f"only; give {name!r} itself, which answers after its last stage"
            )

    @model_validator(mode="after")
    def _check_thresholds(self) -> CascadeSpec:
        open_ended = [one.name for one in self.stages[:-1] if one.threshold is None]
        if open_ended or (len(self.stages) > 1 and self.stages[-1].threshold is not None):
            raise ValueError(
                "every stage needs a threshold but the last of several, which has none; without "
                f"one: {[one.name for one in self.stages if one.threshold is None]}"
            )
        return self
