"""From a finished training to `NAME.onnx` and its sidecar, checked against torch."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic
from edge.agent_sidecar import AgentSpec, PaceAgentSpec, PathAgentSpec
from edge.driver_model import COMMANDS, state_inputs
from edge.preprocessing import feed_from_canonical
from edge.session import OnnxSession
from edge.sidecar import (
    SUFFIX,
    Calibration,
    Cost,
    ExtraInput,
    InputSpec,
    OutputSpec,
    Sidecar,
    TaskSpec,
    TrainingData,
    TrainingRecord,
    write_sidecar,
)
from models.caril.fitting import CHECK_NAME, read_fit
from models.caril.pace_fitting import PaceFit
from models.caril.path_fitting import PathFit
from models.caril.steering_fitting import SteeringFit
from models.caril.training import SETTINGS_NAME, load_network
from models.host import host_name
from models.networks.driver_trunk import Variant, image_of
from models.networks.dual_head import DriverNetwork, DualHeadNetwork
from models.networks.pace_classes import EARLIER_TICKS, LIGHTS, PACE_IMAGE, SPEED_EDGES_MPS
from models.networks.pace_network import PaceNetwork
from models.networks.path_classes import (
    DECIDING_BINS,
    INTENT_COLUMNS,
    OFFSET_BINS,
    PATH_DISTANCES_M,
)
from models.onnx_export import count_cost, describe_graph, onnx_from_network, require_same
from models.trainer import CHECKPOINT_NAME

_ONE_SIMULATOR = (
    "Drives the simulator whose pictures it was trained on (agent.trained_on), no other one and no "
    "real car."
)
_LIMITS = (
    "Sees road and markings only: no obstacles, no traffic lights, no other road users. "
    + _ONE_SIMULATOR
)
_PACE_LIMITS = (
    "Sees vehicles, walkers and lights before the car, no stop signs, and nobody who comes from "
    "the side. Lights nearer than 6 m are out of its picture. " + _ONE_SIMULATOR
)

_STATE_INPUTS = (
    ExtraInput(name="speed_mps", dtype="FP32", shape=(-1, 1), meaning="forward speed, m/s"),
    ExtraInput(
        name="command",
        dtype="FP32",
        shape=(-1, len(COMMANDS)),
        meaning="one-hot navigation command, columns agent.commands",
    ),
)
_INTENT_INPUT = ExtraInput(
    name="intent",
    dtype="FP32",
    shape=(-1, INTENT_COLUMNS),
    meaning="where the wanted lane lies, as agent.intent says; all zeros: not known",
)
_EARLIER_INPUT = ExtraInput(
    name="earlier",
    dtype="FP32",
    shape=(-1, 3, PACE_IMAGE.height, PACE_IMAGE.width),
    meaning=f"the image of {EARLIER_TICKS} ticks before, or the same image again",
)
#: What a variant takes beside the image.
_EXTRA_INPUTS: dict[Variant, tuple[ExtraInput, ...]] = {
    "paper": (),
    "conditional": _STATE_INPUTS,
    "path": (*_STATE_INPUTS, _INTENT_INPUT),
    "pace": (_EARLIER_INPUT, *_STATE_INPUTS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """What to export.

    Attributes:
        training: Output folder of a finished training.
        output: Folder for the two files.
        name: Name of the model and of its files.
        command: Command line that trained it, for the record.
    """

    training: Path
    output: Path
    name: str
    command: str = "bicameral train driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What was written, and how far ONNX Runtime is from torch."""

    model: Path
    sidecar: Path
    checked_images: int
    max_difference: float
    macs: int
    parameters: int


def export(settings: ExportSettings) -> ExportResult:
    """Write the graph (opset 13, batch size free) and the sidecar.

    Raises:
        DataError: If the training is not finished, or ONNX Runtime differs from torch by more than
            1e-4 on its validation pictures.
    """
    network = load_network(settings.training / CHECKPOINT_NAME)
    content = _onnx_from_network(network)
    macs, parameters = count_cost(content)
    path = settings.output / f"{settings.name}.onnx"
    cost = Cost(macs=macs, parameters=parameters, cpu_us=0.0, host=host_name())
    sidecar = _describe(settings, network, content, cost)
    session = OnnxSession(content, name=settings.name)
    checked, difference, cpu_us = _compare(session, network, settings.training)
    cost = cost.model_copy(update={"cpu_us": round(cpu_us, 1)})
    write_bytes_atomic(path, content)
    target = path.with_name(settings.name + SUFFIX)
    write_sidecar(target, sidecar.model_copy(update={"cost": cost}))
    return ExportResult(
        model=path,
        sidecar=target,
        checked_images=checked,
        max_difference=difference,
        macs=macs,
        parameters=parameters,
    )


def _image_input(variant: Variant) -> InputSpec:
    """Describe the image tensor."""
    image = image_of(variant)
    return InputSpec(
        name="image",
        layout="NCHW",
        dtype="FP32",
        shape=(-1, 3, image.height, image.width),
        image=image,
    )


def _onnx_from_network(network: DriverNetwork) -> bytes:
    inputs = {"image": torch.zeros(1, *_image_input(network.settings.variant).shape[1:])}
    for extra in _EXTRA_INPUTS[network.settings.variant]:
        inputs[extra.name] = torch.zeros(1, *extra.shape[1:])
    return onnx_from_network(network, inputs, network.output_names)


