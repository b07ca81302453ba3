"""What a graph that nobody described wants, and the sidecar that makes it a picture classifier."""

from __future__ import annotations

import ast
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError, DataError
from bicameral.protocols import Session, TensorSpec
from edge.export.graphs import opset_of, read_graph, require_onnx
from edge.preprocessing import feed_from_canonical
from edge.session import OnnxSession, open_session
from edge.sidecar import (
    SUFFIX,
    Calibration,
    Cost,
    ImageSpec,
    InputSpec,
    ModelFile,
    OutputMeaning,
    OutputSpec,
    Sidecar,
    TaskSpec,
    TrainingData,
    TrainingRecord,
)

#: What stands in a sidecar for the command of a training that nobody here knows; such a sidecar may
#: be written again.
DESCRIBED = "not known; described by `bicameral describe`"

#: What Triton calls every graph, in a folder for each version.
_TRITON_GRAPH = "model.onnx"

#: Where programs that write graphs leave the names of classes: Ultralytics, PaddlePaddle, others.
_LABEL_KEYS = ("names", "character", "labels", "classes")

#: Noise that a graph is asked about.
_TRIALS = 4
#: How far sums of probabilities may be from 1, in float32.
_SUM_ERROR = 1e-3

_ALL_LEVELS = 1 / 255


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphDescription:
    """What a graph takes and gives.

    Attributes:
        inputs: The tensors that it takes.
        outputs: The tensors that it gives.
        opset: Version of its operators.
        parameters: Values of its weights.
        notes: What its maker wrote into it, by key.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opset: int
    parameters: int
    notes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """How pictures become the tensor of a graph, where the graph does not tell.

    Attributes:
        size: Height and width, where the graph takes any.
        color: RGB, BGR or GRAY; by default RGB or GRAY.
        scale: Factor of the grey levels 0..255; by default 1/255, and 1 where a mean is above 1.
        mean: Subtracted after scaling; one for each channel, or one for all.
        std: Divides after that.
    """

    size: tuple[int, int] | None = None
    color: Literal["RGB", "BGR", "GRAY"] | None = None
    scale: float | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


#: What most graphs want.
USUAL_PICTURE = PictureOptions()


def describe_graph(path: Path) -> GraphDescription:
    """Read what a graph takes and gives.

    Raises:
        DataError: If it cannot be read.
        MissingExtraError: If a package of the extra `export` is absent.
    """
    require_onnx()
    session = OnnxSession(path, name=path.name)
    try:
        model = read_graph(path.read_bytes())
        return GraphDescription(
            inputs=session.inputs,
            outputs=session.outputs,
            opset=opset_of(model),
            parameters=sum(math.prod(one.dims) for one in _weights(model)),
            notes={one.key: one.value for one in model.metadata_props},
        )
    finally:
        session.close()


def _weights(model: Any) -> Iterator[Any]:
    """Yield the tensors in a graph, wherever its maker put them."""
    yield from model.graph.initializer
    for node in model.graph.node:
        if node.op_type == "Constant":
            yield from (one.t for one in node.attribute if one.name == "value")


def described_place(path: Path) -> tuple[str, str, Path]:
    """Return name and version of the model in a file, and where its sidecar belongs.

    ``NAME/VERSION/model.onnx`` is called NAME, as Triton has it.
    """
    name, version = path.name.removesuffix(".onnx"), "1"
    folder = path.resolve().parent
    if path.name == _TRITON_GRAPH and folder.name.isdecimal():
        name, version = folder.parent.name, folder.name
    return name, version, path.with_name(name + SUFFIX)


def describe_classifier(
    path: Path,
    graph: GraphDescription,
    options: PictureOptions,
    labels: tuple[str, ...] | None = None,
) -> Sidecar:
    """Return the sidecar of a picture classifier, after asking it about some noise.

    Args:
        path: Its file.
        graph: What it takes and gives.
        options: How pictures become its tensor.
        labels: Names of the classes; None: those that the graph has, else numbers.

    Raises:
        ConfigError: If the options do not fit the graph, or something must be said.
        DataError: If it is no picture classifier.
    """
    content = path.read_bytes()
    taken = _image_input(path.name, graph, options)
    try:
        session = open_session(content, name=path.name)
    except DataError as error:
        raise DataError(
            f"{error}. A described model is a single file, of which its sidecar has the digest: "
            "write weights that lie beside it into it with onnx.save_model(onnx.load(OLD), NEW)"
        ) from error
    try:
        output, rows = _class_output(path.name, session, taken, labels)
    finally:
        session.close()
    name, version, _ = described_place(path)
    file = ModelFile(
        path=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        target="onnxruntime",
        precision="fp32",
        opset=graph.opset,
    )
    return Sidecar(
        kind="classifier",
        name=name,
        version=version,
        files=(file,),
        input=taken,
        outputs=(output,),
        labels=labels or _labels_of(graph, rows.shape[1]),
        task=TaskSpec(orientation_sensitive=True),
        calibration=Calibration(temperature=1.0, split="none", n=0, ece=0.0),
        cost=Cost(macs=0, parameters=graph.parameters, cpu_us=0.0, host=""),
        training=TrainingRecord(
            command=DESCRIBED, data=TrainingData(name="", sha256=""), split="", seed=0
        ),
        license=graph.notes.get("license", "not stated"),
        limits="Described from its graph; nobody here knows what it was trained on.",
    )


def _image_input(name: str, graph: GraphDescription, options: PictureOptions) -> InputSpec:
    """Return the input, if it is one image; its sizes come from the graph or the options."""
    given = [(one.name, one.dtype, list(one.shape)) for one in graph.inputs]
    one = graph.inputs[0] if len(graph.inputs) == 1 else None
    if one is None or one.dtype not in ("float32", "uint8") or len(one.shape) != 4:
        raise DataError(
            f"{name} takes {given}, expected one float32 or uint8 tensor of four axes: it is no "
            "classifier of pictures, but `bicameral serve` takes it as it is"
        )
    if one.shape[1] in (1, 3):
        layout: Literal["NCHW", "NHWC"] = "NCHW"
        channels, *sizes = one.shape[1:]
    elif one.shape[3] in (1, 3):
        layout, (*sizes, channels) = "NHWC", one.shape[1:]
    else:
        raise DataError(
            f"{name} takes {given}, expected 1 or 3 channels as the second or the last size; "
            "export it with that size fixed"
        )
    image = _image(name, channels, _size(name, sizes, options.size), options, one.dtype == "uint8")
    size = (image.height, image.width)
    return InputSpec(
        name=one.name,
        layout=layout,
        dtype="UINT8" if one.dtype == "uint8" else "FP32",
        shape=(one.shape[0], channels, *size)
        if layout == "NCHW"
        else (one.shape[0], *size, channels),
        in_graph=one.dtype == "uint8",
        image=image,
    )


def _size(name: str, sizes: Sequence[int], wanted: tuple[int, int] | None) -> tuple[int, int]:
    if wanted is None and -1 in sizes:
        raise ConfigError(
            f"{name} takes pictures of {_words(sizes)}; say which it was trained for, e.g. --size "
            "224 224 (height and width)"
        )
    height, width = wanted or sizes
    fits = all(size in (-1, one) for size, one in zip(sizes, (height, width), strict=True))
    if min(height, width) < 1 or not fits:
        raise ConfigError(
            f"--size is {height} {width}, but {name} takes pictures of {_words(sizes)}"
        )
    return height, width


def _words(sizes: Sequence[int]) -> str:
    height, width = ("any" if size < 0 else str(size) for size in sizes)
    return f"{height} height and {width} width"


def _image(
    name: str, channels: int, size: tuple[int, int], options: PictureOptions, scaled_there: bool
) -> ImageSpec:
    color = options.color or ("GRAY" if channels == 1 else "RGB")
    if (color == "GRAY") != (channels == 1):
        raise ConfigError(f"--color is {color}, but {name} takes {channels} channels")
    for flag, values in (("mean", options.mean), ("std", options.std)):
        if len(values) not in (1, channels):
            raise ConfigError(
                f"--{flag} has {len(values)} values, expected 1 or {channels}, the channels of "
                f"{name}"
            )
        if not np.isfinite(values).all():
            raise ConfigError(f"--{flag} is {values}, expected finite numbers")
    if min(options.std) <= 0.0:
        raise ConfigError(f"--std is {options.std}, expected values above 0")
    scale = options.scale
    if scale is not None and (not math.isfinite(scale) or scale == 0.0):
        raise ConfigError(
            f"--scale is {scale}, expected a finite number other than 0, which makes all pictures "
            "alike"
        )
    if scale is None:
        scale = 1.0 if scaled_there or max(options.mean) > 1.0 else _ALL_LEVELS
    if scaled_there and (scale, set(options.mean), set(options.std)) != (1.0, {0.0}, {1.0}):
        raise ConfigError(
            f"{name} takes uint8 and scales them itself; leave out --scale, --mean and --std"
        )
    return ImageSpec(
        height=size[0],
        width=size[1],
        color=color,
        scale=scale,
        mean=options.mean * (channels // len(options.mean)),
        std=options.std * (channels // len(options.std)),
    )


def _class_output(
    name: str, session: Session, taken: InputSpec, labels: Sequence[str] | None
) -> tuple[OutputSpec, NDArray[np.float32]]:
    """Return the output that has a score for each class, and its rows for some noise."""
    image = taken.image
    shape = (_TRIALS, image.height, image.width, image.channels)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    answers = session.run({taken.name: feed_from_canonical(noise, taken)})
    found: dict[str, NDArray[Any]] = {}
    for key, values in answers.items():
        axes = [size for size in values.shape[1:] if size != 1]
        if values.dtype == np.float32 and len(values) == _TRIALS and len(axes) == 1:
            found[key] = values
    if labels is not None and len(found) > 1:
        found = {key: values for key, values in found.items() if values[0].size == len(labels)}
    shapes = {key: list(values.shape[1:]) for key, values in answers.items()}
    if len(found) != 1:
        raise DataError(
            f"{name} gives {shapes} for a picture, expected one row of float32 scores, a score for "
            "each class; it is no classifier, but `bicameral serve` takes it as it is"
        )
    ((key, values),) = found.items()
    rows = values.reshape(_TRIALS, -1)
    if labels is not None and len(labels) != rows.shape[1]:
        raise ConfigError(
            f"there are {len(labels)} labels, but the output {key!r} of {name} has "
            f"{rows.shape[1]} scores; give a label for each, one a line"
        )
    meaning: OutputMeaning = "probabilities" if _are_probabilities(rows) else "logits"
    return OutputSpec(name=key, meaning=meaning, shape=(taken.shape[0], *values.shape[1:])), rows


def _are_probabilities(rows: NDArray[np.float32]) -> bool:
    return bool(rows.min() >= 0.0 and np.abs(rows.sum(axis=1) - 1.0).max() <= _SUM_ERROR)


def _labels_of(graph: GraphDescription, classes: int) -> tuple[str, ...]:
    """Return the labels that the graph has, if they are as many as its classes; else numbers."""
    for key in _LABEL_KEYS:
        text = graph.notes.get(key, "")
        labels = text.split("\n")
        if text.startswith(("{", "[")):
            try:
                value = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                continue
            labels = [str(one) for one in (value.values() if isinstance(value, dict) else value)]
        if len(labels) == classes:
            return tuple(labels)
    return tuple(map(str, range(classes)))
