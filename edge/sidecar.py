"""The sidecar `NAME.bicameral.json`: everything about a model that is not in its graph.

One schema for classifiers, cascades and driving agents. Unknown fields are errors, so a file
written by a newer version is never half understood.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from bicameral.errors import DataError, VersionMismatchError, problems_in
from bicameral.files import write_text_atomic
from edge.agent_sidecar import AnyAgentSpec
from edge.cascade_sidecar import CascadeSpec
from edge.lfs_pointer import pointer_problem
from edge.sidecar_part import FileName, Pair, Part

#: Of networks and driving agents, and of cascades; cascades of schema 1 are read, too.
SCHEMA, CASCADE_SCHEMA = 1, 2
SUFFIX = ".bicameral.json"

#: Arithmetic of a training, as the user asked for it.
TrainingPrecision = Literal["fp32", "bf16"]

#: What becomes of pictures whose proportions are not those of the network's image.
Aspect = Literal["stretch", "crop"]


class ModelFile(Part):
    """One file that belongs to the model; `path` is its name beside the sidecar."""

    path: FileName
    sha256: str
    bytes: int
    target: str
    precision: Literal["fp32", "fp16", "int8"]
    opset: int


class ImageSpec(Part):
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


class InputSpec(Part):
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


class ExtraInput(Part):
    """A further input tensor, e.g. ``speed_mps``."""

    name: str
    dtype: Literal["FP32", "INT64"]
    shape: tuple[int, ...]
    meaning: str


OutputMeaning = Literal[
    "logits",
    "probabilities",
    "features",
    "stage_logits",
    "steer",
    "offsets",
    "scales",
    "speeds",
    "reasons",
    "spikes",
    "routes",
    "completed",
]


class OutputSpec(Part):
    """An output tensor; further axes of size 1 say nothing.

    A graph with an output ``completed`` also takes ``observed``, see `edge.masked_classifier`.
    """

    name: str
    meaning: OutputMeaning
    shape: tuple[int, ...]


class TaskSpec(Part):
    """What may not be done to the input.

    Attributes:
        orientation_sensitive: Whether a mirrored picture is another question. Of a classifier:
            whether it was found to answer mirrored validation images worse.
    """

    orientation_sensitive: bool = False


class Calibration(Part):
    """How logits become honest probabilities: `softmax(logits / temperature)`."""

    method: Literal["temperature"] = "temperature"
    temperature: float = Field(gt=0)
    split: str
    n: int
    ece: float


class Cost(Part):
    """What one inference costs, 0 where nobody knows; `cpu_us` on `host`, one thread."""

    macs: int
    parameters: int
    cpu_us: float
    host: str


class StateSpec(Part):
    """What the model knows beside its graph.

    Attributes:
        kind: ``memory_head``: the examples of `edge.learning.dual_memory`; or ``none``.
        path: Its file beside the sidecar.
        sha256: Digest of that file.
        online: Whether what the model sees changes it. Its answers then depend on the order of the
            images, and whoever may ask it may mislead it.
    """

    kind: Literal["none", "memory_head"] = "none"
    path: FileName | None = None
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


class Stage(Part):
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

    path: FileName
    sha256: str
    bytes: int
    macs: int
    temperature: float = Field(gt=0)
    ece: float


class TrainingData(Part):
    """Name and fingerprint of the training data."""

    name: str
    sha256: str


class TrainingRecord(Part):
    """Where the weights come from.

    `precision` is the arithmetic of the training; None if that was not recorded, as in files
    written before this field existed, or if nothing was trained.
    """

    command: str
    data: TrainingData
    split: str
    seed: int
    precision: TrainingPrecision | None = None


class Claim(Part):
    """A measured figure with everything needed to doubt it."""

    metric: str
    value: float
    ci95: Pair | None
    n: int
    seeds: int
    split: str
    command: str


class Sidecar(Part):
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
    agent: AnyAgentSpec | None = None
    state: StateSpec = StateSpec()
    stages: tuple[Stage, ...] = ()
    training: TrainingRecord
    claims: tuple[Claim, ...] = ()
    license: str
    limits: str

    @property
    def discontinuous(self) -> bool:
        """Whether answers jump where a value crosses a threshold: cascades, neurons, routers.

        Two computations of the same that differ in their rounding then differ by more, rarely.
        """
        return self.cascade is not None or any(
            one.meaning in ("spikes", "routes") for one in self.outputs
        )

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
        raise DataError(f"{path} is no valid sidecar: {problems_in(error)}") from error


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
        DataError: If it is absent or a Git LFS pointer, or its size or hash differ.
    """
    path = sidecar_path(model).with_name(entry.path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the model file {path}: {error.strerror or error}") from error
    if problem := pointer_problem(content):
        raise DataError(f"{path} {problem}")
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != entry.bytes or digest != entry.sha256:
        raise DataError(
            f"{path} is not the file that its sidecar describes: {len(content)} bytes with sha256 "
            f"{digest}, expected {entry.bytes} bytes with {entry.sha256}; fetch or export it again"
        )
    return content
