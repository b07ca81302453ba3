"""The sidecar `NAME.bicameral.json`: everything about a model that is not in its graph.

One schema for classifiers, cascades and driving agents. Unknown fields are errors, so a file
written by a newer version is never half understood.
"""

from __future__ import annotations

import hashlib
import itertools
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)

from bicameral.errors import ConfigError, DataError, VersionMismatchError
from bicameral.files import write_text_atomic
from edge.combination import CombinationName
from edge.probabilities import ScoreName

#: Of networks and driving agents, and of cascades; cascades of schema 1 are read, too.
SCHEMA, CASCADE_SCHEMA = 1, 2
SUFFIX = ".bicameral.json"

Pair = tuple[float, float]

#: Arithmetic of a training, as the user asked for it.
TrainingPrecision = Literal["fp32", "bf16"]

#: What becomes of pictures whose proportions are not those of the network's image.
Aspect = Literal["stretch", "crop"]

#: A name in the sidecar's own folder, never a way out of it.
_FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\\x00]+$")]


class _Part(BaseModel):
    """Base of all parts: frozen, and strict about unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelFile(_Part):
    """One file that belongs to the model; `path` is its name beside the sidecar."""

    path: _FileName
    sha256: str
    bytes: int
    target: str
    precision: Literal["fp32", "fp16", "int8"]
    opset: int


class ImageSpec(_Part):
    """How a camera picture becomes the tensor: crop, resize, then `(x * scale - mean) / std`.

    `crop` is (left, top, right, bottom) in pixels of the picture, right and bottom exclusive.
    `aspect` says what becomes of what is then wider or higher than the network's image: all of it
    is stretched, or the largest part in the middle that has the image's proportions is taken.
    """

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    color: Literal["GRAY", "RGB", "BGR"]
    crop: tuple[int, int, int, int] | None = None
    resize: Literal["area_int"] = "area_int"
    aspect: Aspect = "stretch"
    invert: bool = False
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @cached_property
    def channels(self) -> int:
        """Number of colour channels."""
        return 1 if self.color == "GRAY" else 3

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave `aspect` out where it is what files without it mean, so that hashes stay."""
        content: dict[str, Any] = write(self)
        if self.aspect == "stretch":
            del content["aspect"]
        return content

    @model_validator(mode="after")
    def _check_channels(self) -> ImageSpec:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"mean and std need {self.channels} values for {self.color}, "
                f"got {len(self.mean)} and {len(self.std)}"
            )
        return self


class InputSpec(_Part):
    """The image tensor that the graph takes.

    `shape` is complete but for the first size, also where the graph takes any height and width.
    `in_graph` says that it takes uint8 and scales it itself.
    """

    name: str
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["FP32", "UINT8"]
    shape: tuple[int, ...]
    in_graph: bool = False
    image: ImageSpec


class ExtraInput(_Part):
    """A further input tensor, e.g. ``speed_mps``."""

    name: str
    dtype: Literal["FP32", "INT64"]
    shape: tuple[int, ...]
    meaning: str


OutputMeaning = Literal[
    "logits", "probabilities", "features", "stage_logits", "steer", "offsets", "scales", "spikes"
]


class OutputSpec(_Part):
    """An output tensor; further axes of size 1 say nothing."""

    name: str
    meaning: OutputMeaning
    shape: tuple[int, ...]


class TaskSpec(_Part):
    """Properties of the task that forbid some transformations of the input."""

    orientation_sensitive: bool = False


class Calibration(_Part):
    """How logits become honest probabilities: `softmax(logits / temperature)`."""

    method: Literal["temperature"] = "temperature"
    temperature: float = Field(gt=0)
    split: str
    n: int
    ece: float


class Cost(_Part):
    """What one inference costs, 0 where nobody knows; `cpu_us` on `host`, one thread."""

    macs: int
    parameters: int
    cpu_us: float
    host: str


class CascadeStage(_Part):
    """A network of a cascade: its sidecar lies beside the cascade's and bears its name.

    Attributes:
        name: Of that sidecar.
        sha256: `edge.loading.member_sha256` of it: for a network the hash of its ONNX file.
        threshold: The next stage runs if and only if the score of the answer so far is below it: 0
            never, above 1 always. None for the last one.
        share: Share of the images that got this far, on the split of the cascade's calibration;
            None where that was not recorded.
    """

    name: _FileName
    sha256: str
    threshold: float | None = Field(default=None, ge=0)
    share: float | None = Field(default=None, ge=0, le=1)