def _describe(
    settings: ExportSettings, network: DriverNetwork, content: bytes, cost: Cost
) -> Sidecar:
    if isinstance(network, DualHeadNetwork):
        answers = _describe_steering(read_fit(settings.training, SteeringFit))
    elif isinstance(network, PaceNetwork):
        answers = _describe_pace(read_fit(settings.training, PaceFit))
    else:
        answers = _describe_path(read_fit(settings.training, PathFit))
    return Sidecar(
        kind="agent",
        name=settings.name,
        version="1",
        files=(describe_graph(settings.name, content),),
        input=_image_input(network.settings.variant),
        extra_inputs=_EXTRA_INPUTS[network.settings.variant],
        **answers._asdict(),
        task=TaskSpec(orientation_sensitive=True),
        cost=cost,
        training=_training_record(settings),
        license="Apache-2.0",
        limits=_PACE_LIMITS if isinstance(network, PaceNetwork) else _LIMITS,
    )


class _Answers(NamedTuple):
    """What a variant's network answers with, for the sidecar."""

    outputs: tuple[OutputSpec, ...]
    labels: tuple[str, ...]
    calibration: Calibration
    agent: AgentSpec | PathAgentSpec | PaceAgentSpec


def _describe_steering(fit: SteeringFit) -> _Answers:
    edges = fit.agent.bin_edges
    return _Answers(
        outputs=(
            OutputSpec(name="steer", meaning="steer", shape=(-1, 1)),
            OutputSpec(name="logits", meaning="logits", shape=(-1, len(edges) - 1)),
        ),
        labels=tuple(f"steer {low:+.4f}..{high:+.4f}" for low, high in itertools.pairwise(edges)),
        calibration=Calibration(
            temperature=fit.temperature,
            split="validation",
            n=fit.validation_frames,
            ece=fit.ece_after,
        ),
        agent=fit.agent,
    )


def _describe_path(fit: PathFit) -> _Answers:
    """Describe a path network; labels and calibration are those of the classes 10 m ahead."""
    deciding = OFFSET_BINS.index(DECIDING_BINS)
    edges = (-math.inf, *DECIDING_BINS.edges_m, math.inf)
    distances = len(PATH_DISTANCES_M)
    return _Answers(
        outputs=(
            OutputSpec(name="offsets", meaning="offsets", shape=(-1, distances)),
            OutputSpec(name="scales", meaning="scales", shape=(-1, distances)),
            OutputSpec(
                name="logits",
                meaning="logits",
                shape=(-1, len(OFFSET_BINS), DECIDING_BINS.count),
            ),
        ),
        labels=tuple(
            f"{DECIDING_BINS.distance_m:.0f} m ahead {low:+.2f}..{high:+.2f} m"
            for low, high in itertools.pairwise(edges)
        ),
        calibration=Calibration(
            temperature=fit.agent.classes[deciding].temperature,
            split="validation",
            n=fit.uninformed.frames,
            ece=fit.ece_after,
        ),
        agent=fit.agent,
    )


def _describe_pace(fit: PaceFit) -> _Answers:
    edges = (0.0, *SPEED_EDGES_MPS, math.inf)
    return _Answers(
        outputs=(
            OutputSpec(name="speeds", meaning="speeds", shape=(-1, 1)),
            OutputSpec(name="scales", meaning="scales", shape=(-1, 1)),
            OutputSpec(name="logits", meaning="logits", shape=(-1, len(edges) - 1)),
            OutputSpec(name="reasons", meaning="reasons", shape=(-1, 3 + len(LIGHTS))),
        ),
        labels=tuple(f"speed {low:g}..{high:g} m/s" for low, high in itertools.pairwise(edges)),
        calibration=Calibration(
            temperature=fit.temperature, split="validation", n=fit.frames, ece=fit.ece_after
        ),
        agent=fit.agent,
    )


def _training_record(settings: ExportSettings) -> TrainingRecord:
    path = settings.training / SETTINGS_NAME
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        # Only the folders' names: where they lay is nobody's business.
        name = "+".join(Path(folder).name for folder in record["data"])
        return TrainingRecord(
            command=settings.command,
            data=TrainingData(name=name, sha256=record["data_sha256"]),
            split="by town and episode",
            seed=record["seed"],
            precision=record["precision"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"cannot read the settings of the training {path}: {error!r}") from error


def _compare(
    session: OnnxSession, network: DriverNetwork, training: Path
) -> tuple[int, float, float]:
    """Return number of pictures, largest absolute difference, and CPU microseconds for one."""
    with np.load(training / CHECK_NAME, allow_pickle=False) as archive:
        inputs = {name: archive[name] for name in archive.files}
    variant = network.settings.variant
    images: NDArray[np.uint8] = inputs["images"]
    feeds = _feeds(inputs, variant)
    with torch.inference_mode():
        expected = network(*map(torch.from_numpy, feeds.values()))
    found = session.run(feeds)
    difference = max(
        require_same(
            found[name],
            answer.numpy(),
            f"on {len(images)} validation pictures of {training} the {name} of ONNX Runtime and "
            "torch differ",
        )
        for name, answer in zip(network.output_names, expected, strict=True)
    )
    times_s: list[float] = []
    for index in range(min(len(images), 100)):
        one = {name: values[index : index + 1] for name, values in inputs.items()}
        began = time.process_time()
        session.run(_feeds(one, variant))
        times_s.append(time.process_time() - began)
    return len(images), difference, float(np.median(times_s)) * 1e6


def _feeds(inputs: Mapping[str, NDArray[Any]], variant: Variant) -> dict[str, NDArray[np.generic]]:
    """Return the graph's inputs, in order, for what a training keeps to check exports with."""
    image = _image_input(variant)
    feeds: dict[str, NDArray[np.generic]] = {"image": feed_from_canonical(inputs["images"], image)}
    if variant == "pace":
        feeds["earlier"] = feed_from_canonical(inputs["earlier"], image)
    if variant != "paper":
        feeds |= state_inputs(inputs["speed_mps"], inputs["command"])
    if variant == "path":
        feeds["intent"] = inputs["intent"]
    return feeds