class CascadeMemory(_Part):
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


class CascadeSpec(_Part):
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


class CameraBlock(_Part):
    """The camera that the agent was trained with (`bicameral.types.CameraSpec`)."""

    width: int
    height: int
    fov_deg: float
    x_m: float
    z_m: float
    pitch_deg: float


class InputRange(_Part):
    """Picture statistics of the training frames, as uint8 units (low, high).

    `brightness` is the mean over all pixels and channels of the cropped and resized picture,
    `contrast` the standard deviation. Outside of them the network's confidence means little.
    """

    brightness: Pair
    contrast: Pair


class ConfidenceThreshold(_Part):
    """Below `threshold` the network counts as unsure.

    `asked_share` is the share of validation frames below it, which is how it was chosen.
    """

    score: Literal["max_probability"] = "max_probability"
    threshold: float = Field(ge=0, le=1)
    asked_share: float = Field(ge=0, le=1)
    split: str
    n: int


class _CameraAgentSpec(_Part):
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

    contrast: Literal["none", "standardise"]
    commands: tuple[str, ...]
    camera: CameraBlock
    trained_on: str
    towns: tuple[str, ...]
    weathers: tuple[str, ...]
    input_range: InputRange


class AgentSpec(_CameraAgentSpec):
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

    variant: Literal["paper", "conditional"]
    bin_edges: tuple[float, ...]
    class_means: tuple[float, ...]
    steering_scale: float = Field(gt=0)
    confidence: ConfidenceThreshold

    @model_validator(mode="after")
    def _check_bins(self) -> AgentSpec:
        edges = self.bin_edges
        if any(right <= left for left, right in itertools.pairwise(edges)):
            raise ValueError(f"bin_edges must ascend, got {edges}")
        if len(self.class_means) != len(edges) - 1:
            raise ValueError(
                f"{len(edges)} edges need {len(edges) - 1} class means, got {len(self.class_means)}"
            )
        return self


class OffsetClasses(_Part):
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
        if any(right <= left for left, right in itertools.pairwise(self.bin_edges_m)):
            raise ValueError(f"bin_edges_m must ascend, got {self.bin_edges_m}")
        count = len(self.bin_edges_m) + 1
        if {len(self.bin_means_m), len(self.bin_variances_m2)} != {count}:
            raise ValueError(
                f"{count - 1} inner edges make {count} classes, got {len(self.bin_means_m)} means "
                f"and {len(self.bin_variances_m2)} variances"
            )
        return self


class LaneIntent(_Part):
    """The optional input that says where the wanted lane lies.

    The tensor is (x, y) of the route at each distance ahead, in the car's frame, divided by
    `scale_m`, and a last column that is 1, or 0 where all others are 0 and nothing is known.
    """

    distances_m: tuple[float, ...]
    scale_m: float = Field(gt=0)


class SpreadThreshold(_Part):
    """Above `threshold_m` the network counts as unsure.

    The score is the calibrated standard deviation of the path's offset `distance_m` ahead.
    `asked_share` is the share of validation frames above it, which is how it was chosen.
    """

    distance_m: float = Field(gt=0)
    threshold_m: float = Field(gt=0)
    asked_share: float = Field(ge=0, le=1)
    split: str
    n: int


class PathAgentSpec(_CameraAgentSpec):
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
        if any(right <= left for left, right in itertools.pairwise(ahead)):
            raise ValueError(f"distances_m must ascend, got {ahead}")
        if {len(self.scale_factors), len(self.spread_factors)} != {len(ahead)}:
            raise ValueError(
                f"{len(ahead)} distances need as many scale_factors and spread_factors, got "
                f"{len(self.scale_factors)} and {len(self.spread_factors)}"
            )
        strange = [one.distance_m for one in self.classes if one.distance_m not in ahead]
        if strange or not self.classes:
            raise ValueError(f"classes at {strange}: each must be at one of distances_m, {ahead}")
        return self


class StateSpec(_Part):
    """What the model knows beside its graph.

    Attributes:
        kind: ``memory_head``: the examples of `edge.learning.dual_memory`; or ``none``.
        path: Its file beside the sidecar.
        sha256: Digest of that file.
        online: Whether what the model sees changes it. Its answers then depend on the order of the
            images, and whoever may ask it may mislead it.
    """

    kind: Literal["none", "memory_head"] = "none"
    path: _FileName | None = None
    sha256: str | None = None
    online: bool = False

    @model_validator(mode="after")
    def _check_file(self) -> StateSpec:
        given = self.path is not None, self.sha256 is not None
        if given != (self.kind != "none",) * 2 or (self.online and self.kind == "none"):
            raise ValueError(
                f"a state of kind {self.kind!r} has path {self.path!r}, sha256 {self.sha256!r} and "
                f"online {self.online}; path and sha256 belong to every kind but 'none'"
            )
        return self


class Stage(_Part):
    """One stage of a classifier that answers after each: a graph of its own, and its calibration.

    The first stage's graph takes the image, every further one also ``carried``, which is what the
    one before gave as ``carried_on``; all give ``logits`` (-1, C), too. float32 throughout, opset
    and precision as the model's file for ONNX Runtime.

    Attributes:
        path: Name of the ONNX file beside the sidecar.
        sha256: Of that file.
        bytes: Its size.
        macs: Multiply-accumulates for one image.
        temperature: Of this stage's logits, above 0.
        ece: Calibration error with it, on the split of the model's own calibration.
    """

    path: _FileName
    sha256: str
    bytes: int
    macs: int
    temperature: float = Field(gt=0)
    ece: float


class TrainingData(_Part):
    """Name and fingerprint of the training data."""

    name: str
    sha256: str


class TrainingRecord(_Part):
    """Where the weights come from.

    `precision` is the arithmetic of the training; None if that was not recorded, as in files
    written before this field existed, or if nothing was trained.
    """

    command: str
    data: TrainingData
    split: str
    seed: int
    precision: TrainingPrecision | None = None


class Claim(_Part):
    """A measured figure with everything needed to doubt it."""

    metric: str
    value: float
    ci95: Pair | None
    n: int
    seeds: int
    split: str
    command: str


class Sidecar(_Part):
    """The whole file."""

    schema_version: Literal[1, 2] = Field(default=1, alias="schema")
    kind: Literal["classifier", "cascade", "agent"]
    name: str
    version: str
    files: tuple[ModelFile, ...]
    input: InputSpec
    extra_inputs: tuple[ExtraInput, ...] = ()
    outputs: tuple[OutputSpec, ...]
    labels: tuple[str, ...]
    task: TaskSpec
    calibration: Calibration
    cost: Cost
    cascade: CascadeSpec | None = None
    agent: Annotated[AgentSpec | PathAgentSpec, Field(discriminator="variant")] | None = None
    state: StateSpec = StateSpec()
    stages: tuple[Stage, ...] = ()
    training: TrainingRecord
    claims: tuple[Claim, ...] = ()
    license: str
    limits: str

    @property
    def discontinuous(self) -> bool:
        """Whether answers jump where a value crosses a threshold: gates of cascades, neurons.

        Two computations of the same that differ in their rounding then differ by more, rarely.
        """
        return self.cascade is not None or any(one.meaning == "spikes" for one in self.outputs)

    @model_validator(mode="before")
    @classmethod
    def _read_schema_1(cls, content: Any) -> Any:
        """Read a cascade of schema 1: A, perhaps B, and the threshold between them."""
        block = content.get("cascade") if isinstance(content, dict) else None
        if not isinstance(block, dict) or content.get("schema") != SCHEMA or "a" not in block:
            return content
        first, second = dict(block["a"]), block.get("b")
        first["threshold"] = block.get("threshold")
        rest = {name: one for name, one in block.items() if name not in ("a", "b", "threshold")}
        stages = [first] if second is None else [first, second]
        return {**content, "schema": CASCADE_SCHEMA, "cascade": {"stages": stages, **rest}}

    @model_validator(mode="after")
    def _check_kind(self) -> Sidecar:
        schema = SCHEMA if self.cascade is None else CASCADE_SCHEMA
        if self.schema_version != schema:
            raise ValueError(f"a {self.kind} has schema {schema}, not {self.schema_version}")
        for kind, block in (("cascade", self.cascade), ("agent", self.agent)):
            if (self.kind == kind) != (block is not None):
                raise ValueError(f"kind is {self.kind!r}, so the block {kind!r} must fit it")
        if self.stages and self.kind != "classifier":
            raise ValueError(f"kind is {self.kind!r}, but only a classifier has stages")
        return self


def sidecar_path(model: Path) -> Path:
    """Return the sidecar's path for a model file, or the path itself if it is a sidecar."""
    if model.name.endswith(SUFFIX):
        return model
    return model.with_name(model.name.removesuffix(".onnx") + SUFFIX)


def read_sidecar(model: Path) -> Sidecar:
    """Read and check a sidecar.

    Args:
        model: Path of ``NAME.onnx`` or of ``NAME.bicameral.json``.

    Raises:
        DataError: If it is absent, no JSON, or has unknown, missing or wrong fields.
        VersionMismatchError: If it was written with another schema.
    """
    path = sidecar_path(model)
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise DataError(
            f"cannot read the sidecar {path}: {error.strerror or error}; every model NAME.onnx "
            f"needs NAME{SUFFIX} beside it, which `bicameral describe` writes for classifiers of "
            "pictures"
        ) from error
    try:
        return Sidecar.model_validate_json(text)
    except ValidationError as error:
        for detail in error.errors():
            if detail["loc"] == ("schema",):
                raise VersionMismatchError(
                    f"{path} has schema {detail['input']!r}, this version reads {SCHEMA} and "
                    f"{CASCADE_SCHEMA}; export the model again or update bicameral"
                ) from error
        raise DataError(f"{path} is no valid sidecar: {_summary(error)}") from error


def read_networks(model: Path, *, whole: bool = False) -> dict[Path, Sidecar]:
    """Read the sidecars of all networks that a model runs: its own, or those of its members.

    Args:
        model: Path of the model or of its sidecar; members lie beside it.
        whole: Whether each must be run as a whole, which an early exit cannot be.

    Returns:
        Sidecars by path, in the order in which they are asked.

    Raises:
        DataError: If one is absent or damaged.
        ConfigError: If one is an early exit and must not be.
    """
    path = sidecar_path(model)
    sidecar = read_sidecar(path)
    if sidecar.cascade is None:
        return {path: sidecar}
    if whole:
        sidecar.cascade.require_whole()
    found: dict[Path, Sidecar] = {}
    for stage in sidecar.cascade.stages:
        found |= read_networks(path.with_name(stage.name + SUFFIX), whole=whole)
    return found


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write a sidecar, whole or not at all."""
    write_text_atomic(path, sidecar.model_dump_json(by_alias=True, indent=2) + "\n")


def read_model_bytes(model: Path, sidecar: Sidecar, target: str = "onnxruntime") -> bytes:
    """Read the model file for a target and check it against the sidecar.

    Args:
        model: Path of the model or of its sidecar; files are looked up in that folder.
        sidecar: Its sidecar.
        target: Which of the sidecar's files.

    Returns:
        The content of the file.

    Raises:
        DataError: If there is no file for the target, it is absent, or its size or hash differ.
    """
    entry = next((file for file in sidecar.files if file.target == target), None)
    if entry is None:
        known = ", ".join(file.target for file in sidecar.files) or "none"
        raise DataError(
            f"model {sidecar.name!r} has no file for target {target!r}; it has: {known}"
        )
    return read_described_bytes(model, entry)


def read_described_bytes(model: Path, entry: ModelFile | Stage) -> bytes:
    """Read one file that a sidecar describes and check it.

    Args:
        model: Path of the model or of its sidecar; the file lies in that folder.
        entry: Its description.

    Raises:
        DataError: If it is absent, or its size or hash differ.
    """
    path = sidecar_path(model).with_name(entry.path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the model file {path}: {error.strerror or error}") from error
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != entry.bytes or digest != entry.sha256:
        raise DataError(
            f"{path} is not the file that its sidecar describes: {len(content)} bytes with sha256 "
            f"{digest}, expected {entry.bytes} bytes with {entry.sha256}; fetch or export it again"
        )
    return content


def _summary(error: ValidationError) -> str:
    parts: list[str] = []
    for detail in error.errors():
        where: tuple[Any, ...] = detail["loc"]
        parts.append(f"{'.'.join(map(str, where)) or 'file'}: {detail['msg']}")
    return "; ".join(parts)
